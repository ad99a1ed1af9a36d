# SPDX-License-Identifier: Apache-2.0
"""Trains a modulation (docs: README.md beside this file):
python tools/modulation/train.py --model GGUF --data DIR --out DIR"""

import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import passages
from chat import Chat
from gguf_file import GgufFile
from layout import Batch, collate, example_of
from mix import Mix
from model import Model, Reader
from modulation import Modulation, question_vector
from replies import generate_all, groups, is_right, memories_of
from validate import validate


class Steps(IterableDataset):
    """Each element: the batches of one step, every one of about one length."""

    def __init__(self, mix: Mix, chat: Chat, args: argparse.Namespace) -> None:
        self._mix, self._chat, self._args = mix, chat, args

    def __iter__(self):
        worker = get_worker_info()
        rng = random.Random(self._args.seed * 1000 + (worker.id if worker else 0))
        while True:
            drawn = [
                example_of(self._mix.draw(rng), self._chat, rng, rng.random() < 0.6)
                for _ in range(self._args.batch)
            ]
            yield [
                collate([drawn[i] for i in group], self._chat)
                for group in groups(drawn, self._args.group_tokens)
            ]


def losses(model: Model, modulation: Modulation, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of the replies' nats; sum of KL(base || modulated) where the reply is to be kept; size of the change."""
    with torch.no_grad():
        kv = memories_of(model, batch, None)
        question = question_vector(model.embeddings_f32, batch.text, batch.is_turn)
        if not bool(modulation.spread.ne(1).any()):
            modulation.set_spread(kv, batch.is_memory)
    modulated, size = modulation(kv, question, batch.is_memory)
    t = batch.text.shape[1]
    mask = batch.reading_mask(model.dtype)
    x = Reader(model, modulated, batch.placed)(batch.text, batch.text_position, mask)
    at = torch.arange(t, device=x.device)
    predicts = (at >= batch.n_turn[:, None] - 1) & (at < batch.n_text[:, None] - 1)
    learnt = predicts & ~batch.is_kept[:, None]
    target = batch.text.roll(-1, 1)
    nats = F.cross_entropy(model.logits(x[learnt]), target[learnt], reduction="sum")
    kept = batch.is_kept.nonzero()[:, 0]
    if len(kept) == 0:
        return nats, nats.new_zeros(()), size
    with torch.no_grad():
        base = Reader(model, kv[:, kept], batch.placed[kept])(
            batch.text[kept], batch.text_position[kept], mask[kept]
        )
        base = F.log_softmax(model.logits(base[predicts[kept]]), -1)
    changed = F.log_softmax(model.logits(x[kept][predicts[kept]]), -1)
    return nats, F.kl_div(changed, base, reduction="sum", log_target=True), size


def sample_replies(model: Model, chat: Chat, mix: Mix, args: argparse.Namespace) -> None:
    """The base model's own right replies with the note alone (rejection sampling), and its replies where notes do not help."""
    rng = random.Random(args.seed)
    chosen = [p for p in mix.passages if not p.is_held][: args.most_sampled]
    examples = []
    for passage in chosen:
        examples.append(example_of(passages.item_of(passage, [], rng, 0), chat, rng, True))
    for temperature in [0.0] + [0.8] * args.samples:
        for passage, ids in zip(chosen, generate_all(model, examples, None, chat, 30, temperature)):
            right = (
                ids[-1] == chat.end and len(ids) > 3 and is_right(chat.decode(ids), passage.answer)
            )
            if right and ids not in passage.sampled:
                passage.sampled.append(ids)
    some = sum(bool(p.sampled) for p in chosen)
    print(f"{some} of {len(chosen)} questions on passages have sampled replies", flush=True)
    kept = mix.unrelated[: args.most_sampled]
    examples = [example_of(item, chat, rng, rng.random() < 0.6) for item, _ in kept]
    for (item, _), ids in zip(kept, generate_all(model, examples, None, chat, 40)):
        item.reply_ids = ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="GGUF of the Llama family")
    parser.add_argument(
        "--data", required=True, help="the folder with babi/, instruct_p3/, squad/ ..."
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument(
        "--minutes",
        type=float,
        default=0,
        help="the rate falls to 0 at this time in place of at --steps",
    )
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--group-tokens", type=int, default=24000)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--question-rate", type=float, default=1.0, help="of gamma and beta, times --rate"
    )
    parser.add_argument("--kl", type=float, default=1.0)
    parser.add_argument("--shrink", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--most-sampled", type=int, default=1 << 30)
    parser.add_argument("--static", action="store_true", help="without the question: G = B = 0")
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--validate-items", type=int, default=100, help="of each kind")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--fingerprint", default="")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.multiprocessing.set_sharing_strategy("file_system")
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for each shape
    start = time.time()

    gguf = GgufFile(args.model)
    chat = Chat(gguf)
    model = Model(gguf, args.device, torch.bfloat16 if args.device == "cuda" else torch.float32)
    shape = model.shape
    modulation = Modulation(shape.n_layers, shape.kv, shape.hidden, args.rank, not args.static).to(
        args.device
    )
    mix = Mix(args.data)
    print(f"loaded after {time.time() - start:.0f} s", flush=True)
    sample_replies(model, chat, mix, args)
    print(f"sampled after {time.time() - start:.0f} s", flush=True)
    log = open(f"{args.out}/log.jsonl", "w")

    def report(step: int, changed: Modulation | None, extra: dict) -> None:
        scores = validate(model, changed, mix, chat, args.validate_items, args.seed)
        row = {"step": step, "seconds": round(time.time() - start), **extra, **scores}
        print(json.dumps(row), file=log, flush=True)
        print(json.dumps(row), flush=True)

    report(0, None, {})
    loader = iter(
        DataLoader(
            Steps(mix, chat, args), batch_size=None, num_workers=args.workers, prefetch_factor=4
        )
    )
    questions = [] if args.static else [modulation.gamma, modulation.beta]
    optimizer = torch.optim.AdamW(
        [
            {"params": [modulation.down, modulation.up], "factor": 1.0},
            {"params": questions, "factor": args.question_rate},
        ],
        args.rate,
        weight_decay=0.0,
    )
    begun, waited, total, n_sums = time.time(), 0.0, torch.zeros(3, device=args.device), 0
    metadata = {"model_fingerprint": args.fingerprint, "rope_pairing": "interleaved"}
    for step in range(1, args.steps + 1):
        done = (
            (time.time() - begun) / (60 * args.minutes) if args.minutes else (step - 1) / args.steps
        )
        if done >= 1:
            break
        rate = args.rate * min(1, step / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        asked = time.time()
        batches = next(loader)
        waited += time.time() - asked
        n_learnt = sum(int(((b.n_text - b.n_turn) * ~b.is_kept).sum()) for b in batches)
        n_kept = sum(int(((b.n_text - b.n_turn) * b.is_kept).sum()) for b in batches)
        optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            nats, kl, size = losses(model, modulation, batch.to(args.device))
            sums = torch.stack([nats / max(1, n_learnt), kl / max(1, n_kept), size / len(batches)])
            (sums[0] + args.kl * sums[1] + args.shrink * sums[2]).backward()
            total += sums.detach()
        n_sums += 1
        torch.nn.utils.clip_grad_norm_(modulation.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == 1:
            nll, kl, size = (total / n_sums).tolist()
            print(
                f"step {step} loss {nll:.4f} kl {kl:.4f} size {size:.3f} {time.time() - begun:.0f} s, {waited:.0f} for data",
                flush=True,
            )
            total, n_sums = torch.zeros(3, device=args.device), 0
        if step % args.validate_every == 0:
            modulation.save(
                f"{args.out}/modulation-{step // args.validate_every % 3}.safetensors",
                metadata | {"step": str(step)},
            )
            report(step, modulation, {})
    modulation.save(f"{args.out}/modulation.safetensors", metadata | {"step": str(step)})
    report(step, modulation, {"end": True})


if __name__ == "__main__":
    main()
