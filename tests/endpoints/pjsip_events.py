# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The event lines of pjsip_ua.py, among them one for each SIP message, taken from PJSIP's log."""
import json
import os
import re
import time

import pjsua2 as pj

# PJSIP itself prints some lines before its log can be redirected: stdout is ours, the rest goes to stderr.
EVENTS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
# The line PJSIP logs in front of each whole message.
WIRE = re.compile(r"(TX|RX) \d+ bytes .*? (?:to|from) (\w+) (\S+):\r?\n(.*)", re.S)


def emit(event, **fields):
    print(json.dumps({"t": round(time.monotonic(), 6), "event": event, **fields}), file=EVENTS, flush=True)


class Wire(pj.LogWriter):
    """Turns PJSIP's message log into `sip` events; other lines go to --log, or nowhere."""

    def __init__(self, path):
        super().__init__()
        self.file = open(path, "w", buffering=1) if path else None

    def write(self, entry):
        if self.file:
            self.file.write(f"{time.monotonic():.6f} {entry.msg.rstrip()}\n")
        found = WIRE.search(entry.msg)
        if not found:
            return
        way, transport, peer, text = found.groups()
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        first = head.split("\n")[0].split(" ")
        reply = first[0] == "SIP/2.0"

        def find(pattern, where=head):
            found = re.search(pattern, where, re.M | re.I)
            return found.group(1) if found else None

        direction = None
        if "m=audio" in body:
            direction = find(r"^a=(sendrecv|sendonly|recvonly|inactive)$", body) or "sendrecv"
        emit("sip", way="sent" if way == "TX" else "received", peer=peer, transport=transport.lower(),
             method=find(r"^CSeq *: *\d+ +(\w+)") if reply else first[0], status=int(first[1]) if reply else None,
             call_id=find(r"^(?:Call-ID|i) *: *(\S+)"), cseq=int(find(r"^CSeq *: *(\d+)") or 0),
             from_tag=find(r"^(?:From|f) *:.*;tag=([^;>\s]+)"), to_tag=find(r"^(?:To|t) *:.*;tag=([^;>\s]+)"),
             reason=find(r"^Reason *: *(.*)"), replaces=find(r"^Replaces *: *(.*)"),
             sdp=direction)
