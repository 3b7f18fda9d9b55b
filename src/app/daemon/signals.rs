//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reloads the configuration.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::mpsc;

/// Signals received since its creation.
pub struct Signals(signal_hook_tokio::Signals);

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Request of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Reload the configuration.
    Reload,
    /// Stop in order.
    Stop,
}

impl Signals {
    /// Registers the signal handlers. The second SIGTERM or SIGINT ends the process at once, even if it hangs:
    /// everything relevant is committed before its effect.
    pub fn new() -> io::Result<Self> {
        // First: otherwise a signal between the two registrations would only set a flag.
        let signals = signal_hook_tokio::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        for signal in [SIGTERM, SIGINT] {
            // The order matters: the first delivery finds the flag unset and then sets it.
            let asked_before = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked_before))?;
            signal_hook::flag::register(signal, asked_before)?;
        }
        Ok(Self(signals))
    }

    /// The requests, in order. Equal signals may merge.
    pub fn receive(mut self) -> mpsc::Receiver<Asked> {
        let (sender, asked) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Some(signal) = self.0.next().await {
                let ask = if signal == SIGHUP { Asked::Reload } else { Asked::Stop };
                if sender.send(ask).await.is_err() {
                    return;
                }
            }
        });
        asked
    }
}
