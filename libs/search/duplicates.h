// SPDX-License-Identifier: Apache-2.0
// Purpose: memories that say the same in the same words, of which a pack needs one. Pure functions.
//   Vectors cannot tell: "the code is 4931" and "the code is 4932" have a cosine of 0.99. So only
//   differences that never change what is said are looked past.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dki::search {

// Equal for texts that differ in case, punctuation, white space and articles alone (and, with
// probability 2^-64, for others). Never 0 for a text with words; 0 for one without.
uint64_t Signature(std::string_view text);

// Positions of the signatures that come for the first time, in order. 0 never repeats another.
std::vector<int> FirstOfEach(std::span<const uint64_t> signatures);

}  // namespace dki::search
