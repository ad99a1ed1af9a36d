// SPDX-License-Identifier: Apache-2.0
// Purpose: the modulations that come with the product (docs/modulation.md says how they were
//   trained). Thread-safety: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/base/status.h"
#include "libs/injection/modulation.h"

namespace dki::injection {

// The file of the model with this fingerprint; empty where there is none.
std::string_view KnownModulation(std::string_view model_fingerprint);

// What a configuration names: a file; "none"; or nothing: the one that comes with the product for
// this model, if there is one. Null where there is none. Errors as Modulation::Load.
absl::StatusOr<std::shared_ptr<const Modulation>> LoadModulation(const std::string& name,
                                                                 const model::ModelConfig& config,
                                                                 std::string_view isa = "auto");

}  // namespace dki::injection
