#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Says, window by window, how much of a WAV recording is each of some tones (Goertzel)."""
import argparse
import array
import json
import math
import struct
import sys

HEADER = 44  # RIFF, fmt and data in a row, as PJSIP and most recorders write them


def goertzel(block, rate, hertz):
    """The share of the block's energy at one frequency: 1.0 for a pure tone, 0.0 for none of it."""
    coefficient = 2 * math.cos(2 * math.pi * hertz / rate)
    one = two = 0.0
    for sample in block:
        one, two = sample + coefficient * one - two, one
    power = one * one + two * two - coefficient * one * two
    energy = sum(sample * sample for sample in block)
    return 2 * power / (len(block) * energy) if energy else 0.0


def read(path):
    # Not with the `wave` module: while a recording grows, and when its recorder was killed, the header's lengths are zero.
    with open(path, "rb") as file:
        head, data = file.read(HEADER), file.read()
    if len(head) < HEADER or head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or head[36:40] != b"data":
        sys.exit(f"{path}: expected a WAVE file with a header of {HEADER} bytes")
    form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", head[20:36])
    if (form, channels, bits) != (1, 1, 16):
        sys.exit(f"{path}: expected 16-bit mono PCM")
    samples = array.array("h", data[: len(data) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return rate, samples


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--hz", type=float, nargs="+", required=True)
    parser.add_argument("--from", dest="start", type=float, default=0.0, metavar="S")
    parser.add_argument("--to", dest="end", type=float, metavar="S")
    parser.add_argument("--window", type=float, default=0.02, metavar="S")
    parser.add_argument("--min-share", type=float, default=0.5, help="least share that makes a tone the window's own")
    parser.add_argument("--min-level", type=float, default=100.0, help="a window with a lower RMS is silence")
    parser.add_argument("--runs", action="store_true", help="print only the runs, not each window")
    args = parser.parse_args()

    rate, samples = read(args.file)
    length = len(samples) / rate
    size = max(1, round(args.window * rate))
    first, last = int(args.start * rate), min(len(samples), int((args.end or length) * rate))
    windows, runs = [], []
    for at in range(first, last - size + 1, size):
        block = samples[at : at + size]
        level = math.sqrt(sum(sample * sample for sample in block) / size)
        shares = {f"{hz:g}": round(goertzel(block, rate, hz), 4) for hz in args.hz}
        best = max(shares, key=shares.get)
        if level < args.min_level:
            tone = "silence"
        else:
            tone = best if shares[best] >= args.min_share else "other"
        start, end = round(at / rate, 4), round((at + size) / rate, 4)
        windows.append({"at": start, "rms": round(level, 1), "tone": tone, "share": shares})
        if runs and runs[-1]["tone"] == tone:
            runs[-1]["to"] = end
        else:
            runs.append({"from": start, "to": end, "tone": tone})
    result = {"file": args.file, "seconds": round(length, 4), "rate": rate, "window": size / rate, "runs": runs}
    if not args.runs:
        result["windows"] = windows
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
