use super::*;

const DESKTOP: &str = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\n";

fn kept(line: &str) -> (Vec<String>, Vec<String>) {
    let options = read(line, DESKTOP);
    let lines = options.lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    (lines, options.not_kept.into_iter().map(|one| format!("{}: {}", one.option, one.reason)).collect())
}

#[test]
fn options_of_the_official_command_become_keys() {
    let (lines, not_kept) = kept(
        "/usr/bin/aliyun appstream-center create-image-by-instance --region cn-shanghai --InstanceId ecd-1 --InstanceType \
         CloudDesktop --ImageName golden-$(date +\\%F) --DiskType SYSTEM --AutoCleanUserdata true --CopyProfile=false \
         --BizType 1 --TagList.1.Key team --TagList.1.Value it --biz-region-id cn-hangzhou --profile prod >> /var/log/x 2>&1",
    );
    assert_eq!(
        lines,
        [
            "instance_type = \"CloudDesktop\"",
            "image_name = \"golden-{slot:%F}-v{version}\"",
            "disk_type = \"SYSTEM\"",
            "auto_clean_userdata = true",
            "copy_profile = false",
            "biz_type = 1",
            "tags = { \"team\" = \"it\" }",
            "instance_region = \"cn-hangzhou\"",
        ]
    );
    assert_eq!(
        not_kept,
        [
            "--region cn-shanghai: it chose the endpoint: see `region` of [cloud]",
            "--profile prod: see `credentials` of [cloud]"
        ]
    );
}

#[test]
fn options_of_scripts_become_keys_and_the_others_are_named() {
    let (lines, not_kept) = kept(
        "cd /opt && flock -n /run/bake.lock timeout 2h sudo -u bake DISK_TYPE=system ./bake.py ecd-1 --stop --keep 7 \
         --keep-daily=14 --keep-days 30 --tag team=it --tag=cost:7 --copy-to cn-hangzhou,cn-beijing --retries 3 \
         --deadline 2h --colour red -v quickly --access-key-secret hush",
    );
    assert_eq!(
        lines,
        [
            "disk_type = \"SYSTEM\"",
            "stop_instance = \"if_running\"",
            "keep = { daily = 14, last = 7, within = \"30d\" }",
            "tags = { \"cost\" = \"7\", \"team\" = \"it\" }",
            "regions = [\"cn-hangzhou\", \"cn-beijing\"]",
            "retry = { attempts = 3 }",
            "deadline = \"2h\"",
        ]
    );
    assert_eq!(
        not_kept,
        [
            "cd /opt: another command; a `before` or `after` hook can run it",
            "flock -n /run/bake.lock: an instance has one bake at a time anyway: see `overlap`",
            "timeout 2h: see `deadline` and `build_deadline`",
            "sudo -u bake: imagebaked runs no program",
            "--colour red: there is no key for it",
            "-v quickly: the log of the daemon and its history have it",
            "--access-key-secret ***: keys never belong into the file; see `credentials` of [cloud]",
        ]
    );
}

#[test]
fn what_the_reader_refuses_is_not_kept() {
    let (lines, not_kept) = kept(
        "bake ecd-1 --disk-type FLOPPY --session p-1 --deadline soon --biz-type many --image-name ${NAME}-x --copy-profile no",
    );
    assert_eq!(lines, ["copy_profile = false"]);
    let expected = [
        "--biz-type many: its value is no integer",
        "--image-name ${NAME}-x: a variable of the shell cannot be part of it",
        "--disk-type FLOPPY: `FLOPPY` is not one of the values of this key",
        "--session p-1: `sub_instance_id` belongs to workstations",
        "--deadline soon: `soon` is not a duration",
    ];
    for (not_kept, expected) in not_kept.iter().zip(expected) {
        assert!(not_kept.starts_with(expected), "{not_kept}");
    }
    assert_eq!(not_kept.len(), expected.len(), "{not_kept:?}");
}

#[test]
fn the_command_of_a_shell_is_read() {
    let (lines, not_kept) = kept("bash -lc 'bake --disk-type SYSTEM ecd-1'");
    assert_eq!((lines, not_kept), (vec!["disk_type = \"SYSTEM\"".to_owned()], vec![]));
}

#[test]
fn names_for_the_shell_become_templates() {
    let of = |text| template(text);
    assert_eq!(of("win-$(date +%Y%m%d-%H%M)").as_deref(), Ok("win-{slot:%Y%m%d-%H%M}"));
    assert_eq!(of("win-`date -u '+%F'`-x{y}").as_deref(), Ok("win-{slot:%F}-x{{y}}"));
    assert_eq!(of("$(date)").as_deref(), Ok("{slot}"));
    assert!(of("$(hostname)-x").is_err() && of("$HOST").is_err());
}

#[test]
fn a_command_inside_a_word_or_a_loop_keeps_its_options() {
    for line in [
        "su - deploy -c \"aliyun x CreateImageByInstance --InstanceId 'ecd-1' --CopyProfile false\"",
        "flock -w 60 /tmp/l -c \"timeout 2h aliyun x CreateImageByInstance --InstanceId ecd-1 --CopyProfile=false\"",
        "ssh bastion 'aliyun x CreateImageByInstance --InstanceId ecd-1 --CopyProfile false'",
        "for i in ecd-1; do aliyun x CreateImageByInstance --InstanceId $i --CopyProfile false; done",
    ] {
        assert_eq!(kept(line).0, ["copy_profile = false"], "{line}");
    }
    let (_, not_kept) = kept("cronic flock -w 60 /tmp/l -c \"timeout 2h bake ecd-1 --colour red\"");
    assert_eq!(
        not_kept,
        [
            "cronic flock -w 60 /tmp/l -c: imagebaked runs no program",
            "timeout 2h: see `deadline` and `build_deadline`",
            "--colour red: there is no key for it"
        ]
    );
    assert!(kept("bake ecd-1 --description 'image of ecd-1 --nightly'").0[0].starts_with("description"));
}
