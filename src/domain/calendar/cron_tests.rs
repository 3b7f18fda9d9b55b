use super::*;

fn rule(text: &str) -> CronRule {
    CronRule::parse(text, "golden").unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_small_h_is_an_h() {
    for (small, capital) in
        [("h 3 * * *", "H 3 * * *"), ("h(0-29) h * * *", "H(0-29) H * * *"), ("h/10 * * * *", "H/10 * * * *")]
    {
        let rule = |text| CronRule::parse(text, "seed").unwrap();
        assert_eq!(rule(small), rule(capital), "{small}");
        assert!(rule(small).is_hashed(), "{small}");
    }
}

#[test]
fn a_rule_is_small() {
    assert!(size_of::<CronRule>() <= 64);
}

#[test]
fn different_spellings_are_one_rule() {
    for (one, other) in [
        ("0 0 * jan,FEB Mon", "0 0 * 1,2 1"),
        ("0 0 ? * fri-mon", "0 0 * * 0,1,5,6"),
        ("0 0 * * 7", "0 0 * * sun"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 7-2", "0 0 * * 0-2"),
        ("0 0 * * 0-7", "0 0 * * 0-6"),
        ("0 0 * * sat-tue/2", "0 0 * * 6,1"),
        ("*/15 * * * *", "0-59/15 * * * *"),
        ("10-40/15 * * * *", "10-40/15,40,25 * * * *"),
        (" 0\t0  * * * ", "@daily"),
        ("@midnight", "@DAILY"),
        ("@weekly", "0 0 * * sun"),
        ("@monthly", "0 0 1 * *"),
        ("@annually", "@yearly"),
        ("0 0 0 l-3,lw,15w * *", "0 0 L-3,LW,15W * *"),
        ("0 0 * * fril,mon#1", "0 0 * * 5L,1#1"),
    ] {
        assert_eq!(rule(one), rule(other), "{one} and {other}");
    }
}

#[test]
fn wildcards_steps_and_ranges_are_not_fixed() {
    for fixed in ["0 3 * * *", "0,30 3,4 * * *", "H H * * *", "H(0-29) 3 * * *", "5 0 3 */2 1-6 mon-fri", "@daily"] {
        assert!(rule(fixed).is_fixed(), "{fixed}");
    }
    for wild in ["* 3 * * *", "0 ? * * *", "0-5 3 * * *", "0-0 3 * * *", "H/15 3 * * *", "* 0 3 * * *", "@hourly"] {
        assert!(!rule(wild).is_fixed(), "{wild}");
    }
}

/// These numbers must not change: schedules with `H` would get other slots after an update.
#[test]
fn hashed_values_never_change() {
    let times = |text: &str, name: &str| -> Vec<i64> {
        let rule = CronRule::parse(text, name).unwrap();
        std::iter::successors(rule.time_from(0), |time| rule.time_from(time + 1)).collect()
    };
    assert_eq!(times("H H * * *", "win11-golden"), [84_360]);
    assert_eq!(times("H H * * *", "cad-workstation"), [11_580]);
    assert_eq!(times("H(0-29)/10 3 * * *", "win11-golden"), [11_160, 11_760, 12_360]);
    assert_eq!(times("H/20 3 * * *", "win11-golden"), [11_160, 12_360, 13_560]);
}

#[test]
fn hashes_spread_and_stay_in_their_range() {
    let mut minutes = 0_u64;
    for n in 0..600 {
        let name = format!("schedule-{n}");
        minutes |= CronRule::parse("H 3 * * *", &name).unwrap().minutes;
        assert!(CronRule::parse("H(10-12) 3 * * *", &name).unwrap().minutes & !(0b111 << 10) == 0);
        assert!(CronRule::parse("0 3 H * *", &name).unwrap().days & !0x1fff_fffe == 0);
        let stepped = CronRule::parse("H/15 3 * * *", &name).unwrap().minutes;
        assert_eq!(stepped.count_ones(), 4);
    }
    assert_eq!(minutes.count_ones(), 60);
}

#[test]
fn errors_point_at_the_token_and_suggest_what_to_write() {
    for (text, place, message, hint) in [
        ("61 3 * * *", "61", "minute 61 is out of range", "minutes run from 0 to 59"),
        ("0 24 * * *", "24", "hour 24 is out of range", "hours run from 0 to 23"),
        ("0 0 0 * *", "0", "day of the month 0 is out of range", "days of the month run from 1 to 31"),
        (
            "0 0 * 99999999999 *",
            "99999999999",
            "month 99999999999 is out of range",
            "months run from 1 to 12, or from jan to dec",
        ),
        ("0 3 * * monday", "monday", "`monday` is not a day of the week", "write `mon`"),
        ("0 3 * * mon..fri", "mon..fri", "`mon..fri` is not a day of the week", "write `mon-fri`"),
        ("~ 3 * * *", "~", "`~` is not a minute", "write `H`, which picks a value and keeps it"),
        ("0 3 * * lun-ven", "lun", "`lun` is not a day of the week", "write the English `mon`"),
        ("0 3 * * 周一", "周一", "`周一` is not a day of the week", "write the English `mon`"),
        ("0 3 * * Montag", "Montag", "`Montag` is not a day of the week", "write the English `mon`"),
        ("0 3 1 janv *", "janv", "`janv` is not a month", "write the English `jan`"),
        ("0 3 1 Dezember *", "Dezember", "`Dezember` is not a month", "write the English `dec`"),
        ("0 0 * * mon,funday", "funday", "`funday` is not a day of the week", "days of the week run from 0 to 7"),
        ("0 22-6 * * *", "22-6", "the range `22-6` runs backwards", "write `6-22`, or `22-23,0-6` to go past the end"),
        ("0,,5 3 * * *", "0,,5", "an item of the list is empty", "write one comma"),
        ("5/10 * * * *", "5/10", "a step needs a range, and `5` is one value", "write `5-59/10`"),
        ("*/0 * * * *", "0", "`0` is not a step of minutes", "steps of minutes run from 1 to 59"),
        ("*/+5 * * * *", "+5", "`+5` is not a step of minutes", "steps of minutes run from 1 to 59"),
        ("0 3- * * *", "", "the hour is missing here", "hours run from 0 to 23"),
        ("H(5) 3 * * *", "H(5)", "`H(5)` is not understood", "write `H`"),
        ("0 3 L-31 * *", "31", "`31` is out of range", "days before the last run from 0 to 30"),
        ("0 3 * * mon#6", "6", "`6` is out of range", "weekdays of a month run from 1 to 5"),
        ("0 3 * * L", "L", "`L` alone is not a day of the week", "the last Friday of the month is `friL`"),
        ("0 3 * *", "0 3 * *", "expected 5 or 6 fields, found 4", "write `cron = \"0 3 * * *\"`"),
        ("0 0 3 * * * 2026", "0 0 3 * * * 2026", "a year cannot be given", "leave out the seventh field"),
        ("TZ=UTC 0 0 3 * * *", "TZ=UTC 0 0 3 * * *", "a zone is not part", "write `cron = \"0 0 3 * * *\"` and"),
        ("  ", "", "the expression is empty", "write five fields"),
        (" @reboot", "@reboot", "`@reboot` is not supported", "give times of day"),
        ("@every 5m", "@every 5m", "an interval has no times", "write `cron = \"*/5 * * * *\"`"),
        ("@dayly", "@dayly", "`@dayly` is not known", "use @hourly"),
        ("@daily 3", "@daily 3", "`@daily` stands alone", "leave out"),
        ("0 0 30 2 *", "30 2 *", "this never fires", "the last day of every month is `L`"),
        ("0 0 31 4,jun *", "31 4,jun *", "this never fires", "the last day"),
        ("0 3 Ä * *", "Ä", "`Ä` is not a day of the month", "days of the month"),
    ] {
        let Err(error) = CronRule::parse(text, "golden") else { panic!("{text} is accepted") };
        assert_eq!(&text[error.span.clone()], place, "{text}");
        assert!(error.message.starts_with(message), "{text}: {}", error.message);
        assert!(error.hint.starts_with(hint), "{text}: {}", error.hint);
    }
}
