// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/search_text.h"

#include <algorithm>

#include "libs/base/utf8.h"
#include "services/orchestrator/limits.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kRecentTurns = 4;

}  // namespace

std::string_view SearchText(std::string_view text) {
  if (text.size() <= kMaxQueryBytes) return text;
  return text.substr(0, CompleteUtf8Prefix(text.substr(0, kMaxQueryBytes)));
}

std::vector<std::string> RecentTexts(const ChatTask& task) {
  std::vector<std::string> recent;
  const size_t n_recent = std::min(kRecentTurns, task.history.size());
  for (size_t i = task.history.size() - n_recent; i < task.history.size(); ++i) {
    const std::string_view text = SearchText(task.history[i].content());
    if (!text.empty()) recent.emplace_back(text);
  }
  return recent;
}

}  // namespace dki::orchestrator
