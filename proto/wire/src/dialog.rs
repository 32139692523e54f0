//! Dialogs (RFC 3261 section 12): identifiers, sequence numbers, route set, remote target.

use crate::build::Builder;
use crate::header::{Name, NameAddr, Replaces};
use crate::message::Message;
use crate::method::Method;
use crate::transport::TransportKey;
use crate::uri::SipUri;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// The longest route set taken: a request with Max-Forwards 70 passes no more proxies.
const MAX_ROUTES: usize = 70;

/// A dialog's identifiers as one side sees them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The peer's tag; empty before it is known.
    pub remote_tag: Box<str>,
}

impl DialogId {
    /// The id that an in-dialog request addresses: its To tag is ours.
    pub fn of_request(request: &Message) -> DialogId {
        DialogId {
            call_id: request.call_id().into(),
            local_tag: request.to_tag().unwrap_or_default().into(),
            remote_tag: request.from_tag().into(),
        }
    }

    /// The id of the dialog whose request this response answers: its From tag is ours.
    pub fn of_response(response: &Message) -> DialogId {
        DialogId {
            call_id: response.call_id().into(),
            local_tag: response.from_tag().into(),
            remote_tag: response.to_tag().unwrap_or_default().into(),
        }
    }

    /// The dialog as it is named before its callee's tag is known: without our tag, where the peer
    /// placed the call.
    #[must_use]
    pub fn unanswered(&self) -> DialogId {
        DialogId {
            local_tag: "".into(),
            ..self.clone()
        }
    }

    /// Likewise where we placed it: without the peer's tag, which may be that of one branch only.
    #[must_use]
    pub fn unheard(&self) -> DialogId {
        DialogId {
            remote_tag: "".into(),
            ..self.clone()
        }
    }

    /// How the **peer** of this dialog is told that it has no caller any more (spec: X26): as in
    /// Replaces, with a to-tag of 0 where the peer's is not known (RFC 3891 section 3).
    pub fn orphan_for_peer(&self) -> Replaces {
        let mut named = self.replaces_for_peer();
        if named.to_tag.is_empty() {
            named.to_tag = "0".into();
        }
        named
    }

    /// The dialog that the peer names so, as we see it.
    pub fn of_orphan(named: &Replaces) -> DialogId {
        let known = &*named.to_tag != "0";
        DialogId {
            call_id: named.call_id.clone(),
            local_tag: if known {
                named.to_tag.clone()
            } else {
                "".into()
            },
            remote_tag: named.from_tag.clone(),
        }
    }

    /// The Replaces value that tells the **peer** of this dialog to replace it: there `to-tag`
    /// is the receiver's tag, our remote one (spec: D24).
    pub fn replaces_for_peer(&self) -> Replaces {
        Replaces {
            call_id: self.call_id.clone(),
            to_tag: self.remote_tag.clone(),
            from_tag: self.local_tag.clone(),
            early_only: false,
            transfer: false,
        }
    }
}

/// Why an in-dialog request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status to answer with.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
}

/// One side of a dialog, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The identifiers.
    pub id: DialogId,
    /// Our From (as UAC) or To (as UAS) value without its tag: `display <uri>`.
    pub local: Box<[u8]>,
    /// The peer's, likewise.
    pub remote: Box<[u8]>,
    /// The peer's Contact URI; the Request-URI of what we send.
    pub remote_target: Box<str>,
    /// Route values, in the order in which we send them.
    pub route_set: Vec<Box<str>>,
    /// The CSeq number of the last request that we sent; 0 before the first.
    pub local_seq: u32,
    /// The highest CSeq number that the peer sent.
    pub remote_seq: Option<u32>,
    /// Where our requests leave by.
    pub flow: TransportKey,
}

impl Dialog {
    /// Whether the peer may speak from `ip`: the address of its Contact, of a proxy that put itself
    /// on the way (Route, Record-Route), or the one that our requests go to. A host name counts by
    /// that last one, to which it was resolved.
    pub fn speaks_from(&self, ip: IpAddr) -> bool {
        let is = |uri: &str| SipUri::parse(uri).and_then(|uri| uri.ip()) == Some(ip);
        let on_the_way =
            |route: &str| NameAddr::parse(route.as_bytes()).is_some_and(|route| is(route.uri));
        self.flow.remote.ip() == ip
            || is(&self.remote_target)
            || self.route_set.iter().any(|route| on_the_way(route))
    }

    /// The dialog that a UAC sees after a response with a To tag to its INVITE (RFC 3261 12.1.2):
    /// the route set is Record-Route reversed. A response without a Contact (a provisional one
    /// may lack it) leaves the Request-URI as the remote target. `None` without a To tag, and for
    /// more routes than any request could pass.
    pub fn uac(invite: &Message, response: &Message, flow: TransportKey) -> Option<Dialog> {
        let remote_tag = response.to_tag()?;
        let mut route_set = routes(response)?;
        route_set.reverse();
        let remote_target = target(response).unwrap_or_else(|| invite.request_uri().into());
        Some(Dialog {
            id: DialogId {
                call_id: invite.call_id().into(),
                local_tag: invite.from_tag().into(),
                remote_tag: remote_tag.into(),
            },
            local: invite.from().without_params().into(),
            remote: invite.to().without_params().into(),
            remote_target,
            route_set,
            local_seq: invite.cseq().number,
            remote_seq: None,
            flow,
        })
    }

    /// The dialog that a UAS makes with `local_tag` for `invite` (RFC 3261 12.1.1): the route set
    /// is Record-Route in order; no Contact gives `None`.
    pub fn uas(invite: &Message, local_tag: &str, flow: TransportKey) -> Option<Dialog> {
        Some(Dialog {
            id: DialogId {
                call_id: invite.call_id().into(),
                local_tag: local_tag.into(),
                remote_tag: invite.from_tag().into(),
            },
            local: invite.to().without_params().into(),
            remote: invite.from().without_params().into(),
            remote_target: target(invite)?,
            route_set: routes(invite)?,
            local_seq: 0,
            remote_seq: Some(invite.cseq().number),
            flow,
        })
    }

    /// Starts a request in this dialog with the next CSeq: request line, Via with `branch`, Route,
    /// Max-Forwards 70, From, To, Call-ID, CSeq. (Strict routers, RFC 3261 12.2.1.1, included.)
    /// Contact and the rest are the caller's.
    pub fn request(&mut self, method: &Method, branch: &str) -> Builder {
        self.local_seq = self.local_seq.saturating_add(1);
        self.start(method, self.local_seq, branch)
    }

    /// Starts the ACK for the 2xx to the INVITE (or re-INVITE) numbered `seq` (RFC 3261 13.2.2.4).
    pub fn ack(&self, seq: u32, branch: &str) -> Builder {
        self.start(&Method::Ack, seq, branch)
    }

    fn start(&self, method: &Method, seq: u32, branch: &str) -> Builder {
        let (uri, routes) = self.uri_and_routes();
        let mut builder = Builder::request(method, &uri).via(&self.flow, branch);
        for route in routes {
            builder = builder.raw(b"Route", route.as_bytes());
        }
        builder
            .header(Name::MaxForwards, 70)
            .raw(b"From", &with_tag(&self.local, &self.id.local_tag))
            .raw(b"To", &with_tag(&self.remote, &self.id.remote_tag))
            .raw(b"Call-ID", self.id.call_id.as_bytes())
            .raw(b"CSeq", format!("{seq} {method}").as_bytes())
    }

    /// Request-URI and Route values. A first hop that is a strict router (no `lr`) takes the place
    /// of the Request-URI, and the remote target goes last (RFC 3261 12.2.1.1).
    fn uri_and_routes(&self) -> (String, Vec<String>) {
        let mut routes: Vec<String> = self.route_set.iter().map(|r| r.to_string()).collect();
        match self.first_hop() {
            Some((uri, sip)) if sip.param("lr").is_none() => {
                routes.remove(0);
                routes.push(format!("<{}>", self.remote_target));
                (request_uri(uri), routes)
            }
            _ => (request_uri(&self.remote_target), routes),
        }
    }

    /// The first Route's URI.
    fn first_hop(&self) -> Option<(&str, SipUri<'_>)> {
        let uri = NameAddr::parse(self.route_set.first()?.as_bytes())?.uri;
        Some((uri, SipUri::parse(uri)?))
    }

    /// Checks the order of a request from the peer (RFC 3261 12.2.2): lower CSeq gives 500. ACK
    /// and CANCEL carry the number of their INVITE and always pass.
    /// A target refresh (INVITE, UPDATE, SUBSCRIBE, REFER, NOTIFY) takes its Contact.
    pub fn accept(&mut self, request: &Message) -> Result<(), Reject> {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let seq = request.cseq().number;
        if self.remote_seq.is_some_and(|highest| seq < highest) {
            return Err(Reject {
                status: 500,
                reason: "CSeq out of order",
            });
        }
        self.remote_seq = Some(seq);
        self.refresh_from(request);
        Ok(())
    }

    /// Takes the Contact of a 2xx to a target refresh that we sent; any other response changes
    /// nothing (RFC 3261 12.2.1.2).
    pub fn refresh(&mut self, response: &Message) {
        if (200..300).contains(&response.status()) {
            self.refresh_from(response);
        }
    }

    fn refresh_from(&mut self, message: &Message) {
        let refreshes = matches!(
            message.method(),
            Method::Invite | Method::Update | Method::Subscribe | Method::Refer | Method::Notify
        );
        if let Some(target) = target(message).filter(|_| refreshes) {
            self.remote_target = target;
        }
    }

    /// The socket address of the next hop: the first Route (or the remote target), where it is an
    /// IP literal of the flow's address family; otherwise the flow's.
    pub fn next_hop(&self) -> TransportKey {
        let hop = match self.first_hop() {
            Some((_, uri)) => Some(uri),
            None => SipUri::parse(&self.remote_target),
        };
        match hop.and_then(|uri| uri.socket_addr()) {
            Some(addr) if addr.is_ipv4() == self.flow.local.is_ipv4() => self.flow.to(addr),
            _ => self.flow,
        }
    }
}

/// The Contact's URI: SIP or SIPS, as RFC 3261 12.1.1 asks.
fn target(message: &Message) -> Option<Box<str>> {
    let uri = message.contact()?.uri;
    SipUri::parse(uri).map(|_| uri.into())
}

/// The Record-Route values in order, each on one line. A display name that is not UTF-8 is
/// dropped, the rest kept.
fn routes(message: &Message) -> Option<Vec<Box<str>>> {
    let values = message.list(Name::RecordRoute);
    if values.len() > MAX_ROUTES {
        return None;
    }
    values.into_iter().map(route).collect()
}

fn route(value: &[u8]) -> Option<Box<str>> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let address = NameAddr::parse(value)?;
            format!(
                "<{}>{}",
                address.uri,
                std::str::from_utf8(address.params).ok()?
            )
        }
    };
    let unfolded: Vec<&str> = text.split(['\r', '\n']).map(str::trim).collect();
    Some(
        unfolded
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            .into(),
    )
}

fn with_tag(value: &[u8], tag: &str) -> Vec<u8> {
    let mut out = value.to_vec();
    if !tag.is_empty() {
        out.extend_from_slice(b";tag=");
        out.extend_from_slice(tag.as_bytes());
    }
    out
}

/// A URI as a Request-URI: without headers and `method`, which may not stand there (RFC 3261
/// 19.1.1).
fn request_uri(uri: &str) -> String {
    let Some(parts) = SipUri::parse(uri) else {
        return uri.to_owned();
    };
    let uri = match parts.headers {
        "" => uri.trim_end_matches('?'),
        headers => &uri[..uri.len() - headers.len() - 1],
    };
    let mut out = uri[..uri.len() - parts.params.len()].to_owned();
    for param in parts
        .params
        .split(';')
        .filter(|param| !param.is_empty() && !is_method(param))
    {
        out.push(';');
        out.push_str(param);
    }
    out
}

fn is_method(param: &str) -> bool {
    let name = param.split('=').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("method")
}
