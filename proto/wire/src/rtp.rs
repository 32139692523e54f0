//! RTP headers (RFC 3550 section 5.1) read in place, and the rewriting that keeps one SSRC with
//! continuous sequence numbers and timestamps over a change of source (spec: X29).
