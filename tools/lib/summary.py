# SPDX-License-Identifier: Apache-2.0
"""Adds up JUnit files: summary.py DIR [--report FILE]. Prints a table and 'N passed, N failed, N skipped'; exits 1 when
anything failed or nothing ran. The report keeps, for each suite, its last run: rows of suites that did not run stay."""

import argparse
import datetime
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree


def count(path):
    """(passed, failed, skipped, seconds, names of failures) of one JUnit or GoogleTest XML file."""
    passed, failed, skipped, seconds, failures = 0, 0, 0, 0.0, []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        seconds += float(case.get("time", 0))
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            failures.append(f"{case.get('classname')}.{case.get('name')}")
        elif case.find("skipped") is not None or case.get("result") == "skipped" or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped, seconds, failures


def suites(directory):
    """Rows of (suite, totals): a folder of XML files is one suite, so is a single file."""
    for entry in sorted(directory.iterdir()):
        files = sorted(entry.glob("*.xml")) if entry.is_dir() else [entry] if entry.suffix == ".xml" else []
        if files:
            totals = [count(file) for file in files]
            yield entry.stem, [sum(t[i] for t in totals) for i in range(4)], [f for t in totals for f in t[4]]
    for mark in sorted(directory.glob("*.failed")):
        yield mark.stem, [0, 1, 0, 0.0], ["see above"]
    for mark in sorted(directory.glob("*.passed")):
        yield mark.stem, [1, 0, 0, 0.0], []


def report_rows(path):
    """The rows of an earlier report by suite."""
    if not path.exists():
        return {}
    cells = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in path.read_text().splitlines() if line.startswith("| ")]
    return {row[0]: row for row in cells[1:] if len(row) == 8 and not row[0].startswith("-")}


def write_report(path, rows):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    ran = {name.removeprefix("ctest-") for name, _, _ in rows}
    kept = {name: row for name, row in report_rows(path).items() if name.removeprefix("ctest-") not in ran}
    for name, (passed, failed, skipped, seconds), _ in rows:
        kept[name] = [name, str(datetime.date.today()), commit, cpu, str(passed), str(failed), str(skipped), f"{seconds:.0f}"]
    lines = ["| suite | date | commit | machine | passed | failed | skipped | seconds |",
             "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |"]
    lines += ["| " + " | ".join(kept[name]) + " |" for name in sorted(kept)]
    totals = [sum(int(row[i]) for row in kept.values()) for i in (4, 5, 6)]
    path.write_text("# Last full test run\n\n`tools/test --full`, each suite's last run.\n\n" + "\n".join(lines) +
                    "\n\n{} passed, {} failed, {} skipped\n".format(*totals))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path)
    args = parser.parse_args()
    rows = list(suites(args.directory))
    lines = [f"{'suite':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    lines += [f"{name:<12}{p:>8}{f:>8}{s:>9}{t:>9.0f}" for name, (p, f, s, t), _ in rows]
    passed, failed, skipped = (sum(row[1][i] for row in rows) for i in range(3))
    closing = f"{passed} passed, {failed} failed, {skipped} skipped"
    print("\n".join(lines))
    for name, _, failures in rows:
        for failure in failures:
            print(f"failed: {name}: {failure}")
    print(closing)
    if args.report:
        write_report(args.report, rows)
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
