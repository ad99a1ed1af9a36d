# SPDX-License-Identifier: Apache-2.0
"""The memory store in a whole cluster with its own PostgreSQL (every commit synced): adds with given vectors, lists; adds whose
text is embedded; and what a chat costs beside the model."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import cluster_harness
from report import Report, progress

BENCH = pathlib.Path(os.environ["DKI_BUILD"]) / "bin" / "store_bench"
CLIENTS = 16
TENANTS = 8


def device_syncs(directory, seconds=1.0):
    """What the disk can do alone: 8 KiB written in place and synced, one after the other."""
    rates = []
    for _ in range(3):
        descriptor = os.open(pathlib.Path(directory) / "sync-probe", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(descriptor, bytes(1 << 20), 0)
        os.fsync(descriptor)
        n, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            os.pwrite(descriptor, os.urandom(8192), (n % 128) * 8192)
            os.fdatasync(descriptor)
            n += 1
        rates.append(n / (time.perf_counter() - start))
        os.close(descriptor)
    return rates


def adds_with_vectors(report, cluster, reps, seconds):
    rows = []
    for i in range(reps):
        progress(f"adds with given vectors: run {i + 1} of {reps}")
        out = subprocess.run([BENCH, f"127.0.0.1:{cluster.port_base}", cluster.directory / "cluster.key", str(CLIENTS), str(seconds),
                              str(TENANTS)], check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(out))
    figures = {name: [row[name] for row in rows] for name in rows[0]}
    report.add(f"durable adds, {CLIENTS} clients, vectors given", figures["adds_per_s"], "/s", must=2500)
    report.add("one of these adds, p50", figures["add_p50_ms"], "ms")
    report.add("one of these adds, p99", figures["add_p99_ms"], "ms")
    report.add("list of 100 memories, p50", figures["list_p50_ms"], "ms", must=3, lower_is_better=True)
    report.add("list of 100 memories, p99", figures["list_p99_ms"], "ms")


def adds_with_text(report, cluster, seconds):
    """Through the orchestrator, which has the text embedded."""
    progress("adds whose text is embedded")
    end = time.monotonic() + seconds

    def add(client):
        n = 0
        connection = cluster_harness.Client(cluster.address, cluster.key)
        while time.monotonic() < end:
            connection.add(f"Visitor {client} of the museum wrote that picture {n} of the second hall was the best.", user=f"w{client}")
            n += 1
        return n

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        total = sum(pool.map(add, range(CLIENTS)))
    report.add(f"durable adds, {CLIENTS} clients, text embedded", [total / seconds], "/s")


def chat_beside_the_model(report, cluster, count):
    """A chat's time to its end, memories injected with given weights and warm, minus the prefill that gives its one token. The question's
    embedding counts: it is a hop's work. (The probe, which decides where no weights are given, is the model's work.)"""
    from dki.common.v1 import common_pb2
    progress("chats: what is not the model")
    for fact in ["Ann's favorite color is red.", "Bob's favorite color is blue.", "Carla's favorite color is green."]:
        cluster.client.add(fact, user="chat")
    times = []
    for i in range(count + 5):
        start = time.perf_counter()
        answer = cluster.client.chat("What is Ann's favorite color?", user="chat", k=3, gate=False, alpha=1.0,
                                     sampling=common_pb2.SamplingOptions(max_tokens=1))
        elapsed = (time.perf_counter() - start) * 1000
        if i >= 5:  # the first ones warm the tiers
            times.append(elapsed - answer.outcome.timings.prefill_us / 1000)
    times.sort()
    report.add("chat beside the model, p50", [statistics.median(times)], "ms", must=5, lower_is_better=True)
    report.add("chat beside the model, p99", [times[int(0.99 * (len(times) - 1))]], "ms", must=25, lower_is_better=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="dki-bench-") as directory:
        os.chmod(directory, 0o755)
        cluster = cluster_harness.Cluster(directory)
        try:
            cluster.up()
            report.add("synced writes of the disk alone", device_syncs(directory), "/s")
            chat_beside_the_model(report, cluster, 200)
            adds_with_text(report, cluster, args.seconds)
            adds_with_vectors(report, cluster, args.reps, args.seconds)
        finally:
            cluster.down()
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
