# SPDX-License-Identifier: Apache-2.0
"""The K/V tiers: restoring a block against recomputing it, what the cost model picks (P6), RocksDB against the device, start-up, the
first token of chats with memory against the same memories as text, a replay of questions through the whole cluster, and traces
through the eviction policies. DKI_DATA is the folder of evaluation data; without it the last two are left out."""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

from report import Report, progress

MODEL = pathlib.Path(os.environ["DKI_MODELS"]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
BIN = pathlib.Path(os.environ["DKI_BUILD"]) / "bin"
DATA = pathlib.Path(os.environ.get("DKI_DATA", "absent"))
LOCOMO = DATA / "suites/store_locomo.jsonl"
TRACES = [DATA / "traces_mooncake" / f"{name}_trace_first_half.jsonl" for name in ["conversation", "synthetic"]]


def bench(scenario):
    progress(scenario)
    with tempfile.TemporaryDirectory(prefix="dki-tiers-") as folder:
        out = subprocess.run([BIN / "tiers_bench", scenario, MODEL, folder], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def restore(report):
    f = bench("restore")
    recompute = [1000 * s for s in f["recompute"]]
    report.add("256-token block, size", [f["bytes"] / 2**20], "MiB")
    for tier, must in [("ram", 20), ("disk", 8), ("remote", 8)]:
        report.add(f"recompute of a 256-token block, against {tier}", recompute, "ms", peer=[1000 * s for s in f[tier]], must=must)


def crossover(report):
    rows = bench("crossover")["rows"]
    print(f"{'tier':<12}{'tokens':>8}{'KiB':>10}{'load':>12}{'recompute':>12}   chosen      against the better")
    for r in rows:
        print(f"{r['tier']:<12}{r['tokens']:>8}{r['bytes'] / 1024:>10.0f}{1000 * r['load']:>9.2f} ms{1000 * r['recompute']:>9.1f} ms"
              f"   {r['chosen']:<10}{r['against_better']:>10.3f}")
    for tier in ["ram", "disk", "remote", "slow disk"]:
        mine = [r for r in rows if r["tier"] == tier]
        report.add(f"P6: chosen against the better, worst of sizes, {tier}", [max(r["against_better"] for r in mine)], "x", must=1.1,
                   lower_is_better=True)
        loads = [r["tokens"] for r in mine if r["load"] <= r["recompute"]]
        report.add(f"sizes that are cheaper to load, {tier}", [len(loads)], f"of {len(mine)}")


def reads(report):
    f = bench("reads")
    report.add("RocksDB reads of 1 MiB values, against the device", f["rocksdb"], "MB/s", peer=f["device"], must=0.7)


def startup(report):
    f = bench("startup")
    report.add(f"start-up with {f['blocks']} blocks' metadata", f["seconds"], "s", must=5, lower_is_better=True)


class Chats:
    """A cluster whose generation keeps no blocks (so that kv's tiers serve), with one set of memories for each size."""

    def __init__(self, folder, ram):
        import cluster_harness
        self.cluster = cluster_harness.Cluster(folder)
        self.cluster.up()
        self.cluster.down()
        config = pathlib.Path(folder) / "config"
        with open(config / "generation.yaml", "a", encoding="utf-8") as file:
            file.write("pack_cache_bytes: 0\n")
        with open(config / "orchestrator.yaml", "a", encoding="utf-8") as file:
            file.write("assemble:\n  max_pack_tokens: 4096\n")
        if not ram:
            with open(config / "kv.yaml", "a", encoding="utf-8") as file:
                file.write("ram_bytes: 0\n")
        self.cluster.up()
        self.questions = 0

    def close(self):
        self.cluster.down()

    def memories(self, user, n_tokens):
        """Ids of memories of about 32 tokens each; how many tokens they are, the answer tells."""
        words = random.Random(user)
        ids = []
        for i in range(n_tokens // 32):
            text = f"Visitor {i} of the museum wrote on day {words.randrange(99)} that picture {words.randrange(99)} of hall {words.randrange(99)} was best"
            ids.append(self.cluster.client.add(text, user=user).memory.id)
        return ids

    def drop_page_cache(self):
        for path in (self.cluster.directory / "kv").rglob("*"):
            if path.is_file():
                fd = os.open(path, os.O_RDONLY)
                os.fdatasync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)

    def first_token(self, user, **memory):
        """Milliseconds, and the outcome. Each question is new, so that nothing of the turn is cached."""
        from dki.common.v1 import common_pb2
        self.questions += 1
        answer = self.cluster.client.chat(f"Which picture did visitor {self.questions} like?", user=user,
                                          sampling=common_pb2.SamplingOptions(max_tokens=1), **memory)
        return answer.outcome.timings.first_token_us / 1000, answer.outcome


def first_token(report, runs):
    from dki.common.v1 import common_pb2  # after the harness made it
    limits = {("ram", 256): (0.4, 0.65), ("ram", 2048): (0.12, 0.15), ("disk", 256): (0.5, None), ("disk", 2048): (0.2, None)}
    tiers = {"ram": common_pb2.TIER_RAM, "disk": common_pb2.TIER_DISK}
    for tier in ["ram", "disk"]:
        with tempfile.TemporaryDirectory(prefix="dki-tiers-") as folder:
            os.chmod(folder, 0o755)
            chats = Chats(folder, ram=tier == "ram")
            try:
                for n_tokens in [256, 2048]:
                    progress(f"first token, {n_tokens} tokens of memory, {tier}")
                    user = f"u{n_tokens}"
                    ids = chats.memories(user, n_tokens)
                    # As many tokens of other memories for each run: nothing of them is in the prefix cache.
                    others = [(f"{user}-{run}", chats.memories(f"{user}-{run}", n_tokens)) for run in range(runs)]
                    injected = {"mode": common_pb2.MODE_INJECTED, "memory_ids": ids, "gate": False, "alpha": 1.0}
                    prompt = {"mode": common_pb2.MODE_PROMPT, "memory_ids": ids, "gate": False}
                    gated = {"mode": common_pb2.MODE_INJECTED, "memory_ids": ids}
                    for warm in [injected, prompt, gated]:
                        chats.first_token(user, **warm)
                    times = {"injected": [], "prompt": [], "prompt again": [], "gated": []}
                    served, cached, again, tokens = set(), [], [], 0
                    kept, probes, packs = [], [], []
                    for run in range(runs):
                        other, other_ids = others[run]
                        value, outcome = chats.first_token(other, **{**prompt, "memory_ids": other_ids})
                        times["prompt"].append(value)
                        cached.append(outcome.usage.cached_prompt_tokens)
                        value, outcome = chats.first_token(user, **prompt)
                        times["prompt again"].append(value)
                        again.append(outcome.usage.cached_prompt_tokens)
                        if tier == "disk":
                            chats.drop_page_cache()
                        value, outcome = chats.first_token(user, **injected)
                        times["injected"].append(value)
                        served |= {m.tier for m in outcome.memories if not m.dropped}
                        tokens = outcome.usage.injected_tokens
                        if tier == "ram":
                            value, outcome = chats.first_token(user, **gated)
                            times["gated"].append(value)
                            kept.append(len(outcome.memories))
                            probes.append(outcome.timings.probe_us / 1000)
                            packs.append(outcome.timings.pack_us / 1000)
                    if served != {tiers[tier]}:
                        progress(f"  not only from {tier}: {served}")
                    must, must_gated = limits[(tier, n_tokens)]
                    report.add(f"first token, {tokens} tokens from {tier}, against PROMPT", times["injected"], "ms", peer=times["prompt"],
                               must=must, lower_is_better=True)
                    if times["gated"]:
                        report.add("the same with the default gate", times["gated"], "ms", peer=times["prompt"], must=must_gated,
                                   lower_is_better=True)
                        report.add("of that: the probe of all memories", probes, "ms")
                        report.add("of that: the pack of those that are kept", packs, "ms")
                        report.add("memories kept", kept, "")
                    report.add("the same, against PROMPT with unchanged memories in its prefix cache", times["injected"], "ms",
                               peer=times["prompt again"], lower_is_better=True)
                    report.add("PROMPT's tokens from its prefix cache", [statistics.median(cached)], "tokens")
                    report.add("the same with unchanged memories", [statistics.median(again)], "tokens")
            finally:
                chats.close()


def replay(report, n_stores, n_questions):
    if not LOCOMO.exists():
        progress("DKI_DATA has no suites/store_locomo.jsonl: the replay is left out")
        return
    import cluster_harness
    from dki.common.v1 import common_pb2
    with tempfile.TemporaryDirectory(prefix="dki-tiers-") as folder:
        os.chmod(folder, 0o755)
        cluster = cluster_harness.Cluster(folder)
        cluster.up()
        try:
            # All that was found as text, as it is usual; then only what the gate's probe keeps, which finds the K/V that the arm before it left.
            arms = {"all as text": {"mode": common_pb2.MODE_PROMPT, "gate": False}, "injected": {"mode": common_pb2.MODE_INJECTED},
                    "gated text": {"mode": common_pb2.MODE_PROMPT}}
            times = {name: [] for name in arms}
            tokens = {}
            for line in LOCOMO.read_text(encoding="utf-8").splitlines()[:n_stores]:
                store = json.loads(line)
                progress(f"replay of {store['id']}")
                from dki.orchestrator.v1 import dki_service_pb2
                inputs = [dki_service_pb2.MemoryInput(scope=common_pb2.Scope(user_id=store["id"]), text=m["text"])
                          for m in store["memories"]]
                for i in range(0, len(inputs), 200):
                    cluster.client.call("AddMemories", dki_service_pb2.AddMemoriesRequest(memories=inputs[i:i + 200]), timeout=300)
                for question in store["questions"][:n_questions]:
                    for name, memory in arms.items():
                        answer = cluster.client.chat(question["question"], user=store["id"], **memory,
                                                     sampling=common_pb2.SamplingOptions(max_tokens=8))
                        times[name].append(answer.outcome.timings.first_token_us / 1000)
                        for m in answer.outcome.memories if name == "injected" else []:
                            if not m.dropped:
                                tier = common_pb2.Tier.Name(m.tier).removeprefix("TIER_").lower()
                                tokens[tier] = tokens.get(tier, 0) + m.n_tokens
            for tier, n in sorted(tokens.items()):
                report.add(f"replay: tokens of packs from {tier}", [100 * n / sum(tokens.values())], "%")
            for share in [50, 95]:
                cut = {name: sorted(t)[min(len(t) - 1, len(t) * share // 100)] for name, t in times.items()}
                report.add(f"replay: first token p{share}, against PROMPT", [cut["injected"]], "ms", peer=[cut["all as text"]],
                           lower_is_better=True)
                report.add(f"the same against PROMPT of what the gate keeps, p{share}", [cut["injected"]], "ms", peer=[cut["gated text"]],
                           lower_is_better=True)
        finally:
            cluster.down()


def policies(report):
    if not all(path.exists() for path in TRACES):
        progress("DKI_DATA has no traces_mooncake: the policies are not compared")
        return
    progress("policies over the Mooncake traces")
    rows = json.loads(subprocess.run([BIN / "cache_replay", *TRACES], check=True, capture_output=True, text=True).stdout)
    published = {"conversation_trace_first_half": 34.0, "synthetic_trace_first_half": 31.4}
    print(f"{'trace':<34}{'policy':<14}{'GiB':>8}{'tokens':>9}{'bytes':>9}{'saved':>9}  (hit rates and prefill time, %)")
    for r in rows:
        if r["share"] == 0 and r["policy"] != "greedy_dual":
            continue
        print(f"{r['trace']:<34}{r['policy']:<14}{r['gib']:>8.1f}{r['tokens']:>9.2f}{r['bytes']:>9.2f}{r['saved']:>9.2f}")
    for trace, rate in published.items():
        unlimited = next(r for r in rows if r["trace"] == trace and r["share"] == 0)
        report.add(f"unlimited hit rate of blocks, {trace}, less the published", [abs(unlimited["blocks"] - rate)], "points", must=0.1,
                   lower_is_better=True)
        sizes = sorted({r["share"] for r in rows if r["share"] > 0})
        for figure in ["bytes", "tokens", "saved"]:
            behind = []
            for share in sizes:
                at = {r["policy"]: r[figure] for r in rows if r["trace"] == trace and r["share"] == share}
                behind.append(max(v for p, v in at.items() if p != "greedy_dual") - at["greedy_dual"])
            report.add(f"greedy_dual behind the best other, mean of sizes, {trace}, {figure}", [statistics.mean(behind)], "points")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--runs", type=int, default=7, help="of each first token")
    parser.add_argument("--stores", type=int, default=1, help="of store_locomo that are replayed")
    parser.add_argument("--questions", type=int, default=60, help="of each")
    parser.add_argument("--only", nargs="*", help="restore crossover reads startup first_token replay policies")
    args = parser.parse_args()
    report = Report()
    sections = {"restore": lambda: restore(report), "crossover": lambda: crossover(report), "reads": lambda: reads(report),
                "startup": lambda: startup(report), "first_token": lambda: first_token(report, args.runs),
                "replay": lambda: replay(report, args.stores, args.questions), "policies": lambda: policies(report)}
    import cluster_harness  # noqa: F401  pylint: disable=unused-import,import-outside-toplevel
    for name, section in sections.items():
        if not args.only or name in args.only:
            section()
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
