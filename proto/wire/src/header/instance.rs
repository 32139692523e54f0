//! What agent and node say to each other, spelled once. All of it is hop-by-hop: no header whose
//! name begins with `Instance-` passes through a B2BUA, in either direction (see [`is_ours`]),
//! and a receiver takes it only from the trunk.

use super::scan::{Params, decimal, is_token, trim, unquote};
use memchr::memchr;
use std::fmt;
use std::net::SocketAddr;

/// The start of the names of all these headers.
const PREFIX: &[u8] = b"Instance-";

/// Whether a header is one of those that agent and node alone exchange, known to this version or
/// not.
pub fn is_ours(name: &[u8]) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// `value` up to its first parameter, and the parameters.
fn split_params(value: &[u8]) -> (&[u8], Params<'_>) {
    let (first, params) = value.split_at(memchr(b';', value).unwrap_or(value.len()));
    (trim(first), Params(params))
}

/// The longest token that is taken as a name of ours, in bytes.
const TOKEN_MAX: usize = 128;

fn name_of(token: &[u8]) -> Option<Box<str>> {
    let fits = is_token(token) && token.len() <= TOKEN_MAX;
    text(token).filter(|_| fits).map(Into::into)
}

/// `Instance-Bye`: why the agent says BYE to a node (spec: X28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceBye {
    /// The call lives on elsewhere: its far end must not hear of it.
    Moved,
}

impl InstanceBye {
    /// Reads a header value.
    pub fn parse(value: &[u8]) -> Option<InstanceBye> {
        trim(value)
            .eq_ignore_ascii_case(b"moved")
            .then_some(InstanceBye::Moved)
    }

    /// The header value.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstanceBye::Moved => "moved",
        }
    }
}

/// `Instance-State` in a node's responses: whether it takes new calls (spec: D34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// It does.
    Active,
    /// It does not, and ends when its calls have: it is about to leave.
    Draining,
}

impl InstanceState {
    /// Reads a header value.
    pub fn parse(value: &[u8]) -> Option<InstanceState> {
        let known = [InstanceState::Active, InstanceState::Draining];
        let is =
            |state: &InstanceState| trim(value).eq_ignore_ascii_case(state.as_str().as_bytes());
        known.into_iter().find(is)
    }

    /// The header value.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstanceState::Active => "active",
            InstanceState::Draining => "draining",
        }
    }
}

/// `Instance-Refusal` in a node's final response: the node itself refuses, and why. A refusal
/// without it is the far end's (spec: X53). In the 2xx of a failover INVITE `no_port` asks for another
/// move: the port that the far end was told is another socket's (spec: X51).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceRefusal {
    /// It has as many calls as it may.
    Full,
    /// No media port is free.
    NoPort,
    /// It ends.
    Draining,
    /// The store does not answer, and the call cannot be known without.
    Store,
    /// Nothing came from the far end in time.
    Timeout,
    /// The far end cannot be reached from here.
    Unreachable,
    /// Anything else that is the node's own.
    Other,
}

impl InstanceRefusal {
    /// All of them.
    pub const ALL: [InstanceRefusal; 7] = [
        InstanceRefusal::Full,
        InstanceRefusal::NoPort,
        InstanceRefusal::Draining,
        InstanceRefusal::Store,
        InstanceRefusal::Timeout,
        InstanceRefusal::Unreachable,
        InstanceRefusal::Other,
    ];

    /// Reads a header value; a cause that this version does not know is [`InstanceRefusal::Other`].
    pub fn parse(value: &[u8]) -> InstanceRefusal {
        let is = |refusal: &InstanceRefusal| {
            trim(value).eq_ignore_ascii_case(refusal.as_str().as_bytes())
        };
        let mut known = InstanceRefusal::ALL.into_iter();
        known.find(is).unwrap_or(InstanceRefusal::Other)
    }

    /// The header value; also the cause in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstanceRefusal::Full => "full",
            InstanceRefusal::NoPort => "no_port",
            InstanceRefusal::Draining => "draining",
            InstanceRefusal::Store => "store",
            InstanceRefusal::Timeout => "timeout",
            InstanceRefusal::Unreachable => "unreachable",
            InstanceRefusal::Other => "other",
        }
    }
}

/// `Instance-Agent` in an agent's OPTIONS and INVITE: who speaks. The id outlives a restart, the
/// incarnation does not (spec: X42).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceAgent {
    /// The agent's name, a token.
    pub id: Box<str>,
    /// Drawn at its start, a token.
    pub incarnation: Box<str>,
}

impl InstanceAgent {
    /// Reads a header value; `None` unless both are there.
    pub fn parse(value: &[u8]) -> Option<InstanceAgent> {
        let (id, mut params) = split_params(value);
        let incarnation = params.find(|param| param.is("incarnation"))?;
        Some(InstanceAgent {
            id: name_of(id)?,
            incarnation: name_of(incarnation.value?)?,
        })
    }
}

impl fmt::Display for InstanceAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};incarnation={}", self.id, self.incarnation)
    }
}

/// `Instance-Store` in a node's answers to OPTIONS: which store it works with, and whether that
/// answers (spec: X59).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStore {
    /// The store's identity, a token; nodes that say different ones do not share their calls.
    pub id: Box<str>,
    /// Whether it answered last time.
    pub up: bool,
}

impl InstanceStore {
    /// Reads a header value.
    pub fn parse(value: &[u8]) -> Option<InstanceStore> {
        let (id, mut params) = split_params(value);
        let down =
            params.any(|param| param.is("state") && param.text().eq_ignore_ascii_case("down"));
        Some(InstanceStore {
            id: name_of(id)?,
            up: !down,
        })
    }
}

impl fmt::Display for InstanceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.up { "up" } else { "down" };
        write!(f, "{};state={state}", self.id)
    }
}

/// `Instance-Far-End` in a node's 2xx to an INVITE: whom the call has at its far end, so that the
/// agent, which alone sees all nodes, can bound what one far end is asked at a time (spec: X57).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceFarEnd {
    /// Its SIP address.
    pub address: SocketAddr,
    /// What its Server or User-Agent header says, cut to printable ASCII without quotes.
    pub product: Option<Box<str>>,
    /// How many INVITEs with Replaces it may owe an answer, where the operator has said so.
    pub replaces: Option<u32>,
}

/// The most of a product's name that is told, in bytes.
const PRODUCT_MAX: usize = 64;

impl InstanceFarEnd {
    /// A far end whose Server or User-Agent header is `product`.
    pub fn new(address: SocketAddr, product: Option<&[u8]>, replaces: Option<u32>) -> Self {
        let plain = |byte: &&u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let shown = |product: &[u8]| -> String {
            let bytes = product.iter().filter(plain).take(PRODUCT_MAX);
            bytes.map(|&byte| char::from(byte)).collect()
        };
        let product = product.map(shown).filter(|product| !product.is_empty());
        InstanceFarEnd {
            address,
            product: product.map(Into::into),
            replaces,
        }
    }

    /// Reads a header value.
    pub fn parse(value: &[u8]) -> Option<InstanceFarEnd> {
        let (address, params) = split_params(value);
        let address = text(address)?.parse().ok()?;
        let (mut product, mut replaces) = (None, None);
        for param in params {
            if param.is("product") {
                product = param.value.map(|value| unquote(trim(value)));
            } else if param.is("replaces") {
                replaces = param.value.and_then(|value| decimal(trim(value)));
            }
        }
        Some(InstanceFarEnd::new(address, product, replaces))
    }
}

impl fmt::Display for InstanceFarEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(replaces) = self.replaces {
            write!(f, ";replaces={replaces}")?;
        }
        if let Some(product) = &self.product {
            write!(f, ";product=\"{product}\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_between_agent_and_node_are_known_by_their_first_word() {
        assert!(is_ours(b"Instance-Utilization") && is_ours(b"instance-something-new"));
        assert!(!is_ours(b"Instance") && !is_ours(b"X-Instance-State"));
    }

    #[test]
    fn what_is_written_is_read() {
        let agent = InstanceAgent {
            id: "pbx-1".into(),
            incarnation: "9f".into(),
        };
        assert_eq!(
            InstanceAgent::parse(agent.to_string().as_bytes()),
            Some(agent)
        );
        for up in [true, false] {
            let store = InstanceStore {
                id: "a1".into(),
                up,
            };
            assert_eq!(
                InstanceStore::parse(store.to_string().as_bytes()),
                Some(store)
            );
        }
        for state in [InstanceState::Active, InstanceState::Draining] {
            assert_eq!(InstanceState::parse(state.as_str().as_bytes()), Some(state));
        }
        for refusal in InstanceRefusal::ALL {
            assert_eq!(InstanceRefusal::parse(refusal.as_str().as_bytes()), refusal);
        }
        assert_eq!(InstanceRefusal::parse(b"of 2031"), InstanceRefusal::Other);
        assert_eq!(InstanceBye::parse(b" Moved "), Some(InstanceBye::Moved));
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        assert_eq!(InstanceBye::parse(b"removed"), None);
        assert_eq!(InstanceState::parse(b"drain"), None);
        for bad in [
            "",
            "id",
            "a b;incarnation=1",
            "id;incarnation",
            "id;incarnation=a b",
        ] {
            assert_eq!(InstanceAgent::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(InstanceStore::parse(b";state=up"), None);
        assert_eq!(InstanceFarEnd::parse(b"far.example"), None);
    }

    // spec: X57
    #[test]
    fn a_far_end_is_told_with_its_product_whatever_that_says() {
        let address = "[2001:db8::7]:5060".parse().unwrap();
        let odd = b"Asterisk \"PBX\"\r\n 22.1; \\beta\xff";
        let far = InstanceFarEnd::new(address, Some(odd), Some(1));
        let value = far.to_string();
        assert_eq!(
            value,
            "[2001:db8::7]:5060;replaces=1;product=\"Asterisk PBX 22.1; beta\""
        );
        assert_eq!(InstanceFarEnd::parse(value.as_bytes()), Some(far));
        let bare = InstanceFarEnd::new(address, None, None);
        assert_eq!(
            InstanceFarEnd::parse(bare.to_string().as_bytes()),
            Some(bare)
        );
        let long = InstanceFarEnd::new(address, Some(&[b'x'; 500]), None);
        assert_eq!(long.product.map(|product| product.len()), Some(PRODUCT_MAX));
    }
}
