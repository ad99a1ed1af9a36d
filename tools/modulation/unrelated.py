# SPDX-License-Identifier: Apache-2.0
"""Requests that the notes do not help with: the reply is to stay the base model's. Self-Instruct's seed tasks, OpenAssistant's prompts (both Apache-2.0) and openings of Topical-Chat."""

import json
import random
from collections.abc import Callable

from facts import draw as draw_fact
from layout import Item
from passages import is_held


def _requests(data: str) -> list[str]:
    requests = []
    for row in open(f"{data}/instruct_seed/self_instruct_seed_tasks.jsonl"):
        task = json.loads(row)
        requests += [(task["instruction"] + "\n" + i["input"]).strip() for i in task["instances"]]
    for row in open(f"{data}/multiturn_oasst/oasst_en_trees_dev.jsonl"):
        requests.append(json.loads(row)["prompt"]["text"])
    for row in open(f"{data}/multiturn_topical_chat/topical_chat_valid_freq.jsonl"):
        requests += [turn["text"] for turn in json.loads(row)["turns"][:2]]
    return [r for r in requests if len(r) < 200]


def read(data: str, notes_of: Callable[[random.Random], Item]) -> list[tuple[Item, bool]]:
    """Items, and whether each is held back. Their notes are facts or those of `notes_of`'s items."""
    in_suites = {json.loads(row)["question"].strip() for row in open(f"{data}/suites/gate.jsonl")}
    rng = random.Random(2)
    items = []
    for request in sorted(set(_requests(data))):
        if request in in_suites:
            continue
        notes = (draw_fact if rng.random() < 0.5 else notes_of)(rng)
        items.append(
            (
                Item("unrelated", notes.memories[:12], [], request, is_kept=True),
                is_held(request, 0.1),
            )
        )
    return items
