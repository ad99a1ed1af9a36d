// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_notes.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "libs/base/status.h"
#include "libs/eval/make_facts.h"
#include "libs/eval/make_random.h"
#include "libs/eval/make_words.h"

namespace dki::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kNotesOfItem = 6;

constexpr PersonalNote kNotes[] = {
    {"We named our boat Gullwing.", "What is the boat called?", "Gullwing"},
    {"I start work at half past six.", "How early does my day at the office begin?",
     "half past six"},
    {"My neighbour across the street is Mr. Okafor.", "Who lives opposite me?", "Okafor"},
    {"The spare key is under the blue flowerpot.", "Where do I hide the extra key?", "flowerpot"},
    {"My mother plays bridge on Wednesdays.", "On which day is mum at her card game?",
     "Wednesdays"},
    {"I hurt my left knee while skiing.", "Which joint did I injure?", "knee"},
    {"Our son studies geology in Freiburg.", "What is our son's subject?", "geology"},
    {"The landlord raised the rent to 940 euros.", "How much do I pay for the flat?", "940"},
    {"I want the seat at the window on trains.", "Where do I like to sit on a train?", "window"},
    {"My doctor told me to cut down on salt.", "What should I eat less of?", "salt"},
    {"The kids get swimming lessons from Coach Brandt.", "Who teaches my children to swim?",
     "Brandt"},
    {"My first job was at a printing shop.", "Where did I begin my career?", "printing"},
    {"I keep my passport in the desk drawer.", "Where can I find my travel document?", "drawer"},
    {"Our kitchen walls are painted yellow.", "What colour is the kitchen?", "yellow"},
    {"My uncle repairs clocks for a living.", "What is my uncle's trade?", "clocks"},
    {"The concert I bought tickets for is on May 3.", "Which date is the concert?", "May 3"},
    {"I drink my coffee black.", "How do I take my coffee?", "black"},
    {"Aunt Selma grows roses in her garden.", "Which flowers does my aunt have?", "roses"},
    {"We spend every August in Brittany.", "Where do we go on holiday in summer?", "Brittany"},
    {"My thesis is about river pollution.", "What am I writing my thesis on?", "pollution"},
    {"The code of the garage door is 5512.", "Which number opens the garage?", "5512"},
    {"I broke my glasses, the new ones come on Monday.", "When do I get new glasses?", "Monday"},
    {"My cousin Dilek got married in Izmir.", "In which city was my cousin's wedding?", "Izmir"},
    {"I support the football club Real Betis.", "Which team am I a fan of?", "Betis"},
    {"My hobby is restoring old radios.", "What do I do in my spare time?", "radios"},
    {"Our cleaner comes every other Thursday.", "When is the flat cleaned?", "Thursday"},
    {"The vet said that our cat Juno needs drops.", "What is the name of our cat?", "Juno"},
    {"I owe Karim thirty dollars.", "To whom do I still have to pay money back?", "Karim"},
    {"My piano teacher is Ms. Lindqvist.", "Who gives me music lessons?", "Lindqvist"},
    {"I am saving for a trip to Patagonia.", "What do I put money aside for?", "Patagonia"},
    {"At home we speak Tagalog.", "Which language does my family use?", "Tagalog"},
    {"My blood type is O negative.", "Which blood group do I have?", "O negative"},
    {"The printer at the office is on the second floor.", "Where is the office printer?",
     "second floor"},
    {"I gave up smoking four years ago.", "How long have I been without cigarettes?", "four"},
    {"My favourite painter is Chagall.", "Whose pictures do I love most?", "Chagall"},
    {"Our new colleague Petra comes from Slovenia.", "Which country is Petra from?", "Slovenia"},
    {"I go bowling with Matteo.", "With whom do I bowl?", "Matteo"},
    {"The heating engineer can be reached at 555-0182.", "What number do I call about the heating?",
     "555-0182"},
    {"My brother-in-law drives a taxi.", "What is my brother-in-law's job?", "taxi"},
    {"I sleep badly when it is full moon.", "When is my sleep poor?", "moon"},
    {"We order our bread from the mill in Tarn.", "Where does our bread come from?", "mill"},
    {"My daughter wants to become a pilot.", "What does my daughter dream of being?", "pilot"},
    {"The tax office wants my papers by July 31.", "What is the deadline for my taxes?", "July 31"},
    {"I get seasick on small ferries.", "Why do I avoid small boats?", "seasick"},
    {"My tent is for three people.", "How many can sleep in my tent?", "three"},
    {"I lent my ladder to Joanna.", "Who has my ladder?", "Joanna"},
    {"My running shoes are from Asics.", "Which brand do I wear for jogging?", "Asics"},
    {"I sing tenor in the choir.", "What voice do I sing?", "tenor"},
    {"Grandpa was a sailor in the navy.", "What did my grandfather do?", "sailor"},
    {"I am afraid of spiders.", "What scares me?", "spiders"},
    // Here the second half begins.
    {"I moved to Porto in March.", "Where do I live now?", "Porto"},
    {"My daughter Mia turned seven on Saturday.", "How old is Mia?", "seven"},
    {"I'm allergic to penicillin.", "Which medicine must I not take?", "penicillin"},
    {"My flight to Oslo leaves at 6:40 on Friday.", "When does my plane take off?", "6:40"},
    {"The wifi password at the cabin is bluefin42.", "How do I get online at the cabin?",
     "bluefin42"},
    {"My boss is called Henrik.", "Who is my manager?", "Henrik"},
    {"We adopted a beagle named Waffles.", "What is my dog's name?", "Waffles"},
    {"I work as a nurse at the children's hospital.", "What do I do for a living?", "nurse"},
    {"I prefer answers in French.", "Which language should you answer in?", "French"},
    {"My car is a green Skoda.", "What do I drive?", "Skoda"},
    {"Our anniversary is on June 14.", "When did we marry?", "June 14"},
    {"Dr. Patel is my dentist.", "Who looks after my teeth?", "Patel"},
    {"My locker at the gym is number 118.", "Which locker is mine?", "118"},
    {"I take the number 12 bus to work.", "How do I get to the office?", "bus"},
    {"My brother Tom plays the cello.", "What instrument does my brother play?", "cello"},
    {"The meeting with Acme was moved to Thursday afternoon.", "When do we see Acme?", "Thursday"},
    {"I finished reading Dune and loved it.", "Which book did I like?", "Dune"},
    {"My favourite tea is Earl Grey.", "What tea should you order for me?", "Earl Grey"},
    {"I'm learning Rust at the moment.", "Which programming language am I studying?", "Rust"},
    {"My sister lives in Toronto with her two sons.", "Which city is my sister's home?", "Toronto"},
    {"I parked on level 3 of the garage.", "Where is the car?", "level 3"},
    {"My shoe size is 43.", "What size of boots do I need?", "43"},
    {"I was born in Leeds.", "What is my birthplace?", "Leeds"},
    {"Our team uses PostgreSQL in production.", "Which database do we run?", "PostgreSQL"},
    {"The plumber is coming on Tuesday at nine.", "When will the pipe be repaired?", "Tuesday"},
    {"My grandmother's name was Rosalind.", "What was grandma called?", "Rosalind"},
    {"I can't stand coriander.", "Which herb do I dislike?", "coriander"},
    {"I run five kilometres every morning.", "How far do I jog each day?", "five"},
    {"My therapist suggested that I keep a diary.", "What was I advised to keep?", "diary"},
    {"We are getting a new roof in October.", "In which month is the roof done?", "October"},
    {"I left my umbrella in the library.", "Where did I forget my umbrella?", "library"},
    {"My roommate Chidi works nights.", "Who shares the flat with me?", "Chidi"},
    {"My bank is the Volksbank on Main Square.", "Where do I have my account?", "Volksbank"},
    {"I play the drums in a band.", "What do I play in the band?", "drums"},
    {"Our wedding song was Moon River.", "Which song did we dance to?", "Moon River"},
    {"My father retired from the railway.", "Where did my dad work?", "railway"},
    {"I always buy oat milk.", "What kind of milk do I want?", "oat"},
    {"The alarm is turned off with 9071.", "Which code stops the alarm?", "9071"},
    {"I voted for the new bike lanes.", "What did I vote for?", "bike lanes"},
    {"My niece collects snow globes.", "What could I give my niece for her collection?",
     "snow globes"},
    {"I have an appointment at the hairdresser at 4 pm.", "When is my haircut?", "4 pm"},
    {"My phone's screen is cracked.", "What is wrong with my phone?", "cracked"},
    {"I take iron tablets after breakfast.", "Which supplement am I on?", "iron"},
    {"My best friend since school is Olga.", "Who have I known since school?", "Olga"},
    {"We heat the house with wood pellets.", "What fuel does our heating burn?", "pellets"},
    {"I am writing a novel about a lighthouse.", "What is my novel about?", "lighthouse"},
    {"The package should go to my work address.", "Where do I want the parcel delivered?", "work"},
    {"My lucky number is 27.", "Which number brings me luck?", "27"},
    {"I lost my wallet in the tram.", "Where did my wallet go missing?", "tram"},
    {"I teach chemistry at a school.", "Which subject do I teach?", "chemistry"},
};
static_assert(std::size(kNotes) % 2 == 0);

// Questions about oneself that no note answers.
constexpr std::string_view kUntold[] = {
    "What is the name of my lawyer?",
    "How much did my bicycle cost?",
    "Which perfume do I use?",
    "What was my score in the last exam?",
    "Where did I buy my sofa?",
    "When did I last see a movie?",
    "What does my horse eat?",
    "Who painted the picture in my hall?",
    "Which yoga class do I attend?",
    "What is my mileage account's number?",
    "How tall am I?",
    "What did I study at university?",
    "Which insurance company am I with?",
    "What is my favourite board game?",
    "When does my subscription end?",
};

// What everybody may ask; about the asker by its form alone.
constexpr std::string_view kHowTo[] = {
    "How do I boil an egg?",
    "Can you help me write a thank-you letter?",
    "What should I consider before I buy a used car?",
    "How can I remove a red wine stain?",
    "Could you explain to me how a vaccine works?",
    "I need a good title for a poem about autumn.",
    "How do I tie a bow tie?",
    "Tell me a story about a dragon.",
    "What can I cook with lentils?",
    "How do we know how old the universe is?",
    "Give me three tips against stage fright.",
    "How do I convert miles to kilometres?",
};

// Notes of the half that item `i` of `items` is in: the one that it may ask for, in turn.
int AskedNote(int i, int items) {
  constexpr int kHalf = static_cast<int>(std::size(kNotes)) / 2;
  const int half = items / 2;
  return i < half ? i % kHalf : kHalf + (i - half) % kHalf;
}

// An item with the note at a random place among others.
Json NoteItem(const std::string& id, const PersonalNote& asked, Random* random) {
  std::vector<std::string_view> notes;
  for (const PersonalNote& note : kNotes) {
    if (note.note != asked.note) notes.push_back(note.note);
  }
  random->Shuffle(&notes);
  notes.resize(kNotesOfItem - 1);
  const size_t place = random->Below(kNotesOfItem);
  notes.insert(notes.begin() + static_cast<std::ptrdiff_t>(place), asked.note);
  Json memories = Json::array();
  for (size_t i = 0; i < notes.size(); ++i) {
    memories.push_back({{"id", "m" + std::to_string(i)}, {"text", notes[i]}});
  }
  return {{"id", id},
          {"memories", std::move(memories)},
          {"history", Json::array()},
          {"question", asked.question},
          {"answer_prefix", "The answer is"},
          {"answer", " " + std::string(asked.answer)},
          {"gold", {"m" + std::to_string(place)}},
          {"needed", true},
          {"kind", "needed"}};
}

}  // namespace

std::span<const PersonalNote> PersonalNotes() {
  return kNotes;
}

std::string MakeNotes(uint64_t seed, int items) {
  Random random(seed, "notes_k6");
  std::string lines;
  for (int i = 0; i < items; ++i) {
    const PersonalNote& asked = kNotes[AskedNote(i, items)];
    lines += NoteItem(absl::StrFormat("notes_k6-%04d", i), asked, &random).dump() + "\n";
  }
  return lines;
}

std::string MakeGateNotes(uint64_t seed, int items) {
  Random random(seed, "gate_notes");
  std::string lines;
  for (int i = 0; i < items; ++i) {
    // Every other item asks for a note, so each of a half's notes comes up in twice as many items.
    const PersonalNote& note = kNotes[AskedNote(i / 2, items / 2)];
    Json item = NoteItem(absl::StrFormat("gate_notes-%04d", i), note, &random);
    constexpr const char* kKinds[] = {"needed", "untold question",    "needed", "instruction",
                                      "needed", "unrelated question", "needed", "how to"};
    const std::string kind = kKinds[i % 8];
    if (kind != "needed") {
      item["answer_prefix"] = item["answer"] = "";
      item["gold"] = Json::array();
      item["needed"] = false;
      item["kind"] = kind;
    }
    if (kind == "untold question")
      item["question"] = random.Pick(std::span<const std::string_view>(kUntold));
    if (kind == "instruction")
      item["question"] = Fill(random.Pick(Instructions()), "", random.Pick(Topics()));
    if (kind == "unrelated question") item["question"] = random.Pick(UnrelatedQuestions());
    if (kind == "how to") item["question"] = random.Pick(std::span<const std::string_view>(kHowTo));
    lines += item.dump() + "\n";
  }
  return lines;
}

}  // namespace dki::eval
