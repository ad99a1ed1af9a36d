# SPDX-License-Identifier: Apache-2.0
"""Free replies and what they are worth: the answer occurs as whole words (libs/eval/README.md), trigrams that occur again."""

import re

import torch
from torch import Tensor

from chat import Chat
from layout import FOOTER, HISTORY, PAD, Batch, Example, collate
from model import Model, Reader, memory_kv
from modulation import Modulation, question_vector

MOST_TOKENS = 32


@torch.no_grad()
def memories_of(model: Model, batch: Batch, modulation: Modulation | None) -> Tensor:
    """K/V of prefix, history and pack; the footer has seen every line at its place in the pack."""
    kv = memory_kv(model, batch.memory, batch.frame, batch.visible())
    if bool((batch.frame != batch.packed).any()):
        is_footer = batch.part == FOOTER
        n = int(is_footer[0].sum())
        rows = is_footer.nonzero()[:, 1].reshape(-1, n)
        hidden = is_footer | (batch.part == HISTORY) | (batch.part == PAD)
        order = torch.arange(n, device=rows.device)
        mask = torch.zeros((*rows.shape, kv.shape[2] + n), device=rows.device)
        mask[..., : kv.shape[2]].masked_fill_(hidden[:, None], float("-inf"))
        mask[..., kv.shape[2] :].masked_fill_(order[None, :] > order[:, None], float("-inf"))
        raw: list[Tensor] = []
        Reader(model, kv, batch.packed)(
            batch.memory.gather(1, rows),
            batch.packed.gather(1, rows),
            mask.to(model.dtype),
            raw=raw,
        )
        index = rows[None, ..., None].expand(kv.shape[0], -1, -1, kv.shape[3])
        kv.scatter_(2, index, torch.stack(raw))
    if modulation is None:
        return kv
    return modulation(
        kv, question_vector(model.embeddings_f32, batch.text, batch.is_turn), batch.is_memory
    )[0]


@torch.no_grad()
def generate(
    model: Model,
    batch: Batch,
    modulation: Modulation | None,
    end: int,
    most: int = MOST_TOKENS,
    temperature: float = 0.0,
) -> list[list[int]]:
    """Token ids, `end` included where it was reached. The batch's text must be turns alone."""
    s, (b, t) = model.shape, batch.text.shape
    reader = Reader(model, memories_of(model, batch, modulation), batch.placed)
    own = tuple(
        [
            torch.zeros(
                (b, s.n_kv_heads, t + most, s.head_dim), dtype=model.dtype, device=model.device
            )
            for _ in range(s.n_layers)
        ]
        for _ in range(2)
    )
    x = reader(batch.text, batch.text_position, batch.reading_mask(model.dtype, t + most), own)
    rows = torch.arange(b, device=model.device)
    x = x[rows, batch.n_turn - 1]
    slots = torch.zeros((b, t + most), device=model.device)
    slots[:, t:] = float("-inf")
    slots[:, :t].masked_fill_(~batch.is_turn, float("-inf"))
    over = batch.answer.masked_fill(batch.part == PAD, float("-inf"))
    position = batch.text_position[rows, batch.n_turn - 1]
    done = torch.zeros(b, dtype=torch.bool, device=model.device)
    out = []
    for step in range(most):
        logits = model.logits(x)
        if temperature > 0:
            token = torch.multinomial(torch.softmax(logits / temperature, -1), 1)[:, 0]
        else:
            token = logits.argmax(-1)
        out.append(torch.where(done, -1, token))
        done |= token == end
        if step + 1 == most or (step % 8 == 7 and bool(done.all())):
            break
        slots[:, t + step] = 0
        mask = torch.cat([over, slots], -1)[:, None].to(model.dtype)
        x = reader(token[:, None], (position + 1 + step)[:, None], mask, own, t + step)[:, 0]
    return [[i for i in row if i >= 0] for row in torch.stack(out, 1).tolist()]


def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "


def is_right(reply: str, answer: str) -> bool:
    return _words(answer) in _words(reply)


def repeats(reply: str) -> float:
    words = reply.split()
    trigrams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def groups(examples: list[Example], most_tokens: int) -> list[list[int]]:
    """Indices of examples of about one length, so many that they are `most_tokens` with padding."""
    size = [sum(map(len, e.memories)) + len(e.history) + 40 for e in examples]
    out: list[list[int]] = []
    for i in sorted(range(len(examples)), key=lambda i: size[i], reverse=True):
        if not out or (len(out[-1]) + 1) * size[out[-1][0]] > most_tokens:
            out.append([])
        out[-1].append(i)
    return out


def generate_all(
    model: Model,
    examples: list[Example],
    modulation: Modulation | None,
    chat: Chat,
    most: int = MOST_TOKENS,
    temperature: float = 0.0,
    most_tokens: int = 120000,
) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in examples]
    for group in groups(examples, most_tokens):
        turns = [
            Example(e.memories, e.weights, e.history, e.turn, [])
            for e in (examples[i] for i in group)
        ]
        batch = collate(turns, chat).to(model.device)
        for i, ids in zip(group, generate(model, batch, modulation, chat.end, most, temperature)):
            out[i] = ids
    return out
