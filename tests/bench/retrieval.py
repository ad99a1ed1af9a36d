# SPDX-License-Identifier: Apache-2.0
"""Search over 100,000 real sentences beside FAISS's flat index in interleaved runs, searches near the query, filters, deletion,
what words add to a search; and the embedder, one sentence at a time and in batches."""

import argparse
import hashlib
import json
import lzma
import os
import pathlib
import subprocess
import sys

from report import Report, progress

BIN = pathlib.Path(os.environ["DKI_BUILD"]) / "bin"
BENCH = BIN / "retrieval_bench"
MODEL = pathlib.Path(os.environ["DKI_MODELS"]) / "all-MiniLM-L6-v2"
CACHE = pathlib.Path(os.environ["DKI_MODELS"]).parent
WORDS = 16  # of a sentence: a memory's usual length
QUERIES = 200  # the last vectors of the file


def sentences(count):
    """Pieces of WikiText-2's training text, all different."""
    text = lzma.open(pathlib.Path(os.environ["DKI_DATA"]) / "wikitext2" / "wiki.train.tokens.xz", "rt", encoding="utf-8").read()
    words = [w for w in text.split() if w not in ("=", "<unk>")]
    pieces = (" ".join(words[i:i + WORDS]) for i in range(0, len(words) - WORDS, WORDS))
    return list(dict.fromkeys(pieces))[:count]


def vectors(texts):
    """A file of their vectors, made once (some minutes)."""
    key = hashlib.sha256("\n".join(texts).encode() + (MODEL / "model.safetensors").read_bytes()).hexdigest()[:16]
    path = CACHE / f"bench-vectors-{key}"
    if not path.exists():
        progress(f"embedding {len(texts)} sentences, once")
        part = path.with_suffix(".part")
        subprocess.run([BENCH, "embed", MODEL, part], input="\n".join(texts) + "\n", text=True, check=True)
        part.rename(path)
    return path


def run(*arguments, program=BENCH, **kwargs):
    out = subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True, **kwargs).stdout
    return json.loads(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--memories", type=int, default=100_000)
    args = parser.parse_args()
    report = Report()
    texts = sentences(args.memories + QUERIES)

    progress("embedding: one by one and in batches")
    speed = run("speed", MODEL, args.reps, input="\n".join(texts[:256]) + "\n")
    batches = [1000 / ms for ms in speed["embed_batch_ms"]]
    report.add("embedding of one sentence", speed["embed_one_ms"], "ms", must=8, lower_is_better=True)
    report.add("embedding in batches", batches, "/s", must=3 * 1000 / 8)
    report.add("embedding in batches, against one at a time", batches, "/s", peer=[1000 / ms for ms in speed["embed_one_ms"]])

    path = vectors(texts)
    progress(f"search over {args.memories} memories: {args.reps} rounds of {QUERIES} queries")
    found = run("search", path, args.memories, args.reps)
    rate = {name: [1000 / ms for ms in found[name + "_ms"]] for name in ["flat", "scan", "scan_avx2", "near"]}
    report.add("exact search, against FAISS IndexFlatIP", rate["scan"], "/s", peer=rate["flat"], must=8)
    report.add("exact search, AVX2 path, against the same", rate["scan_avx2"], "/s", peer=rate["flat"], must=4)
    report.add("exact search", found["scan_ms"], "ms")
    report.add("exact search, recall@10", found["scan_recall"], "", must=0.999)
    report.add("exact search, AVX2 path, recall@10", found["scan_avx2_recall"], "", must=0.999)
    report.add("search near the query, against exact", rate["near"], "/s", peer=rate["scan"])
    report.add("search near the query", found["near_ms"], "ms")
    report.add("search near the query, recall@10", found["near_recall"], "", must=0.98)
    report.add("the same, a tenth deleted", found["near_recall_after_deleting"], "", must=0.98)
    report.add("exact search, a tenth deleted", found["scan_recall_after_deleting"], "", must=0.999)
    report.add("one user's 5 % of the memories", found["user_ms"], "ms")
    report.add("one user's 5 %, recall@10", found["user_recall"], "", must=0.999)
    report.add("training and sorting into a partition", found["upkeep_s"], "s")

    progress("search by meaning and words")
    hybrid = run(path, args.memories, args.reps, program=BIN / "hybrid_bench", input="\n".join(texts) + "\n")
    report.add("exact search by meaning and words", hybrid["hybrid_ms"], "ms")
    report.add("the same by meaning alone", hybrid["meaning_ms"], "ms")
    report.add("one user's 5 % by meaning and words", hybrid["hybrid_user_ms"], "ms")
    report.add("adding a memory to both indexes", hybrid["add_us"], "us")
    report.add("memory of both indexes, per text", hybrid["bytes_per_memory"], "B")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
