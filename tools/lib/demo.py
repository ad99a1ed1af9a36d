# SPDX-License-Identifier: Apache-2.0
"""The main job, visibly: demo.py PATH_TO_DKI. Adds a handful of memories to the running local cluster, asks in the three modes side by
side, and explains the injected answers."""

import json
import os
import subprocess
import sys

DKI = sys.argv[1]
USER = "quickstart"
MEMORIES = [
    "Mira's dog is called Biscuit.",
    "Mira works as a marine biologist in Lisbon.",
    "Mira's favorite food is mushroom risotto.",
    "Jonas plays the cello on Thursdays.",
    "Jonas's locker code is 4931.",
    "The team meeting moved to Tuesday at 10.",
]
QUESTIONS = ["What is Mira's dog called?", "What is Jonas's locker code?", "What is Mira's favorite food?"]


def dki(*arguments):
    result = subprocess.run([DKI, *arguments, "--json"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"dki {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
    return json.loads(result.stdout)


def one_line(text, width):
    text = " ".join(text.split())
    return text if len(text) <= width else text[:width - 1] + "…"


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def explain(answer, texts):
    shares = {m["memory_id"]: m for m in answer["outcome"].get("memories", [])}
    chosen = {m["memory_id"]: m for m in answer["decision"].get("chosen", [])}
    rows = [["retrieved memory", "cosine", "words", "probe", "used", "α read→answer", "attention", "tier", "time"]]
    for m in answer["decision"].get("retrieved", []):
        c, s = chosen.get(m["memory_id"]), shares.get(m["memory_id"])
        rows.append([one_line(texts[m["memory_id"]], 44), f"{m['cosine']:.3f}",
                     f"{100 * m['word_share']:.0f} %" if "word_share" in m else "-",
                     f"{100 * m['probe_share']:.2f} %" if "probe_share" in m else "-",
                     "yes" if c else m.get("reason", "no"),
                     f"{c['alpha_read']:.2f}→{c['alpha_answer']:.2f}" if c else "-",
                     f"{100 * s['attention_share']:.2f} %" if s else "-",
                     s["tier"].removeprefix("TIER_").lower() if s else "-",
                     f"{int(s['load_us']) / 1000:.1f} ms" if s else "-"])
    table(rows)


def main():
    print("Adding memories (once):")
    texts = {}
    for text in MEMORIES:
        memory = dki("memory", "add", "--user", USER, text)["memory"]
        texts[memory["id"]] = text
        print(f"  {memory['id']}  {text}")
    for question in QUESTIONS:
        print(f"\n{question}")
        rows, injected = [["mode", "answer", "prompt tokens", "memory tokens beside it"]], None
        for mode in ["vanilla", "prompt", "injected"]:
            answer = dki("chat", "--user", USER, "--mode", mode, "--max-tokens", "24", question)
            usage = answer["outcome"]["usage"]
            rows.append([mode, one_line(answer["text"], 64), str(usage["prompt_tokens"]), str(usage["injected_tokens"])])
            injected = answer
        table(rows)
        print(f"  why the injected answer is what it is ({injected['decision']['decision_id']}):")
        explain(injected, texts)
    home = "" if "DKI_HOME" not in os.environ else f"DKI_HOME={os.environ['DKI_HOME']} "
    print(f"\nThe cluster is running. Next:\n  {home}{os.path.relpath(DKI)} chat --user {USER} --explain \"Where does Mira work?\"")


if __name__ == "__main__":
    main()
