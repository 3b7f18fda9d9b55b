//! `imagebaked init`: writes a first configuration, with one schedule per instance of the account.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, Days, NaiveTime, TimeZone as _, Utc};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    atomic,
    context::Context,
    coverage::refused,
    inventory::{Machine, kind_label, list_all},
    key_options::KeyOptions,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::schedules,
    terminal::print_error,
};
use crate::{
    adapters::{
        config::{self, CloudSettings, FreeNames, is_of_names, toml_string},
        files::AtomicFile,
    },
    app::{cli::InitArgs, daemon},
    domain::{
        api::credential_source::CredentialSource,
        api::{call::ErrorClass, instance_state::InstanceType},
        clock::{Clock, SystemClock},
        error::chain,
        ids::InstanceId,
        suggestion::ConfigOption,
        text::{LONGEST_EXCERPT, LONGEST_TEXT, clean},
    },
};

/// Default hours of bakes, by the local clock: from 01:00 for four hours.
const NIGHT_BEGINS: u32 = 60;
const NIGHT: u32 = 4 * 60;
/// Number of images of half an hour, five at once, that fit into a night. With more, each instance has one night a
/// week.
const MOST_A_NIGHT: usize = 40;
/// Names leave room for a number that makes them unique: the maximum is 64 characters.
const LONGEST_NAME: usize = 56;
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule to write; the field names are those of `--json`.
#[derive(Debug, Serialize)]
struct Planned {
    schedule: String,
    instance_id: InstanceId,
    instance_type: InstanceType,
    region: String,
    status: String,
    /// Of a workstation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sessions: Vec<String>,
    cron: String,
    #[serde(skip)]
    called: Option<String>,
}

pub async fn run(context: &Context<'_>, args: &InitArgs) -> Result {
    let path = args.file.as_deref().unwrap_or(context.config_path);
    if !args.stdout {
        writable(path)?;
    }
    let now = SystemClock.now();
    let settings = settings(context, args)?;
    let zone = args.timezone.unwrap_or(if settings.cloud.region.starts_with("cn-") {
        Zone::find("Asia/Shanghai").unwrap_or(Zone::UTC)
    } else {
        Zone::UTC
    });
    let machines = machines(context, args, &settings).await?;
    if machines.is_empty() {
        let message = "the account has no workstation, and no cloud desktop in these regions; name others with \
                       --desktop-region. Nothing was written.";
        return Err(Failure::new(Exit::NotFound, message));
    }
    let machines = without_invalid(machines);
    if machines.is_empty() {
        let message = "the cloud lists no instance that a configuration may have. Nothing was written.";
        return Err(Failure::new(Exit::NotFound, message));
    }
    let planned = plan(&machines, zone, now);
    let text = file(&settings.cloud, zone, &planned, now);
    if args.stdout {
        let output = if context.json {
            format!("{}\n", json!({ "file": null, "timezone": zone, "schedules": planned, "text": text }))
        } else {
            text
        };
        return Ok(CommandOutput::done(output));
    }
    write(path, &text)?;
    // Files of conf.d and the environment apply too.
    if let Err(problems) = config::load(path, &context.environment) {
        let message = format!("{}was written, but {problems}", problems.render(context.color_of_stderr()));
        return Err(Failure::new(Exit::Usage, message));
    }
    if context.json {
        return Ok(CommandOutput::done(format!(
            "{}\n",
            json!({ "file": path, "timezone": zone, "schedules": planned })
        )));
    }
    // That of `--config` is added to every output.
    let option = if path == context.config_path { ConfigOption::default() } else { ConfigOption::new(path) };
    let said = format!(
        "{} written to {}. Read its three choices (stop_instance, keep, channels), then:\n\n  \
         imagebaked check     shows its problems, and the next slots\n  \
         imagebaked doctor    whether credentials, permissions and instances are as they should be\n  \
         imagebaked run       the daemon; as a service: systemctl enable --now imagebaked\n  \
         imagebaked status    what it does\n",
        schedules(planned.len()),
        path.display()
    );
    Ok(CommandOutput::done(option.in_text(&said).into_owned()))
}

/// Reports obstacles before the cloud is called.
fn writable(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(taken(path));
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let folder = folder.display();
        let message = format!("there is no folder {folder}; make it first: sudo install -d -m 0755 {folder}");
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(())
}

fn taken(path: &Path) -> Failure {
    let message = format!(
        "{} exists already and is not changed; name another file (imagebaked init FILE), or see what would be written \
         with --stdout",
        path.display()
    );
    Failure::new(Exit::Failed, message)
}

/// `[cloud]` from the command line over the environment, as with an empty file.
fn settings(context: &Context<'_>, args: &InitArgs) -> Result<config::Config> {
    let options = KeyOptions::new(&[
        ("region", &args.region),
        ("endpoint", &args.endpoint),
        ("ecd_endpoint", &args.ecd_endpoint),
        ("credentials", &args.credentials),
        ("credentials_dir", &args.credentials_dir),
    ]);
    let (config, problems) = config::without_file(&options.over(&context.environment));
    match config {
        Some(config) if !problems.has_errors() => Ok(config),
        _ => Err(Failure::new(Exit::Usage, options.report(problems, context.color_of_stderr()))),
    }
}

/// The instances of the account, by kind and name. A kind that the credentials may not list is omitted with a warning,
/// unless it is the only one.
async fn machines(context: &Context<'_>, args: &InitArgs, settings: &config::Config) -> Result<Vec<Machine>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cloud = daemon::client(settings, &context.environment, &clock)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let regions: BTreeSet<String> = if args.desktop_region.is_empty() {
        [settings.cloud.region.clone()].into()
    } else {
        args.desktop_region.iter().cloned().collect()
    };
    let mut seen = HashSet::new();
    let mut machines = Vec::new();
    let mut failures = Vec::new();
    for listed in list_all(&cloud, &settings.cloud.region, &regions).await {
        let what = listed.what();
        match listed.machines {
            Ok(listed) => machines.extend(listed.into_iter().filter(|machine| seen.insert(machine.id.clone()))),
            Err(api_error) if api_error.class == ErrorClass::Credential => {
                let message = format!("{api_error}\n{} Nothing was written.", api_error.advice);
                return Err(Failure::new(Exit::Failed, message));
            }
            Err(api_error) => failures.push(refused(&what, &api_error)),
        }
    }
    if machines.is_empty()
        && let Some(failure) = failures.pop()
    {
        return Err(Failure::new(failure.exit, format!("{}\nNothing was written.", failure.message)));
    }
    for failure in failures {
        let message = failure.message.replace('\n', ". ");
        print_error(&format!("warning: {}; they are left out", message.trim_end_matches('.')));
    }
    if let Some(damaged) = cloud.damaged_answers() {
        print_error(&format!("warning: answers of the cloud are damaged: {damaged}"));
    }
    machines.sort_by(|a, b| (a.kind.as_str(), &a.name, &a.id).cmp(&(b.kind.as_str(), &b.name, &b.id)));
    Ok(machines)
}

/// Leaves out instances whose id or region no configuration may have, with a warning.
fn without_invalid(machines: Vec<Machine>) -> Vec<Machine> {
    let (sound, invalid): (Vec<_>, Vec<_>) = machines
        .into_iter()
        .partition(|machine| config::is_instance_id(machine.id.as_str()) && config::is_region(&machine.region));
    for machine in invalid {
        let (id, region) = (shown(machine.id.as_str()), shown(&machine.region));
        print_error(&format!("warning: the cloud lists {id} in {region}: not an id and a region; it is left out"));
    }
    sound
}

/// A text of the cloud in one line of a comment or a message.
fn shown(text: &str) -> Cow<'_, str> {
    clean(text, LONGEST_EXCERPT)
}

fn plan(machines: &[Machine], zone: Zone, now: DateTime<Utc>) -> Vec<Planned> {
    let weekly = machines.len() > MOST_A_NIGHT;
    let mut names = FreeNames::default();
    machines
        .iter()
        .map(|machine| Planned {
            schedule: names.take(&slug(machine)),
            instance_id: machine.id.clone(),
            instance_type: machine.kind,
            region: machine.region.clone(),
            status: machine.status.as_str().to_owned(),
            sessions: machine.sessions.clone().unwrap_or_default(),
            cron: cron(&machine.id, weekly, zone, now),
            called: machine.name.clone(),
        })
        .collect()
}

/// The instance's name as the name of a schedule; images are named by it, so it begins with a letter.
fn slug(machine: &Machine) -> String {
    let name = without_escapes(machine.name.as_deref().unwrap_or_default()).to_lowercase();
    let name = name.replace(|c: char| !is_of_names(c), "-");
    let mut slug = String::new();
    for part in name.split('-').filter(|part| !part.is_empty()) {
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(part);
    }
    if !slug.contains(char::is_alphanumeric) {
        slug = machine.id.as_str().chars().filter(|c| is_of_names(*c)).collect();
    }
    if !slug.starts_with(char::is_alphabetic) {
        slug.insert_str(0, "machine-");
    }
    slug.chars().take(LONGEST_NAME).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

/// The text without what stands in it for a character that nobody sees, such as that between the parts of an emoji.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let is_hex = |code: &str| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        match part.split_once('}') {
            Some((code, rest)) if is_hex(code) => name.extend(["-", rest]),
            _ => name.extend(["-", part]),
        }
        name
    })
}

/// A stable time of the instance in the default hours that every night has exactly once: times that a clock change
/// skips or repeats are avoided.
fn cron(id: &InstanceId, weekly: bool, zone: Zone, now: DateTime<Utc>) -> String {
    let hash = Sha256::digest(id.as_str().as_bytes());
    let number = hash.iter().take(4).fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
    let day = if weekly { WEEKDAYS[(number / NIGHT) as usize % WEEKDAYS.len()] } else { "*" };
    // One hour later each time: a clock change affects at most two of the four.
    let minutes = (0..4).map(|hours| (number % NIGHT + hours * 60) % NIGHT + NIGHT_BEGINS);
    let times = minutes.map(|minute| (minute / 60, minute % 60));
    let (hour, minute) =
        times.clone().find(|time| is_plain(*time, zone, now)).or(times.clone().next()).unwrap_or_default();
    format!("{minute} {hour} * * {day}")
}

/// Whether each day of the next year has this time exactly once.
fn is_plain((hour, minute): (u32, u32), zone: Zone, now: DateTime<Utc>) -> bool {
    let Some(time) = NaiveTime::from_hms_opt(hour, minute, 0) else { return false };
    let today = now.with_timezone(&zone).date_naive();
    (0..370)
        .filter_map(|day| today.checked_add_days(Days::new(day)))
        .all(|day| zone.from_local_datetime(&day.and_time(time)).single().is_some())
}

fn file(cloud: &CloudSettings, zone: Zone, planned: &[Planned], now: DateTime<Utc>) -> String {
    let count = |kind| match (planned.iter().filter(|one| one.instance_type == kind).count(), kind_label(kind)) {
        (1, word) => format!("1 {word}"),
        (n, word) => format!("{n} {word}s"),
    };
    let rhythm = if planned.len() > MOST_A_NIGHT {
        format!(
            "These are too many for one night, so that each has its own night of the week, at its own time\n# between 01:00 \
             and 05:00 ({zone})."
        )
    } else {
        format!("Each is imaged every night, at its own time between 01:00 and 05:00 ({zone}).")
    };
    let mut text = format!(
        "# imagebaked: scheduled, versioned images of WUYING desktops and workstations.\n\
         #\n\
         # Made by `imagebaked init` on {}, from {} and {}.\n\
         # {rhythm}\n\
         # The commands that come next:\n\
         #\n\
         #     imagebaked check          what is wrong with this file, and the next slots; after each edit\n\
         #     imagebaked doctor         whether credentials, permissions and instances are as they should be\n\
         #     imagebaked run            the daemon; as a service: systemctl enable --now imagebaked\n\
         #     imagebaked status         what it does, and whether all is as it should be\n\
         #     imagebaked reload         after an edit, while it runs\n\
         #\n\
         # What is commented out shows the default, or a choice to make.\n\
         \n\
         [cloud]\n",
        now.with_timezone(&zone).format("%F"),
        count(InstanceType::CloudDesktop),
        count(InstanceType::WuyingServer),
    );
    let _ = writeln!(text, "region = {}", toml_string(&cloud.region));
    for (key, value) in [
        ("endpoint", &cloud.endpoint),
        ("ecd_endpoint", &cloud.ecd_endpoint),
        ("sts_endpoint", &cloud.sts_endpoint),
        ("metadata_endpoint", &cloud.metadata_endpoint),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{key} = {}", toml_string(value));
        }
    }
    let by_region: Vec<String> =
        cloud.ecd_endpoints.iter().map(|(region, address)| format!("{region} = {}", toml_string(address))).collect();
    if !by_region.is_empty() {
        let _ = writeln!(text, "ecd_endpoints = {{ {} }}", by_region.join(", "));
    }
    match &cloud.credentials {
        CredentialSource::Default => text.push_str(
            "# credentials = \"default\"          # or \"files\", \"ecs_ram_role\", \"profile:NAME\" …; never put a key into this file\n",
        ),
        chosen => {
            let _ = writeln!(text, "credentials = {}", toml_string(&chosen.to_string()));
        }
    }
    if let Some(folder) = &cloud.credentials_dir {
        let _ = writeln!(text, "credentials_dir = {}", toml_string(&folder.display().to_string()));
    }
    let _ = write!(
        text,
        "\n[daemon]\n\
         # max_builders = 5                 # images being made at once\n\
         # owner = \"imagebaked\"             # tag that marks our images; a second daemon of the account needs another\n\
         \n\
         # Any key of a schedule but its name and instance; a schedule's own key wins.\n\
         [defaults]\n\
         timezone = {}\n\
         # Three choices to make. The image of a running instance may lack what is not on its disk yet:\n\
         # stop_instance = \"if_running\"     # stops it for the image, which the cloud recommends, and starts it again\n\
         # not_after = \"07:00\"              # nothing is stopped after this time; late slots are skipped\n\
         # Images cost money until they are deleted; without this key all are kept:\n\
         # keep = {{ last = 3, daily = 7, weekly = 4, min = 2 }}   # see them first: imagebaked prune --dry-run\n\
         # A name for the image that others use: one that was good for three days.\n\
         # channels = {{ stable = {{ after = \"3d\" }} }}\n\
         #\n\
         # auto_clean_userdata = true       # leave out the users' folders under C:\\Users; cloud desktops only\n\
         # catch_up = \"latest\"              # of slots missed while the daemon was down: \"skip\", \"latest\" or \"all\"\n\
         # deadline = \"4h\"                  # the cloud must have accepted the job this long after the slot\n\
         # max_image_age = \"9d\"             # a problem when the newest good image is older; never by default\n\
         # image_name = \"{{name}}-{{slot:%Y%m%d-%H%M}}-v{{version}}\"\n",
        toml_string(zone.name())
    );
    for one in planned {
        let session = match one.sessions.as_slice() {
            [session] => format!("session {session}"),
            _ => String::new(),
        };
        let parts = [one.called.as_deref().unwrap_or_default(), kind_label(one.instance_type), &one.status, &session];
        let parts: Vec<&str> = parts.into_iter().filter(|word| !word.trim().is_empty()).collect();
        // Whatever the name contains, the comment stays on its line.
        let _ = writeln!(text, "\n# {}.", shown(&parts.join(", ")));
        let _ = writeln!(text, "[[schedule]]");
        let _ = writeln!(text, "name = {}", toml_string(&one.schedule));
        let _ = writeln!(text, "instance_id = {}", toml_string(one.instance_id.as_str()));
        let _ = writeln!(text, "instance_type = {}", toml_string(one.instance_type.as_str()));
        if one.region != cloud.region {
            let _ = writeln!(text, "instance_region = {}", toml_string(&one.region));
        }
        if one.sessions.len() > 1 {
            // Which one is meant, only a person knows. Until then its bakes fail, and nothing is stopped.
            text.push_str("# It has several sessions; its bakes fail until one is chosen:\n");
            for session in &one.sessions {
                let _ = writeln!(text, "# sub_instance_id = {}", toml_string(&clean(session, LONGEST_TEXT)));
            }
        }
        let _ = writeln!(text, "cron = {}", toml_string(&one.cron));
    }
    text
}

/// Creates the file; never replaces one.
fn write(path: &Path, text: &str) -> Result<()> {
    // The daemon's user reads it, whatever the umask of this user.
    let written = AtomicFile::begin(path, false, atomic::READABLE).and_then(|file| {
        file.file().write_all(text.as_bytes())?;
        file.finish()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => Failure::new(Exit::Failed, format!("{} cannot be written: {error}; nothing was written", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{adapters::cloud::actions::MachineStatus, domain::text::is_hidden};

    fn machine(id: &str, name: &str) -> Machine {
        Machine {
            id: id.into(),
            kind: InstanceType::CloudDesktop,
            name: Some(name.to_owned()),
            region: "cn-shanghai".to_owned(),
            status: MachineStatus::Running,
            in_maintenance: false,
            sessions: None,
        }
    }

    fn now() -> DateTime<Utc> {
        "2027-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn names_are_of_the_instances_and_unique() {
        let called = |name| slug(&machine("ecd-1", name));
        assert_eq!(called("Win 11 / Golden!"), "win-11-golden");
        assert_eq!(called("设计部 一号"), "设计部-一号");
        assert_eq!(called("7th floor"), "machine-7th-floor");
        // As the border hands on the joints of an emoji, and a mark of direction.
        assert_eq!(called("👨\\u{200d}👩 family\\u{202e}x"), "family-x");
        assert_eq!((called("  "), called("--.")), ("ecd-1".to_owned(), "ecd-1".to_owned()));
        assert_eq!(called(&"x".repeat(99)).len(), LONGEST_NAME);
        let same = [machine("ecd-1", "a"), machine("ecd-2", "A"), machine("ecd-3", "a-2")];
        let names: Vec<_> = plan(&same, Zone::UTC, now()).into_iter().map(|planned| planned.schedule).collect();
        assert_eq!(names, ["a", "a-2", "a-2-2"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever the cloud lists, with and without the choices that it offers.
        #[test]
        fn what_is_written_is_valid(
            texts in proptest::collection::vec(("[a-z\"'\\]\\[#=\n\r\u{202e}\\\\ -]{0,12}|.{0,90}|LTAI[A-Z0-9]{12}|\\[|\"\"\"", ".{0,70}|[#\n\r\"'\\]=a-]{0,9}|\u{3164}{1,3}|[0-9]{1,3}", ".{0,9}|cn-shanghai", ".{0,9}"), 1..6),
            kind: bool,
        ) {
            let machines = texts.into_iter().enumerate().map(|(n, (id, name, region, other))| Machine {
                id: if n == 0 { "ecd-1".into() } else { format!("ecd-{n}{id}").into() },
                kind: if kind { InstanceType::CloudDesktop } else { InstanceType::WuyingServer },
                name: Some(name.clone()),
                region: if n == 0 { "cn-shanghai".to_owned() } else { region },
                status: MachineStatus::Other(other.clone()),
                in_maintenance: false,
                sessions: Some(vec![other, name]),
            });
            let machines = without_invalid(machines.collect());
            let planned = plan(&machines, Zone::UTC, now());
            let text = file(&CloudSettings::default(), Zone::UTC, &planned, now());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("imagebaked.toml");
            fs::write(&path, &text).unwrap();
            let loaded = config::load(&path, &std::collections::BTreeMap::new());
            let loaded = loaded.map_err(|problems| TestCaseError::fail(format!("{}\n{text}", problems.render(false))))?;
            let ids: Vec<_> = loaded.config.schedules.iter().map(|one| one.instances.as_slice()[0].clone()).collect();
            let wanted: Vec<_> = machines.iter().map(|machine| machine.id.clone()).collect();
            prop_assert_eq!(ids, wanted);
            prop_assert!(!text.contains(|c: char| is_hidden(c) && c != '\n'));
        }
    }

    #[test]
    fn times_are_in_the_quiet_hours_spread_and_stable() {
        let times: Vec<String> = (0..200)
            .map(|n| cron(&InstanceId::from(format!("ecd-{n}")), false, Zone::find("Asia/Shanghai").unwrap(), now()))
            .collect();
        let hours: BTreeSet<&str> = times.iter().map(|cron| cron.split(' ').nth(1).unwrap()).collect();
        assert_eq!(hours, ["1", "2", "3", "4"].into());
        assert!(times.iter().collect::<BTreeSet<_>>().len() > 100, "{times:?}");
        assert_eq!(times[0], cron(&"ecd-0".into(), false, Zone::find("Asia/Shanghai").unwrap(), now()));
        let days: BTreeSet<String> = (0..50)
            .map(|n| cron(&InstanceId::from(format!("ecd-{n}")), true, Zone::UTC, now()))
            .map(|cron| cron.split(' ').next_back().unwrap().to_owned())
            .collect();
        assert_eq!(days.len(), 7);
    }

    #[test]
    fn times_that_some_night_does_not_have_once_are_passed_over() {
        for zone in [
            Zone::find("Europe/Berlin").unwrap(),
            Zone::find("America/New_York").unwrap(),
            Zone::find("Australia/Lord_Howe").unwrap(),
            Zone::find("Europe/London").unwrap(),
        ] {
            for n in 0..100 {
                let cron = cron(&InstanceId::from(format!("ecd-{n}")), false, zone, now());
                let [minute, hour] = [0, 1].map(|at| cron.split(' ').nth(at).unwrap().parse().unwrap());
                assert!(is_plain((hour, minute), zone, now()) && (1..5).contains(&hour), "{zone}: {cron}");
            }
        }
    }
}
