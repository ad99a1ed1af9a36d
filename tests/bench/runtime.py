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

from report import ROOT, Report, progress

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


def ours(model, args, activations="auto", context=32, extra=()):
    out = subprocess.run([BIN / "runtime_bench", "--model", model, "--threads", str(args.threads), "--prefill", str(args.prefill),
                          "--decode", str(args.decode), "--context", str(context), "--reps", "1", "--activations", activations,
                          "--json", *extra], check=True, capture_output=True, text=True).stdout
    return {row["name"]: row["value"] for row in json.loads(out)}


def peer(model, args):
    return json.loads(subprocess.run([sys.executable, "-c", PEER, model, str(args.threads), str(args.prefill), str(args.decode)],
                                     check=True, capture_output=True, text=True).stdout)


def converted(kind):
    """The same weights in another format, written once beside the models."""
    path = MODEL.with_name(MODEL.name.replace("Q4_1", kind.upper()))
    if not path.exists():
        progress(f"writing {path.name}")
        subprocess.run([sys.executable, ROOT / "tools/convert_gguf.py", "--type", kind, MODEL, path], check=True)
    return path


def interleaved(reps, kinds):
    """Runs the functions of `kinds` in turn, `reps` times. Returns their samples by name."""
    runs = {kind: [] for kind in kinds}
    for i in range(reps):
        for kind, run in kinds.items():
            progress(f"run {i + 1} of {reps}: {kind}")
            runs[kind].append(run())
    return runs


def against_peer(report, label, runs, bounds):
    """bounds: {figure: (must, aim)} of the ratio."""
    for figure, (must, aim) in bounds.items():
        report.add(f"{figure}, {label}, against llama-cpp-python", [r[figure] for r in runs["ours"]], "tokens/s",
                   peer=[r[figure] for r in runs["peer"]], must=must, aim=aim)


def share_of_bandwidth(report, label, runs, must=None, aim=None):
    """Bytes of weights that decoding read, against those that plain reading reached in the same runs."""
    report.add(f"decode, {label}, share of read bandwidth",
               [r["decode"] * r["weights"] / 1e3 / r["read"] for r in runs["ours"]], "", must=must, aim=aim)


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

    runs = interleaved(args.reps, {
        "ours": lambda: ours(MODEL, args), "peer": lambda: peer(MODEL, args), "float": lambda: ours(MODEL, args, "float"),
        "context 2048": lambda: ours(MODEL, args, context=2048, extra=["--kv", "int8"])})
    report.add("load, Q4_1", [r["load"] for r in runs["ours"]], "ms", must=1000, aim=400, lower_is_better=True)
    against_peer(report, "Q4_1", runs, {"decode": (2, 3), "prefill": (4, 8)})
    share_of_bandwidth(report, "Q4_1", runs, 0.65, 0.85)
    report.add("prefill, Q4_1, share of int8 peak",
               [2e6 * r["prefill"] * r["products"] / (r["int8"] * 1e12) for r in runs["ours"]], "", must=0.25, aim=0.45)
    for figure in ["decode", "prefill"]:
        report.add(f"{figure}, Q4_1, float activations", [r[figure] for r in runs["float"]], "tokens/s",
                   must={"decode": 40, "prefill": 150}[figure])
    report.add("decode at context 2,048, int8 K/V, against context 32", [r["decode"] for r in runs["context 2048"]], "tokens/s",
               peer=[r["decode"] for r in runs["ours"]], must=0.65, aim=0.75)

    for kind, bounds in [("q8_0", {"decode": (1.3, 1.6), "prefill": (2, 4)}), ("f16", {"decode": (None, None), "prefill": (1.5, 3)})]:
        model = converted(kind)
        runs = interleaved(args.reps, {"ours": lambda m=model: ours(m, args), "peer": lambda m=model: peer(m, args)})
        against_peer(report, kind.upper(), runs, bounds)
        share_of_bandwidth(report, kind.upper(), runs, *((0.65, 0.85) if kind == "f16" else ()))

    progress("first token in a warm cluster")
    first_token(report, args.reps)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
