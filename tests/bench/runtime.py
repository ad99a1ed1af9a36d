# SPDX-License-Identifier: Apache-2.0
"""The runtime on this processor: load, prefill, decode against llama-cpp-python in interleaved runs, and the time to the first
token of a chat with 8 memories in a warm cluster."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from report import Report, progress

MODEL = pathlib.Path(os.environ["DKI_MODELS"]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
BIN = pathlib.Path(os.environ["DKI_BUILD"]) / "bin"

PEER = """
import json, sys, time
import llama_cpp
model, threads, prefill, decode = sys.argv[1], *map(int, sys.argv[2:])
llm = llama_cpp.Llama(model, n_ctx=1024, n_threads=threads, n_threads_batch=threads, n_batch=512, n_ubatch=512,
                      flash_attn=True, verbose=False)
ids = [1 + i * 37 % 40000 for i in range(prefill)]
llm.eval(ids[:64]); llm.reset()
start = time.perf_counter(); llm.eval(ids); prefilled = time.perf_counter() - start
llm.reset(); llm.eval(ids[:16])
start = time.perf_counter()
for i in range(decode): llm.eval([ids[i]])
decoded = time.perf_counter() - start
print(json.dumps({"prefill": prefill / prefilled, "decode": decode / decoded}))
"""


def ours(threads, prefill, decode, activations):
    out = subprocess.run([BIN / "runtime_bench", "--model", MODEL, "--threads", str(threads), "--prefill", str(prefill), "--decode",
                          str(decode), "--reps", "1", "--activations", activations, "--json"], check=True, capture_output=True,
                         text=True).stdout
    return {row["name"]: row["value"] for row in json.loads(out)}


def peer(threads, prefill, decode):
    return json.loads(subprocess.run([sys.executable, "-c", PEER, MODEL, str(threads), str(prefill), str(decode)], check=True,
                                     capture_output=True, text=True).stdout)


def first_token(report, reps):
    """From the request leaving the client to the first text arriving, 8 memories injected, their K/V warm in the RAM tier."""
    from cluster_harness import Cluster
    from dki.common.v1 import common_pb2
    from dki.orchestrator.v1 import dki_service_pb2
    facts = [f"{name}'s favorite color is {color}." for name, color in zip(
        ["Ann", "Bob", "Carla", "David", "Emma", "Frank", "Grace", "Henry"],
        ["red", "blue", "green", "silver", "orange", "white", "violet", "black"])]
    with tempfile.TemporaryDirectory(prefix="dki-bench-") as directory:
        os.chmod(directory, 0o755)
        cluster = Cluster(directory)
        try:
            cluster.up()
            for fact in facts:
                cluster.client.add(fact, user="bench")
            times = []
            for i in range(reps + 1):
                request = dki_service_pb2.ChatRequest(
                    scope=common_pb2.Scope(user_id="bench"), sampling=common_pb2.SamplingOptions(max_tokens=8),
                    messages=[common_pb2.Message(role="user", content="What is Emma's favorite color?")],
                    memory=dki_service_pb2.MemoryOptions(k=8, gate=False))
                start = time.perf_counter()
                first = None
                for event in cluster.client.call("Chat", request):
                    if event.HasField("text") and first is None:
                        first = time.perf_counter() - start
                if i:  # the first warms the tiers
                    times.append(first * 1000)
        finally:
            cluster.down()
    report.add("first token of a chat with 8 memories", times, "ms", must=600, lower_is_better=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    report = Report()
    runs = {"float": [], "int16": [], "peer": []}
    for i in range(args.reps):
        for kind, samples in runs.items():
            progress(f"run {i + 1} of {args.reps}: {kind}")
            samples.append(peer(args.threads, args.prefill, args.decode) if kind == "peer"
                           else ours(args.threads, args.prefill, args.decode, kind))
    for kind in ["float", "int16"]:
        report.add(f"load, {kind}", [r["load"] for r in runs[kind]], "ms")
        for what, must in [("prefill", 150), ("decode", 40)]:
            figures = [r[what] for r in runs[kind]]
            report.add(f"{what}, {kind}", figures, "tokens/s", must=must)
            report.add(f"{what}, {kind}, against llama-cpp-python", figures, "tokens/s", peer=[r[what] for r in runs["peer"]])
    progress("first token in a warm cluster")
    first_token(report, args.reps)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
