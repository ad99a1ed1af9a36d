// SPDX-License-Identifier: Apache-2.0
// Purpose: the null memories: notes about nothing that anybody asks, whose tokens say how well any
//   text matches a message (token_gates.h). A fixed set: the gates depend on it.
#pragma once

#include <vector>

#include "libs/injection/pack_plan.h"

namespace dki::injection {

// As memories of a pack, to be computed just as the request's own are.
std::vector<PackMemoryText> NullNotes();

}  // namespace dki::injection
