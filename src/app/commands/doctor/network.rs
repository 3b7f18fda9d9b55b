//! Checks of what the environment names for calls: the proxy and the trusted authorities.

use super::{
    daemon_user::{Access, DaemonUser},
    report::{Check, DoctorReport},
};
use crate::{
    adapters::cloud::{Authorities, CloudClient, CloudError},
    app::commands::context::Context,
    domain::error::chain,
};

const VARIABLES: &str = "docs/network.md has the variables; the service has its own environment";

/// Adds what is wrong with the settings of calls.
pub(super) fn unusable(error: &CloudError, report: &mut DoctorReport) {
    let found = chain(error);
    report.add(match error {
        CloudError::Proxy(_) => Check::fail("proxy", found, VARIABLES),
        CloudError::Authorities(_) => Check::fail("certificates", found, VARIABLES),
        CloudError::Http(_) => {
            let advice = "install the package ca-certificates, or name a file of certificates by SSL_CERT_FILE";
            Check::fail("certificates", found, advice)
        }
        CloudError::Endpoint(_) => Check::fail("cloud", found, "check `endpoint` of [cloud]"),
    });
}

/// Adds the proxy and the authorities that are in use. Without them there is nothing to report.
pub(super) fn examine(
    context: &Context<'_>,
    daemon: Option<&DaemonUser>,
    cloud: &CloudClient,
    report: &mut DoctorReport,
) {
    report.add_all(cloud.proxy().map(|proxy| {
        let found = format!("encrypted calls go through {proxy}");
        let void = cloud.void_exceptions();
        if void.is_empty() {
            return Check::ok("proxy", found);
        }
        let found = format!("{found}; no host matches these entries of NO_PROXY: {}", void.join(", "));
        Check::warn("proxy", found, "an entry is a domain, an address, a network or `*`, without a port")
    }));
    // They could be read a moment ago.
    if let Ok(Some(authorities)) = Authorities::read(|name| context.environment.get(name).cloned()) {
        report.add(certificates(daemon, &authorities));
    }
}

fn certificates(daemon: Option<&DaemonUser>, authorities: &Authorities) -> Check {
    let name = "certificates";
    let count = authorities.count();
    let plural = if count == 1 { "authority is" } else { "authorities are" };
    let found = format!("{count} {plural} trusted, from {}", authorities.source());
    if let (Some(file), Some(daemon)) = (authorities.file(), daemon)
        && let Some(closed) = daemon.obstacle(file, Access::Read)
    {
        let found = format!("the daemon ({}) cannot read {}", daemon.label(), file.display());
        let mode = if closed.is_dir() { "a+x" } else { "0644" };
        return Check::warn(name, found, format!("chmod {mode} {}", closed.display()));
    }
    Check::ok(name, found)
}
