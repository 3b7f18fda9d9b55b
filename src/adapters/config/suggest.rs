//! "Did you mean …".

use std::collections::BTreeSet;

use crate::domain::{similar::nearest, text::quoted};

pub use crate::domain::similar::closest;

/// Maximum number of listed names if none is similar.
const FEW: usize = 8;

/// `did you mean …?`, or the known words if none is similar.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Message if `wanted` is none of these names and ids.
pub fn no_schedule<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let hint = match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None if known.is_empty() => "there are none at all".to_owned(),
        None if known.len() <= FEW => format!("those there are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        None => "`imagebaked plan` shows them".to_owned(),
    };
    format!("there is no schedule {}; {hint}", quoted(wanted))
}

/// Message if `wanted` is none of the instances `known`, which `whose` has.
pub fn no_instance<'a>(whose: &str, wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let hint = match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("; did you mean {}?", quoted(near)),
        None if known.is_empty() || known.len() > FEW => String::new(),
        None => format!("; those there are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    format!("{whose} has no instance {}{hint}", quoted(wanted))
}

/// Message if `wanted` is the id of none of these images, each with its name.
pub fn no_image<'a>(wanted: &str, known: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> String {
    if let Some((id, _)) = known.clone().find(|(_, name)| *name == wanted) {
        return format!("{} is the name of image {id}; images are named by their id", quoted(wanted));
    }
    let ids: Vec<&str> = known.map(|(id, _)| id).collect();
    let near = nearest(wanted, ids);
    let hint = near
        .map_or_else(|| "`imagebaked images` lists them".to_owned(), |near| format!("did you mean {}?", quoted(near)));
    format!("no line has an image {}; {hint}", quoted(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_schedule_is_reported_with_those_there_are() {
        let report = |known: &[&str]| no_schedule("gloden", known.iter().copied());
        assert_eq!(report(&["farm", "golden", "golden"]), r#"there is no schedule "gloden"; did you mean "golden"?"#);
        assert_eq!(report(&["farm", "box"]), r#"there is no schedule "gloden"; those there are: box, farm"#);
        assert_eq!(report(&[]), r#"there is no schedule "gloden"; there are none at all"#);
        let part = no_schedule("Golden", ["win11-golden", "farm"]);
        assert_eq!(part, r#"there is no schedule "Golden"; did you mean "win11-golden"?"#);
        let many: Vec<String> = (0..9).map(|n| format!("box-{n}")).collect();
        let report = no_schedule("gloden", many.iter().map(String::as_str));
        assert_eq!(report, r#"there is no schedule "gloden"; `imagebaked plan` shows them"#);
    }

    #[test]
    fn unknown_instances_and_images_are_reported_with_the_nearest() {
        let known = ["ecd-1a2b", "ws-9x"];
        assert_eq!(
            no_instance("farm", "ecd-1a2c", known),
            r#"farm has no instance "ecd-1a2c"; did you mean "ecd-1a2b"?"#
        );
        assert_eq!(no_instance("farm", "x", known), r#"farm has no instance "x"; those there are: ecd-1a2b, ws-9x"#);
        let images = [("imgc-2ze7a1", "golden-v1"), ("imgc-9kk3b2", "golden-v2")];
        let report = |wanted: &str| no_image(wanted, images.into_iter());
        assert_eq!(report("imgc-2ze7a2"), r#"no line has an image "imgc-2ze7a2"; did you mean "imgc-2ze7a1"?"#);
        assert_eq!(
            report("golden-v2"),
            r#""golden-v2" is the name of image imgc-9kk3b2; images are named by their id"#
        );
        assert_eq!(report("m"), r#"no line has an image "m"; `imagebaked images` lists them"#);
    }
}
