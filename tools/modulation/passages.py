# SPDX-License-Identifier: Apache-2.0
"""Reading comprehension: a passage is a note. P3's prompts (adversarial_qa, quoref, ropes, duorc, qasc, quartz) and the paragraphs of SQuAD 2.0 that no suite has."""

import glob
import hashlib
import json
import lzma
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from layout import Item

MOST_CHARS = 1000


@dataclass
class Passage:
    kind: str
    notes: list[str]
    question: str
    answer: str
    replies: list[tuple[float, str]]
    sampled: list[list[int]] = field(default_factory=list)  # right replies of the base model itself
    is_held: bool = False


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])", text.strip())


def _window(text: str, answer: str) -> str:
    """Whole sentences around the answer, no more than a note may well hold."""
    sentences = _sentences(text)
    at = next((i for i, s in enumerate(sentences) if answer.lower() in s.lower()), 0)
    first = last = at
    while first > 0 or last + 1 < len(sentences):
        before, after = first > 0, last + 1 < len(sentences)
        next_first, next_last = first - (before and (not after or at - first <= last - at)), last
        if next_first == first:
            next_last += 1
        if len(" ".join(sentences[next_first : next_last + 1])) > MOST_CHARS:
            break
        first, last = next_first, next_last
    return " ".join(sentences[first : last + 1])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _replies(passage: str, answer: str) -> list[tuple[float, str]]:
    short = _capital(answer.strip().rstrip(".")) + "."
    sentence = next((s for s in _sentences(passage) if answer in s and len(s.split()) <= 22), None)
    return [(1.0, short)] + (
        [(3.0, sentence if sentence[-1] in '.!?"' else sentence + ".")] if sentence else []
    )


_P3 = {
    r"adversarial_qa_\w+_question_context_answer": r'Question: "(?P<q>.*?)"\n\nContext: "(?P<c>.*)"\n\nAnswer:',
    r"quoref_Given_Context_Answer_Question": r"(?P<q>.*?)\n\nAnswer the above question based on the context below:\n\n(?P<c>.*)",
    r"ropes_prompt_bottom_hint_beginning": r"Background: (?P<c2>.*?)\n\nParagraph: (?P<c>.*?)\n\nGiven the paragraph above, please answer correctly the following question: (?P<q>.*)",
    r"ropes_plain_background_situation": r"(?P<c2>.*?)\n\n(?P<c>.*)\n\n(?P<q>[^\n]*\?)",
    r"duorc_SelfRC_answer_question": r"Please answer the following.*?\n\nQuestion: (?P<q>.*?)\n(?:Movie )?[Pp]lot: (?P<c>.*)",
    r"duorc_SelfRC_question_answering": r"Question: (?P<q>.*?)\nIf there is no answer.*?\nMovie [Pp]lot: (?P<c>.*)",
    r"qasc_qa_with_separated_facts_3": r"Fact 1: (?P<c>.*?)\n\nFact 2: (?P<c2>.*?)\n\nGiven the two facts above, (?P<q>.*)",
    r"quartz_paragraph_question_plain_concat": r"(?P<c>.*?)\n\n(?P<q>.*)",
}


def _from_p3(path: str) -> list[Passage]:
    found: dict[tuple[str, str], Passage] = {}
    with lzma.open(path, "rt") as rows:
        for row in rows:
            record = json.loads(row)
            pattern = next((p for t, p in _P3.items() if re.fullmatch(t, record["task"])), None)
            m = pattern and re.fullmatch(pattern, record["prompt"].strip(), re.S)
            if not m:
                continue
            question, answer = _capital(
                " ".join(m["q"].split("\nMovie plot title:")[0].split())
            ), record["completion"].strip().rstrip(".")
            if question.isupper():
                question, answer = question.capitalize(), answer
            text, kind = " ".join(m["c"].split()), record["task"].split("_")[0]
            notes = [_window(text, answer)]
            if "c2" in m.groupdict() and m["c2"]:
                notes.append(_window(" ".join(m["c2"].split()), answer))
            if (
                kind in ("adversarial", "quoref", "duorc")
                and answer.lower() not in notes[0].lower()
            ):
                continue  # nothing to find
            if len(answer.split()) <= 12:
                found[notes[0], question] = Passage(
                    f"p3_{kind}", notes, question, answer, _replies(notes[0], answer)
                )
    return list(found.values())


def _from_squad(path: str) -> list[Passage]:
    passages = []
    for article in json.load(open(path))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                if qa["is_impossible"] or not qa["answers"]:
                    continue
                answer, context = qa["answers"][0]["text"], " ".join(paragraph["context"].split())
                if len(answer.split()) <= 12:
                    passages.append(
                        Passage(
                            "squad",
                            [context],
                            qa["question"].strip(),
                            answer,
                            _replies(context, answer),
                        )
                    )
    return passages


def _texts_of_suites(data: str) -> set[str]:
    """What must not be trained on: sentences of all suites' notes and of XQuAD."""
    texts = [
        p["context"]
        for a in json.load(open(f"{data}/squad/xquad_en_dev.json"))["data"]
        for p in a["paragraphs"]
    ]
    for path in glob.glob(f"{data}/suites/*squad*.jsonl"):
        texts += [m["text"] for row in open(path) for m in json.loads(row)["memories"]]
    return {s for text in texts for s in _sentences(" ".join(text.split())) if len(s) > 40}


def is_held(text: str, share: float) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) < share * 2**32


def read(data: str) -> list[Passage]:
    """All, with a tenth of the passages held back (`is_held`)."""
    forbidden = _texts_of_suites(data)
    passages = _from_p3(f"{data}/instruct_p3/p3_subset.jsonl.xz") + _from_squad(
        f"{data}/squad/squad_v2_dev_part_dev.json"
    )
    passages = [
        p for p in passages if not any(s in forbidden for n in p.notes for s in _sentences(n))
    ]
    for passage in passages:
        passage.is_held = is_held(passage.notes[0][:80], 0.1)
    return passages


def _other_answer(passage: Passage, names: list[str], rng: random.Random) -> Passage:
    """With another number or name in the answer's place, so that it has to be read and not known by heart."""
    old = passage.answer
    if re.search(r"\d", old):
        new = re.sub(r"\d", lambda m: str(rng.randint(1, 9)), old)
    elif all(word[:1].isupper() for word in old.split()):
        new = rng.choice(names)
    else:
        return passage
    replaced = [re.sub(rf"\b{re.escape(old)}\b", lambda m: new, note) for note in passage.notes]
    if new not in replaced[0] or old in passage.question:
        return passage
    return Passage(passage.kind, replaced, passage.question, new, _replies(replaced[0], new))


def _cropped(note: str, answer: str, rng: random.Random) -> str:
    """Some of the sentences around the answer."""
    sentences = _sentences(note)
    at = [i for i, s in enumerate(sentences) if answer in s]
    if not at:
        return note
    return " ".join(sentences[rng.randint(0, at[0]) : rng.randint(at[-1] + 1, len(sentences))])


def item_of(
    passage: Passage, others: list[Passage], rng: random.Random, n_others: int | None = None
) -> Item:
    """Among paragraphs on other (and often on near) subjects."""
    if n_others is None:
        n_others = rng.choice([0, 0, 1, 2, 2, 3, 4])
    notes = list(passage.notes)
    for other in rng.sample(others, min(len(others), 3 * n_others)):
        if (
            len(notes) < len(passage.notes) + n_others
            and other.notes[0] not in notes
            and passage.answer not in other.notes[0]
        ):
            notes.append(other.notes[0])
    order = rng.sample(range(len(notes)), len(notes))
    gold = sorted(order.index(i) for i in range(len(passage.notes)))
    item = Item(
        passage.kind,
        [notes[i] for i in order],
        gold,
        passage.question,
        passage.replies,
        passage.answer,
    )
    if passage.sampled and rng.random() < 0.5:
        item.reply_ids = rng.choice(passage.sampled)
    return item


def source(passages: list[Passage]) -> Callable[[random.Random], Item]:
    by_kind: dict[str, list[Passage]] = {}
    for p in passages:
        if not p.is_held:
            by_kind.setdefault(p.kind, []).append(p)
    weights = {
        "squad": 10,
        "p3_adversarial": 7,
        "p3_quoref": 2.5,
        "p3_ropes": 1.5,
        "p3_duorc": 2,
        "p3_qasc": 1.5,
        "p3_quartz": 1,
    }
    kinds = list(by_kind)
    names = [
        p.answer
        for p in passages
        if not p.is_held and all(w[:1].isupper() for w in p.answer.split()) and len(p.answer) < 30
    ]

    def draw(rng: random.Random) -> Item:
        kind = rng.choices(kinds, [weights[k] for k in kinds])[0]
        passage = rng.choice(by_kind[kind])
        if kind in ("squad", "p3_adversarial", "p3_quoref", "p3_duorc"):
            if rng.random() < 0.5:
                passage = _other_answer(passage, names, rng)
            if rng.random() < 0.4:
                notes = [_cropped(passage.notes[0], passage.answer, rng)] + passage.notes[1:]
                passage = replace(passage, notes=notes)
        return item_of(passage, by_kind[kind], rng)

    return draw
