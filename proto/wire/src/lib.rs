//! What goes over the wire, as pure functions of bytes and time: SIP framing, header views and
//! message building, transactions, dialogs, SDP, RTP and RTCP, the trunk document and the
//! [`record::DialogRecord`]. No socket, no clock, no thread.
//!
//! State machines here take the time as an argument and are drained by polling:
//! `handle(now, input)`, then `poll_output()` until it is empty, then `poll_deadline()`.

pub mod aging;
pub mod attempt;
pub mod build;
pub mod deadline;
pub mod dialog;
pub mod header;
pub mod machine;
pub mod message;
pub mod method;
pub mod record;
pub mod route;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod time;
pub mod token;
pub mod transaction;
pub mod transport;
pub mod trunk;
pub mod uri;

pub use message::Message;
pub use method::Method;
pub use route::response_destination;
pub use time::Time;
pub use transport::{Flow, Protocol, TransportKey};
