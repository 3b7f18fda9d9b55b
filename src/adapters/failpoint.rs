//! Points at which tests can kill the daemon as by `kill -9`, to check the next start. They exist in builds with debug
//! assertions only; in a release [`hit`] does nothing.
//!
//! `IMAGEBAKED_FAILPOINT="before.creating:1,send.stop_instance:2"` kills at the first pass of the one or the second
//! pass of the other, whichever comes first. A point has a moment and an event:
//!
//! * `before`: the transaction is complete and not committed; `after`: it is committed and has had no effect yet.
//! * `before` and `after` a maintenance: the same for a transaction that leaves the bake with it.
//! * `send`: the call is about to be sent; `answer`: its response has arrived and is not processed yet.
//! * `before` and `after` a channel's name: the same for a transaction that moves that channel.
//! * `start`: that part of the daemon has just been set up.

/// The variable that arms points.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "IMAGEBAKED_FAILPOINT";

/// Every point, in the order in which a bake that stops its instance passes them.
#[cfg(debug_assertions)]
pub const POINTS: [&str; 50] = [
    "start.history",
    "before.targets",
    "after.targets",
    "start.engine",
    "start.socket",
    "start.ready",
    "before.slots",
    "after.slots",
    "before.manual",
    "after.manual",
    "before.preparing",
    "after.preparing",
    "send.list_sessions",
    "answer.list_sessions",
    "send.run_hook",
    "answer.run_hook",
    "before.stopping",
    "after.stopping",
    "send.describe_instance",
    "answer.describe_instance",
    "send.stop_instance",
    "answer.stop_instance",
    "before.ready",
    "after.ready",
    "send.find_image",
    "answer.find_image",
    "before.creating",
    "after.creating",
    "send.create_image",
    "answer.create_image",
    "before.unknown",
    "after.unknown",
    "before.building",
    "after.building",
    "send.describe_image",
    "answer.describe_image",
    "before.starting",
    "after.starting",
    "send.find_images_in_progress",
    "answer.find_images_in_progress",
    "send.start_instance",
    "answer.start_instance",
    "before.finishing",
    "after.finishing",
    "before.skipped",
    "after.skipped",
    "before.succeeded",
    "after.succeeded",
    "before.failed",
    "after.failed",
];

/// Every point of the maintenance around a stop, in their order. The moments `before` and `after` are of each transaction
/// that leaves the bake with this maintenance; `found` is one of other hands.
#[cfg(debug_assertions)]
pub const MAINTENANCE_POINTS: [&str; 14] = [
    "send.describe_maintenance",
    "answer.describe_maintenance",
    "before.maintenance_found",
    "after.maintenance_found",
    "before.maintenance_entering",
    "after.maintenance_entering",
    "send.enter_maintenance",
    "answer.enter_maintenance",
    "before.maintenance_entered",
    "after.maintenance_entered",
    "before.maintenance_leaving",
    "after.maintenance_leaving",
    "send.leave_maintenance",
    "answer.leave_maintenance",
];

/// Every point of the deletion of an image, in their order.
#[cfg(debug_assertions)]
pub const DELETION_POINTS: [&str; 8] = [
    "before.marked",
    "after.marked",
    "before.deleting",
    "after.deleting",
    "send.delete_image",
    "answer.delete_image",
    "before.deleted",
    "after.deleted",
];

/// Passes a point: kills the process if it is armed and its count is reached.
#[cfg(debug_assertions)]
pub fn hit(moment: &str, what: &str) {
    use std::sync::{LazyLock, Mutex, PoisonError};
    static ARMED: LazyLock<Mutex<Vec<Armed>>> = LazyLock::new(|| Mutex::new(Armed::read()));
    for armed in ARMED.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        if armed.point.split_once('.') != Some((moment, what)) {
            continue;
        }
        armed.passings_left = armed.passings_left.saturating_sub(1);
        if armed.passings_left == 0 {
            // Cannot fail for an existing signal, and does not return: this signal cannot be handled.
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
        }
    }
}

/// Passes a point that releases do not have.
#[cfg(not(debug_assertions))]
#[inline]
pub const fn hit(_moment: &str, _what: &str) {}

#[cfg(debug_assertions)]
struct Armed {
    point: String,
    passings_left: u32,
}

#[cfg(debug_assertions)]
impl Armed {
    fn read() -> Vec<Self> {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let read = |item: &str| {
            let (point, n) = item.split_once(':')?;
            Some(Self { point: point.to_owned(), passings_left: n.parse().ok()? })
        };
        text.split(',').filter_map(read).collect()
    }
}
