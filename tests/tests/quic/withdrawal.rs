//! A QUIC service that few clients use is guarded by its probe: a whole handshake.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    netns::Namespace,
    topology::{Family, Lab, Site},
    withdrawal::clear_state,
};

use crate::endpoints::{Identity, Meets, QuicServer};

const PATIENT: Duration = Duration::from_secs(20);

fn endpoint(family: Family) -> SocketAddr {
    SocketAddr::new(family.service(), 443)
}

fn shaken_hands_with(family: Family) -> String {
    let name = match family {
        Family::V4 => "h3-4",
        Family::V6 => "h3-6",
    };
    format!(
        r#"
[[prefix.service]]
name = "{name}"
address = "{}"
port = 443
protocol = "udp"
probe = {{ quic = "{}", interval = "500ms", timeout = "500ms" }}
"#,
        family.service(),
        endpoint(family),
    )
}

fn serve(node: &Namespace, identity: &Identity) -> Result<Vec<QuicServer>> {
    Family::ALL
        .into_iter()
        .map(|family| QuicServer::start(node, endpoint(family), identity, Meets::AtOnce))
        .collect()
}

#[test]
fn server_that_shakes_no_hands_is_withdrawn_and_comes_back() -> Result<()> {
    let lab = Lab::start()?;
    let identity = Identity::new()?;
    let servers = serve(&lab.fra1.node, &identity)?;
    clear_state(&lab.fra1)?;
    let settings = Settings {
        services: shaken_hands_with,
        ..Settings::new()
    };
    let mut daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    drop(servers);
    for decision in daemon.journal().wait_decisions("withdrawn", PATIENT)? {
        println!("{}", decision.text("sentence"));
        ensure!(decision.text("cause") == "probe", "{decision:?}");
    }
    let _servers = serve(&lab.fra1.node, &identity)?;
    daemon.journal().wait_decisions("full", PATIENT)?;
    lab.wait_announced(Site::Fra1)
}
