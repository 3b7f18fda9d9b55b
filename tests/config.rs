//! Reading the configuration: files in, a `Config` or a list of problems out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use imagebaked::{
    adapters::config::{BackupSettings, Loaded, Problems, Severity, load},
    domain::{
        api::{credential_source::CredentialSource, instance_state::InstanceType},
        bake::settings::{IfConnected, StopInstance, StoppedMode},
        catch_up::CatchUp,
        hooks::{HookCommand, Hooks},
        image::users::UserKind,
        schedule::Instances,
    },
};

/// A folder with a main file, and further files that a test adds.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(main: impl AsRef<[u8]>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("imagebaked.toml", main);
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn main(&self) -> PathBuf {
        self.0.path().join("imagebaked.toml")
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load(&self.main(), &variables)
    }

    fn good(&self) -> Loaded {
        self.load(&[]).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    fn bad(&self) -> Problems {
        self.load(&[]).expect_err("the file is wrong")
    }
}

/// `code line:column..end` of each problem, with the file's name where it is not the main one.
fn table(problems: &Problems) -> Vec<String> {
    let row = |problem: &imagebaked::adapters::config::Problem| {
        let spot = problem.place.spot.as_ref();
        let spot = spot.map_or("-".into(), |spot| format!("{}:{}..{}", spot.line, spot.column, spot.end_column));
        format!("{} {spot}", problem.code)
    };
    problems.0.iter().map(row).collect()
}

fn load_path(path: &str) -> Result<Loaded, Problems> {
    load(Path::new(path), &BTreeMap::new())
}

const GOOD: &str = "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '0 3 * * *'\n";

#[test]
fn every_mistake_is_reported_at_its_place() {
    let problems = load_path("tests/data/mistakes.toml").expect_err("it is full of mistakes");
    let expected = [
        "unknown-key 2:1..7",
        "unknown-key 3:1..8",
        "unknown-key 6:1..7",
        "unknown-region 7:10..23",
        "insecure-endpoint 8:12..32",
        "bad-endpoint 9:16..33",
        "bad-type 10:11..13",
        "bad-duration 11:19..25",
        "out-of-range 12:17..22",
        "out-of-range 13:23..24",
        "bad-value 14:15..21",
        "secret-in-file 15:1..18",
        "open-listen 18:10..24",
        "bad-type 19:16..22",
        "bad-path 20:13..15",
        "secret-in-file 21:10..30",
        "unknown-section 23:2..8",
        "bad-zone 27:12..26",
        "misplaced-key 28:1..5",
        "bad-value 33:12..21",
        "bad-keep 34:8..19",
        "unknown-profile 39:11..20",
        "bad-type 40:22..23",
        "duplicate-name 43:8..13",
        "duplicate-id 49:6..11",
        "duplicate-instance 50:35..42",
        "out-of-range 52:22..23",
        "out-of-range 52:44..48",
        "unknown-key 52:50..56",
        "bad-name 55:14..15",
        "conflicting-keys 57:16..25",
        "not-for-workstations 64:23..27",
        "no-effect 65:16..30",
        "not-for-desktops 70:19..24",
        "bad-value 71:8..10",
        "bad-tag 72:10..17",
        "bad-tag 72:33..35",
        "duplicate-region 73:27..40",
        "bad-type 74:10..14",
        "out-of-range 75:17..22",
        "missing-key 79:15..22",
        "bad-image-name 83:8..14",
        "out-of-range 86:17..19",
        "bad-type 87:12..15",
        "bad-cron 92:23..25",
        "bad-template 93:16..20",
        "bad-template 94:16..21",
        "bad-cron 99:8..25",
        "ambiguous-name 100:14..22",
        "bad-cron 105:13..19",
        "bad-duration 106:10..21",
        "bad-value 112:16..21",
        "out-of-range 113:18..22",
        "bad-hook 114:21..30",
        "bad-type 114:81..86",
        "unknown-key 114:89..94",
        "no-effect 120:16..22",
        "bad-type 121:20..31",
        "hidden-character 121:60..70",
        "bad-hook 121:73..75",
        "out-of-range 121:88..92",
        "missing-key 123:1..13",
        "unknown-section 125:2..11",
        "bad-channel 131:14..20",
        "bad-name 131:30..31",
        "bad-type 131:60..61",
        "bad-type 131:73..77",
        "bad-duration 132:28..34",
    ];
    assert_eq!(table(&problems), expected);
    assert_eq!(problems.summary(), "68 problems in 1 file");
    // The message of a number out of its range has the range.
    let bare = problems.0.iter().find(|problem| problem.hint.is_none() && problem.code != "out-of-range");
    assert!(bare.is_none(), "it does not say what to do: {bare:?}");
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn habits_from_other_tools_are_answered_with_what_to_write() {
    let problems = load_path("tests/data/habits.toml").expect_err("it is full of them");
    let without: Vec<_> = problems.0.iter().filter(|problem| problem.hint.is_none()).collect();
    assert_eq!(without, Vec::<&imagebaked::adapters::config::Problem>::new());
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn what_is_not_toml_is_answered_with_the_line_to_write() {
    for (line, hint) in [
        ("paused = yes", "write `paused = true`"),
        ("timezone = Asia/Shanghai", "write `timezone = \"Asia/Shanghai\"`"),
        ("deadline = 30m", "write `deadline = \"30m\"`"),
        ("deadline: \"30m\"", "write `deadline = \"30m\"`"),
        ("timezone = “UTC”", "write plain quotes and signs: `timezone = \"UTC\"`"),
    ] {
        let problems = Folder::new(format!("{GOOD}{line}\r\n")).bad();
        let hints: Vec<_> = problems.0.iter().filter_map(|problem| problem.hint.as_deref()).collect();
        assert!(hints.contains(&hint), "{line}: {}", problems.render(false));
        assert_eq!(problems.0[0].place.spot.as_ref().unwrap().line, 5, "{line}");
    }
}

#[test]
fn a_value_of_another_shape_is_answered_with_the_value_to_write() {
    let schedule = |line: &str| format!("{GOOD}{line}\n");
    let daemon = |line: &str| format!("[daemon]\n{line}\n{GOOD}");
    for (text, hint) in [
        (schedule("keep = 7"), "write `keep = { last = 7 }`"),
        (schedule("retry = 3"), "write `retry = { attempts = 3 }`"),
        (schedule("hooks = '/bin/true'"), "write `hooks = { before = [\"/bin/true\"] }`"),
        (schedule("tags = ['team=it']"), "write `tags = { \"team\" = \"it\" }`"),
        (schedule("channels = ['stable']"), "write `channels = { stable = {} }`"),
        (schedule("not_after = '7am'"), "write \"07:00\""),
        (schedule("regions = ['hangzhou']"), "did you mean `cn-hangzhou`?"),
        (schedule("timezone = 'Beijing time'"), "did you mean `Asia/Shanghai`?"),
        (schedule("image_name = '{slot:YYYYMMDD}-v{version}'"), "use strftime: `{slot:%Y%m%d}`"),
        (
            GOOD.replace("ecd-1", "ecd-1, ecd-2"),
            "several instances are a list: `instance_ids = [\"ecd-1\", \"ecd-2\"]`",
        ),
        (GOOD.replace("ecd-1", " ecd-1"), "write \"ecd-1\", without blanks"),
        (daemon("backup = true"), "write `backup = {}`"),
        (daemon("listen = 8470"), "an address and a port, in quotes: \"127.0.0.1:8470\""),
        (format!("[[daemon]]\nwatch = true\n{GOOD}"), "write `[daemon]`, in single brackets"),
    ] {
        let loaded = Folder::new(&text).load(&[]);
        let problems = loaded.map_or_else(|problems| problems, |loaded| loaded.warnings);
        assert_eq!(problems.0[0].hint.as_deref(), Some(hint), "{text}: {}", problems.render(false));
    }
}

#[test]
fn a_secret_in_a_table_that_is_not_read_is_reported() {
    let problems = Folder::new(format!("[cloud.credentials]\naccess_key_secret = 'hush'\n{GOOD}")).bad();
    assert_eq!(problems.0[0].code, "secret-in-file");
    assert!(!problems.render(false).contains("hush"));
}

#[test]
fn a_key_that_is_written_twice_is_shown_at_both_places() {
    let problems = Folder::new(format!("{GOOD}deadline = '1h'\ndeadline = '2h'\n")).bad();
    let [only] = problems.0.as_slice() else { panic!("{}", problems.render(false)) };
    let line = |place: &imagebaked::adapters::config::Place| place.spot.as_ref().unwrap().line;
    assert_eq!((only.code, line(&only.place)), ("duplicate-key", 6));
    assert_eq!(only.related.as_ref().map(|(place, what)| (line(place), *what)), Some((5, "first here")));
}

#[test]
fn a_schedule_in_single_brackets_is_reported_with_the_double_ones() {
    for text in [GOOD.replace("[[schedule]]", "[schedule]"), GOOD.replace("[[schedule]]", "[schedule.a]")] {
        let problems = Folder::new(text).bad();
        assert!(problems.render(false).contains("`[[schedule]]`, in double brackets"), "{}", problems.render(false));
    }
}

#[test]
fn the_example_is_valid() {
    let loaded = load_path("config/imagebaked.toml").unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert_eq!(loaded.warnings.0, []);
    assert_eq!(loaded.config.schedules.len(), 1);
}

#[test]
fn built_in_defaults_are_those_documented() {
    let Loaded { config, warnings } = Folder::new(GOOD).good();
    assert_eq!(warnings.0, []);
    let (cloud, daemon) = (config.cloud, config.daemon);
    assert_eq!((cloud.region.as_str(), cloud.endpoint, cloud.ecd_endpoint), ("cn-shanghai", None, None));
    assert_eq!((cloud.connect_timeout, cloud.timeout), (Duration::from_secs(5), Duration::from_secs(30)));
    assert_eq!((cloud.credentials, cloud.credentials_dir), (CredentialSource::Default, None));
    assert_eq!((cloud.poll_interval, cloud.lookup_window), (Duration::from_secs(30), Duration::from_mins(10)));
    assert_eq!(cloud.in_use, UserKind::ALL);
    assert_eq!(daemon.state_dir, Path::new("/var/lib/imagebaked"));
    assert_eq!(daemon.listen.unwrap().to_string(), "127.0.0.1:8470");
    assert_eq!((daemon.max_builders, daemon.owner.as_str(), daemon.drain), (5, "imagebaked", Duration::from_secs(30)));

    let schedule = &config.schedules[0];
    let settings = &schedule.settings;
    assert_eq!((schedule.id.as_str(), schedule.catch_up), ("a", CatchUp::Latest));
    assert_eq!(schedule.catch_up_window, Duration::from_hours(6));
    assert_eq!(
        (settings.instance_type, settings.instance_region.as_str()),
        (InstanceType::CloudDesktop, "cn-shanghai")
    );
    assert_eq!(settings.image_name, "{name}-{slot:%Y%m%d-%H%M}-v{version}");
    assert_eq!((settings.deadline, settings.build_deadline), (Duration::from_hours(4), Duration::from_hours(12)));
    assert_eq!((settings.stop_instance, settings.stopped_mode), (StopInstance::Never, StoppedMode::KeepCharging));
    assert_eq!((settings.retry.attempts, settings.retry.cap), (5, Duration::from_mins(10)));
    assert!(schedule.keep.is_none() && schedule.max_image_age.is_none() && !schedule.paused);
}

#[test]
fn kinds_of_users_can_be_left_out_and_none_is_named_twice() {
    let in_use = |text: &str| Folder::new(format!("[cloud]\nin_use = {text}\n{GOOD}"));
    assert_eq!(in_use("[\"pools\", \"desktops\"]").good().config.cloud.in_use, [UserKind::Pools, UserKind::Desktops]);
    assert_eq!(in_use("[]").good().config.not_asked(), UserKind::ALL);
    for (text, word) in [
        ("[\"pool\"]", "did you mean \"pools\"?"),
        ("[\"pools\", \"pools\"]", "`pools` is listed twice"),
        ("\"pools\"", "expected a list"),
        ("[1]", "expected a word in quotes"),
    ] {
        let report = in_use(text).bad().render(false);
        assert!(report.contains(word), "{text}: {report}");
    }
    let folder = Folder::new(GOOD);
    let loaded = folder.load(&[("IMAGEBAKED_CLOUD__IN_USE", "bundles, templates")]).unwrap();
    assert_eq!(loaded.config.cloud.in_use, [UserKind::Bundles, UserKind::Templates]);
    assert!(folder.load(&[("IMAGEBAKED_CLOUD__IN_USE", "bundle")]).is_err());
    // The key takes effect at the next pass.
    assert!(!loaded.config.needs_restart(&folder.good().config));
}

#[test]
fn the_environment_wins_over_conf_d_which_wins_over_the_file() {
    let folder = Folder::new(format!("[daemon]\nmax_builders = 1\nowner = 'main'\ndrain = '1s'\n{GOOD}"));
    folder.write("conf.d/20.toml", "[daemon]\nmax_builders = 3\nowner = 'twenty'\n");
    folder.write(
        "conf.d/10.toml",
        "[daemon]\nowner = 'ten'\n[[schedule]]\nname='b'\ninstance_id='ws-1'\ncron='@daily'\n",
    );
    folder.write("conf.d/.30.toml", "not toml");
    folder.write("conf.d/notes.txt", "not toml");
    let variables = [
        ("IMAGEBAKED_DAEMON__MAX_BUILDERS", "4"),
        ("IMAGEBAKED_DAEMON__LISTEN", ""),
        ("IMAGEBAKED_CLOUD__REQUESTS_PER_SECOND", "2.5"),
        ("IMAGEBAKED_LOG", "debug"),
        ("HOME", "/root"),
    ];
    let config = folder.load(&variables).unwrap_or_else(|problems| panic!("{}", problems.render(false))).config;
    assert_eq!(config.daemon.max_builders, 4);
    assert_eq!(config.daemon.owner, "twenty");
    assert_eq!(config.daemon.drain, Duration::from_secs(1));
    assert_eq!(config.daemon.listen, None);
    assert!((config.cloud.requests_per_second - 2.5).abs() < f64::EPSILON);
    let names: Vec<&str> = config.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.files.len(), 3);
}

#[test]
fn variables_that_set_nothing_are_refused() {
    let variables = [
        ("IMAGEBAKED_CLOUD__ACCESS_KEY_SECRET", "hunter2hunter2"),
        ("IMAGEBAKED_DAEMON__DRAIN", "soon"),
        ("IMAGEBAKED_DAEMON__MAX_BULIDERS", "4"),
    ];
    let problems = Folder::new(GOOD).load(&variables).expect_err("they are wrong");
    assert_eq!(table(&problems), ["unknown-variable 1:1..36", "bad-duration 2:26..30", "unknown-variable 3:1..32"]);
    assert_eq!(problems.0[2].hint.as_deref(), Some("did you mean `IMAGEBAKED_DAEMON__MAX_BUILDERS`?"));
    assert!(problems.0[0].hint.as_ref().is_some_and(|hint| hint.contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET")));
    assert!(!problems.render(true).contains("hunter2"));
}

#[test]
fn own_keys_win_over_the_profile_which_wins_over_defaults() {
    let text = "[defaults]\ndeadline='1h'\nbuild_deadline='1h'\ncatch_up='skip'\nauto_clean_userdata=true\n\
        [profile.p]\nbuild_deadline='2h'\ncatch_up='all'\n\
        [[schedule]]\nname='a'\ninstance_id='ecd-1'\ncron='0 3 * * *'\nprofile='p'\ncatch_up='latest'\n\
        [[schedule]]\nname='b'\ninstance_ids=['ws-1']\ncron='0 3 * * *'\nprofile='p'\n";
    let Loaded { config, warnings } = Folder::new(text).good();
    assert_eq!(warnings.0, []);
    let (a, b) = (&config.schedules[0], &config.schedules[1]);
    assert_eq!((a.settings.deadline, a.settings.build_deadline), (Duration::from_hours(1), Duration::from_hours(2)));
    assert_eq!((a.catch_up, b.catch_up), (CatchUp::Latest, CatchUp::All));
    assert!(matches!(b.instances, Instances::Many(_)));
    // A key of [defaults] that workstations do not have is ignored for them.
    assert_eq!((a.settings.auto_clean_userdata, b.settings.auto_clean_userdata), (Some(true), None));
}

#[test]
fn hooks_are_one_command_or_a_list_of_them() {
    let text = format!(
        "[defaults]\nhooks = {{ verify = ['/bin/check'] }}\n{GOOD}stop_instance = 'required'\nif_connected = 'skip'\n\
         connected_wait = '90m'\n\
         hooks = {{ before = ['/bin/a', '-x'], after = [['/bin/b'], ['/bin/c', '1']], timeout = '10s' }}\n\
         {}",
        GOOD.replace("'a'", "'b'")
    );
    let Loaded { config, warnings } = Folder::new(text).good();
    assert_eq!(warnings.0, []);
    let command = |words: &[&str]| HookCommand(words.iter().map(|word| (*word).to_owned()).collect());
    let (own, shared) = (&config.schedules[0].settings, &config.schedules[1].settings);
    assert_eq!(own.if_connected, IfConnected::Skip);
    assert_eq!(own.connected_wait, Duration::from_mins(90));
    let hooks = Hooks {
        before: vec![command(&["/bin/a", "-x"])],
        after: vec![command(&["/bin/b"]), command(&["/bin/c", "1"])],
        timeout: Duration::from_secs(10),
        ..Hooks::default()
    };
    assert_eq!(own.hooks, hooks, "taken whole");
    assert_eq!(shared.hooks, Hooks { verify: vec![command(&["/bin/check"])], ..Hooks::default() });
    assert_eq!((shared.if_connected, shared.connected_wait), (IfConnected::Wait, Duration::from_hours(1)));
}

#[test]
fn not_after_is_a_time_of_day_and_can_be_taken_back() {
    let text = format!("[defaults]\nnot_after = '07:00'\n{GOOD}{}not_after = 'never'\n", GOOD.replace("'a'", "'b'"));
    let Loaded { config, .. } = Folder::new(text).good();
    let [own, taken_back] = [0, 1].map(|n| config.schedules[n].settings.not_after);
    assert_eq!((own, taken_back), (chrono::NaiveTime::from_hms_opt(7, 0, 0), None));
    for wrong in ["7:00", "24:00", "07:00:00", "+7:00", "dawn", ""] {
        let problems = Folder::new(format!("{GOOD}not_after = '{wrong}'\n")).bad();
        assert!(problems.render(false).contains("is not a time of day"), "{wrong}");
    }
}

#[test]
fn a_mistake_that_schedules_share_is_reported_once_where_it_stands() {
    let mut text =
        "[profile.p]\ncron = '0 3 * * mno'\nimage_name = '-{version}'\nauto_clean_userdata = true\n".to_owned();
    for number in 0..20 {
        write!(text, "[[schedule]]\nname='s{number}'\ninstance_id='ws-{number}'\nprofile='p'\n").unwrap();
    }
    assert_eq!(table(&Folder::new(&text).bad()), ["bad-cron 2:17..20", "not-for-workstations 4:23..27"]);
    let text = text.replace("mno", "mon");
    assert_eq!(table(&Folder::new(text).bad()), ["bad-image-name 3:14..26", "not-for-workstations 4:23..27"]);
}

#[test]
fn equal_settings_are_shared() {
    let text = format!("{GOOD}{}", GOOD.replace("'a'", "'b'"));
    let config = Folder::new(text).good().config;
    assert!(std::sync::Arc::ptr_eq(&config.schedules[0].settings, &config.schedules[1].settings));
}

#[test]
fn the_hash_follows_every_effective_value() {
    let hash = |text: &str| Folder::new(text).good().config.hash;
    let plain = hash(GOOD);
    assert_eq!(plain.len(), 12);
    assert_eq!(plain, hash(&format!("# a comment\n[daemon]\nmax_builders = 5\n{GOOD}")));
    for other in [
        "paused = true",
        "jitter = '1m'",
        "deadline = '5h'",
        "keep.last = 3",
        "id = 'b'",
        "timezone = 'Asia/Shanghai'",
        "hooks.after = ['/bin/true']",
    ] {
        assert_ne!(plain, hash(&format!("{GOOD}{other}\n")), "{other}");
    }
}

#[test]
fn a_syntax_error_hides_neither_other_files_nor_other_tables() {
    let folder = Folder::new("[cloud]\nregion = \n[daemon]\nmax_builders = 'x'\n[[schedule]]\nname = 'a\n");
    folder.write("conf.d/a.toml", "[daemon]\ndrain = 1\nowner = 'a'\nowner = 'b'\n");
    let problems = folder.bad();
    let rows = table(&problems);
    assert_eq!(rows[0], "syntax 2:10..11");
    for row in ["bad-type 4:16..19", "bad-type 2:9..10", "duplicate-key 4:1..6"] {
        assert!(rows.iter().any(|found| found == row), "{row} is not in {rows:?}");
    }
    assert!(rows.iter().all(|row| !row.starts_with("missing-key")), "{rows:?}");
    assert!(problems.summary().ends_with("in 2 files"));
}

#[test]
fn a_long_file_has_right_lines_to_its_end() {
    let mut text = "[daemon]\ndrain = '1s'\n[profile.p]\npaused = true\n".to_owned();
    for number in 0..3_000 {
        write!(text, "[[schedule]]\nname='s{number}'\ninstance_id='ecd-{number}'\ncron='0 3 * * *'\n").unwrap();
    }
    assert_eq!(Folder::new(&text).good().config.schedules.len(), 3_000);
    text += "corn = 1\n[profile.q]\n[profile.p]\n[daemon]\n[[schedule]]\nname = 's7'\nprofile='q'\n";
    let rows = ["unknown-key 12005:1..5", "duplicate-key 12007:10..11", "duplicate-key 12008:2..8"];
    let rows = [&rows[..], &["missing-key 12009:1..13", "duplicate-name 12010:8..12"]].concat();
    assert_eq!(table(&Folder::new(text).bad()), rows);
}

#[test]
fn files_that_cannot_be_read_are_one_clear_problem() {
    let folder = Folder::new("");
    let one = |path: &Path| {
        let problems = load(path, &BTreeMap::new()).expect_err("unreadable");
        assert_eq!(problems.0.len(), 1, "{}", problems.render(false));
        assert_eq!(&*problems.0[0].place.file, path);
        problems.0[0].code
    };
    assert_eq!(one(&folder.0.path().join("absent.toml")), "no-file");
    assert_eq!(one(folder.0.path()), "not-a-file");
    assert_eq!(one(Path::new("/dev/zero")), "too-large");
    folder.write("latin.toml", b"# \xe5\xa4\x87 x\n[daemon]\nowner = '\xff'\n");
    assert_eq!(one(&folder.0.path().join("latin.toml")), "bad-utf8");
    folder.write("latin.toml", b"owner = '\xe5\xa4\x87\xff'\n");
    let problems = load(&folder.0.path().join("latin.toml"), &BTreeMap::new()).expect_err("not UTF-8");
    assert!(table(&problems).contains(&"bad-utf8 1:11..12".to_owned()), "{problems:?}");
}

#[test]
fn an_empty_file_is_a_warning() {
    for text in ["", "\u{feff}", "# nothing\r\n"] {
        let Loaded { config, warnings } = Folder::new(text).good();
        assert!(config.schedules.is_empty());
        assert_eq!(warnings.0.len(), 1);
        assert_eq!((warnings.0[0].code, warnings.0[0].severity), ("no-schedules", Severity::Warning));
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_keep_columns_right() {
    let text = format!("\u{feff}# 备份\n{GOOD}zzz = 1\ndescription = '备份{{'\n").replace('\n', "\r\n");
    let problems = Folder::new(text).bad();
    assert_eq!(table(&problems), ["unknown-key 6:1..4", "bad-template 7:18..19"]);
    assert!(!problems.render(false).contains('\r'));
}

#[test]
fn a_secret_is_never_printed() {
    let secrets = [
        "[cloud]\naccess_key_secret = 'hunter2hunter2'\n",
        "[cloud]\naccess_key_secret = 'hunter2hunter2' nonsense\n",
        "access_key_secret = 'hunter2hunter2'\n",
        "[[schedule]]\ntags = { password = 'hunter2hunter2' }\n",
        "[[schedule]]\nsecurity_token = 'hunter2hunter2'\n",
        "[cloud]\ncredentials = 'LTAIhunter2hunter2'\n",
        "[cloud]\ntimeout = 'LTAIhunter2hunter2'\n",
        "[[schedule]]\nname = 'a'\ncron = 'LTAIhunter2hunter2'\n",
    ];
    for text in secrets {
        let problems = Folder::new(text).bad();
        let shown = format!("{}{}{problems:?}{}", problems.render(true), problems.to_json(), problems.0[0]);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn json_has_the_documented_fields() {
    let problems = Folder::new(format!("{GOOD}corn = 1\n")).bad();
    let json = problems.to_json();
    let first = &json[0];
    assert_eq!((first["severity"].as_str(), first["code"].as_str()), (Some("error"), Some("unknown-key")));
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64(), first["end_column"].as_u64()),
        (Some(5), Some(1), Some(5))
    );
    assert_eq!(first["hint"].as_str(), Some("did you mean `cron`?"));
    assert!(first["file"].as_str().unwrap().ends_with("imagebaked.toml"));
}

#[test]
fn endpoints_are_secure_or_on_loopback() {
    let code = |endpoint: &str| {
        let loaded = Folder::new(GOOD).load(&[("IMAGEBAKED_CLOUD__ENDPOINT", endpoint)]);
        loaded.map(|loaded| loaded.config.cloud.endpoint).map_err(|problems| problems.0[0].code)
    };
    for good in [
        "appstream-center.cn-shanghai.aliyuncs.com",
        "https://example.com:8443/",
        "http://localhost:8080",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "https://[2001:db8::1]",
    ] {
        assert_eq!(code(good), Ok(Some(good.into())));
    }
    for (bad, why) in [
        ("http://localhost.example.com", "insecure-endpoint"),
        ("http://[2001:db8::1]", "insecure-endpoint"),
        ("http://127.0.0.1@example.com", "secret-in-file"),
        ("https://example.com/path", "bad-endpoint"),
        ("https://", "bad-endpoint"),
        ("https://example.com:0", "bad-endpoint"),
        ("ftp://example.com", "bad-endpoint"),
        ("", "bad-value"),
    ] {
        assert_eq!(code(bad), Err(why), "{bad}");
    }
}

/// Prints what loading 10,000 schedules costs: `cargo test --release --test config -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_schedules() {
    let mut text = "[defaults]\ntimezone = 'Asia/Shanghai'\nkeep = { last = 7 }\n".to_owned();
    for number in 0..10_000 {
        let (minute, hour) = (number % 60, number % 24);
        write!(
            text,
            "[[schedule]]\nname = \"desktop-{number}\"\ninstance_id = \"ecd-{number}\"\ncron = \"{minute} {hour} * * mon-fri\"\n\
             description = \"{{instance_id}}\"\nmax_image_age = \"9d\"\ntags = {{ team = \"t{}\" }}\n",
            number % 10
        )
        .unwrap();
    }
    let folder = Folder::new(text);
    let began = std::time::Instant::now();
    let loaded = folder.good();
    println!("{} schedules in {:?}", loaded.config.schedules.len(), began.elapsed());
    println!(
        "{}",
        fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join(", ")
    );
}

proptest::proptest! {
    /// Loading ends for any edit of the example, and every reported place is within the file.
    #[test]
    fn damaged_files_are_survived(
        edits in proptest::collection::vec((0.0..1.0_f64, 0..12_usize, "[\\[\\]{}='\"\\\\,.#a1 \n\r\u{feff}备]{0,4}"), 1..6)
    ) {
        let mut text: Vec<char> = fs::read_to_string("config/imagebaked.toml").unwrap().chars().collect();
        for (place, removed, added) in edits {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small numbers")]
            let at = (place * text.len() as f64) as usize;
            let end = (at + removed).min(text.len());
            text.splice(at..end, added.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = Folder::new(&text).load(&[]) {
            proptest::prop_assert!(!problems.0.is_empty());
            problems.render(true);
            for spot in problems.0.iter().filter_map(|problem| problem.place.spot.as_ref()) {
                proptest::prop_assert!(spot.line <= text.matches('\n').count() + 1);
                proptest::prop_assert!(spot.column <= spot.text.chars().count() + 1, "{problems:?}");
            }
        }
    }
}

#[test]
fn the_table_of_backups_is_merged_key_by_key_and_checked() {
    let schedule = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\n";
    let with = |backup: &str| Folder::new(format!("[daemon]\nbackup = {backup}\n{schedule}"));
    let wrong = |backup: &str| table(&with(backup).bad());
    assert_eq!(Folder::new(schedule).good().config.daemon.backup, None);
    let defaults = BackupSettings::default();
    assert_eq!(with("{}").good().config.daemon.backup, Some(defaults.clone()));

    let layered = with("{ every = \"6h\", dir = \"/srv/backups\" }");
    layered.write("conf.d/more.toml", "[daemon]\nbackup = { keep = 30 }\n");
    let merged = BackupSettings { every: Duration::from_hours(6), keep: 30, dir: "/srv/backups".into() };
    assert_eq!(layered.good().config.daemon.backup, Some(merged));

    assert_eq!(wrong("{ keep = 0 }"), ["out-of-range 2:19..20"]);
    assert_eq!(wrong("{ every = \"59m\" }"), ["out-of-range 2:20..25"]);
    assert_eq!(wrong("{ dir = \"backups\" }"), ["bad-path 2:18..27"]);
    assert_eq!(wrong("{ dir = \"~/backups\" }"), ["bad-path 2:18..29"]);
    assert_eq!(wrong("{ dir = \"\" }"), ["bad-path 2:18..20"]);
    assert_eq!(wrong("{ evry = \"1d\" }"), ["unknown-key 2:12..16"]);
    assert_eq!(wrong("\"1d\""), ["bad-type 2:10..14"]);
    let tilde = with("{ dir = \"~/backups\" }").bad().render(false);
    assert!(tilde.contains("`~` means nothing to a service"), "{tilde}");
}
