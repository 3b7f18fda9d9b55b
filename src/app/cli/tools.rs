//! Arguments of the commands that need no account: the demonstration, the simulator, completions, manual pages.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values::{address, length};

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The folder of all files; by default one for temporary files.
    #[arg(long, alias = "keep", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep running, as a trial: simulator, daemon and page, until Ctrl-C. With the same DIR it goes on where it was.
    #[arg(long)]
    pub stay: bool,
}

/// `sim`.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// Where to listen; loopback only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480", value_parser = address)]
    pub listen: SocketAddr,
    /// Keep the simulated world in this file; it survives a restart.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Faults to inject, as TOML.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// The key pair that is accepted; its secret is read from SIM_ACCESS_KEY_SECRET.
    #[arg(long, value_name = "ID", default_value = "sim-key-id")]
    pub access_key_id: String,
    /// Temporary keys live at most so long.
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub session_life: Option<Duration>,
    /// How long an image takes.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = length)]
    pub build_time: Duration,
    /// How long a start or a stop takes.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = length)]
    pub power_time: Duration,
    /// How many images can be made at once.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub builders: u32,
    /// How many images there can be; any number by default.
    #[arg(long, value_name = "N")]
    pub images: Option<u32>,
    /// Throttle each action to so many requests a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_second: Option<u32>,
    /// Add an instance (`ecd-…` or `ws-…`); may be given often.
    #[arg(long, value_name = "ID")]
    pub instance: Vec<String>,
    /// Add the instances of this file, `[[instance]]` tables with `instance_id`, `instance_type` and the other fields of
    /// the control `/_sim/instances`.
    #[arg(long, value_name = "FILE")]
    pub instances: Option<PathBuf>,
    /// Leave out the five instances that there are by default.
    #[arg(long)]
    pub no_instances: bool,
    /// Take instances that are not known yet as they come.
    #[arg(long)]
    pub open: bool,
    /// Refuse only what the API pages of each call name: neither filters that have no effect here, nor names, tags and
    /// regions by the rules of the sibling calls.
    #[arg(long)]
    pub lenient: bool,
    /// Show `GmtCreate` in a zone so many minutes ahead of UTC.
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1440..=1440))]
    pub gmt_zone: i32,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Shells that can be helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(imagebaked completions bash)`
    Bash,
    /// `source <(imagebaked completions zsh)`
    Zsh,
    /// `imagebaked completions fish | source`
    Fish,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the pages of the program, of each command and of the configuration into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
