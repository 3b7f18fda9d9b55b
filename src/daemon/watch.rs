//! `watch = true`: the configuration is read again by itself when its files have changed.
//!
//! Files are looked at once a second, and read only when two looks in a row agree and differ from what was tried last:
//! an editor that writes in place, renames or swaps a link has come to rest by then, and half a file is mostly not
//! tried at all. If it is, it is refused as a whole and told once, and the other half brings the next try.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    reload::{self, Files},
};
use crate::config::Looks;

const EVERY: Duration = Duration::from_secs(1);

/// Looks until `stop`; while `watch` is off it only waits for it to be turned on.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let (mut last, mut tried) = (None, None);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if !shared.config().daemon.watch {
            (last, tried) = (None, None);
            continue;
        }
        let looks = Looks::of(&shared.config_path);
        let settled = last.as_ref() == Some(&looks);
        if settled && tried.as_ref() != Some(&looks) {
            tried = Some(looks.clone());
            // Touched, put back, or tried by somebody else: nothing new.
            if shared.compare_files() == Files::Edited {
                reload::reload(&shared, "watch").await;
            }
        }
        last = Some(looks);
    }
}
