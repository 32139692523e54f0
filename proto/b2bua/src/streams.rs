//! The media of all calls: their ports, what the relay is to do, and whose each stream is.

use crate::CallKey;
use holdline_relay::{Command, MediaError, Ports, Report, StreamId};
use holdline_wire::Message;
use holdline_wire::sdp::Sdp;
use std::collections::HashMap;

/// EADDRINUSE and EACCES: the port is somebody else's. Any other error is about us, and another
/// port would meet it too.
const NOT_OURS: [i32; 2] = [98, 13];
/// Port pairs that one stream needs: one a side.
const ONE_STREAM: usize = 2;

/// The port pairs, and the streams that use them.
#[derive(Debug)]
pub struct Streams {
    /// The pairs.
    pub ports: Ports,
    /// Commands that a session has just made.
    pub commands: Vec<Command>,
    calls: HashMap<StreamId, CallKey>,
}

impl Streams {
    /// With the ports from `first` to `last`.
    pub fn new((first, last): (u16, u16)) -> Streams {
        Streams {
            ports: Ports::new(first, last),
            commands: Vec::new(),
            calls: HashMap::new(),
        }
    }

    /// Hands out the commands of `call`, to precede the messages that follow from them, and
    /// remembers whose the streams are.
    pub fn flush(&mut self, call: CallKey) -> impl Iterator<Item = Command> {
        for command in &self.commands {
            match command {
                Command::Install { stream, .. } => {
                    self.calls.insert(*stream, call);
                }
                Command::Remove { stream } => {
                    self.calls.remove(stream);
                }
                Command::SetPeer { .. }
                | Command::Clock { .. }
                | Command::Move { .. }
                | Command::Comfort { .. } => {}
            }
        }
        self.commands.drain(..)
    }

    /// Whose the stream is.
    pub fn call_of(&self, stream: StreamId) -> Option<CallKey> {
        self.calls.get(&stream).copied()
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Pairs that other sockets had when the program started: they are not given out for a while.
    pub fn leave_out(&mut self, pairs: &[u16]) {
        for pair in pairs {
            self.ports.taken_by_another(*pair);
        }
    }

    /// What the relay tells of ports: of one that is another socket's, and of those that are closed
    /// and can be given out again.
    pub fn note(&mut self, report: &Report) {
        match report {
            Report::BindFailed { local, errno, .. } if NOT_OURS.contains(errno) => {
                self.ports.taken_by_another(local.port());
            }
            Report::Left { local, .. } => self.ports.closed(local.port()),
            Report::Removed { closed, .. } => {
                for port in closed.iter().flatten() {
                    self.ports.closed(*port);
                }
            }
            _ => {}
        }
    }
}

/// Port pairs that a call with this INVITE needs.
pub fn pairs_needed(invite: &Message) -> usize {
    let Some(offer) = invite.sdp() else {
        // The far side will offer a stream at least.
        return ONE_STREAM;
    };
    // A description that cannot be read is refused for that.
    Sdp::parse(offer).map_or(0, |sdp| {
        ONE_STREAM * sdp.media().iter().filter(|media| media.port != 0).count()
    })
}

/// The status for a description that cannot be carried.
pub fn status_of(error: &MediaError) -> u16 {
    match error {
        MediaError::Sdp(_) => 488,
        MediaError::NoPort => 503,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdline_relay::{Side, StreamId};

    // spec: X51
    #[test]
    fn only_a_port_that_is_anothers_is_left_alone() {
        let mut streams = Streams::new((20_000, 20_003));
        let failed = |port: u16, errno| Report::BindFailed {
            stream: StreamId(1),
            side: Side::Near,
            local: ([127, 0, 0, 1], port).into(),
            errno,
        };
        streams.note(&failed(20_000, 24));
        assert_eq!(streams.ports.available(), 2);
        streams.note(&failed(20_000, 98));
        streams.note(&failed(20_002, 13));
        assert_eq!(streams.ports.available(), 0);
    }

    #[test]
    fn streams_are_whose_commands_installed_them_until_they_are_removed() {
        let mut streams = Streams::new((20_000, 20_003));
        let mut keys = slotmap::SlotMap::<CallKey, ()>::with_key();
        let key = keys.insert(());
        streams.commands.push(Command::Remove {
            stream: StreamId(7),
        });
        assert_eq!(streams.flush(key).count(), 1);
        assert_eq!(
            (streams.call_of(StreamId(7)), streams.is_empty()),
            (None, true)
        );
    }
}
