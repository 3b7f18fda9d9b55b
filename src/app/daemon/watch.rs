//! `watch = true`: reloads the configuration automatically after its files have changed.
//!
//! Stamps are read once a second. Files are loaded when two consecutive stamps agree and differ from the last loaded
//! ones: by then an editor that writes in place, renames or swaps a link has finished. An incomplete file is rejected
//! as a whole and reported once; its completion triggers the next load.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    context::DaemonContext,
    reload::{self, Files},
};
use crate::adapters::{config::FileStamps, control::Reply};

const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop`; while `watch` is off it waits for it to be turned on.
pub async fn run(shared: Arc<DaemonContext>, stop: CancellationToken) {
    let mut settling = Settling::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if !shared.config().daemon.watch {
            settling = Settling::default();
            continue;
        }
        // Touched, restored, or loaded by a command: nothing new.
        if settling.has_settled(FileStamps::of(&shared.config_path))
            && matches!(shared.compare_files(), Files::Edited { .. })
        {
            let reply = reload::reload(&shared, "watch").await;
            if matches!(reply, Reply::Failed { .. }) {
                // Not an error of the files: the history may be usable at the next attempt.
                settling = Settling::default();
            }
        }
    }
}

/// Reports each state of the files once, after it has been stable.
#[derive(Debug)]
struct Settling<T> {
    last: Option<T>,
    reported: Option<T>,
}

impl<T> Default for Settling<T> {
    fn default() -> Self {
        Self { last: None, reported: None }
    }
}

impl<T: PartialEq + Clone> Settling<T> {
    fn has_settled(&mut self, observation: T) -> bool {
        let settled = self.last.as_ref() == Some(&observation) && self.reported.as_ref() != Some(&observation);
        if settled {
            self.reported = Some(observation.clone());
        }
        self.last = Some(observation);
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_changes_is_not_tried_and_what_rests_is_tried_once() {
        let mut settling = Settling::default();
        let reported: Vec<bool> = "abcccccdccdd".chars().map(|observation| settling.has_settled(observation)).collect();
        let wanted: Vec<bool> = "...x.......x".chars().map(|mark| mark == 'x').collect();
        assert_eq!(reported, wanted);
    }
}
