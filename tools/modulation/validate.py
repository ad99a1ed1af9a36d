# SPDX-License-Identifier: Apache-2.0
"""Free replies to what was held back: percent right by kind, with weights as the default policy has them (and, for `_all`, all notes at weight 1)."""

import random
from collections import defaultdict

import torch
import torch.nn.functional as F

from chat import Chat
from layout import Example, collate, example_of
from mix import Mix
from model import Model, Reader
from modulation import Modulation
from replies import generate_all, groups, is_right, memories_of, repeats

ALSO_ALL = ("babi_qa1", "babi_qa2", "babi_qa15", "squad", "talk_new", "facts_new", "numbers_new")
OTHERS = ("babi_qa1", "babi_qa2", "babi_qa6", "babi_qa15")


@torch.no_grad()
def _kl(model: Model, modulation: Modulation, examples: list[Example], chat: Chat) -> float:
    total, n = 0.0, 0
    for group in groups(examples, 20000):
        batch = collate([examples[i] for i in group], chat).to(model.device)
        mask = batch.reading_mask(model.dtype)
        at = torch.arange(batch.text.shape[1], device=model.device)
        predicts = (at >= batch.n_turn[:, None] - 1) & (at < batch.n_text[:, None] - 1)
        base, changed = (
            F.log_softmax(
                model.logits(
                    Reader(model, memories_of(model, batch, m), batch.placed)(
                        batch.text, batch.text_position, mask
                    )[predicts]
                ),
                -1,
            )
            for m in (None, modulation)
        )
        total += F.kl_div(changed, base, reduction="sum", log_target=True).item()
        n += int(predicts.sum())
    return total / max(1, n)


def validate(
    model: Model, modulation: Modulation | None, mix: Mix, chat: Chat, n_items: int, seed: int
) -> dict:
    if n_items == 0:
        return {}
    rng = random.Random(seed)
    examples, items = [], []
    for kind, held in sorted(mix.held.items()):
        if kind == "unrelated":
            continue
        n = n_items if not kind.startswith("babi") or kind in OTHERS else n_items // 4
        for item in held[:n]:
            for policy in (True, False) if kind in ALSO_ALL else (True,):
                examples.append(example_of(item, chat, rng, policy))
                name = kind if not kind.startswith("babi") or kind in OTHERS else "babi_others"
                items.append((name + ("" if policy else "_all"), item))
    scores, again, words = defaultdict(list), [], []
    shown: dict[str, str] = {}
    for (kind, item), ids in zip(items, generate_all(model, examples, modulation, chat)):
        reply = chat.decode([i for i in ids if i != chat.end])
        scores[kind].append(is_right(reply, item.answer))
        again.append(repeats(reply))
        words.append(len(reply.split()))
        shown[kind] = f"{item.question} -> {reply} [{item.answer}]"
    out: dict = {kind: round(100 * sum(s) / len(s), 1) for kind, s in sorted(scores.items())}
    out["mean"] = round(sum(out.values()) / len(out), 2)
    out["repeats"] = round(100 * sum(again) / len(again), 2)
    out["words"] = round(sum(words) / len(words), 1)
    if modulation is not None:
        kept = [
            e
            for e in (
                example_of(i, chat, rng, rng.random() < 0.6)
                for i in mix.held["unrelated"][:n_items]
            )
            if e.reply
        ]
        out["kl_unrelated"] = round(_kl(model, modulation, kept, chat), 4)
    return out | {"shown": shown}
