#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A scripted PJSIP user agent: commands on stdin, one JSON event per line on stdout.

Everything runs on one thread: PJSIP is polled from the main loop, and the callbacks arrive inside that
poll. Media runs on PJSIP's own threads behind a null sound device. See README.md for commands and events.
"""
import argparse
import json
import os
import re
import select
import signal
import sys
import time

import pjsua2 as pj

RATE = 8000  # clock of the conference bridge, so also of the recordings
STATES = {
    pj.PJSIP_INV_STATE_NULL: "null",
    pj.PJSIP_INV_STATE_CALLING: "calling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_EARLY: "early",
    pj.PJSIP_INV_STATE_CONNECTING: "connecting",
    pj.PJSIP_INV_STATE_CONFIRMED: "confirmed",
    pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected",
}
DIRECTIONS = {0: "inactive", 1: "sendonly", 2: "recvonly", 3: "sendrecv"}
MEDIA = {
    pj.PJSUA_CALL_MEDIA_NONE: "none",
    pj.PJSUA_CALL_MEDIA_ACTIVE: "active",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "local-hold",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "remote-hold",
    pj.PJSUA_CALL_MEDIA_ERROR: "error",
}
# The line PJSIP logs in front of each whole message.
WIRE = re.compile(r"(TX|RX) \d+ bytes .*? (?:to|from) (\w+) (\S+):\r?\n(.*)", re.S)


def emit(event, **fields):
    fields = {"t": round(time.monotonic(), 6), "event": event, **fields}
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


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
        first, *lines = head.split("\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())

        def header(name, short=None):
            return headers.get(name, headers.get(short, ""))

        words = first.split(" ")
        reply = words[0] == "SIP/2.0"
        cseq = header("cseq").split()
        media = re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\b", body, re.M)
        emit("sip", way="sent" if way == "TX" else "received", peer=peer, transport=transport.lower(),
             method=cseq[1] if reply and len(cseq) > 1 else words[0],
             status=int(words[1]) if reply else None,
             call_id=header("call-id", "i"), cseq=int(cseq[0]) if cseq else None,
             from_tag=tag(header("from", "f")), to_tag=tag(header("to", "t")),
             reason=header("reason") or None, replaces=header("replaces") or None,
             sdp=(media[0] if media else "sendrecv") if "m=audio" in body else None)


def tag(value):
    found = re.search(r";tag=([^;>\s]+)", value)
    return found.group(1) if found else None


class Call(pj.Call):
    def __init__(self, ua, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(ua.account, call_id)
        self.ua = ua
        self.sip_id = ""  # known once PJSIP has made the dialog
        self.replaced = False

    def describe(self):
        info = self.getInfo()
        self.sip_id = info.callIdString or self.sip_id
        return info, {"call_id": self.sip_id, "state": STATES.get(info.state, str(info.state)),
                      "last_status": int(info.lastStatusCode), "reason": info.lastReason}

    def onCallState(self, prm):
        info, fields = self.describe()
        emit("state", **fields)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.ua.forget(self)

    def onCallMediaState(self, prm):
        self.connect()

    def connect(self):
        """Joins tone and recorder to the call's audio. Harmless to repeat."""
        info, fields = self.describe()
        for media in info.media:
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            extra = {}
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                audio = self.getAudioMedia(media.index)
                self.ua.source.startTransmit(audio)
                audio.startTransmit(self.ua.recorder or self.ua.silence)
            try:
                stream = self.getStreamInfo(media.index)
                extra = {"codec": f"{stream.codecName}/{stream.codecClockRate}", "pt": stream.txPt,
                         "dtmf_pt": stream.audTxEventPt, "remote_rtp": stream.remoteRtpAddress}
            except pj.Error:
                pass  # no stream while inactive
            emit("media", call_id=fields["call_id"], index=media.index,
                 direction=DIRECTIONS.get(media.dir, str(media.dir)),
                 status=MEDIA.get(media.status, str(media.status)),
                 active=media.status == pj.PJSUA_CALL_MEDIA_ACTIVE,
                 hold=media.status in (pj.PJSUA_CALL_MEDIA_LOCAL_HOLD, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD),
                 **extra)

    def leave(self):
        """A replaced call lives on until its BYE is answered or has timed out: take it out of commands and audio."""
        self.replaced = True
        for media in self.getInfo().media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.audioConfSlot != pj.PJSUA_INVALID_ID:
                audio = self.getAudioMedia(media.index)
                self.ua.source.stopTransmit(audio)
                audio.stopTransmit(self.ua.recorder or self.ua.silence)

    def onStreamDestroyed(self, prm):
        # Every offer/answer that changes something makes a new stream, so a call may have several of these.
        try:
            rtcp = self.getStreamStat(prm.streamIdx).rtcp
        except pj.Error:
            return
        fields = {}
        for way, side in (("rx", rtcp.rxStat), ("tx", rtcp.txStat)):
            fields.update({f"{way}_packets": side.pkt, f"{way}_lost": side.loss, f"{way}_discarded": side.discard,
                           f"{way}_dup": side.dup, f"{way}_reordered": side.reorder,
                           f"{way}_max_jitter_us": side.jitterUsec.max})
        emit("stats", call_id=self.sip_id, index=prm.streamIdx, **fields)

    def onCallReplaceRequest(self, prm):
        emit("replace-request", call_id=self.describe()[1]["call_id"])

    def onCallReplaced(self, prm):
        # PJSIP has answered the new call already; whatever it reported before this went to nobody.
        new = Call(self.ua, prm.newCallId)
        prm.newCall = new
        self.ua.calls.append(new)
        self.leave()
        emit("replaced", old=self.describe()[1]["call_id"], new=new.describe()[1]["call_id"])
        new.connect()


class Account(pj.Account):
    def __init__(self, ua):
        super().__init__()
        self.ua = ua

    def onIncomingCall(self, prm):
        call = Call(self.ua, prm.callId)
        self.ua.calls.append(call)
        info, fields = call.describe()
        emit("incoming", call_id=fields["call_id"], remote=info.remoteUri, local=info.localUri)
        if self.ua.args.auto_answer:
            call.answer(answer(180))
            self.ua.later(self.ua.args.ring_ms / 1000, lambda: call in self.ua.calls and call.answer(answer(200)))


def answer(status):
    prm = pj.CallOpParam(True)
    prm.statusCode = status
    return prm


class Agent:
    def __init__(self, args):
        self.args = args
        self.calls, self.timers, self.stop = [], [], False
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = f"pjsip-ua {args.name}"
        config.medConfig.clockRate = config.medConfig.sndClockRate = RATE
        config.medConfig.noVad = True  # a steady stream of packets
        config.medConfig.ecTailLen = 0
        self.wire = Wire(args.log)
        config.logConfig.writer = self.wire
        config.logConfig.level = config.logConfig.consoleLevel = 5 if args.log else 4
        config.logConfig.msgLogging = 1
        config.logConfig.decor = 0
        self.endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port = args.port
        transport.boundAddress = transport.publicAddress = args.bind
        kind = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}[args.transport]
        transport_id = self.endpoint.transportCreate(kind, transport)
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        if args.codecs:
            wanted = args.codecs.split(",")
            for codec in self.endpoint.codecEnum2():
                name = codec.codecId.split("/")[0]
                self.endpoint.codecSetPriority(codec.codecId, 200 - wanted.index(name) if name in wanted else 0)
        # `source` is heard by the far end. `silence` never plays; a recorder that it feeds goes on writing
        # while no call does, so that a place in the file stays a place in time.
        self.source, self.silence = pj.ToneGenerator(), pj.ToneGenerator()
        self.source.createToneGenerator(RATE)
        self.silence.createToneGenerator(RATE)
        self.recorder = None
        self.account = Account(self)
        config = pj.AccountConfig()
        config.idUri = f"sip:{args.name}@{args.bind}:{args.port}"
        config.sipConfig.transportId = transport_id
        config.mediaConfig.transportConfig.port = args.rtp_port
        config.mediaConfig.transportConfig.portRange = args.rtp_range
        config.mediaConfig.transportConfig.boundAddress = args.bind
        config.mediaConfig.transportConfig.publicAddress = args.bind
        config.callConfig.timerUse = {"no": pj.PJSUA_SIP_TIMER_INACTIVE, "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
                                      "always": pj.PJSUA_SIP_TIMER_ALWAYS}[args.timer]
        config.callConfig.timerSessExpiresSec = args.session_expires
        self.account.create(config)
        if args.tone:
            self.tone(args.tone)
        if args.record:
            self.record(args.record)
        emit("ready", name=args.name, uri=config.idUri, pid=os.getpid())

    def later(self, seconds, action):
        self.timers.append((time.monotonic() + seconds, action))

    def forget(self, call):
        # The object must outlive the callback that it is in.
        self.later(0, lambda: call in self.calls and self.calls.remove(call))

    def tone(self, hertz):
        self.source.stop()
        if hertz:
            desc = pj.ToneDesc()
            desc.freq1, desc.freq2, desc.on_msec, desc.off_msec = int(hertz), 0, 1000, 0
            tones = pj.ToneDescVector()
            tones.append(desc)
            self.source.play(tones, True)
        emit("tone", hz=hertz)

    def record(self, path):
        old, self.recorder = self.recorder, pj.AudioMediaRecorder()
        self.recorder.createRecorder(path)
        del old  # the last reference: PJSIP completes the file here
        self.silence.startTransmit(self.recorder)
        emit("record", path=path)
        for call in self.live():
            call.connect()

    def live(self):
        return [call for call in self.calls if call.isActive() and not call.replaced]

    def command(self, line):
        word, _, rest = line.strip().partition(" ")
        if word == "call":
            call = Call(self)
            self.calls.append(call)
            call.makeCall(rest.strip(), pj.CallOpParam(True))
            emit("calling", call_id=call.describe()[1]["call_id"], uri=rest.strip())
        elif word == "tone":
            self.tone(float(rest))
        elif word == "record":
            self.record(rest.strip())
        elif word == "calls":
            emit("calls", calls=[call.describe()[1] for call in self.live()])
        elif word in ("hold", "unhold", "hangup", "answer"):
            for call in self.live():
                prm = pj.CallOpParam(True)
                if word == "hold":
                    call.setHold(prm)
                elif word == "unhold":
                    prm.opt.flag = pj.PJSUA_CALL_UNHOLD
                    call.reinvite(prm)
                elif word == "answer":
                    call.answer(answer(200))
                else:
                    call.hangup(prm)
        elif word == "quit":
            self.stop = True
        elif word:
            emit("error", text=f"unknown command: {word}")

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "stop", True))
        pending, open_input = b"", True
        while not self.stop:
            self.endpoint.libHandleEvents(10)
            now = time.monotonic()
            due, self.timers = ([x for x in self.timers if x[0] <= now], [x for x in self.timers if x[0] > now])
            for _, action in due:
                self.guard(action)
            if open_input and select.select([0], [], [], 0)[0]:
                data = os.read(0, 4096)
                open_input = bool(data)
                pending += data if data else b"\nquit\n"
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    self.guard(lambda: self.command(line.decode()))
        self.close()

    def guard(self, action):
        try:
            action()
        except (pj.Error, ValueError) as error:
            emit("error", text=error.info() if isinstance(error, pj.Error) else str(error))

    def close(self):
        self.guard(self.endpoint.hangupAllCalls)
        until = time.monotonic() + 1
        while self.live() and time.monotonic() < until:
            self.endpoint.libHandleEvents(10)
        # PJSIP objects must go before the library does, in this order.
        self.recorder = None
        self.calls.clear()
        self.timers.clear()
        self.source = self.silence = None
        self.account.shutdown()
        self.account = None
        self.endpoint.libDestroy()
        emit("bye")
        os._exit(0)  # the wrappers' destructors would call into a library that is gone


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5070)
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--rtp-port", type=int, default=40000)
    parser.add_argument("--rtp-range", type=int, default=100)
    parser.add_argument("--auto-answer", action="store_true")
    parser.add_argument("--ring-ms", type=int, default=200)
    parser.add_argument("--record", metavar="WAV")
    parser.add_argument("--tone", type=float, metavar="HZ")
    parser.add_argument("--codecs", metavar="NAME,...", help="only these, in this order, e.g. PCMU,PCMA")
    parser.add_argument("--timer", choices=("no", "optional", "always"), default="optional")
    parser.add_argument("--session-expires", type=int, default=1800)
    parser.add_argument("--log", metavar="FILE", help="write PJSIP's whole log here")
    Agent(parser.parse_args()).run()


if __name__ == "__main__":
    main()
