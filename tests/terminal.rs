//! Output on a terminal and into a pipe. `script` makes the terminal; without it the tests are skipped.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::process::{Command, Stdio};

use support::{Cloud, Host};

const FILE: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n";

/// Runs this shell command in a terminal of 72 columns; `None` without `script`.
fn typed(host: &Host, command: &str, variables: &[(&str, &str)]) -> Option<String> {
    let program = host.command(&[]);
    let args: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let whole = format!("stty rows 40 cols 72; {}", command.replace("imagebaked", &args.join(" ")));
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &whole, "/dev/null"])
        .env_clear()
        .envs(support::environment_of(&program))
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert!(output.status.success(), "{command}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or_default()
}

#[test]
fn tables_fit_the_terminal_and_colours_go_to_terminals_only() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\n");
    host.bake("golden");
    let (piped, _) = host.expect(0, &["history"]);
    assert!(widest(&piped) > 150, "a pipe has no width: {piped}");

    let Some(plain) = typed(&host, "imagebaked history", &[("NO_COLOR", "1")]) else {
        println!("skipped: there is no program `script`");
        return;
    };
    assert!(widest(&plain) <= 72 && plain.lines().count() > piped.lines().count(), "{plain}");
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let painted = typed(&host, "imagebaked history", &[("NO_COLOR", "")]).unwrap();
    assert!(painted.contains("\u{1b}[31;1mfailed"), "an empty NO_COLOR does not count: {painted}");
    let report = typed(&host, "imagebaked --color never history", &[]).unwrap();
    assert!(!report.contains('\u{1b}'), "{report}");
    // Output into a pipe is not cut, even if standard error is a terminal.
    let filtered = typed(&host, "imagebaked history | cat", &[]).unwrap();
    // But for the age, which has changed meanwhile, and the width of its column.
    let words = |text: &str| -> Vec<String> {
        let is_no_age = |word: &&str| !["now", "ago"].contains(word) && !word.ends_with('s');
        text.split_whitespace().filter(is_no_age).map(str::to_owned).collect()
    };
    assert_eq!(words(&filtered), words(&piped));
    assert_eq!(filtered.lines().count(), piped.lines().count(), "{filtered}");
}

#[test]
fn a_plan_ends_with_the_screen_whatever_the_configuration_warns_of() {
    let schedule = |n: u32| {
        format!(
            "[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\ncron = \"*/5 * * * *\"\nregions = [\"cn-hangzou\"]\n"
        )
    };
    let cloud = Cloud::start();
    let host = Host::new(cloud.addr, &(1..=9).map(schedule).collect::<String>());
    let Some(text) = typed(&host, "imagebaked plan tonight", &[]) else { return };
    assert!(text.contains("warning: the configuration has"), "{text}");
    assert!(text.lines().count() <= 25, "{} lines: {text}", text.lines().count());
}
