# SPDX-License-Identifier: Apache-2.0
"""What all benchmarks share: rows of figures, the table, the JSON file with machine, date and commit."""

import datetime
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def progress(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    info = open("/proc/cpuinfo", encoding="utf-8").read().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown")
    flags = next((line for line in info if line.startswith("flags")), "")
    isa = [f for f in ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"] if f in flags.split()]
    return {"cpu": model, "cores": sum(line.startswith("processor") for line in info), "isa": isa}


class Report:
    def __init__(self):
        self.rows = []

    def add(self, name, samples, unit, peer=None, must=None, aim=None, lower_is_better=False):
        """`samples` and `peer`: figures of the interleaved runs, in order; the ratio is the median of the pairs'. `must` and `aim`
        hold for the ratio where there is a peer, else for the value."""
        value = statistics.median(samples)
        row = {"name": name, "value": round(value, 4), "unit": unit, "runs": [round(s, 4) for s in samples]}
        judged = value
        if peer:
            judged = statistics.median(a / b for a, b in zip(samples, peer))
            row |= {"peer": round(statistics.median(peer), 4), "ratio": round(judged, 3)}
        for key, bound in [("must", must), ("aim", aim)]:
            if bound is not None:
                row[key] = bound
        if must is not None:
            row["holds"] = judged <= must if lower_is_better else judged >= must
        self.rows.append(row)

    def finish(self, json_file=None):
        commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                                check=False).stdout.strip()
        print(f"{'name':<44}{'value':>10} {'unit':<10}{'peer':>10}{'ratio':>8}{'must':>8}  holds")
        for r in self.rows:
            print(f"{r['name']:<44}{r['value']:>10.4g} {r['unit']:<10}{r.get('peer', ''):>10}{r.get('ratio', ''):>8}"
                  f"{r.get('must', ''):>8}  {r.get('holds', '')}")
        if json_file:
            pathlib.Path(json_file).write_text(json.dumps(
                {"date": datetime.date.today().isoformat(), "commit": commit, "machine": machine(), "rows": self.rows}, indent=1) + "\n",
                encoding="utf-8")
        return 0 if all(r.get("holds", True) for r in self.rows) else 1
