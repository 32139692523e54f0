#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Watches RTP to some loopback addresses and tells what its listeners were sent. See README.md."""
import argparse
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time

ETH_P_IP = 0x0800
PACKET_OUTGOING = 4  # on loopback each packet is seen leaving and arriving
SO_ATTACH_FILTER, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 26, 35, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
TICKS = 8000  # of the audio formats that the tests use, a second
PACKET_TICKS = 160
GAP, CLOCK_STEP = 0.03, 0.15
FIRST_RTP_PORT = 10000  # below are the SIP ports


def emit(event, **fields):
    print(json.dumps({"t": round(time.monotonic(), 6), "event": event, **fields}), flush=True)


def filter_for(addresses):
    """Classic BPF: UDP to one of the addresses; the packet starts at its IP header."""
    count = len(addresses)
    code = [(0x30, 0, 0, 9), (0x15, 0, count + 1, socket.IPPROTO_UDP), (0x20, 0, 0, 16)]
    code += [(0x15, count - at, 0, int(address)) for at, address in enumerate(addresses)]
    code += [(0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    return b"".join(struct.pack("HBBI", *line) for line in code), len(code)


def open_socket(addresses):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # hears nothing before it is bound
    program, lines = filter_for(addresses)
    program = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", lines, ctypes.addressof(program)))
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    except OSError:
        pass  # the usual buffer, then; drops are reported
    sock.bind(("lo", ETH_P_IP))
    return sock


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Flow:
    def __init__(self, address):
        self.told = {"address": address, "sources": [], "packets": 0, "ssrcs": {}, "payload_types": [],
                     "sequence_steps": [], "timestamp_steps": [], "clock_steps": [], "gaps": []}
        self.last = None

    def packet(self, t, source, rtp):
        told = self.told
        kind, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", rtp)
        told["packets"] += 1
        name = f"{ssrc:08x}"
        told["ssrcs"][name] = told["ssrcs"].get(name, 0) + 1
        for list_name, value in (("sources", source), ("payload_types", kind & 0x7F)):
            if value not in told[list_name]:
                told[list_name].append(value)
        if self.last:
            before, last_sequence, last_timestamp = self.last
            step, ticks = signed(sequence - last_sequence, 16), signed(timestamp - last_timestamp, 32)
            at = round(t, 4)
            if step != 1:
                told["sequence_steps"].append({"t": at, "step": step})
            if ticks < 0 or ticks % PACKET_TICKS:
                told["timestamp_steps"].append({"t": at, "step": ticks})
            if abs(ticks / TICKS - (t - before)) > CLOCK_STEP:
                told["clock_steps"].append({"t": at, "by": round(ticks / TICKS - (t - before), 4)})
            if t - before > GAP:
                told["gaps"].append({"t": at, "seconds": round(t - before, 4)})
        self.last = (t, sequence, timestamp)


def take(sock, flows, to_monotonic):
    data, extra, _, sender = sock.recvmsg(2048, 128)
    header = (data[0] & 15) * 4
    if sender[2] == PACKET_OUTGOING or len(data) < header + 20:
        return
    stamp = time.time()
    for level, kind, value in extra:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanos = struct.unpack("ll", value[:16])
            stamp = seconds + nanos / 1e9
    from_port, to_port = struct.unpack_from("!HH", data, header)
    rtp = data[header + 8:]
    # RTCP's packet types are 200 to 207 (RFC 5761 section 4).
    if to_port < FIRST_RTP_PORT or rtp[0] >> 6 != 2 or 200 <= rtp[1] <= 207:
        return
    address = f"{socket.inet_ntoa(data[16:20])}:{to_port}"
    flow = flows.setdefault(address, Flow(address))
    flow.packet(stamp + to_monotonic, f"{socket.inet_ntoa(data[12:16])}:{from_port}", rtp)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="+", type=ipaddress.IPv4Address)
    args = parser.parse_args()
    try:
        sock = open_socket(args.address)
    except PermissionError as error:
        emit("error", text=f"no packet socket: {error}")
        sys.exit(3)
    to_monotonic = time.monotonic() - time.time()
    flows, pending, dropped = {}, b"", 0
    emit("ready")
    while True:
        ready = select.select([sock, 0], [], [])[0]
        if sock in ready:
            take(sock, flows, to_monotonic)
            continue  # all that is waiting comes before a report
        data = os.read(0, 4096)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line.strip() == b"report":
                for flow in flows.values():
                    emit("flow", **flow.told)
                # The kernel counts from the last time that it was asked.
                dropped += struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
                emit("reported", dropped=dropped)
            else:
                emit("error", text=f"unknown command: {line.decode(errors='replace')}")


if __name__ == "__main__":
    main()
