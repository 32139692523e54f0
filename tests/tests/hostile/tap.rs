//! A first hop for the caller that passes datagrams on and notes the dialogs that come up: what
//! somebody on the wire would know of them.

use bytes::Bytes;
use holdline_tests::rig::{Block, Error};
use holdline_wire::{Message, Method};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);

/// An INVITE of the caller and the 200 to it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub invite: Message,
    pub answer: Message,
}

#[derive(Default)]
struct Notes {
    invites: BTreeMap<String, Message>,
    dialogs: BTreeMap<String, Seen>,
}

/// The hop; it ends when it is dropped.
pub struct Tap {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// A hop at the caller's IP address.
    pub fn open(block: &Block) -> Result<Tap, Error> {
        let socket = UdpSocket::bind((block.caller().ip(), 0))?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let (notes, over) = (Arc::<Mutex<Notes>>::default(), Arc::<AtomicBool>::default());
        let ends = [block.caller(), block.agent_sip()];
        let (kept, stop) = (Arc::clone(&notes), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                pass(&socket, ends, &kept);
            }
        });
        Ok(Tap {
            address,
            notes,
            over,
            thread: Some(thread),
        })
    }

    /// Where the caller is to send its INVITEs.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The dialogs that came up.
    pub fn dialogs(&self) -> Vec<Seen> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.dialogs.values().cloned().collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Passes one datagram on to the other end.
fn pass(socket: &UdpSocket, [caller, agent]: [SocketAddr; 2], notes: &Mutex<Notes>) {
    let mut buffer = [0; 65_536];
    let (length, from) = match socket.recv_from(&mut buffer) {
        Ok(got) => got,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
        // An ICMP error of what was passed on before.
        Err(_) => return,
    };
    let to = if from == caller { agent } else { caller };
    // What the kernel does not take is as lost as on the wire: it is repeated.
    let _ = socket.send_to(&buffer[..length], to);
    if let Ok(message) = Message::parse(Bytes::copy_from_slice(&buffer[..length])) {
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.take(message);
    }
}

impl Notes {
    fn take(&mut self, message: Message) {
        if *message.method() != Method::Invite {
            return;
        }
        let call = message.call_id().to_owned();
        if message.is_request() {
            self.invites.insert(call, message);
        } else if message.status() == 200
            && let Some(invite) = self.invites.get(&call).cloned()
        {
            let answer = message;
            self.dialogs.insert(call, Seen { invite, answer });
        }
    }
}
