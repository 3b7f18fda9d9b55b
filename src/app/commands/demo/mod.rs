//! `imagebaked demo`: runs the simulator, a real configuration, the real daemon and its history in one process, for
//! half a minute. Its claims are computed from the history and from the simulator's record. With `--stay` it goes on as a
//! trial, until the user ends it.

mod claims;
mod configuration;
mod place;
mod scenes;
mod stay;
mod watch;

use std::{path::PathBuf, time::Duration};

use self::place::{Place, RunningDaemon, daemon_failed, listen, program, signals, start};
use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    terminal::print_text,
};
use crate::{
    app::cli::DemoArgs,
    domain::{
        clock::{Clock as _, SystemClock},
        error::chain,
        suggestion::shell_word,
        text::is_hidden,
    },
    sim::{FaultPlan, Options, RunningSimulator},
};

/// The second instance is throttled, the answer to the workstation is lost, the last one is refused for good.
const FAULTS: &str = r#"
[[fault]]
action = "CreateImageByInstance"
instance_id = "ecd-sim0002"
nth = 1
code = "Throttling.User"
status = 429
headers = { x-acs-retry-after = "1500" }

[[fault]]
action = "CreateImageByInstance"
instance_id = "ws-sim0001"
nth = 1
drop = "after"

[[fault]]
action = "CreateImageByInstance"
instance_id = "ws-sim0002"
nth = 1
code = "Instance.ImageUnsupported"
"#;

const INTRODUCTION: &str = "\
A simulated cloud, the real daemon, half a minute. Four schedules become due in
the next seconds, each a few lines of TOML. On the way the cloud throttles a
call, loses an answer, and refuses one instance.

";

pub async fn run(context: &Context<'_>, args: &DemoArgs) -> Result {
    let folder = folder(args)?;
    if args.stay {
        return stay::run(&folder).await;
    }
    let place = Place::new(&folder);
    if place.config.exists() {
        // It may be a trial, with edits of its own.
        let (file, folder) = (place.typed.display(), shell_word(&folder.to_string_lossy()).into_owned());
        let message = format!(
            "{file} is there already, and would be replaced.\nGo on with it: {} demo --dir {folder} --stay; otherwise \
             name another folder",
            program()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let sim = simulator().await?;
    place.write(&configuration::of_the_show(&folder, sim.addr(), SystemClock.now()))?;
    print_text(INTRODUCTION);

    let mut interrupted = signals()?;
    let mut daemon = RunningDaemon::start(&place)?;
    let show = scenes::play(context, &place, &sim);
    let played = tokio::select! {
        played = show => played,
        _ = interrupted.recv() => Err(Failure::new(Exit::Failed, "stopped")),
        ended = &mut daemon.task => return Err(daemon_failed(ended)),
    };
    daemon.stop().await?;
    let world = sim.state();
    sim.stop().await;
    let rows = played?;
    let claims = claims::claims(&rows, &world);
    let mut text = "\nThe four promises, counted from the history and from the simulator's record:\n".to_owned();
    for (number, claim) in claims.iter().enumerate() {
        let mark = if claim.holds { "kept" } else { "BROKEN" };
        text.push_str(&super::table::wrapped(&format!("  {}. {mark}: {}\n", number + 1, claim.words), 5));
    }
    text.push_str(&format!(
        "\nNow you:\n  {} history\n  {} why cad\n  {} demo --dir trial --stay\n\
         The last one goes on until Ctrl-C. The files of this one are in {}.\n",
        place.command(),
        place.command(),
        program(),
        folder.display()
    ));
    let exit = if claims.iter().all(|claim| claim.holds) { Exit::Done } else { Exit::Failed };
    Ok(CommandOutput { text, exit })
}

/// The folder of all files, which stay there.
fn folder(args: &DemoArgs) -> Result<PathBuf> {
    let path = match &args.dir {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("baked-{}", std::process::id())),
    };
    // The configuration names its files by their whole paths.
    let whole = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    if whole.to_str().is_none_or(|text| text.contains(is_hidden)) {
        let message = "the name of this folder has characters that no configuration can have: bytes that are no UTF-8, \
                       or invisible ones; name another folder with --dir";
        return Err(Failure::new(Exit::Usage, message));
    }
    let failed = |error| Failure::new(Exit::Failed, format!("cannot make {}: {error}", path.display()));
    std::fs::create_dir_all(&path).map_err(failed)?;
    Ok(path)
}

async fn simulator() -> Result<RunningSimulator> {
    let listener = listen("127.0.0.1:0".parse().ok()).await?;
    let options = Options {
        build_time: Duration::from_secs(2),
        power_time: Duration::from_secs(1),
        faults: FaultPlan::parse(FAULTS).map_err(|error| Failure::new(Exit::Failed, chain(&error)))?,
        ..Options::default()
    };
    start(listener, options)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[test]
    fn a_folder_that_no_configuration_can_name_is_not_made() {
        let above = tempfile::tempdir().unwrap();
        for name in [&b"a\nb"[..], b"a\x1b[2Jb", b"a\xffb", "a\u{202e}b".as_bytes()] {
            let path = above.path().join(OsStr::from_bytes(name));
            let refused = folder(&DemoArgs { dir: Some(path.clone()), stay: false }).unwrap_err();
            assert!(matches!(refused.exit, Exit::Usage) && refused.message.contains("--dir"), "{}", refused.message);
            assert!(!path.exists());
        }
        assert!(folder(&DemoArgs { dir: Some(above.path().join("a\"b")), stay: false }).unwrap().is_dir());
    }
}
