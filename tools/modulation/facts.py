# SPDX-License-Identifier: Apache-2.0
"""Notes of one fact each, from this file's own words: who, what, value; questions in several phrasings, and for yes or no."""

import random

from layout import Item

NAMES = (
    "Abel Agnes Alma Andre Anton Astrid Basil Beatriz Bela Bernd Birgit Boris Caleb Carmen Cedric Chloe Clara Cyrus Dalia Damian Delia Dmitri Dora Edgar Elias Elsa Enzo Esme Esther Ewan "
    "Fabian Farah Fiona Freya Gideon Gisela Gwen Hana Harun Heidi Helge Igor Ilse Imani Irena Ivan Jasper Joana Joris Judith Kai Kamal Kiran Lars Leila Lorenz Lotte Luca Magda Malik Manon "
    "Marek Mei Milo Nadia Naomi Nikolai Noor Odette Omar Oscar Otto Paloma Petra Priya Rafael Ramona Rashid Renata Rosa Rufus Saskia Selma Silas Simone Sofia Tariq Tessa Theo Tilda Tomas Ursula Valentin Vera Wilma Xenia Yara Yves Zeno"
).split()

_WORDS = {
    "drinks": "green tea,cider,lemonade,espresso,oat milk,ginger ale,cocoa,mineral water,apple juice,kombucha,iced coffee,tonic",
    "animals": "parrot,hamster,tortoise,goldfish,rabbit,ferret,iguana,canary,gecko,pony,hedgehog,llama",
    "pets": "Biscuit,Pepper,Waffles,Luna,Cosmo,Peanut,Clover,Bandit,Olive,Ginger,Rocket,Sprout",
    "cars": "Toyota,Volvo,Skoda,Fiat,Honda,Subaru,Mazda,Renault,Jeep,Kia,Audi,Peugeot",
    "days": "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
    "months": "January,February,March,April,May,June,July,August,September,October,November,December",
    "subjects": "chemistry,geography,law,astronomy,nursing,philosophy,economics,architecture,history,botany,statistics,linguistics",
    "crafts": "pottery,knitting,archery,chess,origami,gardening,sailing,juggling,calligraphy,fencing,birdwatching,woodcarving",
    "allergies": "peanuts,shellfish,pollen,penicillin,gluten,dust,strawberries,latex,eggs,soy,bee stings,sesame",
    "countries": "Peru,Norway,Kenya,Vietnam,Iceland,Morocco,Chile,Nepal,Portugal,Canada,Jordan,Fiji",
    "materials": "oak,marble,brass,leather,linen,bamboo,steel,granite,copper,wool,glass,clay",
    "shops": "Corner Grocer,Blue Lantern,Harvest Hall,Old Mill,Sunny Basket,Green Door,Copper Kettle,Silver Spoon,Red Barn,Quiet Page",
    "doctors": "Dr. Alvarez,Dr. Chen,Dr. Okafor,Dr. Lindgren,Dr. Patel,Dr. Rossi,Dr. Novak,Dr. Haddad,Dr. Murphy,Dr. Tanaka",
    "genres": "jazz,opera,reggae,folk,techno,blues,punk,soul,salsa,gospel,country,swing",
    "soups": "tomato soup,miso soup,lentil soup,pumpkin soup,onion soup,chicken broth,gazpacho,borscht,minestrone,clam chowder",
    "shapes": "star,crescent,spiral,hexagon,heart,arrow,anchor,feather,diamond,leaf",
    "shades": "crimson,navy,beige,olive,lavender,maroon,amber,ivory,charcoal,mint,coral,mustard",
    "roles": "captain,treasurer,goalkeeper,editor,drummer,chairwoman,referee,secretary,cashier,guide",
    "passwords": "bluebird,sandcastle,moonrock,pineapple,thunder,lighthouse,snowflake,wildfire,teaspoon,marigold",
    "cities": "Lisbon,Oslo,Quito,Hanoi,Turin,Lyon,Tampa,Osaka,Bristol,Gdansk,Tunis,Leeds,Austin,Malmo",
}
_VALUES = {kind: words.split(",") for kind, words in _WORDS.items()}


def _number(low: int, high: int, form: str = "{}"):
    return lambda rng: form.format(rng.randint(low, high))


def _time(rng: random.Random) -> str:
    return f"{rng.randint(6, 21)}:{rng.choice(['00', '15', '30', '45', '20', '50'])}"


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_VALUES['months'])}"


# What it is ("%n's WHAT is VALUE"), values.
_ATTRIBUTES = [
    ("usual drink", "drinks"),
    ("pet", "animals"),
    ("rabbit's name", "pets"),
    ("car", "cars"),
    ("day off", "days"),
    ("birth month", "months"),
    ("field of study", "subjects"),
    ("hobby", "crafts"),
    ("allergy", "allergies"),
    ("dream destination", "countries"),
    ("desk material", "materials"),
    ("usual shop", "shops"),
    ("dentist", "doctors"),
    ("favourite music", "genres"),
    ("favourite soup", "soups"),
    ("tattoo", "shapes"),
    ("bicycle's colour", "shades"),
    ("role in the team", "roles"),
    ("wifi password", "passwords"),
    ("birthplace", "cities"),
    ("next destination", "cities"),
    ("cleaning day", "days"),
    ("horse's name", "pets"),
    ("coat's colour", "shades"),
    ("tutor", "doctors"),
    ("customer number", _number(1000, 99999)),
    ("flat number", _number(2, 400)),
    ("weekly budget", _number(4, 90, "{}0 dollars")),
    ("alarm time", _time),
    ("shoe size", _number(34, 47)),
    ("age", _number(18, 90)),
    ("extension", _number(100, 9999)),
    ("gate code", _number(100, 99999)),
    ("tram", _number(1, 30)),
    ("seat", _number(1, 80)),
    ("monthly savings", _number(5, 95, "{}0 euros")),
    ("ticket number", _number(1000, 9999)),
    ("height", _number(150, 199, "{} cm")),
    ("appointment", _date),
    ("phone bill", _number(12, 90, "{} dollars")),
    ("house number", _number(1, 300)),
    ("membership number", _number(10000, 99999)),
    ("daily commute", _number(10, 90, "{} minutes")),
    ("floor", _number(1, 40)),
    ("locker", _number(1, 900)),
    ("exam score", _number(40, 100)),
]
# Whole sentences: the note, questions, the reply, values.
_SENTENCES = [
    (
        "%n drives a %v.",
        ("What car does %n drive?", "Which make of car does %n have?"),
        "%n drives a %v.",
        "cars",
    ),
    (
        "%n is allergic to %v.",
        ("What is %n allergic to?", "Which allergy does %n have?"),
        "%n is allergic to %v.",
        "allergies",
    ),
    (
        "%n studies %v at the university.",
        ("What does %n study?", "Which subject is %n studying?"),
        "%n studies %v.",
        "subjects",
    ),
    (
        "%n has booked a trip to %v.",
        ("Where is %n travelling to?", "Which country has %n booked a trip to?"),
        "%n has booked a trip to %v.",
        "countries",
    ),
    (
        "%n always orders %v.",
        ("What does %n always order?", "What would %n drink?"),
        "%n always orders %v.",
        "drinks",
    ),
    (
        "The parcel for %n arrives on %v.",
        ("When does the parcel for %n arrive?", "On which day will %n get the parcel?"),
        "The parcel for %n arrives on %v.",
        "days",
    ),
    (
        "%n moved here from %v.",
        ("Where did %n move from?", "Where does %n come from?"),
        "%n moved here from %v.",
        "cities",
    ),
    (
        "%n keeps a %v at home.",
        ("Which animal does %n keep?", "What pet does %n have?"),
        "%n keeps a %v.",
        "animals",
    ),
    (
        "In spring %n took up %v.",
        ("What did %n take up in spring?", "Which hobby did %n start?"),
        "%n took up %v.",
        "crafts",
    ),
    (
        "%n sees %v about the headaches.",
        ("Which doctor does %n see?", "Who treats %n's headaches?"),
        "%n sees %v.",
        "doctors",
    ),
    (
        "%n sold the old boat for %v.",
        ("How much did %n get for the old boat?", "What did %n sell the boat for?"),
        "%n sold the boat for %v.",
        _number(10, 95, "{}00 dollars"),
    ),
    (
        "The meeting with %n starts at %v.",
        ("When does the meeting with %n start?", "At what time do we meet %n?"),
        "The meeting with %n starts at %v.",
        _time,
    ),
    (
        "%n ran the race in %v.",
        ("How long did %n take for the race?", "How fast did %n run the race?"),
        "%n ran the race in %v.",
        _number(30, 99, "{} minutes"),
    ),
    (
        "The wedding of %n is on %v.",
        ("When is the wedding of %n?", "On what date does %n marry?"),
        "The wedding of %n is on %v.",
        _date,
    ),
    (
        "%n stays in cabin %v.",
        ("Which cabin does %n stay in?", "What is the number of %n's cabin?"),
        "%n stays in cabin %v.",
        _number(10, 999),
    ),
    (
        "%n owes the library %v.",
        ("How much does %n owe the library?", "What must %n pay the library?"),
        "%n owes the library %v.",
        _number(2, 60, "{} dollars"),
    ),
    (
        "The phone of %n unlocks with %v.",
        ("What does the phone of %n unlock with?", "Which code unlocks %n's phone?"),
        "The phone of %n unlocks with %v.",
        _number(1000, 999999),
    ),
]
_ASK = (
    "What is %s?",
    "What is %s?",
    "What's %s?",
    "Tell me %s.",
    "Do you remember %s?",
    "Can you tell me %s?",
    "I forgot: what is %s?",
    "%s, please?",
)


def _value(values, rng: random.Random) -> str:
    return values(rng) if callable(values) else rng.choice(_VALUES[values])


def _fact(rng: random.Random, held: bool, name: str, kind: int | None = None) -> dict[str, str]:
    """note, question, reply, value; for yes or no: `is` (%v to be filled in)."""
    n = len(_ATTRIBUTES) + len(_SENTENCES)
    if kind is None:
        kind = rng.choice([i for i in range(n) if (i % 6 == 5) == held])
    own = name == "My"
    if kind < len(_ATTRIBUTES):
        what, values = _ATTRIBUTES[kind]
        value = _value(values, rng)
        whose = f"{name} {what}" if own else f"{name}'s {what}"
        asked = whose[0].lower() + whose[1:] if own else whose
        reply = f"Your {what} is {value}." if own else f"{whose} is {value}."
        question = rng.choice(_ASK) % asked
        return {
            "note": f"{whose} is {value}.",
            "question": question[0].upper() + question[1:],
            "reply": reply,
            "value": value,
            "is": f"Is {asked} %v?",
            "kind": str(kind),
        }
    note, questions, reply, values = _SENTENCES[kind - len(_ATTRIBUTES)]
    value = _value(values, rng)

    def fill(text: str) -> str:
        return text.replace("%n", name).replace("%v", value)

    return {
        "note": fill(note),
        "question": fill(rng.choice(questions)),
        "reply": fill(reply),
        "value": value,
        "is": "",
        "kind": str(kind),
    }


def draw(rng: random.Random, held: bool = False) -> Item:
    """One to sixteen notes, often on the same person or the same thing; `held`: of kinds that are not trained on."""
    n = rng.choice([1, 2, 3, 4, 4, 6, 8, 8, 12, 16])
    name = rng.choice(NAMES)
    if rng.random() < 0.15:
        kinds = [i for i in range(len(_ATTRIBUTES)) if (i % 6 == 5) == held]
        name, asked = "My", _fact(rng, held, "My", rng.choice(kinds))
    else:
        asked = _fact(rng, held, name)
    facts, notes = [asked], {asked["note"]}
    keys = {(name, asked["kind"])}
    while len(facts) < n:
        near = rng.random()
        kind = int(asked["kind"]) if near < 0.3 else None
        who = name if near > 0.8 and name != "My" else rng.choice(NAMES)
        other = _fact(rng, held, who, kind)
        if (who, other["kind"]) in keys or asked["value"] in other["note"]:
            n -= rng.random() < 0.2
            continue
        keys.add((who, other["kind"]))
        notes.add(other["note"])
        facts.append(other)
    rng.shuffle(facts)
    kind = ("numbers" if any(c.isdigit() for c in asked["value"]) else "facts") + (
        "_new" if held else ""
    )
    item = Item(
        kind,
        [f["note"] for f in facts],
        [facts.index(asked)],
        asked["question"],
        [],
        asked["value"],
    )
    if asked["is"] and rng.random() < 0.12:
        wrong = next(
            (f["value"] for f in facts if f["kind"] == asked["kind"] and f is not asked), None
        )
        is_true = wrong is None or rng.random() < 0.5
        item.question = asked["is"].replace("%v", asked["value"] if is_true else wrong)
        item.judgement, item.answer, item.kind = (
            True,
            "yes" if is_true else "no",
            "facts_yes_no" + ("_new" if held else ""),
        )
        item.replies = [
            (
                1,
                ("Yes, " if is_true else "No, ")
                + (
                    asked["reply"]
                    if not asked["reply"].startswith("Your")
                    else "y" + asked["reply"][1:]
                ),
            )
        ]
        return item
    short = asked["value"][0].upper() + asked["value"][1:] + "."
    item.replies = [(4, asked["reply"]), (1, short)]
    item.judgement = item.question.startswith(("Do", "Can"))
    return item
