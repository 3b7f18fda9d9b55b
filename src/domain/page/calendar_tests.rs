use super::*;

#[test]
fn weeks_begin_on_monday_and_end_with_the_current_one() {
    let zone: Zone = "Asia/Shanghai".parse().unwrap();
    // Wednesday in Shanghai, Tuesday in UTC.
    let now: DateTime<Utc> = "2027-03-02T19:00:00Z".parse().unwrap();
    let row = |slot: &str, state: &str| Recorded {
        bake: 1,
        schedule: "golden".to_owned(),
        instance: "ecd-1".into(),
        line: "golden".into(),
        region: String::new(),
        slot: slot.parse().unwrap(),
        slot_count: 1,
        state: state.to_owned(),
        vetoed: false,
        reason: None,
        wake_at: None,
        give_up_at: None,
        begun_at: None,
        is_former: false,
        finished_at: None,
    };
    let rows = [
        row("2027-03-02T18:59:00Z", "succeeded"),
        row("2027-03-02T16:00:00Z", "failed"),
        row("2027-03-02T15:59:00Z", "skipped"),
        row("2026-01-01T00:00:00Z", "failed"),
    ];
    let weeks = weeks(&rows, zone, now);
    assert_eq!(weeks.len(), 5);
    assert_eq!(weeks[0][0].date.to_string(), "2027-02-01");
    let named: Vec<_> = weeks.iter().flatten().filter(|day| day.names_month).map(|day| day.date.to_string()).collect();
    assert_eq!(named, ["2027-02-01", "2027-03-01"]);
    let [_, tuesday, wednesday, thursday, ..] = &weeks[4];
    assert_eq!(wednesday.date.to_string(), "2027-03-03");
    assert_eq!(
        (tuesday.worst(), wednesday.worst(), thursday.worst()),
        (Some(Outcome::Skipped), Some(Outcome::Failed), None)
    );
    assert_eq!(wednesday.counts[&Outcome::Succeeded], 1);
    assert!(!wednesday.is_ahead && thursday.is_ahead);
    assert!(needed_from(zone, now) < "2027-01-31T16:00:00Z".parse::<DateTime<Utc>>().unwrap());
}
