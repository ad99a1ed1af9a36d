// SPDX-License-Identifier: Apache-2.0
// Purpose: from the bytes of an answer's tokens to text that may be shown: stop strings may span
//   tokens, so text that could begin one is held back; a character may span tokens, so only whole
//   ones come out; bytes that are no UTF-8 come out as U+FFFD.
// Thread-safety: thread-compatible; one per answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dki::engine {

class AnswerText {
 public:
  // `trims_start`: white space in front of the first other character is left out.
  explicit AnswerText(std::vector<std::string> stop, bool trims_start = false)
      : stop_(std::move(stop)), trims_start_(trims_start) {}

  // Adds a token's bytes; returns what may be shown now, always valid UTF-8. REQUIRES: !stopped().
  std::string Append(std::string_view bytes);
  // No more will come: what was held back.
  std::string Finish();

  // A stop string occurred; it and what follows it are not part of the answer.
  bool stopped() const { return stopped_; }
  // All text returned so far.
  const std::string& text() const { return text_; }

 private:
  std::string Show(size_t n_bytes);

  std::vector<std::string> stop_;
  bool trims_start_;
  std::string pending_;  // not yet shown
  std::string text_;
  bool stopped_ = false;
};

}  // namespace dki::engine
