//! The fault plan: which calls fail, and how.
//!
//! A plan is TOML or JSON with a list `fault`. Each fault names an action, the number of the first affected call since
//! the plan was added, and the effect on it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{actions, garble::Garble, key_service::KeyRequest, lists::Lie, world::ImageFault};

/// Why a plan was rejected.
#[derive(Debug, thiserror::Error)]
pub enum FaultPlanError {
    /// Invalid TOML; the cause has line and column.
    #[error("could not read the fault plan as TOML")]
    Toml(#[source] toml::de::Error),
    /// Invalid JSON; the cause has line and column.
    #[error("could not read the fault plan as JSON")]
    Json(#[source] serde_json::Error),
    /// Invalid content.
    #[error("fault {number} of the plan: {problem}")]
    Senseless {
        /// Number of the fault in the plan, from 1.
        number: usize,
        /// The error.
        problem: String,
    },
}

/// A list of faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    #[serde(default, rename = "fault")]
    faults: Vec<Fault>,
}

impl FaultPlan {
    /// Parses a plan: JSON if the text starts with a brace, which TOML cannot, else TOML.
    pub fn parse(text: &str) -> Result<Self, FaultPlanError> {
        let plan: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(FaultPlanError::Json)?
        } else {
            toml::from_str(text).map_err(FaultPlanError::Toml)?
        };
        for (index, fault) in plan.faults.iter().enumerate() {
            fault.check().map_err(|problem| FaultPlanError::Senseless { number: index + 1, problem })?;
        }
        Ok(plan)
    }

    /// Adds the faults of `more` after the remaining ones.
    pub(super) fn extend(&mut self, more: Self) {
        self.faults.extend(more.faults);
    }

    /// Counts a call and returns its fault, if any. Every matching fault counts the call; the first one that is due
    /// takes effect. A fault is removed after its number of calls.
    pub(super) fn strike(&mut self, action: &str, instances: &[String], regions: &[&str]) -> Option<Fault> {
        let mut struck = None;
        self.faults.retain_mut(|fault| {
            let wanted = fault.instance_id.as_deref().is_none_or(|id| instances.iter().any(|named| named == id));
            let there = fault.region.as_deref().is_none_or(|region| regions.contains(&region));
            if fault.action != action || !wanted || !there {
                return true;
            }
            if fault.nth > 1 {
                fault.nth -= 1;
                return true;
            }
            if struck.is_some() {
                return true;
            }
            struck = Some(fault.clone());
            // Zero is unlimited; one is the last time.
            fault.times = fault.times.saturating_sub(u32::from(fault.times > 1));
            let last = struck.as_ref().is_some_and(|now| now.times == 1);
            !last
        });
        struck
    }
}

const CREATE: &str = "CreateImageByInstance";
const COPY: &str = "StartTaskForDistributeImage";

/// One fault: its calls and its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) action: String,
    /// Number of its first call, from 1. Counts down, so that the remaining plan is a plan.
    #[serde(default = "one")]
    nth: u32,
    /// Number of its calls; 0 is unlimited.
    #[serde(default = "one")]
    times: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    /// Only calls that copy an image there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    /// Delay of the response, after acting: the client may give up on a call that has worked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "span")]
    pub(super) delay: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) drop: Option<DropWhen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Garble>,
    /// Id in a successful create response instead of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_id: Option<String>,
    /// Target of a redirect, with status 307 unless `status` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirect: Option<String>,
    /// False content of a list response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<Lie>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "span")]
    pub(super) late_image: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<ImageFault>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) success_false: bool,
}

/// When the connection is closed without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DropWhen {
    Before,
    After,
}

fn one() -> u32 {
    1
}

impl Fault {
    /// Whether the response is an error instead of the action's result.
    pub(super) fn refuses(&self) -> bool {
        let answers_itself = self.body.is_some_and(Garble::keeps_the_answer);
        self.code.is_some()
            || self.success_false
            || !answers_itself && (self.status.is_some() || self.redirect.is_some())
    }

    /// Status of the response in any case.
    pub(super) fn forced_status(&self) -> Option<u16> {
        self.status.or(self.redirect.is_some().then_some(307))
    }

    /// Whether the action is executed despite a false response. A body can be garbled, and an image be late, only if it
    /// is.
    pub(super) fn acts(&self) -> bool {
        match self.drop {
            Some(DropWhen::Before) => false,
            Some(DropWhen::After) => true,
            None => self.act.unwrap_or(self.late_image.is_some() || self.body.is_some() || !self.refuses()),
        }
    }

    fn check(&self) -> Result<(), String> {
        let action = actions::of_name(&self.action);
        if action.is_none() && !KeyRequest::is_named(&self.action) {
            let names: Vec<&str> = actions::ACTIONS.iter().map(|action| action.name).collect();
            return Err(format!("there is no action `{}`; the simulator has {}", self.action, names.join(", ")));
        }
        if let Some(lie) = self.list {
            let Some(shape) = action.and_then(|action| action.list.as_ref()) else {
                return Err("`list` needs an action that lists".to_owned());
            };
            lie.check(shape).map_err(|why| format!("`{}` cannot have this `list`: {why}", self.action))?;
        }
        if self.nth == 0 {
            return Err("`nth` counts from 1".to_owned());
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("`status` is not between 200 and 599".to_owned());
        }
        if self.late_image.is_some() && self.action != CREATE {
            return Err("`late_image` needs the action `CreateImageByInstance`".to_owned());
        }
        if self.image.is_some() && self.action != CREATE && self.action != COPY {
            return Err(format!("`image` needs the action `{CREATE}` or `{COPY}`"));
        }
        if self.image_id.is_some() && self.action != CREATE {
            return Err(format!("`image_id` needs the action `{CREATE}`"));
        }
        if self.redirect.as_ref().is_some_and(|to| axum::http::header::HeaderValue::try_from(to).is_err()) {
            return Err("`redirect` is not an address that can be sent".to_owned());
        }
        if self.region.is_some() && self.action != COPY {
            return Err(format!("`region` needs the action `{COPY}`"));
        }
        for (name, value) in &self.headers {
            if axum::http::header::HeaderName::try_from(name).is_err()
                || axum::http::header::HeaderValue::try_from(value).is_err()
            {
                return Err(format!("`{name}` is not a header that can be sent"));
            }
        }
        let does_something = self.refuses()
            || self.delay.is_some()
            || self.drop.is_some()
            || self.body.is_some()
            || self.image_id.is_some()
            || self.list.is_some()
            || self.late_image.is_some()
            || self.image.is_some()
            || !self.headers.is_empty();
        if !does_something {
            return Err("it names nothing that the call meets".to_owned());
        }
        if !self.acts() && (self.image.is_some() || self.late_image.is_some()) {
            return Err("`image` and `late_image` need a call that acts: add `act = true`".to_owned());
        }
        Ok(())
    }
}

/// Durations as people write them: `30s`, `2m 5s`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => out.collect_str(&humantime::format_duration(*span)),
            None => out.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(input)?;
        crate::domain::time::length::length(&text).map(Some).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_and_only_as_many_as_asked_are_met() {
        let mut plan = FaultPlan::parse(
            "[[fault]]\naction = \"CreateImageByInstance\"\nnth = 2\ntimes = 2\ncode = \"InternalError\"",
        )
        .unwrap();
        let met: Vec<bool> = (0..4).map(|_| plan.strike(CREATE, &[], &[]).is_some()).collect();
        assert_eq!(met, [false, true, true, false]);
        assert_eq!(plan, FaultPlan::default());
    }

    #[test]
    fn other_actions_and_instances_do_not_count() {
        let mut plan = FaultPlan::parse(
            r#"{"fault":[{"action":"CreateImageByInstance","instance_id":"ecd-1","times":0,"drop":"after"}]}"#,
        )
        .unwrap();
        assert!(plan.strike("ListImage", &["ecd-1".to_owned()], &[]).is_none());
        assert!(plan.strike(CREATE, &["ecd-2".to_owned()], &[]).is_none());
        for _ in 0..5 {
            assert!(plan.strike(CREATE, &["ecd-1".to_owned()], &[]).is_some_and(|fault| fault.acts()));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = FaultPlan::parse("[[fault]]\naction = \"ListImage\"\ncoed = \"X\"").unwrap_err();
        let FaultPlanError::Toml(cause) = unknown else { panic!("{unknown:?}") };
        assert!(cause.to_string().contains("line 3"), "{cause}");
        let action = FaultPlan::parse("[[fault]]\naction = \"ListImages\"\ncode = \"X\"").unwrap_err();
        assert!(
            action.to_string().starts_with("fault 1 of the plan: there is no action `ListImages`; the simulator has ")
        );
    }

    #[test]
    fn an_error_does_not_act_unless_the_plan_has_act() {
        let acts = |keys: &str| {
            let mut plan = FaultPlan::parse(&format!("[[fault]]\naction = \"CreateImageByInstance\"\n{keys}")).unwrap();
            plan.strike(CREATE, &[], &[]).unwrap().acts()
        };
        assert!(!acts("code = \"InternalError\""));
        assert!(acts("code = \"InternalError\"\nact = true"));
        assert!(acts("code = \"InternalError\"\nlate_image = \"30s\""));
        assert!(acts("status = 502\nbody = \"not_json\""));
        assert!(!acts("status = 502\nbody = \"html\"\nact = false"));
        assert!(!acts("redirect = \"http://127.0.0.1:1/\""));
        assert!(acts("redirect = \"http://127.0.0.1:1/\"\nact = true"));
        assert!(acts("image_id = \"imgc-another\""));
        assert!(acts("delay = \"2s\""));
        assert!(!acts("drop = \"before\""));
    }
}
