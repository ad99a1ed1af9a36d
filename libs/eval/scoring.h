// SPDX-License-Identifier: Apache-2.0
// Purpose: when a free reply counts as right, and how sure a share is. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/eval/suite.h"

namespace dki::eval {

// ASCII lower case; everything but letters, digits and bytes above 127 is a space; runs of spaces
// are one; trimmed.
std::string Normalise(std::string_view text);

// The normalised gold answer occurs in the normalised reply as whole words. An empty gold answer
// never does.
bool ReplyHolds(std::string_view reply, std::string_view gold);

// The value of another memory is in the reply: the last word of a short memory (at most 12 words)
// that is not gold, where neither the gold answer, a gold memory nor the question has that word.
bool HoldsOtherValue(std::string_view reply, const Item& item);

// Share of the reply's trigrams of words that occurred in it before; 0 below three words.
double RepeatedTrigrams(std::string_view reply);

// Standard error of a share of n, in percent points.
double StandardErrorPercent(int right, int n);

// Standard error of a mean, from sum and sum of squares of n values; 0 for fewer than two.
double StandardErrorOfMean(double sum, double square_sum, int n);

// Two-sided exact McNemar test: how likely a split of the discordant items at least this uneven is
// by chance.
double McNemar(int only_first, int only_second);

}  // namespace dki::eval
