//! Shell completion. Shells that are not installed are skipped.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{fs, path::Path, process::Command};

use support::{Cloud, Host, imagebaked};

fn script(shell: &str) -> String {
    let output = imagebaked().args(["completions", shell]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn scripts_are_sound() {
    for shell in ["bash", "zsh", "fish"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, script(shell)).unwrap();
        let Ok(checked) = Command::new(shell).arg("-n").arg(&path).output() else {
            println!("skipped: there is no {shell}");
            continue;
        };
        assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    let output = imagebaked().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// The completions that bash offers for the last of these words, with the script loaded.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let typed = format!(
        "source ./script; COMP_WORDS=({}); COMP_CWORD={last}; COMP_TYPE=9; _clap_complete_imagebaked imagebaked '{}' ''; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words[last]
    );
    let program = Path::new(env!("CARGO_BIN_EXE_imagebaked")).parent().unwrap();
    let output = Command::new("bash")
        .args(["--norc", "-c", &typed])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_schedules() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("script"), script("bash")).unwrap();
    // Completion works with a configuration that has errors.
    let file = "[[schedule]]\nname = 'win11-golden'\ninstance_id = 'ecd-1'\ncron = '0 3 * * *'\n\
                [[schedule]]\nname = 'win10-old'\ninstance_id = 'ecd-2'\ncron = '0 4 * * *'\n\
                [[schedule]]\nname = 'farm'\ninstance_ids = ['ws-1']\ncron = '0 5 * * *'\npausd = true\n";
    fs::write(folder.path().join("c.toml"), file).unwrap();
    let config = ["imagebaked", "--config", "c.toml"];
    let offers = |words: &[&str]| offered(folder.path(), &[&config, words].concat());
    for command in ["bake", "pause", "resume", "why", "images", "adopt"] {
        assert_eq!(offers(&[command, "win"]), ["win11-golden", "win10-old"], "{command}");
    }
    assert_eq!(offers(&["bake", "f"]), ["farm"]);
    assert_eq!(offers(&["history", "--schedule", "win11"]), ["win11-golden"]);
    assert_eq!(offers(&["plan", "--schedule", "win11"]), ["win11-golden"]);
    assert_eq!(offers(&["rec"]), ["reconcile"]);
    assert_eq!(offers(&["history", "--sch"]), ["--schedule"]);
    assert_eq!(offers(&["history", "--state", "fail"]), ["failed"]);
    assert_eq!(offers(&["check", "c."]), ["c.toml"]);
    assert_eq!(offered(folder.path(), &["imagebaked", "--config=c.toml", "bake", "fa"]), ["farm"]);
    assert_eq!(offers(&["history", "--instance", "ws"]), ["ws-1"]);
    assert_eq!(offers(&["rollback", "win10-old", "la"]), ["latest"]);
    assert_eq!(offers(&["bake", "win11-golden", "fa"]), ["farm"], "several schedules");
    // Without a file there are no schedules, and no error.
    assert_eq!(offered(folder.path(), &["imagebaked", "--config", "none.toml", "bake", "f"]), [""]);
}

#[test]
fn bash_completes_bakes_and_images_of_the_history() {
    let cloud = Cloud::start();
    let mut host =
        Host::new(cloud.addr, "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n");
    host.start();
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\n");
    host.bake("golden");
    let image = host.bake("golden")["image_id"].as_str().unwrap().to_owned();
    fs::write(host.path("script"), script("bash")).unwrap();
    let config = ["imagebaked", "--config", "imagebaked.toml"];
    let offers = |words: &[&str]| offered(&host.path(""), &[&config, words].concat());
    assert_eq!(offers(&["show", ""])[..2], ["2", "1"], "the newest first");
    assert_eq!(offers(&["retry", ""])[0], "1", "the one that failed");
    assert_eq!(offers(&["pin", "imgc"]), [image]);
}
