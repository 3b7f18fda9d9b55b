//! Users of images besides instances: delivery groups, pools, bundles and templates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kinds of users that the controls add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SimUserKind {
    /// A delivery group (`aig-…`).
    Group,
    /// A desktop pool (`dg-…`).
    Pool,
    /// A bundle (`b-…`).
    Bundle,
    /// A template of cloud desktops (`t-…`).
    Template,
}

/// A user in a control; an empty image removes the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserSpec {
    #[serde(alias = "group_id", alias = "pool_id", alias = "bundle_id", alias = "template_id")]
    pub(super) id: String,
    /// An id of an image, of either service.
    pub(super) image_id: String,
    /// Name of the image in lists; the image's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_name: Option<String>,
    /// Listed in this region only; in all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    /// A bundle for several sessions, which lists omit by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) multi_session: bool,
}

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Users {
    #[serde(default)]
    groups: BTreeMap<String, UserSpec>,
    #[serde(default)]
    pools: BTreeMap<String, UserSpec>,
    #[serde(default)]
    bundles: BTreeMap<String, UserSpec>,
    #[serde(default)]
    templates: BTreeMap<String, UserSpec>,
}

impl Users {
    fn of_kind(&self, kind: SimUserKind) -> &BTreeMap<String, UserSpec> {
        match kind {
            SimUserKind::Group => &self.groups,
            SimUserKind::Pool => &self.pools,
            SimUserKind::Bundle => &self.bundles,
            SimUserKind::Template => &self.templates,
        }
    }

    fn of_kind_mut(&mut self, kind: SimUserKind) -> &mut BTreeMap<String, UserSpec> {
        match kind {
            SimUserKind::Group => &mut self.groups,
            SimUserKind::Pool => &mut self.pools,
            SimUserKind::Bundle => &mut self.bundles,
            SimUserKind::Template => &mut self.templates,
        }
    }

    /// Adds or removes one.
    pub(super) fn put(&mut self, kind: SimUserKind, spec: UserSpec) {
        let users = self.of_kind_mut(kind);
        if spec.image_id.is_empty() {
            users.remove(&spec.id);
        } else {
            users.insert(spec.id.clone(), spec);
        }
    }

    /// Users of one kind, by their ids.
    pub(super) fn list(&self, kind: SimUserKind) -> impl Iterator<Item = &UserSpec> {
        self.of_kind(kind).values()
    }

    /// Templates are deleted with their image.
    pub(super) fn drop_templates(&mut self, image_ids: &[String]) {
        self.templates.retain(|_, template| !image_ids.contains(&template.image_id));
    }
}
