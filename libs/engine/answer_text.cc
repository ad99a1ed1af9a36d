// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/answer_text.h"

#include <algorithm>

#include "libs/base/check.h"
#include "libs/base/utf8.h"

namespace dki::engine {
namespace {

std::string ReplaceMalformed(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Utf8Char c = DecodeUtf8(text);
    AppendUtf8(c.code_point, &result);
    text.remove_prefix(c.length);
  }
  return result;
}

// Length of the longest end of `text` that is a proper beginning of `stop`.
size_t Overlap(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.ends_with(stop.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

std::string AnswerText::Append(std::string_view bytes) {
  DKI_CHECK(!stopped_);
  pending_.append(bytes);
  // The first to be complete wins, then the longest: the same however tokens cut the text.
  size_t first_end = std::string::npos;
  size_t first_begin = 0;
  size_t held = 0;
  for (const std::string& stop : stop_) {
    if (const size_t begin = pending_.find(stop); begin != std::string::npos) {
      const size_t end = begin + stop.size();
      if (end < first_end || (end == first_end && begin < first_begin)) {
        first_end = end;
        first_begin = begin;
      }
    }
    held = std::max(held, Overlap(pending_, stop));
  }
  if (first_end != std::string::npos) {
    stopped_ = true;
    pending_.resize(first_begin);
    return Show(first_begin);
  }
  return Show(CompleteUtf8Prefix(std::string_view(pending_).substr(0, pending_.size() - held)));
}

std::string AnswerText::Finish() {
  return Show(pending_.size());
}

std::string AnswerText::Show(size_t n_bytes) {
  std::string_view text = std::string_view(pending_).substr(0, n_bytes);
  while (trims_start_ && !text.empty()) {
    trims_start_ = text.front() == ' ' || text.front() == '\n';
    if (trims_start_) text.remove_prefix(1);
  }
  std::string shown = ReplaceMalformed(text);
  pending_.erase(0, n_bytes);
  text_ += shown;
  return shown;
}

}  // namespace dki::engine
