// SPDX-License-Identifier: Apache-2.0
// Purpose: memories that a likely one leads to. "Where is the ball?" is answered by "Ana took the
//   ball" and a note on where Ana went, which resembles the question in nothing: the name that the
//   first one brings in is the bridge. "What is Ana afraid of?" is answered by "Ana is a mouse" and
//   a note on mice: the class that the first one puts Ana in is the bridge. Pure function.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dki::injection {

// `kept` (ascending indexes into `texts`, oldest first) and the memories that share a name with one
// of them which the message does not mention: of each name the latest six, for a name that half of
// the memories have says little and costs much. Names are words with a capital letter that the
// texts never write without. And those whose subject is a class that one of them puts something in
// ("is a mouse" leads to "Mice ..." and "All mice ..."; English alone). Only short memories (at
// most 20 words) lead on, and are led to: a paragraph names too much.
std::vector<int> WithLinked(std::span<const int> kept, std::span<const std::string> texts,
                            std::string_view message);

}  // namespace dki::injection
