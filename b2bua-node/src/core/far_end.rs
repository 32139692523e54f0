//! The agent is told whom a call has at its far end: it alone sees all nodes, and bounds how many
//! INVITEs with Replaces one far end owes an answer at a time (spec: X57).

use crate::core::NodeCore;
use bytes::Bytes;
use holdline_b2bua::CallKey;
use holdline_leg::{Passage, Signal};
use holdline_wire::header::{InstanceFarEnd, Name};

impl NodeCore {
    /// Adds to `answer`, which goes to the agent, who gave it: where its dialog's requests go, and
    /// what it says of itself.
    pub(super) fn name_far_end(&self, key: CallKey, answer: &mut Signal) {
        let far = self.calls.get(key).and_then(|call| call.far.as_ref());
        let (Some(dialog), Some(passage)) =
            (far.and_then(|far| far.dialog()), answer.passage_mut())
        else {
            return;
        };
        let address = dialog.next_hop().remote;
        let product = product_of(passage);
        let told = InstanceFarEnd::new(address, product, self.env.config.replaces_in_flight);
        let name = Bytes::from_static(Name::InstanceFarEnd.as_str().as_bytes());
        passage.headers.push((name, told.to_string().into()));
    }
}

/// What a UA says of itself in a response: Server (RFC 3261 20.35), which some put in User-Agent.
fn product_of(passage: &Passage) -> Option<&[u8]> {
    let value = |name: Name<'_>| {
        let mut headers = passage.headers.iter();
        let is = |header: &[u8]| header.eq_ignore_ascii_case(name.as_str().as_bytes());
        let found = headers.find(|(header, _)| is(header));
        found.map(|(_, value)| &value[..])
    };
    value(Name::Server).or_else(|| value(Name::UserAgent))
}
