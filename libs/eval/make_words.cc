// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_words.h"

namespace dki::eval {
namespace {

using Text = std::string_view;

constexpr Text kNames[] = {"Adele", "Bruno",  "Celia", "Dario",  "Edith", "Felix", "Greta", "Hugo",
                           "Ines",  "Jonas",  "Katya", "Leon",   "Mira",  "Nils",  "Orla",  "Pedro",
                           "Ruth",  "Stefan", "Thea",  "Viktor", "Wanda", "Yusuf", "Zora",  "Amir"};

constexpr Text kCollections[] = {"stamps",  "coins", "postcards", "teapots", "fossils",
                                 "buttons", "maps",  "magnets",   "puppets", "candles"};
constexpr Text kLanguages[] = {"Danish", "Korean",  "Swahili", "Polish", "Hindi",
                               "Greek",  "Turkish", "Welsh",   "Arabic", "Finnish"};
constexpr Text kTowns[] = {"Bergen", "Valencia", "Hamburg", "Porto",  "Krakow",
                           "Naples", "Seattle",  "Mumbai",  "Havana", "Geneva"};
constexpr Text kSports[] = {"hockey",     "tennis", "rugby",    "cricket",   "golf",
                            "volleyball", "squash", "handball", "badminton", "lacrosse"};
constexpr Text kFruits[] = {"papaya", "mango", "cherry", "peach",  "apricot",
                            "melon",  "plum",  "fig",    "banana", "pear"};
constexpr Text kPlaces[] = {"museum",  "bakery",   "theater", "brewery", "bookshop",
                            "factory", "hospital", "zoo",     "harbor",  "vineyard"};
constexpr Text kCats[] = {"Mittens", "Pickle", "Smokey", "Velvet", "Nacho",
                          "Tofu",    "Muffin", "Comet",  "Dusty",  "Maple"};
constexpr Text kTrees[] = {"willow", "birch", "cedar",  "walnut", "chestnut",
                           "poplar", "beech", "spruce", "linden", "hazel"};

constexpr FactKind kWordFacts[] = {
    {"%n collects %v.", "What does %n collect?", "%n collects", kCollections},
    {"%n is learning %v.", "Which language is %n learning?", "%n is learning", kLanguages},
    {"%n grew up in %v.", "Where did %n grow up?", "%n grew up in", kTowns},
    {"On weekends %n plays %v.", "Which sport does %n play on weekends?", "On weekends %n plays",
     kSports},
    {"The fruit that %n likes best is the %v.", "Which fruit does %n like best?",
     "The fruit that %n likes best is the", kFruits},
    {"%n works at the %v.", "Where does %n work?", "%n works at the", kPlaces},
    {"The cat of %n is called %v.", "What is the cat of %n called?", "The cat of %n is called",
     kCats},
    {"The tree in front of %n's house is a %v.", "Which tree is in front of %n's house?",
     "The tree in front of %n's house is a", kTrees},
};

constexpr FactKind kNumberFacts[] = {
    {"The badge of %n has the number %v.",
     "What is the number on the badge of %n?",
     "The badge of %n has the number",
     {},
     1000,
     10000},
    {"%n was born in the year %v.",
     "In which year was %n born?",
     "%n was born in the year",
     {},
     1930,
     2010},
    {"%n always parks in space %v.",
     "In which space does %n park?",
     "%n always parks in space",
     {},
     100,
     1000},
    {"The train that %n takes leaves from platform %v.",
     "From which platform does the train of %n leave?",
     "The train that %n takes leaves from platform",
     {},
     11,
     99},
    {"The suitcase of %n opens with the code %v.",
     "With which code does the suitcase of %n open?",
     "The suitcase of %n opens with the code",
     {},
     100,
     1000},
};

constexpr FactKind kPersonaFacts[] = {
    {"I collect %v.", "What do I collect?", "You collect", kCollections},
    {"I am learning %v.", "Which language am I learning?", "You are learning", kLanguages},
    {"I grew up in %v.", "Where did I grow up?", "You grew up in", kTowns},
    {"On weekends I play %v.", "Which sport do I play on weekends?", "On weekends you play",
     kSports},
    {"The fruit that I like best is the %v.", "Which fruit do I like best?",
     "The fruit that you like best is the", kFruits},
    {"I work at the %v.", "Where do I work?", "You work at the", kPlaces},
    {"My cat is called %v.", "What is my cat called?", "Your cat is called", kCats},
};

constexpr SmallTalk kTalk[] = {
    {"Good morning! Did it rain where you are?",
     "I have no window, but I like hearing about the weather. Is it wet outside?"},
    {"I can never decide what to watch in the evening.",
     "A short documentary is a safe choice. Do you prefer nature or history?"},
    {"My neighbor started learning the bagpipes, and the walls are thin.",
     "That sounds loud. Perhaps you can agree on hours that suit you both."},
    {"I tried to bake bread and it came out like a brick.",
     "The dough may have needed more time to rise, or the yeast was old."},
    {"Do you think robots will ever enjoy music?",
     "They can follow a rhythm already. Whether that is enjoyment is a deep question."},
    {"I walked ten thousand steps today.",
     "Well done! A walk like that is good for the mood as well as the legs."},
    {"The bus was late again.",
     "How annoying. I hope you had something to read while you were waiting."},
    {"I want to sleep earlier but I keep scrolling on my phone.",
     "Leaving the phone in another room helps many people. An alarm clock can replace it."},
    {"Why do people like horror films?",
     "Being scared while safe can feel exciting, and it is something to share with friends."},
    {"My plants keep dying.",
     "Too much water is the usual reason. Let the soil dry a little before you water again."},
    {"I am thinking of painting the kitchen.",
     "A light shade makes a small room look larger. Try a sample on the wall first."},
    {"Do you know a good way to remember people's faces?",
     "Look for one thing that stands out, such as the eyebrows, and repeat the name aloud."},
    {"I finally cleaned the garage.",
     "That must feel like a relief. Did you find anything you had forgotten about?"},
    {"Is it normal to talk to yourself?", "Yes, most people do. It can even help to plan the day."},
    {"My internet was down for the whole afternoon.",
     "Some people call that a holiday. I hope that it works properly now."},
    {"I would like to read more books this year.",
     "Ten pages a day is already a dozen books a year. Small steps are the trick."},
    {"The new office chair hurts my back.",
     "Check that your feet are flat on the floor and that the screen is at eye level."},
    {"I saw a shooting star last night!",
     "How lovely! They are grains of dust that burn up high in the air."},
    {"What do you do when you are bored?",
     "I wait for the next question. For people I would suggest a puzzle."},
    {"I forgot my umbrella and got soaked.",
     "Oh no. I hope that you could change into dry clothes quickly."},
    {"Coffee or tea, what do you think?",
     "Both have friends. Tea is gentler late in the day, since it has less caffeine."},
    {"My phone battery never lasts until the evening.",
     "A darker screen and fewer apps in the background usually help a lot."},
    {"I am nervous about giving a speech.",
     "Practice the first two sentences until they come by themselves. The rest follows."},
    {"It is so quiet here on Sundays.",
     "Quiet days can be a gift. You could enjoy them with a long breakfast."},
};

constexpr Text kInstructions[] = {
    "Write two sentences about %t.",
    "Write a short poem about %t.",
    "Explain %t to a child in simple words.",
    "Make a list of five words that have to do with %t.",
    "Invent a riddle about %t.",
    "Give me three tips for a beginner who is interested in %t.",
    "Think of a title for a magazine article about %t.",
    "Tell me a short joke about %t.",
};
constexpr Text kTopics[] = {"volcanoes",    "bicycles",       "the moon",      "thunderstorms",
                            "chess",        "recycling",      "glass blowing", "public libraries",
                            "penguins",     "the winter sea", "magnetism",     "time zones",
                            "street lamps", "knitting",       "earthquakes",   "honey bees"};

constexpr Text kUnrelated[] = {
    "Who wrote the play Hamlet?",
    "How many legs does a spider have?",
    "What is the chemical symbol of gold?",
    "Which planet is closest to the sun?",
    "What is the boiling point of water in degrees Celsius?",
    "Which ocean lies between Africa and Australia?",
    "How many sides does a hexagon have?",
    "What gas do plants take from the air?",
    "Who painted the Mona Lisa?",
    "What is the square root of 81?",
    "In which country are the pyramids of Giza?",
    "What is the largest mammal on earth?",
    "How many minutes are there in a day?",
    "Which metal is liquid at room temperature?",
    "What do you call a scientist who studies stars?",
    "What is the opposite of north?",
    "Who developed the theory of general relativity?",
    "Which organ pumps blood through the body?",
    "How many continents are there?",
    "What is frozen water called?",
    "Which animal is known as the ship of the desert?",
    "What is the capital of Canada?",
    "What is the longest river in South America?",
    "Which instrument measures temperature?",
    "How many zeros does a million have?",
    "What is the hardest natural mineral?",
    "Which force keeps us on the ground?",
    "What is the name of the galaxy that we live in?",
    "Which blood cells fight infections?",
    "What is the main ingredient of paper?",
    "How many strings does a violin have?",
    "Which month has the fewest days?",
    "What is the smallest prime number?",
    "Which bird lays the largest eggs?",
    "What is the speed of light in kilometers per second?",
    "Who was the first person to walk on the moon?",
    "Which vitamin does sunlight help the body to make?",
    "What do caterpillars turn into?",
    "What is the currency of Japan?",
    "Which layer of the atmosphere is closest to the ground?",
};

}  // namespace

std::span<const Text> Names() {
  return kNames;
}
std::span<const FactKind> WordFacts() {
  return kWordFacts;
}
std::span<const FactKind> NumberFacts() {
  return kNumberFacts;
}
std::span<const FactKind> PersonaFacts() {
  return kPersonaFacts;
}
std::span<const SmallTalk> Talk() {
  return kTalk;
}
std::span<const Text> Instructions() {
  return kInstructions;
}
std::span<const Text> Topics() {
  return kTopics;
}
std::span<const Text> UnrelatedQuestions() {
  return kUnrelated;
}

}  // namespace dki::eval
