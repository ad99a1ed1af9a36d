# SPDX-License-Identifier: Apache-2.0
"""An item as tensors: which token sees which, at which position, with which weight."""

import random
from math import log
from dataclasses import dataclass, field

import torch
from torch import Tensor

from chat import Chat

LONG_LINE = 96  # tokens from which a memory is computed apart from the others (libs/injection/composition.h)
LEAD, SHORT, LONG, FOOTER, HISTORY, PAD = range(6)


@dataclass
class Item:
    """A question, the notes (`gold`: indices of those that answer it) and replies that are right."""

    kind: str
    memories: list[str]
    gold: list[int]
    question: str
    replies: list[tuple[float, str]] = field(default_factory=list)  # weight, text
    answer: str = ""  # that a reply has to hold as whole words
    judgement: bool = False  # begins like a question for yes or no: all notes weigh 1
    linked: bool = False  # several notes together answer it
    history: list[tuple[str, str]] = field(default_factory=list)
    reply_ids: list[int] | None = None  # in place of `replies`: tokens
    is_kept: bool = False  # the notes do not help: the reply is to stay the base model's


@dataclass
class Example:
    """Token ids; `weights`: of each memory, while reading and while answering."""

    memories: list[list[int]]
    weights: list[tuple[float, float]]
    history: list[int]
    turn: list[int]
    reply: list[int]
    is_kept: bool = False  # the reply is the base model's, which is to stay as it is


def weigh(
    item: Item, rng: random.Random, policy: bool
) -> tuple[list[int], list[tuple[float, float]]]:
    """The memories that are used and their weights: all at 1, or much as the default policy does."""
    everything = list(range(len(item.memories)))
    if not policy or item.judgement or not everything:
        return everything, [(1.0, 1.0)] * len(everything)
    others = [i for i in everything if i not in item.gold]
    if item.linked:  # those with a word in common with a note that answers come along
        words = {
            w for i in item.gold for w in item.memories[i].rstrip(".").split() if w[:1].isupper()
        }
        n = rng.randint(0, 5)
        others.sort(key=lambda i: not words & set(item.memories[i].rstrip(".").split()))
        others = others[: max(n, rng.randint(0, len(others)))] if rng.random() < 0.3 else others[:n]
    else:
        others = rng.sample(others, min(len(others), rng.choice([0, 0, 0, 1, 1, 2, 3, 5])))
    kept = sorted(item.gold + others) or [rng.choice(everything)]
    first = rng.choice(item.gold) if item.gold and rng.random() < 0.9 else rng.choice(kept)
    answer = 2.5 if item.linked else 3.0
    weights = []
    for i in kept:
        behind = rng.expovariate(1 / 3 if i in item.gold else 1 / 7)
        share = 1.0 if i == first else max(0.05, 2.718 ** (-0.15 * behind))
        weights.append((1.5 * share, answer * share))
    return kept, weights


def example_of(item: Item, chat: Chat, rng: random.Random, policy: bool) -> Example:
    kept, weights = weigh(item, rng, policy)
    if item.reply_ids is not None:
        reply = item.reply_ids
    elif item.replies:
        text = rng.choices([t for _, t in item.replies], [w for w, _ in item.replies])[0]
        reply = chat.encode(text) + [chat.end]
    else:
        reply = []
    return Example(
        [chat.line(item.memories[i]) for i in kept],
        weights,
        chat.history(item.history),
        chat.turn(item.question),
        reply,
        item.is_kept,
    )


@dataclass
class Batch:
    """P: tokens of prefix, history and pack; T: of turn and reply."""

    memory: Tensor  # [B, P] ids
    frame: Tensor  # [B, P] positions while the token is computed
    packed: Tensor  # [B, P] while the footer is
    placed: Tensor  # [B, P] and while turn and reply are
    part: Tensor  # [B, P] LEAD ... PAD
    block: Tensor  # [B, P] number of the memory
    read: Tensor  # [B, P] log weights
    answer: Tensor  # [B, P]
    text: Tensor  # [B, T] ids of turn and reply
    text_position: Tensor  # [B, T]
    n_turn: Tensor  # [B]
    n_text: Tensor  # [B]
    is_kept: Tensor  # [B]

    def to(self, device: str) -> "Batch":
        return Batch(*(t.to(device, non_blocking=True) for t in vars(self).values()))

    @property
    def is_memory(self) -> Tensor:
        return (self.part == SHORT) | (self.part == LONG)

    @property
    def is_turn(self) -> Tensor:
        return torch.arange(self.text.shape[1], device=self.text.device) < self.n_turn[:, None]

    def visible(self) -> Tensor:
        """[B, P, P]: whom a token of the pack sees while it is computed."""
        of, by = self.part[:, None, :], self.part[:, :, None]
        same = self.block[:, :, None] == self.block[:, None, :]
        seen = (of == LEAD) | (same & (of == by)) | ((of == SHORT) & (by == SHORT))
        seen |= (by == FOOTER) & (of != HISTORY)
        order = torch.arange(self.part.shape[1], device=self.part.device)
        return (seen & (order[None, :] <= order[:, None]) & (of != PAD)) | torch.eye(
            len(order), dtype=torch.bool, device=order.device
        )

    def reading_mask(self, dtype: torch.dtype, n_slots: int | None = None) -> Tensor:
        """[B, T, P + slots]: log weights of memories, by whether turn or reply reads them, and the order of the text."""
        b, t = self.text.shape
        is_turn = self.is_turn[..., None]
        over = torch.where(is_turn, self.read[:, None], self.answer[:, None])
        over = over.masked_fill((self.part == PAD)[:, None], float("-inf"))
        order = torch.arange(t, device=self.text.device)
        own = torch.zeros((t, n_slots or t), device=over.device)
        own[:, :t].masked_fill_(order[None, :] > order[:, None], float("-inf"))
        own[:, t:] = float("-inf")
        return torch.cat([over, own.expand(b, -1, -1)], -1).to(dtype)


def _frame(packed: list[int], part: list[int], block: list[int]) -> list[int]:
    """Short lines are computed right behind each other, long ones right behind the lead-in (SegmentsOfChain in libs/injection/compute_pack.cc)."""
    frame, lead_in = list(packed), 0
    behind, last = 0, None
    for i, kind in enumerate(part):
        if kind == LEAD:
            lead_in = behind = packed[i] + 1
        elif kind == SHORT:
            frame[i], behind = behind, behind + 1
        elif kind == LONG:
            first = i if block[i] != last else first
            frame[i] = lead_in + i - first
        last = block[i]
    return frame


def _pad(rows: list[list], value: float, dtype: torch.dtype, multiple: int) -> Tensor:
    n = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([row + [value] * (n - len(row)) for row in rows], dtype=dtype)


def collate(examples: list[Example], chat: Chat) -> Batch:
    columns: dict[str, list] = {name: [] for name in Batch.__dataclass_fields__}
    for e in examples:
        n_prefix, n_history = len(chat.prefix), len(e.history)
        ids = chat.prefix + e.history + chat.header
        part = [LEAD] * n_prefix + [HISTORY] * n_history + [LEAD] * len(chat.header)
        block = [-2] * n_prefix + [-3] * n_history + [-1] * len(chat.header)
        most = [log(max((w[phase] for w in e.weights), default=1.0)) for phase in (0, 1)]
        bias = [[0.0] * (n_prefix + n_history) + [m] * len(chat.header) for m in most]
        for number, (line, weight) in enumerate(zip(e.memories, e.weights)):
            ids, n = ids + line, len(line)
            part += [LONG if n >= LONG_LINE else SHORT] * n
            block += [number] * n
            for phase in (0, 1):
                bias[phase] += [log(weight[phase])] * n
        ids, part = ids + chat.footer, part + [FOOTER] * len(chat.footer)
        block += [-4] * len(chat.footer)
        placed = list(range(len(ids)))
        packed = placed[: n_prefix + n_history] + [
            p - n_history for p in placed[n_prefix + n_history :]
        ]
        frame = _frame(packed, part, block)
        text = e.turn + e.reply
        row = (
            ids,
            frame,
            packed,
            placed,
            part,
            block,
            bias[0] + [most[0]] * len(chat.footer),
            bias[1] + [most[1]] * len(chat.footer),
            text,
            list(range(len(ids), len(ids) + len(text))),
            len(e.turn),
            len(text),
            e.is_kept,
        )
        for name, value in zip(columns, row):
            columns[name].append(value)
    padding = {"part": PAD, "block": -9}
    out = {}
    for name, rows in columns.items():
        if isinstance(rows[0], list):
            dtype = torch.float32 if name in ("read", "answer") else torch.int64
            out[name] = _pad(
                rows, padding.get(name, 0), dtype, 16 if name.startswith("text") else 32
            )
        else:
            out[name] = torch.tensor(rows)
    return Batch(**out)
