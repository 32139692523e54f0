//! Bugs of the kind that happen, planted between a core and the world.

use b2bua_node::store::{Op, StoreRequest};
use bytes::Bytes;
use holdline_relay::{Command, Peer, Side, StreamId};
use std::collections::{BTreeMap, BTreeSet};

/// A program's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The agent.
    Agent,
    /// A node.
    Node,
    /// One of the two ends.
    End,
}

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The agent writes to-tag and from-tag of Replaces the wrong way round.
    SwappedTags,
    /// The agent's BYE to a node is never sent.
    DroppedBye,
    /// A node forgets to close one stream in four.
    LeakedPort,
    /// The agent does not acknowledge the answer to a failover INVITE.
    AckNotSent,
    /// The agent sends media to the old node after a move.
    OldPeer,
    /// A node does not take ended calls off the store.
    RowNotDeleted,
    /// A failover INVITE offers sendrecv whatever was held.
    HoldLost,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 7] = [
        Mutant::SwappedTags,
        Mutant::DroppedBye,
        Mutant::LeakedPort,
        Mutant::AckNotSent,
        Mutant::OldPeer,
        Mutant::RowNotDeleted,
        Mutant::HoldLost,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutant::SwappedTags => "swapped-tags",
            Mutant::DroppedBye => "dropped-bye",
            Mutant::LeakedPort => "leaked-port",
            Mutant::AckNotSent => "ack-not-sent",
            Mutant::OldPeer => "old-peer",
            Mutant::RowNotDeleted => "row-not-deleted",
            Mutant::HoldLost => "hold-lost",
        }
    }

    /// The mutant with this name.
    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

/// A bug at work.
#[derive(Debug)]
pub struct Mutation {
    mutant: Mutant,
    /// Call-IDs of failover INVITEs.
    moved: BTreeSet<Vec<u8>>,
    /// The far peer of each stream of the agent before it moved.
    peers: BTreeMap<StreamId, Option<Peer>>,
    removed: u32,
}

impl Mutation {
    /// `mutant` in a fresh world.
    pub fn new(mutant: Mutant) -> Mutation {
        Mutation {
            mutant,
            moved: BTreeSet::new(),
            peers: BTreeMap::new(),
            removed: 0,
        }
    }

    /// What becomes of a message that a program sends; `None` where nothing leaves.
    pub fn send(&mut self, from: Kind, bytes: &Bytes) -> Option<Bytes> {
        if from != Kind::Agent {
            return Some(bytes.clone());
        }
        let replaces = bytes.starts_with(b"INVITE ") && find(bytes, b"\r\nReplaces: ").is_some();
        match self.mutant {
            Mutant::SwappedTags if replaces => Some(swap_tags(bytes)),
            // The agent's requests to a node carry its own Contact nowhere else than in the far
            // leg; towards the calling server it sends BYE to 10.0.0.2.
            Mutant::DroppedBye if bytes.starts_with(b"BYE ") => {
                (find(first_line(bytes), b"10.0.0.2").is_some()).then(|| bytes.clone())
            }
            Mutant::AckNotSent => {
                let id = call_id(bytes);
                if replaces {
                    self.moved.insert(id.to_vec());
                }
                let drop = bytes.starts_with(b"ACK ") && self.moved.contains(id);
                (!drop).then(|| bytes.clone())
            }
            Mutant::HoldLost if replaces => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let open = "a=sendrecv";
                let text = text.replace("a=sendonly", open).replace("a=recvonly", open);
                Some(text.replace("a=inactive", open).into())
            }
            _ => Some(bytes.clone()),
        }
    }

    /// What becomes of a relay command.
    pub fn relay(&mut self, from: Kind, command: Command) -> Option<Command> {
        match (self.mutant, from, command) {
            (Mutant::LeakedPort, Kind::Node, Command::Remove { .. }) => {
                self.removed += 1;
                (!self.removed.is_multiple_of(4)).then_some(command)
            }
            (
                Mutant::OldPeer,
                Kind::Agent,
                Command::SetPeer {
                    stream,
                    side: Side::Far,
                    peer,
                },
            ) => {
                let first = *self.peers.entry(stream).or_insert(peer);
                Some(Command::SetPeer {
                    stream,
                    side: Side::Far,
                    peer: first,
                })
            }
            _ => Some(command),
        }
    }

    /// What becomes of a store operation.
    pub fn store(&mut self, request: StoreRequest) -> Option<StoreRequest> {
        if self.mutant != Mutant::RowNotDeleted {
            return Some(request);
        }
        Some(match request.op {
            Op::Delete { by, .. } => StoreRequest {
                id: request.id,
                op: Op::Check {
                    dialogs: Vec::new(),
                    by,
                },
            },
            op => StoreRequest { id: request.id, op },
        })
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    &bytes[..find(bytes, b"\r\n").unwrap_or(bytes.len())]
}

fn call_id(bytes: &[u8]) -> &[u8] {
    let Some(at) = find(bytes, b"\r\nCall-ID: ") else {
        return b"";
    };
    first_line(&bytes[at + 11..])
}

fn swap_tags(bytes: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(bytes);
    let lines = text
        .split("\r\n")
        .map(|line| match line.strip_prefix("Replaces: ") {
            Some(value) => {
                let value = value
                    .replace("to-tag", "x-tag")
                    .replace("from-tag", "to-tag");
                format!("Replaces: {}", value.replace("x-tag", "from-tag"))
            }
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n").into()
}
