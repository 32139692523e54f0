//! RTCP compound packets (RFC 3550 section 6) rewritten in place along with their RTP (spec: X29).
