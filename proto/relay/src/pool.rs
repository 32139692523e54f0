//! Which media ports are free. Pairs: RTP on the even port, RTCP on the odd one after it
//! (RFC 3550 section 11).

use crate::command::StreamId;
use std::collections::VecDeque;

/// The port pairs of one program and the numbers of its streams. A freed pair goes to the end of
/// the line, so that late packets for its last call find nobody for as long as possible.
#[derive(Debug)]
pub struct Ports {
    free: VecDeque<u16>,
    total: usize,
    next_stream: u64,
}

impl Ports {
    /// The pairs within `first..=last`.
    pub fn new(first: u16, last: u16) -> Ports {
        let first = u32::from(first).next_multiple_of(2);
        let free: VecDeque<u16> = (first..u32::from(last))
            .step_by(2)
            .filter_map(|port| u16::try_from(port).ok())
            .collect();
        Ports {
            total: free.len(),
            free,
            next_stream: 1,
        }
    }

    /// Takes a pair, named by its even port.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    /// Gives a pair back.
    pub fn put(&mut self, port: u16) {
        self.free.push_back(port);
    }

    /// How many pairs are in use, and how many there are.
    pub fn usage(&self) -> (usize, usize) {
        (self.total - self.free.len(), self.total)
    }

    /// A stream number that was never used.
    pub fn stream(&mut self) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_even_and_come_back_last() {
        let mut ports = Ports::new(20_001, 20_009);
        let taken: Vec<u16> = std::iter::from_fn(|| ports.take()).collect();
        assert_eq!(taken, [20_002, 20_004, 20_006, 20_008]);
        assert_eq!(ports.usage(), (4, 4));
        ports.put(20_006);
        ports.put(20_002);
        assert_eq!(ports.take(), Some(20_006));
        assert_ne!(ports.stream(), ports.stream());
    }
}
