# SPDX-License-Identifier: Apache-2.0
"""Turns of talk as notes ("Elsa said: ..."), with questions on what was told; from this file's own words among turns of Topical-Chat (CDLA-Sharing-1.0)."""

import datetime
import json
import random
from collections.abc import Callable

from facts import NAMES
from layout import Item

_W = {
    "book": "The Glass Harbor|A Winter of Foxes|Seven Quiet Rooms|The Salt Road|Letters from the Attic|The Clockmaker's Daughter|Paper Islands|North of Nowhere",
    "film": "The Long Orchard|Midnight Ferry|Paper Moons|A Dog Named Thursday|The Last Lighthouse|Velvet Storm",
    "class": "pottery|salsa|first aid|Italian|photography|improv|yoga|coding|welding|baking",
    "place": "the aquarium|the botanical garden|a jazz club|the planetarium|a food market|the lake|an art gallery|the climbing hall|the castle|a pottery studio",
    "city": "Lisbon|Oslo|Kyoto|Montreal|Dublin|Seville|Tallinn|Quebec|Zagreb|Marrakesh",
    "kin": "sister|brother|mother|father|grandmother|cousin|uncle|aunt|neighbour|old roommate",
    "thing": "a telescope|a secondhand piano|a kayak|a sewing machine|a tent|an electric bike|a record player|a bread oven|a drone|a rowing machine",
    "dish": "mushroom risotto|lemon cake|pumpkin curry|apple pie|fish tacos|lentil stew|cinnamon rolls|vegetable lasagne",
    "animal": "kitten|puppy|parrot|tortoise|rabbit|guinea pig",
    "pet": "Biscuit|Pepper|Waffles|Cosmo|Peanut|Clover|Olive|Rocket",
    "job": "nurse|carpenter|web designer|librarian|bus driver|florist|lab assistant|tour guide|barista|physiotherapist",
    "cause": "the animal shelter|the food bank|the beach cleanup|the community garden|the youth club|the hospice",
    "feeling": "nervous|proud|exhausted|relieved|excited|a bit lonely|grateful|hopeful",
    "sport": "a half marathon|a chess tournament|a swimming contest|a bike race|a climbing contest|a dance contest",
    "number": "two|three|four|five|six|seven|ten|twelve",
    "reason": "to be closer to my family|because the rent went up|to have a garden|because of my new job|to be near the sea|because it was too loud",
    "goal": "open a small bakery|write a cookbook|learn to sail|start a podcast|run a marathon|build a tiny house|become a teacher|study marine biology",
    "gift": "a blue scarf|a silver necklace|a handmade mug|an old map|a box of seeds|a signed record|a leather journal|a chess set",
    "hobby": "painting watercolours|playing the cello|restoring bikes|baking sourdough|bird watching|growing tomatoes|making candles|writing poems",
}
_VALUES = {key: words.split("|") for key, words in _W.items()}
# What is said (its value %v of the kind in front), the question, the reply. Three dots: small talk goes there.
_SAID = [
    (
        "book",
        "... I'm reading \"%v\" at the moment and I can't put it down.",
        "What book is %n reading?",
        '%n is reading "%v".',
    ),
    (
        "book",
        'I just finished "%v". The ending made me cry!',
        "Which book did %n finish?",
        '%n finished "%v".',
    ),
    (
        "film",
        'Last night we watched "%v" ... it was so good.',
        "What movie did %n watch?",
        '%n watched "%v".',
    ),
    (
        "class",
        "I signed up for a %v class, it starts soon! ...",
        "What class did %n sign up for?",
        "%n signed up for a %v class.",
    ),
    (
        "place",
        "Yesterday I went to %v with some friends. ...",
        "Where did %n go with friends?",
        "%n went to %v.",
    ),
    (
        "city",
        "... We are planning a trip to %v in autumn.",
        "Where is %n planning to travel?",
        "%n is planning a trip to %v.",
    ),
    (
        "kin",
        "My %v came over and helped me paint the kitchen. ...",
        "Who helped %n paint the kitchen?",
        "%n's %v helped paint the kitchen.",
    ),
    (
        "kin",
        "... My %v taught me how to cook when I was little.",
        "Who taught %n how to cook?",
        "%n's %v taught %n how to cook.",
    ),
    ("thing", "Guess what, I finally bought %v! ...", "What did %n buy?", "%n bought %v."),
    (
        "dish",
        "... I made %v for everybody and there was nothing left.",
        "What did %n cook for everybody?",
        "%n made %v.",
    ),
    (
        "animal",
        "We adopted a %v from the shelter last week. ...",
        "What kind of animal did %n adopt?",
        "%n adopted a %v.",
    ),
    (
        "pet",
        "... Our new dog is called %v, she is so sweet.",
        "What is the name of %n's dog?",
        "%n's dog is called %v.",
    ),
    (
        "job",
        "I started working as a %v. ... It's a big change.",
        "What does %n work as?",
        "%n works as a %v.",
    ),
    (
        "cause",
        "On weekends I help out at %v. ...",
        "Where does %n volunteer?",
        "%n volunteers at %v.",
    ),
    (
        "feeling",
        "The interview is tomorrow, I feel %v. ...",
        "How does %n feel about the interview?",
        "%n feels %v about the interview.",
    ),
    (
        "sport",
        "... I took part in %v and came in third!",
        "What contest did %n take part in?",
        "%n took part in %v.",
    ),
    (
        "number",
        "I have %v cousins, so our family parties are loud. ...",
        "How many cousins does %n have?",
        "%n has %v cousins.",
    ),
    (
        "reason",
        "We moved out of the city %v. ...",
        "Why did %n move out of the city?",
        "%n moved out of the city %v.",
    ),
    (
        "goal",
        "... One day I want to %v, I've been saving for it.",
        "What does %n want to do one day?",
        "%n wants to %v.",
    ),
    ("gift", "For my birthday I got %v! ...", "What did %n get for the birthday?", "%n got %v."),
    (
        "hobby",
        "... %v helps me to calm down after work.",
        "What helps %n to relax after work?",
        "%v helps %n to relax.",
    ),
    (
        "hobby",
        "These days I spend my evenings %v. ...",
        "How does %n spend the evenings?",
        "%n spends the evenings %v.",
    ),
]
# What happened, and when.
_EVENTS = [
    ("I went to the dentist", "When did %n go to the dentist?", "%n went to the dentist"),
    ("I adopted a cat", "When did %n adopt a cat?", "%n adopted a cat"),
    ("we opened the shop", "When did %n open the shop?", "%n opened the shop"),
    ("I ran my first race", "When did %n run the first race?", "%n ran the first race"),
    ("my sister got married", "When did %n's sister get married?", "%n's sister got married"),
    ("I gave my first concert", "When did %n give the first concert?", "%n gave the first concert"),
    ("I passed the exam", "When did %n pass the exam?", "%n passed the exam"),
    ("we had a picnic at the lake", "When did %n have a picnic?", "%n had a picnic"),
    ("I lost my keys", "When did %n lose the keys?", "%n lost the keys"),
    (
        "I visited my grandparents",
        "When did %n visit the grandparents?",
        "%n visited the grandparents",
    ),
]
_SMALL = [
    "It was about time.",
    "What about you?",
    "How have you been?",
    "That was fun!",
    "I'm so happy about it.",
    "Hope you are well!",
    "You should come along next time.",
    "Life is good.",
    "It means a lot to me.",
    "Thanks for asking!",
]


def _day(date: datetime.date) -> str:
    return f"{date.day} {date:%B} {date.year}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def read(topical_chat: str) -> Callable[..., Item]:
    """The source: draw(rng, held); `held`: of questions that are not trained on."""
    chatter = [
        turn["text"].strip() for row in open(topical_chat) for turn in json.loads(row)["turns"]
    ]
    chatter = [t for t in chatter if 4 <= len(t.split()) <= 45]

    def draw(rng: random.Random, held: bool = False) -> Item:
        n = rng.choice([1, 2, 3, 4, 6, 8, 8, 10])
        first, second = rng.sample(NAMES, 2)
        date = datetime.date(rng.randint(2019, 2025), 1, 1) + datetime.timedelta(
            rng.randint(0, 360)
        )
        form = rng.choice(
            [
                "%n: %t",
                "%n said: %t",
                "%n said on %d: %t",
                "%n (%d): %t",
                "[%d] %n: %t",
                "%n wrote on %d at %h: %t",
                "On %d %n told me: %t",
            ]
        )

        def turn(name: str, text: str, date: datetime.date) -> str:
            hour = f"{rng.randint(7, 22)}:{rng.randint(0, 59):02}"
            return (
                form.replace("%n", name)
                .replace("%d", _day(date))
                .replace("%h", hour)
                .replace("%t", text)
            )

        if rng.random() < 0.25:
            form = rng.choice(
                [
                    f
                    for f in [
                        "%n said on %d: %t",
                        "%n (%d): %t",
                        "[%d] %n: %t",
                        "%n wrote on %d at %h: %t",
                    ]
                ]
            )
            events = [e for i, e in enumerate(_EVENTS) if (i % 5 == 4) == held]
            event, question, reply = rng.choice(events)
            back = rng.choice([0, 1, 1, 2, None])
            when = {0: "today", 1: "yesterday", 2: "two days ago", None: "last week"}[back]
            text = (
                _capital(f"{when} {event}.") if rng.random() < 0.5 else _capital(f"{event} {when}.")
            )
            answer = (
                _day(date - datetime.timedelta(back))
                if back is not None
                else f"the week before {_day(date)}"
            )
            reply = f"{reply} {'on ' if back is not None else ''}{answer}."
            short = _capital(answer) + "."
        else:
            said = [s for i, s in enumerate(_SAID) if (i % 7 == 6) == held]
            kind, text, question, reply = rng.choice(said)
            answer = rng.choice(_VALUES[kind])
            text = _capital(text.replace("%v", answer).replace("...", rng.choice(_SMALL)))
            reply, short = _capital(reply.replace("%v", answer)), _capital(answer) + "."
        small = rng.choice(["", "", rng.choice(_SMALL)])
        told = turn(first, f"{text} {small}".strip(), date)
        notes = [told]
        while len(notes) < n:
            text = rng.choice(chatter)
            if answer.lower() not in text.lower():
                notes.append(
                    turn(
                        rng.choice([first, second]),
                        text,
                        date + datetime.timedelta(rng.randint(-200, 200)),
                    )
                )
        rng.shuffle(notes)
        return Item(
            "talk_new" if held else "talk",
            notes,
            [notes.index(told)],
            question.replace("%n", first),
            [(3, reply.replace("%n", first)), (1, short)],
            answer.replace("my family", "family"),
        )

    return draw
