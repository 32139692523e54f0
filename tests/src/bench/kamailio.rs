//! Kamailio as a peer: the least stateful relay that keeps the dialog's path.

use super::stand::{Stand, text};
use crate::failure::Error;
use std::net::SocketAddr;
use std::path::Path;

/// Where Debian has it.
const PROGRAM: &str = "/usr/sbin/kamailio";

/// What every SIP proxy for trunks does at least: loops are ended, requests within dialogs follow
/// their Route, the first request records one, and transactions are kept.
const ROUTING: &str = r#"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"

request_route {
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (has_totag()) {
        if (loose_route()) {
            t_relay();
        } else if (is_method("ACK") && t_check_trans()) {
            t_relay();
        } else if (!is_method("ACK")) {
            sl_send_reply("404", "Not here");
        }
        exit;
    }
    if (is_method("CANCEL")) {
        if (t_check_trans()) {
            t_relay();
        }
        exit;
    }
    t_check_trans();
    if (is_method("INVITE")) {
        record_route();
    }
    if (!t_relay()) {
        sl_reply_error();
    }
}
"#;

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio;

impl Kamailio {
    /// The name under which a stand runs it.
    pub const NAME: &str = "kamailio";

    /// Starts it at the stand's agent address; `None` where it is not installed.
    pub fn start(stand: &Stand) -> Result<Option<SocketAddr>, Error> {
        if !Path::new(PROGRAM).exists() {
            return Ok(None);
        }
        let address = stand.block.agent_sip();
        let dir = stand.dir();
        let config = dir.join("kamailio.cfg");
        let head = format!(
            "#!KAMAILIO\ndebug=1\nlog_stderror=yes\nchildren=1\ndisable_tcp=yes\n\
             auto_aliases=no\nlisten=udp:{address}\n"
        );
        std::fs::write(&config, head + ROUTING)?;
        // In the foreground, one worker; the allocator that it is fastest with; 512 MiB shared.
        let arguments = [
            "-f",
            text(&config)?,
            "-DD",
            "-E",
            "-x",
            "tlsf",
            "-X",
            "tlsf",
        ];
        let runtime = ["-m", "512", "-M", "32", "-Y", text(dir)?];
        stand.launch(
            Self::NAME,
            Path::new(PROGRAM),
            &[&arguments[..], &runtime].concat(),
        )?;
        stand.wait("kamailio listens", || {
            std::net::UdpSocket::bind(address).is_err()
        })?;
        // A little longer than the bind: its worker is forked after it.
        std::thread::sleep(std::time::Duration::from_millis(500));
        Ok(Some(address))
    }
}
