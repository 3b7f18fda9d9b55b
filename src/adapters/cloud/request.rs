//! Requests: names and values of a call, and where each is sent.
//!
//! App Streaming takes parameters in a form body, except for tags, which are in the query. The cloud desktop calls and
//! the token service take everything in the query and have no body. Lists are flattened to `Name.1`, `Name.2`, …; unset
//! values are omitted.

use serde::de::DeserializeOwned;

use crate::domain::api::codes::Idempotency;

/// Service of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Product {
    /// App Streaming 2021-09-01: images and workstations, on one of two hosts.
    AppStreaming,
    /// Elastic Cloud Desktop 2020-09-30, on a host of each region.
    Desktops {
        /// Region of the desktop, part of the host name.
        region: String,
    },
    /// Security Token Service 2015-04-01: owner of the credentials.
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

/// An unsigned RPC request; all values are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcRequest {
    /// Service, version and host.
    pub product: Product,
    /// `x-acs-action`.
    pub action: &'static str,
    /// Effect of a repetition.
    pub repeat: Idempotency,
    /// Parameters in the URL.
    pub query: Pairs,
    /// Parameters in the body; `None` means no body and no content type, unlike an empty form.
    pub form: Option<Pairs>,
    /// Maximum size of the response, in bytes.
    pub answer_limit: usize,
}

/// Maximum size of a response about one object.
const SMALL_ANSWER: usize = 1024 * 1024;
/// Maximum size of a page of a hundred images with all their lists.
const LIST_ANSWER: usize = 8 * 1024 * 1024;

impl RpcRequest {
    /// An App Streaming call with an empty form.
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

    /// A cloud desktop call with these parameters and its region, which every one of them needs.
    pub fn desktops(action: &'static str, region: &str, parameters: Pairs) -> Self {
        let product = Product::Desktops { region: region.to_owned() };
        let query = parameters.text("RegionId", Some(region));
        Self { product, action, repeat: Idempotency::Idempotent, query, form: None, answer_limit: SMALL_ANSWER }
    }

    /// A token service call without parameters.
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

    /// The same call with the size limit of a long list.
    #[must_use]
    pub fn listing(self) -> Self {
        Self { answer_limit: LIST_ANSWER, ..self }
    }
}

/// A call of the API: its request and the parser of its response.
pub trait CloudCall {
    /// Parsed response.
    type Value: DeserializeOwned;

    /// The call as names and values.
    fn request(&self) -> RpcRequest;

    /// Extracts the value from the JSON response; an error if the documented structure is missing.
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
