//! Hosts of calls.
//!
//! App Streaming has two hosts: images are centralised, and a machine in cn-hangzhou is managed through cn-shanghai.
//! The cloud desktop API has a host in every region, the token service one for all regions. A configured endpoint
//! overrides each of them, that of the desktops for one region or for all.

use std::collections::BTreeMap;

use super::request::Product;
pub use crate::domain::api::endpoint::{Endpoint, EndpointError};

/// The token service, for accounts of every region.
const STS_HOST: &str = "sts.aliyuncs.com";

/// Hosts of all products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    app_streaming: Endpoint,
    desktops: Option<Endpoint>,
    /// Where it is overridden for one region.
    desktops_by_region: BTreeMap<String, Endpoint>,
    /// Where the token service is overridden.
    tokens: Option<Endpoint>,
    /// Where it is not.
    own_tokens: Endpoint,
}

impl Endpoints {
    /// Resolves the hosts; the overrides are as in [`super::CloudOptions`].
    ///
    /// # Errors
    ///
    /// `EndpointError` if an address or the region is invalid.
    pub fn new(
        region: &str,
        endpoint: Option<&str>,
        ecd_endpoint: Option<&str>,
        sts_endpoint: Option<&str>,
    ) -> Result<Self, EndpointError> {
        let app_streaming = match endpoint {
            Some(text) => Endpoint::parse(text)?,
            None => Endpoint::parse(app_streaming_host(region))?,
        };
        let desktops = match ecd_endpoint {
            Some(text) => Some(Endpoint::parse(text)?),
            // A simulator serves both products; a real App Streaming host does not.
            None => app_streaming.is_loopback().then(|| app_streaming.clone()),
        };
        let tokens = match sts_endpoint {
            Some(text) => Some(Endpoint::parse(text)?),
            None => app_streaming.is_loopback().then(|| app_streaming.clone()),
        };
        let desktops_by_region = BTreeMap::new();
        Ok(Self { app_streaming, desktops, desktops_by_region, tokens, own_tokens: Endpoint::parse(STS_HOST)? })
    }

    /// The same hosts, with these of the desktop service for single regions.
    ///
    /// # Errors
    ///
    /// `EndpointError` if an address is invalid.
    pub fn with_regions(self, by_region: &BTreeMap<String, String>) -> Result<Self, EndpointError> {
        let parsed = by_region.iter().map(|(region, text)| Ok((region.clone(), Endpoint::parse(text)?)));
        Ok(Self { desktops_by_region: parsed.collect::<Result<_, EndpointError>>()?, ..self })
    }

    /// The same hosts, with the token service of a region.
    ///
    /// # Errors
    ///
    /// `EndpointError` if the region is invalid.
    pub fn with_sts_region(self, region: Option<&str>, in_vpc: bool) -> Result<Self, EndpointError> {
        Ok(Self { own_tokens: Endpoint::parse(&sts_host(region, in_vpc)?)?, ..self })
    }

    /// The host of the token service, where it is overridden.
    pub fn tokens(&self) -> Option<&Endpoint> {
        self.tokens.as_ref()
    }

    /// The host of a call of this product.
    ///
    /// # Errors
    ///
    /// `EndpointError` if an address or the region is invalid.
    pub fn of(&self, product: &Product) -> Result<Endpoint, EndpointError> {
        if let Product::Desktops { region } = product
            && let Some(endpoint) = self.desktops_by_region.get(region)
        {
            return Ok(endpoint.clone());
        }
        match (product, &self.desktops) {
            (Product::AppStreaming, _) => Ok(self.app_streaming.clone()),
            (Product::Sts, _) => Ok(self.tokens.as_ref().unwrap_or(&self.own_tokens).clone()),
            (Product::Desktops { .. }, Some(desktops)) => Ok(desktops.clone()),
            (Product::Desktops { region }, None) if is_region(region) => {
                Endpoint::parse(&format!("ecd.{region}.aliyuncs.com"))
            }
            (Product::Desktops { region }, None) => Err(EndpointError::NotARegion(region.clone())),
        }
    }
}

/// Mainland China is served from Shanghai; everywhere else, Hong Kong included, from Singapore.
fn app_streaming_host(region: &str) -> &'static str {
    if region.starts_with("cn-") && region != "cn-hongkong" {
        "appstream-center.cn-shanghai.aliyuncs.com"
    } else {
        "appstream-center.ap-southeast-1.aliyuncs.com"
    }
}

/// Host of the token service: one for all regions, or that of a region, which may be reached inside a VPC only.
pub fn sts_host(region: Option<&str>, in_vpc: bool) -> Result<String, EndpointError> {
    match region {
        None => Ok(STS_HOST.to_owned()),
        Some(region) if is_region(region) => {
            Ok(format!("sts{}.{region}.aliyuncs.com", if in_vpc { "-vpc" } else { "" }))
        }
        Some(region) => Err(EndpointError::NotARegion(region.to_owned())),
    }
}

fn is_region(region: &str) -> bool {
    !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(region: &str, endpoint: Option<&str>, ecd: Option<&str>) -> (String, String) {
        let endpoints = Endpoints::new(region, endpoint, ecd, None).unwrap();
        let desktops = Product::Desktops { region: "cn-hangzhou".to_owned() };
        (endpoints.of(&Product::AppStreaming).unwrap().url(""), endpoints.of(&desktops).unwrap().url(""))
    }

    #[test]
    fn two_hosts_serve_all_regions() {
        let shanghai = "https://appstream-center.cn-shanghai.aliyuncs.com/";
        let singapore = "https://appstream-center.ap-southeast-1.aliyuncs.com/";
        for (region, host) in [
            ("cn-hangzhou", shanghai),
            ("cn-shanghai-finance-1", shanghai),
            ("cn-hongkong", singapore),
            ("us-west-1", singapore),
        ] {
            assert_eq!(
                hosts(region, None, None),
                (host.to_owned(), "https://ecd.cn-hangzhou.aliyuncs.com/".to_owned())
            );
        }
    }

    #[test]
    fn an_explicit_endpoint_wins_and_a_simulator_serves_both() {
        let ecd = "https://ecd.cn-hangzhou.aliyuncs.com/".to_owned();
        assert_eq!(hosts("x", Some("Proxy.example:8443"), None), ("https://proxy.example:8443/".to_owned(), ecd));
        let simulator = "http://127.0.0.1:9000/".to_owned();
        assert_eq!(hosts("x", Some("http://127.0.0.1:9000/"), None), (simulator.clone(), simulator.clone()));
        let sts = |endpoint| Endpoints::new("x", endpoint, None, None).unwrap().of(&Product::Sts).unwrap().url("");
        assert_eq!((sts(None), sts(Some(&simulator))), ("https://sts.aliyuncs.com/".to_owned(), simulator.clone()));
        let other = "https://e.example/".to_owned();
        assert_eq!(hosts("x", Some(&simulator), Some("e.example:443")), (simulator, other));
    }

    #[test]
    fn one_region_may_have_its_own_host_of_the_desktop_service() {
        let by_region = BTreeMap::from([("cn-beijing".to_owned(), "https://ecd.vpc.example".to_owned())]);
        let host = |ecd, region: &str| {
            let endpoints = Endpoints::new("cn-shanghai", None, ecd, None).unwrap().with_regions(&by_region).unwrap();
            endpoints.of(&Product::Desktops { region: region.to_owned() }).unwrap().url("")
        };
        assert_eq!(host(None, "cn-beijing"), "https://ecd.vpc.example/");
        assert_eq!(host(None, "cn-shanghai"), "https://ecd.cn-shanghai.aliyuncs.com/");
        assert_eq!(host(Some("all.example"), "cn-beijing"), "https://ecd.vpc.example/");
        assert_eq!(host(Some("all.example"), "cn-shanghai"), "https://all.example/");
    }

    #[test]
    fn the_token_service_has_hosts_for_regions_and_vpcs() {
        let host = |region, in_vpc| sts_host(region, in_vpc);
        assert_eq!(host(None, true), Ok("sts.aliyuncs.com".to_owned()));
        assert_eq!(host(Some("cn-beijing"), false), Ok("sts.cn-beijing.aliyuncs.com".to_owned()));
        assert_eq!(host(Some("cn-beijing"), true), Ok("sts-vpc.cn-beijing.aliyuncs.com".to_owned()));
        assert!(host(Some("evil.example/"), false).is_err());
        let own = Endpoints::new("x", Some("http://127.0.0.1:1"), None, Some("https://sts.example")).unwrap();
        assert_eq!(own.of(&Product::Sts).unwrap().url(""), "https://sts.example/");
    }

    #[test]
    fn a_region_gives_a_host_only_if_it_is_well_formed() {
        let bad = Product::Desktops { region: "evil.example/".to_owned() };
        assert!(Endpoints::new("cn-shanghai", None, None, None).unwrap().of(&bad).is_err());
    }
}
