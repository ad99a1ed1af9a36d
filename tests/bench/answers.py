# SPDX-License-Identifier: Apache-2.0
"""Every figure about answers that the README and docs/results quote, by one command: makes the suites that come from a seed, runs all arms
over them and over the evaluation data (DKI_DATA), and writes the reports. Runs of one suite and one arm each; a run that was finished
before is not made again, one that was stopped goes on."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

LOOKUPS = ["facts_k1", "facts_k2", "facts_k4", "facts_k8", "facts_k16", "facts_k4_after_6_turns", "numbers_k1", "numbers_k4", "numbers_k8"]
BABI = {"babi_qa1": "qa1", "babi_qa2": "qa2", "babi_qa6": "qa6", "babi_qa15": "qa15"}
SQUAD = {"squad_k1": 1, "squad_k3": 3, "squad_k8": 8}
ITEM_SUITES = LOOKUPS + list(BABI) + list(SQUAD) + ["locomo_k8"]
GATES = ["gate", "gate_squad", "gate_locomo"]
FEW = ["facts_k8", "babi_qa2", "squad_k3", "locomo_k8"]  # one of each kind
PROMPTS = ["prompt_late", "prompt_system", "prompt_user", "prompt_late:top=1", "prompt_late:top=2", "prompt_late:top=4"]
# What takes longest begins first.
SLOW = ["squad_k8", "squad_k3", "locomo_k8", "babi_qa2", "facts_k16", "squad_k1", "facts_k4_after_6_turns"]


@dataclass
class Part:
    """Arms over suites; `halves`: items behind the fit's in the data's suites, and those made anew."""

    suites: list[str]
    arms: list[str]
    halves: tuple[str, ...] = ("old", "new")
    share: float = 1.0  # of the items
    kl: bool = False


PARTS = {
    "answers": Part(ITEM_SUITES, PROMPTS + ["injected", "default", "default:modulation=none"]),
    "gates": Part(GATES, ["default"], ("old", "gates"), kl=True),
    "small_alpha": Part(ITEM_SUITES, [f"injected:alpha={a}" for a in ("0.0001", "0.001", "0.01", "0.1")], ("old",), 0.1, True),
    "formats": Part(ITEM_SUITES, ["injected:format=f32", "injected:format=int4"]),
    "long": Part(["squad_k3", "squad_k8"], ["injected:composition=independent"]),
    "history": Part(["facts_k4_after_6_turns"], ["injected:history=sticky"]),
    "token_gates": Part(ITEM_SUITES, [f"injected:gates={g}" for g in ("context_aware", "hybrid", "gated_preference")], ("old",), 0.3),
    "composition": Part(FEW, ["injected"] + [f"injected:composition={c}" for c in (
        "independent", "blend(0.05)", "blend(0.15)", "blend(0.3)", "blend(0.5)", "repair(4)", "repair(8)", "repair(16)")], ("old",), 0.6),
    "order": Part(FEW, [f"{arm}{option}" for arm in ("injected", "default") for option in (
        "", ":order=relevance", ":order=relevance_last", ":budget=64", ":budget=128", ":budget=256")], ("old",), 0.6),
    "attribution": Part(["facts_k4"], ["injected:without=top", "injected:without=random"], ("old",)),
    "notes": Part(["notes_k6"], ["default", "prompt_late"], ("made",)),
    "poison": Part(["poison"], ["default"], ("poison",)),
}
# Reports: the parts in them, arms that others are set against.
REPORTS = {
    "answers": (["answers", "gates", "small_alpha", "formats", "long", "history", "token_gates"],
                ["prompt_late", "prompt_late:top=1", "prompt_system", "injected", "default"]),
    "composition": (["composition"], ["injected"]),
    "order": (["order"], ["injected", "default"]),
    "attribution": (["attribution"], ["injected:without=random"]),
    "notes": (["notes"], ["prompt_late"]),
    "poison": (["poison"], ["default"]),
}
# Fits of the gate with and without each input, told by other items.
GATE_INPUTS = ["gate", "gate_squad", "gate_locomo", "gate_notes", "babi_qa1", "babi_qa2", "facts_k8", "locomo_k8"]


def other_parts(args, data):
    """Parts that are one command of their own: name to its arguments."""
    stores = [data / "suites/store_locomo.jsonl", data / "squad/xquad_en_dev.json", data / "retrieval_dbpedia"]
    suites = [option for store in stores for option in ("--suite", store)]
    return {
        "retrieval": ["eval", "retrieve", *suites, "--cross-validate", "--turns", "--markdown", args.out / "retrieval.md", "--json",
                      args.out / "retrieval.json"],
        "gate_inputs": ["calibrate", "--suite", args.out / "suites/gate_inputs", "--n", "60", "--test", str(args.items), "--heads", "3",
                        "--probe", "independent", "--out", args.out / "gate_inputs.json"],
    }


def make_suites(dki, data, folder, items):
    """The suites of a seed, and further items out of the data's own texts, which no suite there asks."""
    if (folder / ".complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    old = data / "suites"

    def make(out, *args):
        subprocess.run([dki, "eval", "make", "--out", folder / out, *args], check=True, stdout=subprocess.DEVNULL)

    def out_of(path, *args, to="new", n=items):
        make(to, "--from", path, "--without", old, "--items", str(n), *args)

    make("new", "--seed", "11", "--items", str(max(10, items)))
    for file in sorted((data / "babi/en_test_first_half").glob("qa*")):
        if file.name.split("_")[0] in BABI.values():
            out_of(file)
    for name, memories in SQUAD.items():
        out_of(data / "squad/xquad_en_dev.json", "--name", "squad", "--memories", str(memories))
    out_of(old / "store_locomo.jsonl", "--category", "4 single-hop")
    out_of(data / "squad/xquad_en_dev.json", "--name", "squad", "--memories", "3", to="gates", n=2 * items)
    out_of(old / "store_locomo.jsonl", "--category", "4 single-hop", to="gates", n=4 * items)
    make("poison", "--seed", "7", "--items", "240")
    make("made", "--seed", "1")
    (folder / "gate_inputs").mkdir()
    for suite in GATE_INPUTS:
        of = old if (old / f"{suite}.jsonl").exists() else folder / "made"
        shutil.copy(of / f"{suite}.jsonl", folder / "gate_inputs")
    (folder / ".complete").touch()


@dataclass
class Run:
    """One arm over one suite: `n` items (0: all) behind the first `skip`."""

    part: str
    half: str
    arm: str
    suite: pathlib.Path
    skip: int
    n: int
    kl: bool

    @property
    def name(self):
        return f"{self.suite.stem}.{self.half}.{self.arm.replace(':', '_').replace('/', '_')}"

    def result(self, out):
        return out / "raw" / self.part / f"{self.name}.json"

    def is_done(self, out):
        """A finished run of fewer items goes on where more are asked for."""
        if not self.result(out).exists():
            return False
        there = len(self.suite.read_text().splitlines()) - self.skip
        return json.loads(self.result(out).read_text())[self.suite.stem]["n"] >= min(self.n or there, there)

    def command(self, args):
        return [args.dki, "eval", "run", "--local", "--resume", "--json", self.result(args.out), "--suite", self.suite, "--skip", str(self.skip),
                "--n", str(self.n), "--arms", self.arm, *(["--kl"] if self.kl else []), *(["--model", args.model] if args.model else [])]


def runs_of(args, data):
    """The slow ones first."""
    runs = []
    for name in args.parts:
        if name not in PARTS:
            continue
        part = PARTS[name]
        n = max(1, round(part.share * args.items))
        made = args.out / "suites"
        where = {"old": (data / "suites", 100, n), "seen": (data / "suites", 0, n), "new": (made / "new", 0, n), "made": (made / "made", 100, n),
                 "gates": (made / "gates", 0, 0), "poison": (made / "poison", 0, 0)}
        for half in args.halves or part.halves:
            for suite in part.suites:
                if args.suites and suite not in args.suites:
                    continue
                folder, skip, count = where["new" if half == "gates" and suite == "gate" else half]
                for arm in args.arms or part.arms:
                    if not any(word in arm for word in args.without):
                        runs.append(Run(name, half, arm, folder / f"{suite}.jsonl", skip, count, part.kl))
    order = {suite: i for i, suite in enumerate(SLOW)}
    return sorted(runs, key=lambda run: order.get(run.suite.stem, len(SLOW)))


def run_all(args, runs):
    """So many at once as `--jobs`, each with cores of its own, so that none waits for another's threads. Returns those that failed."""
    cores = sorted(os.sched_getaffinity(0))
    per_job = max(1, len(cores) // args.jobs)
    free = queue.Queue()
    for job in range(args.jobs):
        free.put(cores[job * per_job : (job + 1) * per_job] or cores)
    start, lock = time.monotonic(), threading.Lock()
    waiting = [run for run in runs if not run.is_done(args.out)]
    done, failed = [], []

    def one(run):
        left = 60 * args.minutes - (time.monotonic() - start) if args.minutes else None
        if left is not None and left <= 0:
            return
        run.result(args.out).parent.mkdir(parents=True, exist_ok=True)
        mine = free.get()
        try:
            result = subprocess.run(run.command(args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=left,
                                    preexec_fn=lambda: os.sched_setaffinity(0, mine))
        except subprocess.TimeoutExpired:
            return
        finally:
            free.put(mine)
        with lock:
            if result.returncode != 0:
                failed.append(f"{run.part} {run.name}: {result.stderr.strip().splitlines()[-1:]}")
            done.append(run)
            print(f"\r{len(done)} of {len(waiting)} runs, {time.monotonic() - start:.0f} s ", end="", file=sys.stderr, flush=True)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(one, waiting))
    print(file=sys.stderr)
    return failed


def report(args):
    for name, (parts, against) in REPORTS.items():
        arm_of = {}
        for part in parts:
            for path in sorted((args.out / "raw" / part).glob("*.items.jsonl")):
                with path.open() as lines:
                    first = lines.readline()
                if first.endswith("\n"):
                    arm_of[path] = json.loads(first)["arm"]
        if not arm_of:
            continue
        known = [arm for part in parts for arm in PARTS[part].arms]
        items = sorted(arm_of, key=lambda path: known.index(arm_of[path]) if arm_of[path] in known else len(known))
        arms = set(arm_of.values())
        command = [args.dki, "eval", "report", "--items", *items, "--out", args.out / name, "--title", f"{args.title}: {name.replace('_', ' ')}"]
        if name in ("composition", "order"):
            command += ["--by-suite"]
        against = [arm for arm in against if arm in arms]
        command += ["--against", *against] if against else []
        print(f"\n{name}", flush=True)
        subprocess.run(command, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of suites, raw items and reports")
    parser.add_argument("--items", type=int, default=100, choices=range(1, 101), metavar="1-100", help="of each half of a suite (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, "retrieval", "gate_inputs"], default=[*PARTS, "retrieval", "gate_inputs"],
                        help="all of them, where nothing is said")
    parser.add_argument("--suites", nargs="+", help="these suites alone")
    parser.add_argument("--arms", nargs="+", help="these arms in place of the parts' own")
    parser.add_argument("--halves", nargs="+", choices=["old", "new", "seen"], help="in place of the parts' own; seen: the items of the fit")
    parser.add_argument("--without", nargs="*", default=[], help="leave out arms with one of these words in their name")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (%(default)s)")
    parser.add_argument("--minutes", type=float, default=0, help="stop then; 0: when all is done")
    parser.add_argument("--model", help="another model file than the default one")
    parser.add_argument("--title", default="SmolLM2-135M-Instruct Q4_1", help="of the reports")
    parser.add_argument("--dki", type=pathlib.Path, default=pathlib.Path(os.environ.get("DKI_BUILD", "build")) / "bin/dki", help="%(default)s")
    args = parser.parse_args()
    data = pathlib.Path(os.environ.get("DKI_DATA", "absent")).resolve()
    if not (data / "suites").is_dir():
        sys.exit(f"no {data}/suites: DKI_DATA is the folder of evaluation data")
    args.out, args.dki = args.out.resolve(), args.dki.resolve()
    make_suites(args.dki, data, args.out / "suites", args.items)
    failed = run_all(args, runs_of(args, data))
    for name, command in other_parts(args, data).items():
        if name in args.parts and not (args.out / f"{name}.json").exists():
            print(f"\n{name}", flush=True)
            model = ["--model", args.model] if args.model and name == "gate_inputs" else []
            subprocess.run([args.dki, *command, *model], check=True)
    report(args)
    if failed:
        sys.exit("\n".join(["failed:", *failed]))


if __name__ == "__main__":
    main()
