//! Each documented path of a bake by its name, by what it is about. What no path may ever do is in `transition_model.rs`.

mod fixture;

mod building;
mod creating;
mod deadline;
mod downtime;
mod hooks;
mod instance_states;
mod outages;
mod rebakes;
mod stop_and_start;
mod stored_states;
mod taken_names;
mod unknown;
mod users;

pub(crate) use fixture::*;
