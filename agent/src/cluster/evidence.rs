//! What speaks against a node, and the suspicion that it adds up to.

use holdline_relay::StreamId;
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;
use std::fmt;
use std::time::Duration;

/// Who refused, as ICMP or a closed connection told (spec: X20, X41: the caller has checked that
/// a live flow is quoted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A probe: near proof; two in a row are a verdict.
    Probe,
    /// Another SIP message or its connection: as good as the first refused probe.
    Signalling,
    /// An RTP or RTCP packet of this stream: never proof, only a reason to ask.
    Media(StreamId),
}

/// What went wrong in a dialog with a node: a reason to ask, no more (spec: X20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A request was not answered in its time (RFC 3261 17.1).
    Timeout,
    /// A request in a dialog was answered with 503.
    Unavailable,
}

/// One thing that speaks against a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKind {
    /// Nobody listens at the probed port.
    ProbeRefused,
    /// Nobody listens where signalling goes.
    SignallingRefused,
    /// Nobody listens at a media port.
    MediaRefused {
        /// The relay's number of the stream.
        stream: u64,
    },
    /// Nobody listens at several media ports, and nothing else of the node is heard.
    MediaGone {
        /// How many streams were refused.
        streams: usize,
        /// How many packets should have come meanwhile.
        packets: u32,
    },
    /// All streams that were being heard fell silent.
    MediaSilent {
        /// For how long, ms.
        ms: u64,
    },
    /// A request was not answered in its time.
    RequestUnanswered,
    /// A request in a dialog was answered with 503.
    ServiceUnavailable,
    /// The trunk document lists the node no more: whoever writes it leaves unhealthy nodes out
    /// (spec: D13), though also those that were taken away in good health.
    Unlisted,
    /// What was sent to it did not leave this machine (spec: X52).
    Unsendable {
        /// Why.
        fault: LocalFault,
    },
    /// The same for as long as a silent node has (spec: D21), while another node answered.
    CutOffFromHere {
        /// Why.
        fault: LocalFault,
    },
    /// Somebody on the way says that it cannot be reached.
    Unreachable,
    /// Probes in a row without an answer.
    ProbesUnanswered {
        /// How many.
        probes: usize,
    },
    /// Nothing came that shows a living process.
    Silent {
        /// For how long, ms.
        ms: u64,
    },
}

impl EvidenceKind {
    /// A stable name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            EvidenceKind::ProbeRefused => "probe_refused",
            EvidenceKind::SignallingRefused => "signalling_refused",
            EvidenceKind::MediaRefused { .. } => "media_refused",
            EvidenceKind::MediaGone { .. } => "media_gone",
            EvidenceKind::MediaSilent { .. } => "media_silent",
            EvidenceKind::RequestUnanswered => "request_unanswered",
            EvidenceKind::ServiceUnavailable => "service_unavailable",
            EvidenceKind::Unlisted => "unlisted",
            EvidenceKind::Unsendable { .. } => "unsendable",
            EvidenceKind::CutOffFromHere { .. } => "cut_off_from_here",
            EvidenceKind::Unreachable => "unreachable",
            EvidenceKind::ProbesUnanswered { .. } => "probes_unanswered",
            EvidenceKind::Silent { .. } => "silent",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvidenceKind::ProbeRefused => write!(f, "probe refused"),
            EvidenceKind::SignallingRefused => write!(f, "signalling refused"),
            EvidenceKind::MediaRefused { stream } => write!(f, "media refused (stream {stream})"),
            EvidenceKind::MediaGone { streams, packets } => {
                write!(f, "{streams} streams refused and {packets} packets missing")
            }
            EvidenceKind::MediaSilent { ms } => write!(f, "all media silent for {ms} ms"),
            EvidenceKind::RequestUnanswered => write!(f, "request unanswered"),
            EvidenceKind::ServiceUnavailable => write!(f, "503 in a dialog"),
            EvidenceKind::Unlisted => write!(f, "no longer in the trunk document"),
            EvidenceKind::Unsendable { fault } => {
                write!(
                    f,
                    "nothing can be sent to it from here ({})",
                    fault.as_str()
                )
            }
            EvidenceKind::CutOffFromHere { fault } => {
                write!(f, "unreachable from here ({})", fault.as_str())
            }
            EvidenceKind::Unreachable => write!(f, "a router says that it cannot be reached"),
            EvidenceKind::ProbesUnanswered { probes } => write!(f, "{probes} probes unanswered"),
            EvidenceKind::Silent { ms } => write!(f, "nothing heard for {ms} ms"),
        }
    }
}

/// What speaks against a node, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it was noticed.
    pub at: Time,
    /// What it is.
    pub kind: EvidenceKind,
}

/// What became of a node whose calls leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is held for dead.
    Dead,
    /// It cannot be reached from this machine, for a reason of ours (spec: X52).
    Unreachable,
    /// It had said that it would leave (spec: D34).
    Left,
}

/// Why and when the calls of a node had to leave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub gone: Gone,
    /// What led to it, in the order it came; the last one decided.
    pub evidence: Vec<Evidence>,
    /// The last sign of life before the suspicion: a SIP message, an RTP or an RTCP packet.
    pub last_sign: Option<Time>,
    /// When the suspicion rose.
    pub suspected_at: Time,
    /// When it was decided.
    pub decided_at: Time,
    /// Whether its media flowed on: it is leaving (spec: D21, D34) rather than gone, so its
    /// calls can be moved without a gap.
    pub leaving: bool,
}

impl Verdict {
    /// From the last sign of life to the suspicion.
    pub fn detection(&self) -> Option<Duration> {
        self.last_sign.map(|sign| self.suspected_at.since(sign))
    }

    /// From the suspicion to the verdict.
    pub fn decision(&self) -> Duration {
        self.decided_at.since(self.suspected_at)
    }
}

/// The most pieces of evidence that are kept of one suspicion.
const EVIDENCE_MAX: usize = 12;

/// A suspicion under way.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub suspected_at: Time,
    /// The last sign of life before.
    pub last_sign: Option<Time>,
    /// Probes sent from here on count; later than `suspected_at` after all nodes were silent.
    pub since: Time,
    /// When another node was last heard, so that our own network is known to work (spec: X21).
    pub last_witness: Time,
    /// Nobody else was heard since quick probing began: nothing counts yet.
    pub unwitnessed: bool,
    /// How long an answer of the nearest other node may take.
    pub witness_patience: Duration,
    pub evidence: Vec<Evidence>,
    /// All media that were being heard are silent.
    pub media_silent: bool,
    /// Streams that were refused.
    pub accusers: Vec<StreamId>,
    /// SIP messages refused in a row, and when the last one was.
    pub sip_refused: u32,
    pub last_refusal: Time,
    /// One of them was a probe.
    pub probe_refused: bool,
    /// Requests in dialogs went wrong, or the trunk document lists it no more: reasons to ask.
    pub troubled: bool,
    /// Probes were unanswered before anything else spoke against it.
    pub unanswered: bool,
    pub next_quick: Time,
    pub last_quick: Option<Time>,
    pub spacing: Duration,
    pub quick_sent: usize,
}

impl Suspicion {
    pub fn new(now: Time) -> Suspicion {
        Suspicion {
            suspected_at: now,
            last_sign: None,
            since: now,
            last_witness: now,
            unwitnessed: false,
            witness_patience: Duration::ZERO,
            evidence: Vec::new(),
            media_silent: false,
            accusers: Vec::new(),
            sip_refused: 0,
            last_refusal: Time::ZERO,
            probe_refused: false,
            troubled: false,
            unanswered: false,
            next_quick: now,
            last_quick: None,
            spacing: Duration::ZERO,
            quick_sent: 0,
        }
    }

    /// Notes one more piece. A second refusal reported at the very moment of the first is the
    /// same one: no probe could have been refused in between.
    pub fn add(&mut self, now: Time, kind: EvidenceKind) {
        match kind {
            EvidenceKind::MediaSilent { .. } => self.media_silent = true,
            EvidenceKind::MediaRefused { stream } => {
                // A stream goes on being refused; only the first time asks for a fresh answer.
                if self.accusers.is_empty() {
                    self.last_refusal = now;
                }
                let stream = StreamId(stream);
                if self.accusers.len() < EVIDENCE_MAX && !self.accusers.contains(&stream) {
                    self.accusers.push(stream);
                }
            }
            EvidenceKind::ProbeRefused | EvidenceKind::SignallingRefused => {
                if self.sip_refused == 0 || now > self.last_refusal {
                    self.sip_refused += 1;
                    self.probe_refused |= kind == EvidenceKind::ProbeRefused;
                }
                self.last_refusal = now;
            }
            EvidenceKind::RequestUnanswered
            | EvidenceKind::ServiceUnavailable
            | EvidenceKind::Unlisted => self.troubled = true,
            // Said only by a verdict.
            EvidenceKind::MediaGone { .. } | EvidenceKind::CutOffFromHere { .. } => {}
            // Nobody was asked, or a router speaks for others.
            EvidenceKind::Unsendable { .. } | EvidenceKind::Unreachable => {}
            EvidenceKind::ProbesUnanswered { .. } | EvidenceKind::Silent { .. } => {
                self.unanswered = true;
            }
        }
        if self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(Evidence { at: now, kind });
        }
    }

    /// Whether somebody refused something: then only the answer to a later probe clears.
    pub fn refused(&self) -> bool {
        self.sip_refused > 0 || !self.accusers.is_empty()
    }

    /// Whether there is more than unanswered probes: then quick probes go as fast as they can.
    pub fn is_fast(&self) -> bool {
        self.media_silent || self.troubled || self.refused()
    }

    /// How long all others may be silent during this suspicion before our own network is to
    /// blame (spec: X21): they are asked along with every quick probe.
    pub fn witness_window(&self) -> Duration {
        self.spacing * 3 + self.witness_patience
    }
}
