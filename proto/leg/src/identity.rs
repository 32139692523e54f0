//! What a leg says of itself in the messages that it makes.

use holdline_wire::build::Builder;
use holdline_wire::header::Name;

/// The headers that a program puts on every message of a leg: its Contact, and on the node's
/// upstream side its utilization and incarnation (spec: D33, X39).
#[derive(Clone, Debug, Default)]
pub struct Stamp {
    /// Our Contact value: `<sip:127.0.0.1:5060>`.
    pub contact: Box<str>,
    /// Headers on every response.
    pub on_responses: Vec<(Name<'static>, String)>,
}

impl Stamp {
    /// Puts the response headers on `builder`.
    pub fn mark(&self, mut builder: Builder) -> Builder {
        for (name, value) in &self.on_responses {
            builder = builder.header(*name, value);
        }
        builder
    }
}
