#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A scripted PJSIP user agent: commands on stdin, one JSON event per line on stdout.

Everything runs on one thread: PJSIP is polled from the main loop, and the callbacks arrive inside that
poll. Media runs on PJSIP's own threads behind a null sound device. See README.md for commands and events.
"""
import argparse
import os
import select
import signal
import time

import pjsua2 as pj

from pjsip_events import Wire, emit

RATE = 8000  # clock of the conference bridge, so also of the recordings
# PJSIP's enumerations, in their order.
STATES = ("null", "calling", "incoming", "early", "connecting", "confirmed", "disconnected")
DIRECTIONS = ("inactive", "sendonly", "recvonly", "sendrecv")
MEDIA = ("none", "active", "local-hold", "remote-hold", "error")


class Call(pj.Call):
    def __init__(self, ua, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(ua.account, call_id)
        self.ua = ua
        self.sip_id = ""  # known once PJSIP has made the dialog
        self.replaced = self.ended = False
        self.recorder = None  # its own, with --record-dir

    def describe(self):
        info = self.getInfo()
        self.sip_id = info.callIdString or self.sip_id
        return info, {"call_id": self.sip_id, "state": STATES[info.state],
                      "last_status": int(info.lastStatusCode), "reason": info.lastReason}

    def onCallState(self, prm):
        info, fields = self.describe()
        emit("state", **fields)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            # PJSIP knows calls by small numbers and gives this one's to the next call, maybe before this
            # callback's poll returns. The destructor hangs up whichever call has the number by then, so
            # the object is kept until the process ends.
            self.ended = True
            self.ua.ended.append(self)
            self.ua.later(0, lambda: setattr(self, "recorder", None))  # completes its file
            if self in self.ua.calls:
                self.ua.calls.remove(self)

    def onCallMediaState(self, prm):
        self.connect()

    def connect(self):
        """Joins tone and recorder to the call's audio. Harmless to repeat."""
        info, _ = self.describe()  # keep a reference: the media list lives inside of it
        for media in info.media:
            extra = {}
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if MEDIA[media.status] in ("active", "remote-hold") and media.audioConfSlot != pj.PJSUA_INVALID_ID:
                audio = self.getAudioMedia(media.index)
                self.ua.source.startTransmit(audio)
                audio.startTransmit(self.ua.recorder or self.ua.silence)
                if self.recorder:
                    audio.startTransmit(self.recorder)
                stream = self.getStreamInfo(media.index)
                extra = {"codec": f"{stream.codecName}/{stream.codecClockRate}", "pt": stream.txPt,
                         "dtmf_pt": stream.audTxEventPt, "remote_rtp": stream.remoteRtpAddress,
                         "local_rtp": self.getMedTransportInfo(media.index).localRtpName}
            emit("media", call_id=self.sip_id, direction=DIRECTIONS[media.dir], status=MEDIA[media.status],
                 active=bool(extra) and MEDIA[media.status] == "active",
                 hold=MEDIA[media.status].endswith("hold"), **extra)

    def leave(self):
        """A replaced call lives on until its BYE is answered or has timed out: take it out of commands and audio."""
        self.replaced = True
        info = self.getInfo()
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.audioConfSlot != pj.PJSUA_INVALID_ID:
                audio = self.getAudioMedia(media.index)
                self.ua.source.stopTransmit(audio)
                audio.stopTransmit(self.ua.recorder or self.ua.silence)
                if self.recorder:
                    audio.stopTransmit(self.recorder)

    def onStreamDestroyed(self, prm):
        # Every offer and answer that changes something makes a new stream, so a call may have several of these.
        rtcp = self.getStreamStat(prm.streamIdx).rtcp
        fields = {}
        for way, side in (("rx", rtcp.rxStat), ("tx", rtcp.txStat)):
            fields |= {f"{way}_packets": side.pkt, f"{way}_lost": side.loss, f"{way}_discarded": side.discard,
                       f"{way}_dup": side.dup, f"{way}_reordered": side.reorder,
                       f"{way}_max_jitter_us": side.jitterUsec.max}
        emit("stats", call_id=self.sip_id, **fields)

    def onDtmfDigit(self, prm):
        emit("dtmf", call_id=self.sip_id, digit=prm.digit)

    def onCallReplaceRequest(self, prm):
        emit("replace-request", call_id=self.sip_id)

    def onCallReplaced(self, prm):
        # Its media and the 200 come right after this, in callbacks of the new object.
        new = prm.newCall = Call(self.ua, prm.newCallId)
        self.ua.calls.append(new)
        self.leave()
        # The recording goes on: what was heard around the change is in one file.
        new.recorder, self.recorder = self.recorder, None
        info, _ = new.describe()
        emit("replaced", old=self.sip_id, new=new.sip_id, remote=info.remoteUri, local=info.localUri)

    def onCallTransferRequest(self, prm):
        # PJSIP's new call takes this object (one made here crashes the wrapper): commands and events are
        # of the new call from now on.
        emit("transfer-request", call_id=self.sip_id, uri=prm.dstUri)

    def onCallTransferStatus(self, prm):
        emit("transfer-status", call_id=self.sip_id, status=int(prm.statusCode), final=bool(prm.finalNotify))


class Account(pj.Account):
    def __init__(self, ua):
        super().__init__()
        self.ua = ua

    def onIncomingCall(self, prm):
        call = Call(self.ua, prm.callId)
        self.ua.calls.append(call)
        info, _ = call.describe()
        emit("incoming", call_id=call.sip_id, remote=info.remoteUri, local=info.localUri)
        self.ua.record_call(call)
        if self.ua.args.auto_answer:
            self.ua.operate(180, call)
            self.ua.later(self.ua.args.ring_ms / 1000, lambda: call in self.ua.live() and self.ua.operate(200, call))


class Agent:
    def __init__(self, args):
        self.args = args
        self.calls, self.ended, self.timers, self.stop = [], [], [], False
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = 4  # the wheel's PJSUA_MAX_CALLS
        config.uaConfig.userAgent = f"pjsip-ua {args.name}"
        config.medConfig.clockRate = config.medConfig.sndClockRate = RATE
        config.medConfig.noVad = True  # a steady stream of packets
        config.medConfig.ecTailLen = 0
        self.wire = Wire(args.log)
        config.logConfig.writer = self.wire
        config.logConfig.level = config.logConfig.consoleLevel = 5 if args.log else 4
        config.logConfig.msgLogging, config.logConfig.decor = 1, 0
        self.endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port = args.port
        transport.boundAddress = transport.publicAddress = args.bind
        kind = pj.PJSIP_TRANSPORT_TCP if args.transport == "tcp" else pj.PJSIP_TRANSPORT_UDP
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
        self.recorder, self.recorded = None, 0
        self.account = Account(self)
        config = pj.AccountConfig()
        config.idUri = f"sip:{args.name}@{args.bind}:{args.port}"
        config.sipConfig.transportId = transport_id
        rtp = config.mediaConfig.transportConfig
        rtp.port, rtp.portRange, rtp.boundAddress, rtp.publicAddress = args.rtp_port, 100, args.bind, args.bind
        config.callConfig.timerUse = {"no": 0, "optional": 1, "required": 2, "always": 3}[args.timer]
        config.callConfig.timerSessExpiresSec = args.session_expires
        self.account.create(config)
        self.tone(args.tone)
        if args.record:
            self.record(args.record)
        emit("ready", name=args.name, uri=config.idUri, pid=os.getpid())

    def later(self, seconds, action):
        self.timers.append((time.monotonic() + seconds, action))

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
        emit("record", path=path, call_id=None)
        for call in self.live():
            call.connect()

    def record_call(self, call):
        if self.args.record_dir:
            self.recorded += 1
            path = os.path.join(self.args.record_dir, f"{self.args.name}-{self.recorded}.wav")
            call.recorder = pj.AudioMediaRecorder()
            call.recorder.createRecorder(path)
            self.silence.startTransmit(call.recorder)
            emit("record", path=path, call_id=call.sip_id)

    def live(self):
        return [call for call in self.calls if call.isActive() and not (call.replaced or call.ended)]

    def command(self, line):
        word, rest = (line.strip() + " ").split(" ", 1)
        rest = rest.strip()
        if word == "call":
            call = Call(self)
            self.calls.append(call)
            call.makeCall(rest, pj.CallOpParam(True))
            call.describe()
            emit("calling", call_id=call.sip_id, uri=rest)
            self.record_call(call)
        elif word == "tone":
            self.tone(float(rest))
        elif word == "record":
            self.record(rest)
        elif word == "calls":
            emit("calls", calls=[call.describe()[1] for call in self.live()])
        elif word == "dtmf":
            for call in self.live():
                call.dialDtmf(rest)
        elif word in ("hold", "unhold", "hangup", "answer"):
            for call in self.live():
                if rest in ("", call.sip_id):
                    self.guard(lambda: self.operate(word, call))
        elif word == "transfer":
            first, second = ([call for call in self.live() if call.sip_id == one][0] for one in rest.split())
            first.xferReplaces(second, pj.CallOpParam(True))
        elif word == "quit":
            self.stop = True
        elif word:
            emit("error", text=f"unknown command: {word}")

    def operate(self, word, call):
        prm = pj.CallOpParam(True)
        if word == "hold":
            call.setHold(prm)
        elif word == "unhold":
            prm.opt.flag = pj.PJSUA_CALL_UNHOLD
            call.reinvite(prm)
        elif word == "hangup":
            call.hangup(prm)
        else:
            prm.statusCode = 200 if word == "answer" else word
            call.answer(prm)

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        pending, open_input = b"", True
        while not self.stop:
            self.endpoint.libHandleEvents(10)
            self.fire()
            if open_input and select.select([0], [], [], 0)[0]:
                data = os.read(0, 4096)
                open_input = bool(data)
                pending += data if data else b"\nquit\n"
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    self.guard(lambda: self.command(line.decode()))
        self.close()

    def fire(self):
        now = time.monotonic()
        due = [timer for timer in self.timers if timer[0] <= now]
        self.timers = [timer for timer in self.timers if timer[0] > now]
        for _, action in due:
            self.guard(action)

    def guard(self, action):
        try:
            action()
        except pj.Error as error:
            emit("error", text=error.info())
        except (ValueError, IndexError) as error:
            emit("error", text=str(error))

    def close(self):
        self.guard(self.endpoint.hangupAllCalls)
        until = time.monotonic() + 1
        while self.live() and time.monotonic() < until:
            self.endpoint.libHandleEvents(10)
        # PJSIP objects must go before the library does, in this order.
        for call in self.calls + self.ended:
            call.recorder = None
        self.recorder = self.source = self.silence = None
        self.calls.clear()
        self.timers.clear()
        self.account.shutdown()
        self.endpoint.libDestroy()
        emit("bye")
        os._exit(0)  # the wrappers' destructors would call into a library that is gone


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--name", required=True)
    add("--bind", default="127.0.0.1")
    add("--port", type=int, default=5070)
    add("--transport", choices=("udp", "tcp"), default="udp")
    add("--rtp-port", type=int, default=40000)
    add("--auto-answer", action="store_true")
    add("--ring-ms", type=int, default=200)
    add("--record", metavar="WAV")
    add("--record-dir", metavar="DIR", help="record each call there, in a file of its own")
    add("--tone", type=float, metavar="HZ")
    add("--codecs", metavar="NAME,...", help="only these, in this order, e.g. PCMU,PCMA")
    add("--timer", choices=("no", "optional", "required", "always"), default="optional")
    add("--session-expires", type=int, default=1800)
    add("--log", metavar="FILE", help="write PJSIP's whole log here")
    Agent(parser.parse_args()).run()


if __name__ == "__main__":
    main()
