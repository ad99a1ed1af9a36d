# SPDX-License-Identifier: Apache-2.0
"""The engine under load: chats that decode together, answers beside a long prompt, the next request of a conversation, and a stretch
of the Azure trace (DKI_DATA) at half, once and twice the rate that this machine answers, the same requests each time."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from report import Report, progress

MODEL = pathlib.Path(os.environ["DKI_MODELS"]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
BIN = pathlib.Path(os.environ["DKI_BUILD"]) / "bin"
TRACE = pathlib.Path(os.environ["DKI_DATA"]) / "traces_azure/AzureLLMInferenceTrace_conv_first_half.csv"


def run(scenario, args, *more):
    progress(scenario)
    out = subprocess.run([BIN / "serving_bench", "--model", MODEL, "--threads", str(args.threads), *more, scenario], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)


def chats(report, args):
    figures = run("chats", args)
    report.add("one chat", figures["one"], "tokens/s")
    report.add("8 chats together, against one", figures["eight"], "tokens/s", peer=figures["one"], must=2.5, aim=4)


def beside(report, args):
    rows = run("beside", args)
    report.add("between tokens, idle, p99", [r["idle_p99"] for r in rows], "ms")
    report.add("between tokens beside a 4,000-token prompt, p50", [r["beside_p50"] for r in rows], "ms",
               peer=[r["idle_p50"] for r in rows])
    report.add("between tokens beside a 4,000-token prompt, p99", [r["beside_p99"] for r in rows], "ms",
               peer=[r["idle_p99"] for r in rows], must=3, lower_is_better=True)
    report.add("first token of that prompt", [r["prefill_seconds"] for r in rows], "s")


def turns(report, args):
    rows = run("turns", args)
    cold = [r["cold"] for r in rows]
    report.add("first token of the next request, nothing cached", cold, "ms")
    report.add("first token of the next request, at once", [r["at_once"] for r in rows], "ms", peer=cold)
    report.add("first token of the next request, later", [r["later"] for r in rows], "ms", peer=cold)


def trace(report, args):
    if not TRACE.exists():
        progress(f"{TRACE} is absent: set DKI_DATA to the folder of evaluation data; the trace is left out")
        return
    loads = {load["name"]: load for load in run("trace", args, "--trace", TRACE, "--seconds", str(args.seconds))["loads"]}
    for name, load in loads.items():
        report.add(f"goodput, {name}", [load["goodput"]], "requests/s")
        report.add(f"first token, {name}, p50", [load["first_token_p50_ms"]], "ms")
        report.add(f"refused with a hint when to come back, {name}", [load["hinted"]], "requests")
        report.add(f"passed their deadline, {name}", [load["late"]], "requests")
        report.add(f"resident memory after {name}", [load["rss_mib"]], "MiB")
        if load["hinted"] != load["refused"]:
            raise SystemExit(f"{load['refused'] - load['hinted']} refusals without a hint")
    peak = max(loads["half"]["goodput"], loads["peak"]["goodput"])
    overload = [loads["overload"]["goodput"], loads["overload_again"]["goodput"]]
    report.add("goodput at twice the load, against the peak", overload, "requests/s", peer=[peak, peak], must=0.9)
    report.add("resident memory, second overload against first", [loads["overload_again"]["rss_mib"]], "MiB",
               peer=[loads["overload"]["rss_mib"]], must=1.05, lower_is_better=True)


SCENARIOS = [chats, beside, turns, trace]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=30, help="of each load of the trace")
    parser.add_argument("--only", nargs="*", choices=[scenario.__name__ for scenario in SCENARIOS],
                        help="some of it")
    args = parser.parse_args()
    report = Report()
    for scenario in SCENARIOS:
        if not args.only or scenario.__name__ in args.only:
            scenario(report, args)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
