use super::*;

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn world() -> World {
    let mut world = World::new(1);
    world.handle(WorldLimits {
        build_time: Duration::from_secs(30),
        power_time: Duration::from_secs(5),
        builder_quota: 2,
        image_quota: Some(4),
        open: false,
        gmt_zone: 0,
        session_life: None,
    });
    for id in ["ecd-1", "ecd-2", "ecd-3"] {
        world.put_instance(InstanceSpec::running(id, InstanceKind::CloudDesktop), START);
    }
    world
}

fn order(instance_id: &str, fault: ImageFault) -> NewImage {
    NewImage {
        name: "golden".to_owned(),
        description: String::new(),
        instance_id: instance_id.to_owned(),
        instance_type: InstanceKind::CloudDesktop,
        product_type: "CloudDesktop".to_owned(),
        biz_type: 1,
        tags: BTreeMap::new(),
        parameters: Params::default(),
        request_id: String::new(),
        fault,
        late: Duration::ZERO,
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    START + TimeDelta::seconds(seconds)
}

#[test]
fn an_image_is_made_in_its_time() {
    let mut world = world();
    world.create_image(order("ecd-1", ImageFault::Available), START).unwrap();
    let statuses = [0, 3, 29, 30].map(|seconds| world.images()[0].status(at(seconds)).to_owned());
    assert_eq!(statuses, ["INIT", "CREATING", "CREATING", "AVAILABLE"]);
}

#[test]
fn one_task_per_instance_and_a_quota_over_all() {
    let mut world = world();
    let mut create =
        |id: &str, now| world.create_image(order(id, ImageFault::Available), now).map(|_| ()).map_err(|f| f.code);
    assert_eq!(create("ecd-1", START), Ok(()));
    assert_eq!(create("ecd-1", at(1)), Err("ImageCreateByInstance.TaskExist".into()));
    assert_eq!(create("ecd-2", at(1)), Ok(()));
    assert_eq!(create("ecd-3", at(1)), Err("ExceedBuilderQuota".into()));
    assert_eq!(create("ecd-3", at(30)), Ok(()));
    assert_eq!(create("ecd-1", at(60)), Ok(()));
    assert_eq!(create("ecd-1", at(90)), Err("QuotaExceeded.Image".into()), "four images are all there can be");
    let oldest = world.images()[0].id.clone();
    world.delete_image(&oldest, at(91)).unwrap();
    world.create_image(order("ecd-1", ImageFault::Available), at(92)).unwrap();
}

#[test]
fn switching_the_instance_spoils_the_image_in_the_making_and_no_other() {
    let mut world = world();
    world.create_image(order("ecd-1", ImageFault::Available), START).unwrap();
    world.create_image(order("ecd-1", ImageFault::Available), at(40)).unwrap();
    world.switch(&["ecd-1"], InstanceKind::CloudDesktop, PowerAction::Stop, at(41)).unwrap();
    let statuses: Vec<&str> = world.images().iter().map(|image| image.status(at(80))).collect();
    assert_eq!(statuses, ["AVAILABLE", "CREATE_FAILED"]);
}

#[test]
fn power_takes_time_and_needs_the_right_status() {
    let mut world = world();
    let mut switch =
        |power, now| world.switch(&["ecd-1"], InstanceKind::CloudDesktop, power, now).map_err(|failure| failure.code);
    assert_eq!(switch(PowerAction::Start, START), Err("IncorrectDesktopStatus".into()));
    assert_eq!(switch(PowerAction::Stop, START), Ok(()));
    assert_eq!(switch(PowerAction::Start, at(4)), Err("IncorrectDesktopStatus".into()));
    assert_eq!(switch(PowerAction::Start, at(5)), Ok(()));
    assert_eq!(world.instance("ecd-1", InstanceKind::CloudDesktop, at(6)).unwrap().status(at(6)), "Starting");
    assert_eq!(world.instance("ecd-1", InstanceKind::CloudDesktop, at(6)).unwrap().status(at(10)), "Running");
}

#[test]
fn a_vanished_image_can_be_neither_found_nor_deleted() {
    let mut world = world();
    let id = world.create_image(order("ecd-1", ImageFault::Vanish), START).unwrap().id.clone();
    assert!(world.images()[0].is_visible(at(29)));
    assert!(!world.images()[0].is_visible(at(30)));
    assert_eq!(world.delete_image(&id, at(30)), Err(SimFailure::new("Image.NotExist")));
}
