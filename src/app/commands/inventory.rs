//! The instances of the account: both kinds in one type.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream::FuturesOrdered};

use crate::{
    adapters::cloud::{
        CloudClient, Readable,
        actions::{DescribeDesktops, Desktop, ListWuyingServer, MachineStatus, Server},
    },
    domain::{
        api::{call::ApiError, instance_state::InstanceType},
        ids::InstanceId,
    },
};

/// Maximum number of ids per call.
const AT_ONCE: usize = 100;

/// An instance in a list of the cloud.
#[derive(Debug, Clone)]
pub struct Machine {
    pub id: InstanceId,
    pub kind: InstanceType,
    pub name: Option<String>,
    pub region: String,
    pub status: MachineStatus,
    /// Whether nobody can connect to a cloud desktop.
    pub in_maintenance: bool,
    /// Sessions of a workstation; `None`: it is listed without them.
    pub sessions: Option<Vec<String>>,
}

impl Machine {
    fn workstation(server: Server, region: &str) -> Self {
        Self {
            sessions: server.session_ids(),
            id: server.id,
            kind: InstanceType::WuyingServer,
            name: server.name,
            region: server.biz_region_id.unwrap_or_else(|| region.to_owned()),
            status: server.status,
            in_maintenance: false,
        }
    }

    fn desktop(desktop: Desktop, region: &str) -> Self {
        Self {
            in_maintenance: desktop.is_in_maintenance(),
            id: desktop.id,
            kind: InstanceType::CloudDesktop,
            name: desktop.name,
            region: region.to_owned(),
            status: desktop.status,
            sessions: None,
        }
    }

    /// Deleted ones stay listed for a while.
    fn is_there(&self) -> bool {
        !self.status.as_str().eq_ignore_ascii_case("deleted")
    }
}

/// Name of the kind.
pub fn kind_label(kind: InstanceType) -> &'static str {
    match kind {
        InstanceType::CloudDesktop => "cloud desktop",
        InstanceType::WuyingServer => "workstation",
    }
}

/// One list of the account's instances.
pub struct Listed {
    pub kind: InstanceType,
    pub region: String,
    pub machines: Result<Vec<Machine>, ApiError>,
}

impl Listed {
    /// Its content.
    pub fn what(&self) -> String {
        match self.kind {
            InstanceType::CloudDesktop => format!("cloud desktops of {}", self.region),
            InstanceType::WuyingServer => "workstations".to_owned(),
        }
    }
}

/// All instances of a kind: workstations of all regions, cloud desktops of `region`, without those of pools. Unreadable rows
/// are left out, see [`CloudClient::damaged_answers`].
async fn list(cloud: &CloudClient, kind: InstanceType, region: &str) -> Result<Vec<Machine>, ApiError> {
    let machines: Vec<Machine> = match kind {
        InstanceType::WuyingServer => {
            let servers = cloud.list_readable(&ListWuyingServer::default()).await?;
            servers.rows.into_iter().map(|server| Machine::workstation(server, region)).collect()
        }
        InstanceType::CloudDesktop => {
            let filter = DescribeDesktops { region: region.to_owned(), ..DescribeDesktops::default() };
            let desktops = cloud.list_readable(&filter).await?;
            desktops.rows.into_iter().map(|desktop| Machine::desktop(desktop, region)).collect()
        }
    };
    Ok(machines.into_iter().filter(Machine::is_there).collect())
}

/// The lists of the account: the workstations (in the region `home` if none is given), and the cloud desktops of each
/// of `regions`. Each may fail separately.
pub async fn list_all(cloud: &CloudClient, home: &str, regions: &BTreeSet<String>) -> Vec<Listed> {
    let workstations = (InstanceType::WuyingServer, home);
    let desktops = regions.iter().map(|region| (InstanceType::CloudDesktop, region.as_str()));
    let lists: FuturesOrdered<_> = std::iter::once(workstations)
        .chain(desktops)
        .map(async |(kind, region)| Listed {
            kind,
            region: region.to_owned(),
            machines: list(cloud, kind, region).await,
        })
        .collect();
    lists.collect().await
}

/// Existing instances of `ids`, requested as a bake does, and why rows of others are unreadable: one that is missing may be
/// among them.
pub async fn find(
    cloud: &CloudClient,
    kind: InstanceType,
    region: &str,
    ids: &[InstanceId],
) -> Result<Readable<Machine>, ApiError> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    // Never without ids, which would list the whole account.
    for ids in ids.chunks(AT_ONCE) {
        let size = u32::try_from(AT_ONCE).ok();
        match kind {
            InstanceType::WuyingServer => {
                let request = ListWuyingServer { ids: ids.to_vec(), page_size: size, ..ListWuyingServer::default() };
                let servers = cloud.readable_servers(&request).await?;
                unreadable.extend(servers.unreadable);
                found.extend(servers.rows.into_iter().map(|server| Machine::workstation(server, region)));
            }
            InstanceType::CloudDesktop => {
                let request = DescribeDesktops {
                    region: region.to_owned(),
                    ids: ids.to_vec(),
                    max_results: size,
                    next_token: None,
                    ..DescribeDesktops::default()
                };
                let desktops = cloud.readable_desktops(&request).await?;
                unreadable.extend(desktops.unreadable);
                found.extend(desktops.rows.into_iter().map(|desktop| Machine::desktop(desktop, region)));
            }
        }
    }
    found.retain(|machine: &Machine| machine.is_there() && ids.contains(&machine.id));
    Ok(Readable { rows: found, unreadable })
}
