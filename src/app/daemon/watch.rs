//! `watch = true`: the configuration is read again by itself when its files have changed.
//!
//! Files are looked at once a second, and read only when two looks in a row agree and differ from what was tried last:
//! an editor that writes in place, renames or swaps a link has come to rest by then, and half a file is mostly not
//! tried at all. If it is, it is refused as a whole and told once, and the other half brings the next try.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    context::DaemonContext,
    reload::{self, Files},
};
use crate::adapters::{config::FileStamps, control::Reply};

const EVERY: Duration = Duration::from_secs(1);

/// Looks until `stop`; while `watch` is off it only waits for it to be turned on.
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
        // Touched, put back, or tried by somebody else: nothing new.
        if settling.has_settled(FileStamps::of(&shared.config_path)) && shared.compare_files() == Files::Edited {
            let reply = reload::reload(&shared, "watch").await;
            if matches!(reply, Reply::Failed { .. }) {
                // Not the files' fault: the history may be usable at the next look.
                settling = Settling::default();
            }
        }
    }
}

/// Tells of each look of the files once that it has come to rest.
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
