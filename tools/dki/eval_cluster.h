// SPDX-License-Identifier: Apache-2.0
// Purpose: an evaluation's answers from a running cluster, through the client API alone: an item's
// memories are added in a scope of its
//   own, asked with in the item's order (gate off), and erased. Replies only: the client API does
//   not score given texts.
#pragma once

#include <memory>

#include "libs/eval/runner.h"
#include "tools/dki/context.h"

namespace dki::cli {

std::unique_ptr<eval::AnswerSource> MakeClusterSource(
    Context* context, orchestrator::v1::DkiService::StubInterface* stub);

}  // namespace dki::cli
