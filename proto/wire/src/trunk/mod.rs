//! The trunk document (spec: D11, X10): what the cluster tells the agent about itself.
//!
//! It comes from outside and decides where calls go, so it is taken whole or not at all. Members
//! that are not known are ignored, whatever they hold; a name that stands twice in an object that
//! is read is an error, since two readers may disagree on which one counts (RFC 8259 section 4).

mod json;

use json::Json;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// One node as the document lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its SIP address.
    pub address: SocketAddr,
    /// `active`: takes new calls; `inactive`: keeps the calls it has (spec: D14).
    pub active: bool,
}

/// A valid trunk document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkDocument {
    /// `cloud-sip-trunk-name`: a host name.
    pub name: String,
    /// `uri`.
    pub uri: String,
    /// `version`.
    pub version: u64,
    /// `webhook-registration`.
    pub webhook_registration: String,
    /// `instances`, each address once.
    pub instances: Vec<Instance>,
}

/// Why a document is refused: which member, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trunk document: {member}: expected {expected}")]
pub struct TrunkError {
    /// The path of the member, e.g. `instances[2].port`; `document` for the whole, with line and
    /// column where it is no JSON.
    pub member: String,
    /// What was expected there.
    pub expected: &'static str,
}

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;
/// The most instances of a document.
pub const MAX_INSTANCES: usize = 4096;
/// The longest URI, in bytes.
const MAX_URI: usize = 2048;
/// How much of a foreign member's name a reason shows, in characters.
const MAX_SHOWN: usize = 64;

impl TrunkDocument {
    /// Reads and checks a document. Unknown members are ignored; a port may be a string or a
    /// number; duplicate instances, duplicate members, an unknown status or a bad host name are
    /// errors.
    pub fn parse(json: &[u8]) -> Result<TrunkDocument, TrunkError> {
        if json.len() > MAX_DOCUMENT {
            return Err(refused("document", "at most 1 MiB"));
        }
        let value: Json = serde_json::from_slice(json).map_err(|error| TrunkError {
            member: format!(
                "document (line {}, column {})",
                error.line(),
                error.column()
            ),
            expected: "JSON",
        })?;
        let root = Object::of("", &value)?;
        Ok(TrunkDocument {
            name: root.string(
                "cloud-sip-trunk-name",
                is_host_name,
                "a host name (RFC 1123)",
            )?,
            uri: root.string("uri", |uri| scheme(uri).is_some(), "an absolute URI")?,
            version: root.version()?,
            webhook_registration: root.string(
                "webhook-registration",
                is_http,
                "an absolute http or https URI",
            )?,
            instances: instances(&root)?,
        })
    }

    /// The document as JSON, ports as strings like the draft's.
    pub fn to_json(&self) -> String {
        let written = Written {
            name: &self.name,
            uri: &self.uri,
            version: self.version,
            webhook_registration: &self.webhook_registration,
            instances: self.instances.iter().map(WrittenInstance::of).collect(),
        };
        // Strings and numbers under fixed names: there is nothing to fail.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

/// The document as it is written, members in the draft's order.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "cloud-sip-trunk-name")]
    name: &'a str,
    uri: &'a str,
    version: u64,
    #[serde(rename = "webhook-registration")]
    webhook_registration: &'a str,
    instances: Vec<WrittenInstance>,
}

/// One instance as it is written.
#[derive(Serialize)]
struct WrittenInstance {
    #[serde(rename = "IP")]
    ip: IpAddr,
    port: String,
    status: &'static str,
}

impl WrittenInstance {
    fn of(instance: &Instance) -> WrittenInstance {
        WrittenInstance {
            ip: instance.address.ip(),
            port: instance.address.port().to_string(),
            status: if instance.active {
                "active"
            } else {
                "inactive"
            },
        }
    }
}

/// An object that is read, with the path that leads to it.
struct Object<'a> {
    path: &'a str,
    members: &'a [(String, Json)],
}

impl<'a> Object<'a> {
    fn of(path: &'a str, value: &'a Json) -> Result<Object<'a>, TrunkError> {
        let Json::Object(members) = value else {
            return Err(refused(
                if path.is_empty() { "document" } else { path },
                "an object",
            ));
        };
        let object = Object { path, members };
        let mut seen = BTreeSet::new();
        match members.iter().find(|(name, _)| !seen.insert(name)) {
            Some((name, _)) => {
                // The name is the sender's: a reason is read by people, and has its place in a log.
                let shown: String = name.chars().take(MAX_SHOWN).collect();
                Err(object.refused(&shown, "each member only once"))
            }
            None => Ok(object),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
    }

    fn refused(&self, name: &str, expected: &'static str) -> TrunkError {
        match self.path {
            "" => refused(name, expected),
            path => refused(&format!("{path}.{name}"), expected),
        }
    }

    fn string(
        &self,
        name: &str,
        is_good: impl Fn(&str) -> bool,
        expected: &'static str,
    ) -> Result<String, TrunkError> {
        match self.get(name) {
            Some(Json::String(text)) if is_good(text) => Ok(text.clone()),
            _ => Err(self.refused(name, expected)),
        }
    }

    fn version(&self) -> Result<u64, TrunkError> {
        match self.get("version") {
            Some(Json::Integer(version)) => Ok(*version),
            _ => Err(self.refused("version", "an integer from 0 to 2^64-1")),
        }
    }

    fn ip(&self) -> Result<IpAddr, TrunkError> {
        let ip: Option<IpAddr> = match self.get("IP") {
            Some(Json::String(text)) => text.parse().ok(),
            _ => None,
        };
        ip.map(|ip| ip.to_canonical())
            .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
            .ok_or_else(|| self.refused("IP", "a unicast IPv4 or IPv6 address"))
    }

    fn port(&self) -> Result<u16, TrunkError> {
        let port = match self.get("port") {
            Some(Json::Integer(port)) => u16::try_from(*port).ok(),
            Some(Json::String(text)) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        };
        port.filter(|port| *port != 0)
            .ok_or_else(|| self.refused("port", "1 to 65535, as a string or a number"))
    }

    fn active(&self) -> Result<bool, TrunkError> {
        match self.get("status") {
            Some(Json::String(status)) if status == "active" => Ok(true),
            Some(Json::String(status)) if status == "inactive" => Ok(false),
            _ => Err(self.refused("status", "active or inactive")),
        }
    }
}

/// Reads the list of nodes.
fn instances(root: &Object<'_>) -> Result<Vec<Instance>, TrunkError> {
    let Some(Json::Array(listed)) = root.get("instances") else {
        return Err(root.refused("instances", "an array"));
    };
    if listed.len() > MAX_INSTANCES {
        return Err(root.refused("instances", "at most 4096 instances"));
    }
    let mut seen = BTreeSet::new();
    let mut instances = Vec::with_capacity(listed.len());
    for (number, value) in listed.iter().enumerate() {
        let path = format!("instances[{number}]");
        let object = Object::of(&path, value)?;
        let address = SocketAddr::new(object.ip()?, object.port()?);
        if !seen.insert(address) {
            return Err(refused(&path, "each address and port only once"));
        }
        instances.push(Instance {
            address,
            active: object.active()?,
        });
    }
    Ok(instances)
}

fn refused(member: &str, expected: &'static str) -> TrunkError {
    TrunkError {
        member: member.to_owned(),
        expected,
    }
}

/// Whether `name` is a host name (RFC 1123 section 2.1). A last label of digits only would make
/// it look like an IP address, which no trunk is named by.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// The scheme of an absolute URI (RFC 3986 section 4.3) made of printable ASCII.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_rest = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic());
    (is_scheme && is_rest && uri.len() <= MAX_URI).then_some(scheme)
}

/// Whether a URI is one that a webhook can be registered at: http or https, with a host.
fn is_http(uri: &str) -> bool {
    let host = |scheme: &str| uri[scheme.len()..].strip_prefix("://");
    scheme(uri)
        .filter(|scheme| {
            ["http", "https"]
                .iter()
                .any(|s| s.eq_ignore_ascii_case(scheme))
        })
        .and_then(host)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
}

#[cfg(test)]
mod tests;
