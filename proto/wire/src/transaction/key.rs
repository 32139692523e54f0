//! What a transaction is found by (RFC 3261 17.1.3 and 17.2.3), as one compact owned key.

use crate::header::Via;
use crate::message::Message;
use crate::method::Method;

/// The start of a branch that RFC 3261 peers make (section 8.1.1.7).
const COOKIE: &str = "z9hG4bK";

/// Branch, sent-by and method; for RFC 2543 peers the headers of 17.2.3 instead. The parts carry
/// their lengths, so two different transactions never share a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Box<[u8]>);

impl Key {
    /// The client transaction that `message` (our request, or a response to it) belongs to.
    pub fn client(message: &Message) -> Key {
        Key::by_branch(&message.top_via(), &message.cseq().method)
    }

    /// The server transaction of a request other than ACK.
    pub fn server(request: &Message) -> Key {
        Key::of_request(
            request,
            request.method(),
            request.to_tag().unwrap_or_default(),
        )
    }

    /// The INVITE's server transaction that a CANCEL (9.2) or an ACK names.
    pub fn of_invite(request: &Message) -> Key {
        Key::of_request(
            request,
            &Method::Invite,
            request.to_tag().unwrap_or_default(),
        )
    }

    /// Where the ACK of an RFC 2543 peer finds an INVITE that opened a dialog: that one had no To
    /// tag yet. `None` for any other peer.
    pub fn of_opening_invite(ack: &Message) -> Option<Key> {
        let without_branch = !has_cookie(ack.top_via().branch);
        without_branch.then(|| Key::of_request(ack, &Method::Invite, ""))
    }

    fn of_request(request: &Message, method: &Method, to_tag: &str) -> Key {
        let via = request.top_via();
        if has_cookie(via.branch) {
            return Key::by_branch(&via, method);
        }
        let number = request.cseq().number.to_be_bytes();
        let method_line = [method.as_str(), request.request_uri(), to_tag];
        let rest = [request.from_tag(), request.call_id()];
        let texts = method_line.into_iter().chain(rest).map(str::len);
        let mut parts = Parts::new(b'2', &via, texts.sum::<usize>() + 5 * 4 + 4 + number.len());
        parts.via(&via);
        parts.add(method.as_str().as_bytes());
        parts.add(request.request_uri().as_bytes());
        parts.add(to_tag.as_bytes());
        parts.add(request.from_tag().as_bytes());
        parts.add(request.call_id().as_bytes());
        parts.add(&number);
        parts.finish()
    }

    fn by_branch(via: &Via<'_>, method: &Method) -> Key {
        let mut parts = Parts::new(b'3', via, 4 + method.as_str().len());
        parts.via(via);
        parts.add(method.as_str().as_bytes());
        parts.finish()
    }
}

/// Whether a branch is unique by RFC 3261: the bare cookie is not.
fn has_cookie(branch: &str) -> bool {
    branch.len() > COOKIE.len()
        && branch.as_bytes()[..COOKIE.len()].eq_ignore_ascii_case(COOKIE.as_bytes())
}

struct Parts(Vec<u8>);

impl Parts {
    /// Room for exactly the kind, `via` and `more` bytes: keys are made for every message.
    fn new(kind: u8, via: &Via<'_>, more: usize) -> Parts {
        let via = 4 + via.branch.len() + 4 + via.host.len() + 2;
        let mut bytes = Vec::with_capacity(1 + via + more);
        bytes.push(kind);
        Parts(bytes)
    }

    fn add(&mut self, part: &[u8]) {
        // A message is at most 64 KiB, so no part has a length that does not fit.
        self.0.extend_from_slice(&(part.len() as u32).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    /// The branch as written, the host whatever its case, the port or its default (18.1.1).
    fn via(&mut self, via: &Via<'_>) {
        let default = if via.transport.eq_ignore_ascii_case("TLS") {
            5061
        } else {
            5060
        };
        self.add(via.branch.as_bytes());
        self.add(via.host.as_bytes());
        let host = self.0.len() - via.host.len();
        self.0[host..].make_ascii_lowercase();
        self.0
            .extend_from_slice(&via.port.unwrap_or(default).to_be_bytes());
    }

    fn finish(self) -> Key {
        Key(self.0.into_boxed_slice())
    }
}
