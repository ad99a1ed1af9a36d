# SPDX-License-Identifier: Apache-2.0
"""bAbI's training stories (Weston et al., arXiv:1502.05698; CC BY 3.0): a sentence is a note."""

import random
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

from layout import Item

MOST_NOTES = 32
# Task to how often it is drawn: what notes in a store look like, more often.
TASKS = {
    1: 3,
    2: 9,
    3: 2,
    4: 1,
    5: 2,
    6: 6,
    7: 1,
    8: 1,
    9: 2,
    10: 0.7,
    11: 1,
    12: 1,
    13: 1,
    14: 1.5,
    15: 6,
    16: 1,
    17: 0.7,
    18: 1,
    20: 1,
}
YES_NO = (6, 9, 10, 17, 18)
LINKED = (2, 3, 7, 8, 11, 13, 14, 15, 16)


@dataclass
class Question:
    task: int
    notes: list[str]
    gold: list[int]
    question: str
    answer: str


def _read(text: str, task: int) -> list[Question]:
    questions, notes, index = [], [], {}
    for row in text.splitlines():
        number, rest = row.split(" ", 1)
        if number == "1":
            notes, index = [], {}
        if "\t" not in rest:
            index[number] = len(notes)
            notes.append(rest.strip())
            continue
        question, answer, support = rest.split("\t")
        if len(notes) <= MOST_NOTES:
            gold = sorted({index[i] for i in support.split() if i in index})
            questions.append(Question(task, list(notes), gold, question.strip(), answer))
    return questions


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(q: Question) -> str | None:
    """The answer as a short sentence, where the question's form is known."""
    text, answer = q.question.rstrip("?"), q.answer
    if m := re.match(r"Where is (?:the )?(\w+)$", text):
        thing = m[1] if m[1][0].isupper() else f"the {m[1]}"
        return f"{_capital(thing)} is in the {answer}."
    if m := re.match(r"Where was (.+) before the (\w+)$", text):
        return f"{_capital(m[1])} was in the {answer} before the {m[2]}."
    if m := re.match(r"What is (\w+) afraid of$", text):
        return f"{_capital(m[1])} is afraid of the {answer}."
    if m := re.match(r"What color is (\w+)$", text):
        return f"{m[1]} is {answer}."
    if m := re.match(r"What is (\w+) carrying$", text):
        return f"{m[1]} is carrying {answer.replace(',', ' and ')}."
    if m := re.match(r"How many objects is (\w+) carrying$", text):
        return f"{m[1]} is carrying {answer}."
    if m := re.match(r"What is (north|south|east|west) of the (\w+)$", text):
        return f"The {answer} is {m[1]} of the {m[2]}."
    if m := re.match(r"What is the (\w+) (north|south|east|west) of$", text):
        return f"The {m[1]} is {m[2]} of the {answer}."
    if m := re.match(r"Who gave the (\w+)(?: to (\w+))?$", text):
        return f"{answer} gave the {m[1]}" + (f" to {m[2]}." if m[2] else ".")
    if m := re.match(r"What did (\w+) give to (\w+)$", text):
        return f"{m[1]} gave the {answer} to {m[2]}."
    if m := re.match(r"Who did (\w+) give the (\w+) to$", text):
        return f"{m[1]} gave the {m[2]} to {answer}."
    if m := re.match(r"Who received the (\w+)$", text):
        return f"{answer} received the {m[1]}."
    return None


def _replies(q: Question) -> list[tuple[float, str]]:
    if q.task in YES_NO:
        if q.answer == "maybe":
            return [(1, "Maybe.")]
        word = _capital(q.answer)
        replies = [(2.0, f"{word}.")]
        if m := re.match(r"Is (\w+) in the (\w+)\?", q.question):
            is_in = "is in" if q.answer == "yes" else "is not in"
            replies.append((3.0, f"{word}, {m[1]} {is_in} the {m[2]}."))
        return replies
    short = _capital(q.answer.replace(",", ", ")) + "."
    sentence = _sentence(q)
    return [(1.0, short)] + ([(3.0, sentence)] if sentence else [])


def _other_words(question: str, rng: random.Random) -> str:
    """The same question, asked in another way."""
    if rng.random() < 0.6:
        return question
    if m := re.match(r"Where is (the )?(\w+)\?", question):
        thing = (m[1] or "") + m[2]
        return rng.choice(
            [
                f"Where can I find {thing}?",
                f"Do you know where {thing} is?",
                f"In which room is {thing}?",
                f"where is {thing}",
                f"Tell me where {thing} is.",
            ]
        )
    if m := re.match(r"Is (\w+) in the (\w+)\?", question):
        return rng.choice(
            [
                f"Is {m[1]} in the {m[2]} now?",
                f"Is {m[1]} currently in the {m[2]}?",
                f"is {m[1]} in the {m[2]}?",
            ]
        )
    if m := re.match(r"What is (\w+) afraid of\?", question):
        name = _capital(m[1])
        return rng.choice(
            [
                f"What does {name} fear?",
                f"Which animal is {name} afraid of?",
                f"What is {name} scared of?",
            ]
        )
    return question


def item_of(q: Question, rng: random.Random, varied: bool) -> Item:
    question = _other_words(q.question, rng) if varied else q.question
    return Item(
        f"babi_qa{q.task}",
        q.notes,
        q.gold,
        question,
        _replies(q),
        q.answer.replace(",", ", "),
        q.task in YES_NO or question.startswith("Do you"),
        q.task in LINKED,
    )


def read(archives: list[str]) -> tuple[Callable[[random.Random], Item], list[Item]]:
    """A source of items to train on, and items to validate on: the last tenth of each file of the first archive."""
    train: dict[int, list[Question]] = {task: [] for task in TASKS}
    held: list[Question] = []
    for number, path in enumerate(archives):
        with tarfile.open(path) as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                m = re.search(r"/qa(\d+)_", member.name)
                if not m or int(m[1]) not in TASKS:
                    continue
                questions = _read(archive.extractfile(member).read().decode(), int(m[1]))
                if number == 0:
                    cut = len(questions) * 9 // 10
                    held += questions[cut:]
                    questions = questions[:cut]
                train[int(m[1])] += questions
    seen = {(tuple(q.notes), q.question) for q in held}
    for task in train:
        train[task] = [q for q in train[task] if (tuple(q.notes), q.question) not in seen]
    tasks = [t for t in TASKS if train[t]]
    rng = random.Random(1)
    validation = [item_of(q, rng, False) for q in held]

    def draw(rng: random.Random) -> Item:
        task = rng.choices(tasks, [TASKS[t] for t in tasks])[0]
        return item_of(rng.choice(train[task]), rng, True)

    return draw, validation
