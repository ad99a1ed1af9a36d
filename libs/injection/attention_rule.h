// SPDX-License-Identifier: Apache-2.0
// Purpose: how weights act, as people write it: the law, and the layers in which it holds. Pure
//   functions.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/status.h"
#include "libs/model/model.h"

namespace dki::injection {

// `law`: "bias" (or empty), "blend", "as_original" (the seeds' scaling of values). `layers`:
// "FIRST-LAST", both from 0 on and both included, as in "7-22"; empty: all. INVALID_ARGUMENT that
// begins with "law" or "layers".
absl::StatusOr<model::AttentionRule> ParseAttentionRule(std::string_view law,
                                                        std::string_view layers);

// As ParseAttentionRule reads them; the default is two empty strings.
std::string LawName(const model::AttentionRule& rule);
std::string LayersName(const model::AttentionRule& rule);

}  // namespace dki::injection
