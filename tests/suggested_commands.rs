//! Commands that answers suggest find the daemon that the answer is of: with `--config X` on the command line, each of them has
//! it. On a terminal, no answer is longer than a person reads. `script` makes the terminal; without it that part is skipped.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    fs,
    process::{Command, Stdio},
};

use imagebaked::domain::suggestion::COMMANDS;
use support::{Cloud, Host, eventually};

/// Lines of an answer on a terminal, whatever it is about.
const LONGEST: usize = 25;

/// Each command that shows something, in the order in which they are run; those that change something come last.
const LINES: &[&str] = &[
    "status",
    "status --all",
    "status broken",
    "status --check",
    "check",
    "check --all",
    "check --deny warnings",
    "check --explain daemon",
    "plan",
    "plan tonight",
    "plan broken",
    "plan --diff edited.toml",
    "why broken",
    "why farm-03",
    "why farm-03 tonight",
    "why paused tomorrow",
    "history",
    "history broken",
    "show 1",
    "show 1 --all",
    "show 999",
    "images",
    "images broken",
    "channels",
    "prune --dry-run",
    "coverage",
    "reconcile",
    "events",
    "audit",
    "adopt broken --name x",
    "bake",
    "bake nobody",
    "images nobody",
    "pin imgc-none --reason x",
    "rollback broken latest --reason x",
    "status --json",
    "bake --all --yes",
    "pause farm-01 --reason x",
    "retry 1",
    "cancel 999",
    "ack bake_failed broken --reason x",
    "prune",
    "reload",
];

/// Those that are run into a pipe, too.
const PIPED: &[&str] =
    &["status", "check", "plan tonight", "why broken", "images", "show 1", "bake", "rollback broken latest --reason x"];

/// Many schedules, with what `check` warns of, one that fails, and one that is paused.
fn configuration() -> String {
    let schedule = |name: &str, instance: &str, keys: &str| {
        format!(
            "[[schedule]]\nname = \"{name}\"\ninstance_id = \"{instance}\"\ncron = \"0 */2 * * *\"\n\
             regions = [\"cn-hangzou\"]\njitter = \"3h\"\nkeep = {{ last = 9 }}\n{keys}\n"
        )
    };
    let farm = (0..30).map(|n| schedule(&format!("farm-{n:02}"), &format!("ecd-{n}"), "paused = false"));
    farm.collect::<String>()
        + &schedule("broken", "ecd-broken", "retry = { attempts = 1 }")
        + &schedule("paused", "ecd-paused", "paused = true")
}

/// The commands of a text that do not have the option; in JSON commands are for programs.
fn without_option(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("imagebaked") {
        let (before, after) = rest.split_at(at + "imagebaked".len());
        let is_word = !before[..at].ends_with(|c: char| c.is_alphanumeric() || "/-_.@".contains(c));
        let next = after.split_whitespace().next().unwrap_or_default();
        let is_apart = after.starts_with(char::is_whitespace);
        let command = next.trim_end_matches(|c: char| !c.is_alphanumeric());
        if is_word && is_apart && COMMANDS.contains(&command) {
            found.push(after.chars().take(60).collect());
        }
        rest = after;
    }
    found
}

/// The command line with `--config`.
fn named(host: &Host, line: &str) -> Command {
    let file = host.path("imagebaked.toml").display().to_string();
    let mut command = host.command(&["--config", &file]);
    command.args(line.split(' ')).env_remove("IMAGEBAKED_CONFIG");
    command
}

/// Runs the command line in a terminal of 80 columns and 24 lines; `None` without `script`.
fn typed(host: &Host, line: &str) -> Option<String> {
    let program = named(host, line);
    let words: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let output = Command::new("script")
        .args(["-q", "-c", &format!("stty rows 24 cols 80; {}", words.join(" ")), "/dev/null"])
        .env_clear()
        .envs(support::environment_of(&program))
        .env("PATH", "/usr/bin:/bin")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
}

#[test]
fn every_suggested_command_is_complete_and_no_answer_is_long() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-broken\"\ncode = \"Instance.ImageUnsupported\"\n\
         status = 400\n",
    );
    let mut host = Host::new(cloud.addr, &configuration());
    let file = host.path("imagebaked.toml");
    let edited = fs::read_to_string(&file).unwrap();
    let edited = edited.replace("keep = { last = 9 }", "keep = { last = 1 }").replace("0 */2", "0 */3");
    fs::write(host.path("edited.toml"), &edited).unwrap();
    host.start();
    host.expect(1, &["bake", "broken", "--wait"]);
    eventually("the failure is a problem", || {
        let output = host.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (!status["health"]["problems"].as_array()?.is_empty()).then_some(())
    });
    let edited_path = host.path("edited.toml").display().to_string();
    let mut wrong = Vec::new();
    for line in LINES {
        let line = line.replace("edited.toml", &edited_path);
        if line == "reload" {
            fs::write(&file, &edited).unwrap();
        }
        if PIPED.contains(&line.as_str()) {
            let output = named(&host, &line).output().unwrap();
            for text in [output.stdout, output.stderr] {
                let text = String::from_utf8(text).unwrap();
                wrong.extend(without_option(&text).iter().map(|command| format!("{line}: imagebaked{command}")));
            }
        }
        let Some(text) = typed(&host, &line) else {
            println!("skipped: there is no program `script`");
            return;
        };
        let is_json = line.ends_with("--json");
        if !is_json {
            wrong.extend(
                without_option(&text).iter().map(|command| format!("{line} on a terminal: imagebaked{command}")),
            );
        }
        let lines = text.lines().count();
        if lines > LONGEST && !is_json && !line.ends_with("--all") {
            wrong.push(format!("{line}: {lines} lines\n{text}"));
        }
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        let has_long_word = text.split_whitespace().any(|word| word.chars().count() > 70);
        // One line for monitoring is as long as it is.
        let is_one_line = line == "status --check";
        if widest > 80 && !is_json && !is_one_line && !has_long_word {
            wrong.push(format!("{line}: {widest} columns\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.stop();
}
