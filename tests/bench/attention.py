# SPDX-License-Identifier: Apache-2.0
"""Attention over K/V in number formats, on this processor: speed at a long context, the codec, and what the formats cost in
perplexity on WikiText-2 (valid), with every full page of the context in the format."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from report import ROOT, Report, progress

MODEL = pathlib.Path(os.environ["DKI_MODELS"]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
BIN = pathlib.Path(os.environ["DKI_BUILD"]) / "bin"
TEXT = pathlib.Path(os.environ.get("DKI_DATA", ROOT / "../shared/data")) / "wikitext2/wiki.valid.raw"

KEYS = ["f16", "int8", "int4", "int4:channel_first", "int4:token", "int2", "int2:channel_first"]
VALUES = ["f16", "int8", "int4", "int4", "int4", "int2", "int2"]
BOUNDS = {"int8/int8": (0.2, 0.1), "int4/int4": (3, 1.5)}  # percent


def speed(report, reps):
    runs = []
    for i in range(reps):
        progress(f"attention, run {i + 1} of {reps}")
        out = subprocess.run([BIN / "attention_bench", "--json"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True).stdout
        runs.append({row["name"]: row["value"] for row in json.loads(out)})

    def samples(name):
        return [run[name] for run in runs]

    for kind, must, aim in [("int8", 1.4, None), ("int4", 1.7, None), ("int2", None, None), ("int8:token", None, None),
                            ("int8:channel_first", None, None), ("int4:channel_first", None, None), ("f32", None, None)]:
        report.add(f"attention at context 4,096, {kind}, against f16", samples(f"one token, {kind}"), "tokens/s",
                   peer=samples("one token, f16"), must=must, aim=aim)
    for kind in ["f32", "f16", "int8", "int4"]:
        report.add(f"attention, {kind}, share of read bandwidth", [r[f"bytes, {kind}"] / r["read"] for r in runs], "")
        report.add(f"attention of 512 rows, {kind}", samples(f"512 rows, {kind}"), "GFLOP/s")
    for kind in ["int8", "int4", "int2", "int8:channel_first", "int4:channel_first"]:
        bounds = (3, 6) if kind == "int8" else (None, None)
        report.add(f"codec, {kind}, encode", samples(f"encode, {kind}"), "GB/s", must=bounds[0])
        report.add(f"codec, {kind}, decode", samples(f"decode, {kind}"), "GB/s", must=bounds[1])


def quality(report, windows):
    progress(f"perplexity, {windows} windows of 512 tokens, {2 * len(KEYS) + len(set(VALUES))} formats")
    out = subprocess.run([BIN / "perplexity_bench", "--model", MODEL, "--text", TEXT, "--windows", str(windows), "--json",
                          "--kv-keys", ",".join(KEYS), "--kv-values", ",".join(VALUES)],
                         check=True, capture_output=True, text=True).stdout
    for row in json.loads(out):
        must, aim = BOUNDS.get(row["kv_format"], (None, None))
        report.add(f"perplexity, K/V {row['kv_format']}, against f16", [row["change_percent"]], "%", must=must, aim=aim,
                   lower_is_better=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--windows", type=int, default=32)
    args = parser.parse_args()
    report = Report()
    speed(report, args.reps)
    quality(report, args.windows)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
