//! A call as a value: its names and values, and where each travels.
//!
//! App Streaming takes parameters in a form body, except for tags, which travel in the query. The cloud desktop calls
//! and the token service take everything in the query and have no body. Lists flatten to `Name.1`, `Name.2`, …; what is not set is not sent.

use serde::de::DeserializeOwned;

use crate::domain::api::codes::Idempotency;

/// Which service a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Product {
    /// App Streaming 2021-09-01: images and workstations, on one of two hosts.
    AppStreaming,
    /// Elastic Cloud Desktop 2020-09-30, on a host of each region.
    Desktops {
        /// The desktop's region, which names the host.
        region: String,
    },
    /// Security Token Service 2015-04-01: who the credentials belong to.
    Sts,
}

impl Product {
    /// `x-acs-version`.
    pub fn version(&self) -> &'static str {
        match self {
            Self::AppStreaming => "2021-09-01",
            Self::Desktops { .. } => "2020-09-30",
            Self::Sts => "2015-04-01",
        }
    }
}

/// An RPC request, not signed yet; all values decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcRequest {
    /// Service, version and host.
    pub product: Product,
    /// `x-acs-action`.
    pub action: &'static str,
    /// What a repetition would do.
    pub repeat: Idempotency,
    /// Parameters in the URL.
    pub query: Pairs,
    /// Parameters in the body; `None` means no body and no content type, unlike an empty form.
    pub form: Option<Pairs>,
    /// The longest answer that is read, in bytes.
    pub answer_limit: usize,
}

/// An answer about one thing is never longer.
const SMALL_ANSWER: usize = 1024 * 1024;
/// A page of a hundred images with all their lists is far shorter.
const LIST_ANSWER: usize = 8 * 1024 * 1024;

impl RpcRequest {
    /// An App Streaming call with a form, still empty.
    pub fn app_streaming(action: &'static str, repeat: Idempotency) -> Self {
        let form = Some(Pairs::default());
        Self {
            product: Product::AppStreaming,
            action,
            repeat,
            query: Pairs::default(),
            form,
            answer_limit: SMALL_ANSWER,
        }
    }

    /// A cloud desktop call with these parameters and its region, which every one of them asks for.
    pub fn desktops(action: &'static str, region: &str, parameters: Pairs) -> Self {
        let product = Product::Desktops { region: region.to_owned() };
        let query = parameters.text("RegionId", Some(region));
        Self { product, action, repeat: Idempotency::Idempotent, query, form: None, answer_limit: SMALL_ANSWER }
    }

    /// A token service call, which reads and takes no parameters.
    pub fn sts(action: &'static str) -> Self {
        let (product, repeat, query) = (Product::Sts, Idempotency::Idempotent, Pairs::default());
        Self { product, action, repeat, query, form: None, answer_limit: SMALL_ANSWER }
    }

    /// Whether it changes nothing in the cloud. What is not known to read counts as a change.
    pub fn only_reads(&self) -> bool {
        ["Describe", "Get", "List"].iter().any(|verb| self.action.starts_with(verb))
    }

    /// The same call with these parameters in its body.
    #[must_use]
    pub fn with_form(self, form: Pairs) -> Self {
        Self { form: Some(form), ..self }
    }

    /// The same call with this query.
    #[must_use]
    pub fn with_query(self, query: Pairs) -> Self {
        Self { query, ..self }
    }

    /// The same call, whose answer may be a long list.
    #[must_use]
    pub fn listing(self) -> Self {
        Self { answer_limit: LIST_ANSWER, ..self }
    }
}

/// One call of the API: how it is asked and how its answer is read.
pub trait CloudCall {
    /// What the answer holds.
    type Value: DeserializeOwned;

    /// The call as names and values.
    fn request(&self) -> RpcRequest;

    /// Finds the value in the whole JSON answer; an error where the documented shape is missing.
    fn value(answer: serde_json::Value) -> Result<Self::Value, serde_json::Error> {
        serde_json::from_value(answer)
    }
}

/// Names and values in the order of writing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The pairs themselves.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    /// Adds a text, where there is one.
    #[must_use]
    pub fn text(mut self, name: &str, value: Option<&str>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// Adds `true` or `false`, where it is set.
    #[must_use]
    pub fn flag(self, name: &str, value: Option<bool>) -> Self {
        self.text(name, value.map(|value| if value { "true" } else { "false" }))
    }

    /// Adds a decimal number, where there is one.
    #[must_use]
    pub fn number(self, name: &str, value: Option<impl Into<i64>>) -> Self {
        self.text(name, value.map(|value| value.into().to_string()).as_deref())
    }

    /// Adds `Name.1`, `Name.2`, …
    #[must_use]
    pub fn list<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.extend((1..).zip(values).map(|(n, value): (u32, _)| (format!("{name}.{n}"), value.to_owned())));
        self
    }

    /// Adds `TagList.1.Key`, `TagList.1.Value`, …
    #[must_use]
    pub fn tags<'a>(mut self, tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        for (n, (key, value)) in (1_u32..).zip(tags) {
            self.0.push((format!("TagList.{n}.Key"), key.clone()));
            self.0.push((format!("TagList.{n}.Value"), value.clone()));
        }
        self
    }
}
