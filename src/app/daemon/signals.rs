//! SIGTERM and SIGINT stop, SIGHUP reads the configuration again.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::mpsc;

/// The process's signals, from the moment this is made.
pub struct Signals(signal_hook_tokio::Signals);

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Read the configuration again.
    Reload,
    /// Come to an orderly end.
    Stop,
}

impl Signals {
    /// Takes over the signals. From the second SIGTERM or SIGINT on the process ends at once, even if it hangs: all
    /// that matters is committed before it happens.
    pub fn new() -> io::Result<Self> {
        // First: a signal that came when only the flags were registered would set a flag and be lost.
        let signals = signal_hook_tokio::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        for signal in [SIGTERM, SIGINT] {
            // The order counts: the first delivery finds the flag unset and then sets it.
            let asked_before = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked_before))?;
            signal_hook::flag::register(signal, asked_before)?;
        }
        Ok(Self(signals))
    }

    /// What they ask for, one after the other. Equal signals may merge.
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
