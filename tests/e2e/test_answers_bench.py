# SPDX-License-Identifier: Apache-2.0
"""The command that reruns every figure about answers: it makes its suites, goes on where it was stopped, and reports."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("DKI_DATA", ROOT / "../shared/data"))


@pytest.mark.skipif(not (DATA / "suites").is_dir(), reason="no DKI_DATA, the folder of evaluation data")
def test_figures_about_answers_are_one_command(tmp_path):
    command = [sys.executable, ROOT / "tests/bench/answers.py", "--out", tmp_path, "--items", "2", "--parts", "answers", "poison",
               "--suites", "facts_k1", "squad_k1"]
    environment = os.environ | {"DKI_DATA": str(DATA)}
    # Arms of one's own, with nothing among them that the report compares with.
    subprocess.run([*command, "--arms", "injected:alpha=2", "--halves", "seen"], check=True, env=environment, stdout=subprocess.DEVNULL)
    shutil.rmtree(tmp_path / "raw")
    subprocess.run([*command, "--arms", "injected", "--halves", "old"], check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run([*command, "--arms", "injected", "default"], check=True, env=environment, stdout=subprocess.DEVNULL)

    report = json.loads((tmp_path / "answers.json").read_text())
    assert {suite: report[suite]["n"] for suite in report} == {"facts_k1": 4, "squad_k1": 4}
    assert set(report["facts_k1"]["arms"]) == {"injected", "default"}
    goals = {goal["name"]: goal for goal in json.loads((tmp_path / "answers.goals.json").read_text())}
    assert goals["default, repeated trigrams"]["items"] == 8
    # Nothing of the first run was made again.
    lines = (tmp_path / "raw/answers/facts_k1.old.injected.json.items.jsonl").read_text().splitlines()
    assert len(lines) == 2
