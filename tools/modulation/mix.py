# SPDX-License-Identifier: Apache-2.0
"""All training data as one source, and what is held back of it for validation."""

import json
import random

import babi
import facts
import passages
import talk
import unrelated
from layout import Item

SHARES = {"babi": 0.32, "passages": 0.28, "facts": 0.18, "talk": 0.12, "unrelated": 0.10}
HISTORY_SHARE = 0.06


class Mix:
    """`draw(rng)`: an item to train on; `held`: kind to items to validate on."""

    def __init__(self, data: str) -> None:
        archives = [f"{data}/babi/babi_en_train.tar.xz", f"{data}/babi/babi_en10k_train.tar.xz"]
        draw_babi, held_babi = babi.read(archives)
        topical_chat = f"{data}/multiturn_topical_chat/topical_chat_valid_freq.jsonl"
        draw_talk = talk.read(topical_chat)
        self.passages = passages.read(data)
        self.unrelated = unrelated.read(data, draw_talk)
        self._related = {
            "babi": draw_babi,
            "passages": passages.source(self.passages),
            "facts": facts.draw,
            "talk": draw_talk,
        }
        self._to_keep = [item for item, is_held in self.unrelated if not is_held]
        self._talks = [
            [turn["text"] for turn in json.loads(row)["turns"]] for row in open(topical_chat)
        ]
        self.held: dict[str, list[Item]] = {}
        rng = random.Random(3)
        items = held_babi + [item for item, is_held in self.unrelated if is_held]
        items += [facts.draw(rng, True) for _ in range(400)] + [
            draw_talk(rng, True) for _ in range(100)
        ]
        for passage in self.passages:
            if passage.is_held:
                pool = [p for p in self.passages if p.kind == passage.kind]
                items.append(passages.item_of(passage, pool, rng, rng.choice([0, 2])))
        rng.shuffle(items)
        for item in items:
            self.held.setdefault(item.kind, []).append(item)

    def draw(self, rng: random.Random) -> Item:
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        if kind == "unrelated":
            return rng.choice(self._to_keep)
        item = self._related[kind](rng)
        if kind in ("babi", "facts") and rng.random() < HISTORY_SHARE:
            turns = rng.choice(self._talks)[: rng.choice([2, 4, 6])]
            item.history = [(("user", "assistant")[i % 2], turn) for i, turn in enumerate(turns)]
        return item
