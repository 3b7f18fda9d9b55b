//! Schedules in command lines: as arguments and as an option, because people type both.

use clap::Args;

/// One schedule.
#[derive(Debug, Args)]
pub struct OneSchedule {
    /// The schedule, by name or id.
    #[arg(value_name = "SCHEDULE", required_unless_present = "schedule_option")]
    schedule: Option<String>,
    /// The schedule, as an option.
    #[arg(id = "schedule_option", long = "schedule", value_name = "NAME", conflicts_with = "schedule")]
    option: Option<String>,
}

impl OneSchedule {
    /// Its name or id.
    pub fn name(&self) -> &str {
        self.schedule.as_deref().or(self.option.as_deref()).unwrap_or_default()
    }
}

/// One schedule, or all.
#[derive(Debug, Args)]
pub struct OnlySchedule {
    /// Only this schedule, by name or id; also one that is not in the file any more.
    #[arg(value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// Only this schedule, as an option.
    #[arg(id = "schedule_option", long = "schedule", value_name = "NAME", conflicts_with = "schedule")]
    option: Option<String>,
}

impl OnlySchedule {
    /// Its name or id.
    pub fn name(&self) -> Option<&str> {
        self.schedule.as_deref().or(self.option.as_deref())
    }
}

/// One schedule of the file, or all.
#[derive(Debug, Args)]
pub struct OnlyScheduleOfFile {
    /// Only this schedule, by name or id.
    #[arg(value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// Only this schedule, as an option.
    #[arg(id = "schedule_option", long = "schedule", value_name = "NAME", conflicts_with = "schedule")]
    option: Option<String>,
}

impl OnlyScheduleOfFile {
    /// Its name or id.
    pub fn name(&self) -> Option<&str> {
        self.schedule.as_deref().or(self.option.as_deref())
    }
}

/// Any number of schedules.
#[derive(Debug, Args)]
pub struct Schedules {
    /// The schedules, by name or id.
    #[arg(value_name = "SCHEDULE")]
    schedule: Vec<String>,
    /// A schedule, as an option; may be repeated.
    #[arg(id = "schedule_option", long = "schedule", value_name = "NAME")]
    option: Vec<String>,
}

impl Schedules {
    /// Their names or ids.
    pub fn names(&self) -> Vec<String> {
        self.schedule.iter().chain(&self.option).cloned().collect()
    }
}

/// One schedule and other words after it; with the option all words are others.
#[derive(Debug, Args)]
pub struct ScheduleAndMore {
    /// The schedule, by name or id.
    #[arg(value_name = "SCHEDULE", required_unless_present = "schedule_option")]
    schedule: Option<String>,
    /// The schedule, as an option.
    #[arg(id = "schedule_option", long = "schedule", value_name = "NAME")]
    option: Option<String>,
}

impl ScheduleAndMore {
    /// Its name or id.
    pub fn name(&self) -> &str {
        self.option.as_deref().or(self.schedule.as_deref()).unwrap_or_default()
    }

    /// All the other words: `rest`, with the word that stands where the schedule would.
    pub fn others<'a>(&'a self, rest: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        let first = self.schedule.iter().filter(|_| self.option.is_some());
        first.chain(rest).map(String::as_str).collect()
    }
}
