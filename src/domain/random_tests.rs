//! How many cases a random test tries.

use proptest::prelude::ProptestConfig;

/// `usual` cases, or as many as `PROPTEST_CASES` asks for.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if is_asked { asked.cases } else { usual };
    // By default the number of cases that may be set aside does not grow with that of the others.
    ProptestConfig { cases, max_global_rejects: asked.max_global_rejects.max(cases.saturating_mul(4)), ..asked }
}
