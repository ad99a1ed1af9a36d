// SPDX-License-Identifier: Apache-2.0
// Purpose: what memories are looked for with: the turn, and what was said just before, which it may
//   lean on ("tell me more about that"). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/orchestrator/chat_task.h"

namespace dki::orchestrator {

// What retrieval is asked for a long text: the whole of its characters within the limit. The
// encoder reads only the first 256 word pieces anyway.
std::string_view SearchText(std::string_view text);

// The last messages before the turn, oldest first, without empty ones.
std::vector<std::string> RecentTexts(const ChatTask& task);

}  // namespace dki::orchestrator
