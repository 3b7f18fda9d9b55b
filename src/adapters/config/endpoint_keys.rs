//! Addresses of the cloud's services: one, or one for each region.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{
    key::Kind,
    reader::{Diagnostics, Item},
    region_keys::{filled, region_at},
};
use crate::domain::api::{
    endpoint::{Endpoint, EndpointError},
    regions::REGIONS,
};

/// Regions with a public host of the image service.
const IMAGE_HOSTS: [&str; 2] = ["cn-shanghai", "ap-southeast-1"];

/// Pattern of [`endpoint`].
pub(super) const ENDPOINT: &str = "^(https?://)?[A-Za-z0-9.:\\[\\]-]+/?$";

/// Reads an address: `https://…`, a host name, or `http://…` on loopback.
pub(super) fn endpoint(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = filled(item, out)?;
    let scheme = text.split_once("://").map_or("https", |(scheme, _)| scheme);
    let (code, message, hint) = match Endpoint::parse(&text) {
        Ok(endpoint) => {
            warn_of_unknown_host(&endpoint, item, out);
            return Some(text);
        }
        Err(EndpointError::NotEncrypted(_)) => {
            let hint = format!("write `https://{}`", text.trim_start_matches("http://").trim_end_matches('/'));
            ("insecure-endpoint", "http is allowed on loopback addresses only".to_owned(), hint)
        }
        Err(_) if text.contains('@') => {
            let hint = "write the host alone: calls are signed with the access key; and change the password, which others may \
                        have seen"
                .to_owned();
            ("secret-in-file", "an address has no user and no password here".to_owned(), hint)
        }
        Err(_) if !["http", "https"].contains(&scheme) => {
            let hint = "write `https://host` or the bare host".to_owned();
            ("bad-endpoint", format!("`{scheme}` is not a scheme of this API"), hint)
        }
        Err(_) => {
            let address = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).unwrap_or(&text);
            let hint =
                "a host and maybe a port, without a path: `appstream-center.cn-shanghai.aliyuncs.com`".to_owned();
            // A query may be a secret.
            let shown = match address.split_once(['?', '#']) {
                Some((before, _)) => format!("{before}?…"),
                None => address.strip_suffix('/').unwrap_or(address).to_owned(),
            };
            ("bad-endpoint", format!("`{shown}` is not a host"), hint)
        }
    };
    out.error(item.mark, code, message, Some(hint));
    None
}

/// Warns of a region's host of the image service that there is not.
fn warn_of_unknown_host(endpoint: &Endpoint, item: Item<'_, '_>, out: &mut Diagnostics) {
    let name = endpoint.authority().split(':').next().unwrap_or_default();
    if let Some(region) = name.strip_prefix("appstream-center.").and_then(|rest| rest.strip_suffix(".aliyuncs.com"))
        && REGIONS.contains(&region)
        && !IMAGE_HOSTS.contains(&region)
    {
        let message = format!("the image service has no public host in {region}");
        let hint =
            "its hosts are in cn-shanghai and ap-southeast-1, for instances of all regions: leave `endpoint` out";
        out.warning(item.mark, "unknown-endpoint", message, Some(hint.into()));
    }
}

/// Reads the address of the metadata service; the usual one is the only one outside of this host without TLS.
pub(super) fn metadata_endpoint(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let usual = "http://100.100.100.200";
    if item.value.as_str() == Some(usual) { Some(usual.to_owned()) } else { endpoint(item, out) }
}

/// Reads addresses by region; a variable has `REGION=ADDRESS`, and commas between them.
pub(super) fn endpoints_by_region(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut sound = true;
    let mut take = |region: &str, mark, address: Item<'_, '_>, out: &mut Diagnostics| {
        let is_region = region_at(region, mark, out);
        match endpoint(address, out).filter(|_| is_region) {
            Some(address) => drop(all.insert(region.to_owned(), address)),
            None => sound = false,
        }
    };
    if let Some(text) = item.value.as_str().filter(|_| item.mark.source.untyped) {
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((region, address)) = pair.split_once('=') else {
                let hint = Some("write `cn-shanghai=https://HOST`, with commas between several".into());
                out.error(item.mark, "bad-value", format!("`{pair}` is not a region and its address"), hint);
                return None;
            };
            let address = DeValue::String(address.trim().into());
            take(region.trim(), item.mark, Item { value: &address, mark: item.mark }, out);
        }
    } else {
        for (region, address) in item.table_of("ecd_endpoints", "a table of addresses by region", out)? {
            let mark = item.mark.source.mark(region.span());
            take(region.get_ref(), mark, Item::new(item.mark.source, address), out);
        }
    }
    sound.then_some(all)
}

pub(super) fn endpoints_by_region_kind() -> Kind {
    Kind::Named { of: Kind::Text(ENDPOINT).into(), max: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::config::load;

    fn check(cloud: &str, variables: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        let schedule = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\n";
        std::fs::write(&path, format!("{cloud}\n{schedule}")).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match load(&path, &variables) {
            Ok(loaded) if loaded.warnings.0.is_empty() => Ok(loaded.config.cloud.ecd_endpoints),
            Ok(loaded) => Err(loaded.warnings.render(false)),
            Err(problems) => Err(problems.render(false)),
        }
    }

    #[test]
    fn each_region_has_its_address() {
        let wanted = BTreeMap::from([
            ("cn-beijing".to_owned(), "http://127.0.0.1:8480".to_owned()),
            ("cn-shanghai".to_owned(), "https://ecd.example".to_owned()),
        ]);
        let table = "[cloud.ecd_endpoints]\ncn-shanghai = \"https://ecd.example\"\n\"cn-beijing\" = \"http://127.0.0.1:8480\"\n";
        assert_eq!(check(table, &[]), Ok(wanted.clone()));
        let variable = "cn-shanghai=https://ecd.example, cn-beijing=http://127.0.0.1:8480";
        assert_eq!(check("", &[("IMAGEBAKED_CLOUD__ECD_ENDPOINTS", variable)]), Ok(wanted));
    }

    #[test]
    fn a_region_or_an_address_that_cannot_be_is_named_at_its_place() {
        for (entry, wanted) in [
            ("cn-shangai = \"https://ecd.example\"", "did you mean `cn-shanghai`?"),
            ("\"cn beijing\" = \"https://ecd.example\"", "`cn beijing` is not a region"),
            ("cn-beijing = \"http://ecd.example\"", "http is allowed on loopback addresses only"),
            ("cn-beijing = \"https://ecd.example/path\"", "is not a host"),
            ("cn-beijing = 3", "expected a string"),
        ] {
            let found = check(&format!("[cloud.ecd_endpoints]\n{entry}\n"), &[]).unwrap_err();
            assert!(found.contains(wanted) && found.contains(":2:"), "{found}");
        }
        let found = check("[cloud]\necd_endpoints = \"https://ecd.example\"\n", &[]).unwrap_err();
        assert!(found.contains("{ cn-shanghai = \"https://ecd.example\" }"), "{found}");
        let found = check("", &[("IMAGEBAKED_CLOUD__ECD_ENDPOINTS", "https://ecd.example")]).unwrap_err();
        assert!(found.contains("is not a region and its address"), "{found}");
    }
}
