// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/null_notes.h"

#include <string>

namespace dki::injection {
namespace {

// Statements of the forms that memories have, with words of different kinds.
constexpr const char* kNotes[] = {
    "The ferry to the northern islands runs twice a day in winter.",
    "Ottoline keeps the spare fuses in a tin behind the piano.",
    "The third shelf of the pantry is 38 centimetres deep.",
    "Most lichens grow less than a millimetre in a year.",
    "Barnaby said that the choir rehearses in the old mill on Thursdays.",
    "The bridge was painted green after the flood of 1911.",
    "Someone left a blue umbrella under the bench by the pond.",
    "Copper roofs turn dark before they turn green.",
};

}  // namespace

std::vector<PackMemoryText> NullNotes() {
  std::vector<PackMemoryText> notes;
  for (const char* const note : kNotes) {
    notes.push_back({.memory_id = "null_note_" + std::to_string(notes.size()), .text = note});
  }
  return notes;
}

}  // namespace dki::injection
