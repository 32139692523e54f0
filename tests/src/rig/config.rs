//! The configuration files of a rig, as an operator would write them.

use super::{Block, NODES};
use std::path::Path;

/// The agent's.
pub fn agent(block: &Block, dir: &Path) -> String {
    let (sip, http, source) = (block.agent_sip(), block.agent_http(), block.node_http(0));
    let (allow, address) = (block.allow(), sip.ip());
    let dir = dir.display();
    format!(
        r#"[sip]
listen = ["udp:{sip}"]
allow = ["{allow}"]

[media]
mode = "relay"
address = "{address}"
ports = "20000-29999"

[http]
listen = "{http}"

[[trunk]]
name = "demo"
config = "http://{source}/trunk"
state_dir = "{dir}"
"#
    )
}

/// That of node `n`, from 0.
pub fn node(block: &Block, n: usize, dir: &Path) -> String {
    let (sip, http, agent) = (
        block.node_sip(n),
        block.node_http(n),
        block.agent_sip().ip(),
    );
    let (address, callee, source) = (sip.ip(), block.callee(), block.node_http(0));
    let instances: Vec<String> = (0..NODES)
        .map(|n| format!("  {{ address = \"{}\" }},\n", block.node_sip(n)))
        .collect();
    let (instances, dir) = (instances.concat(), dir.display());
    format!(
        r#"[node]
capacity = 500

[sip]
listen = ["udp:{sip}"]

[media]
address = "{address}"
ports = "20000-29999"

[http]
listen = "{http}"

[upstream]
allow = ["{agent}/32"]

[downstream]
target = "sip:{callee}"

[store]
url = "sqlite://{dir}/dialogs.db"

[trunk]
name = "demo.example"
uri = "http://{source}/trunk"
instances = [
{instances}]
"#
    )
}
