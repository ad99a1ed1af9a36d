// SPDX-License-Identifier: Apache-2.0
// Whether a request wants its memories changed by the question (modulation.h), as people write it.
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki::injection {

enum class ModulationChoice {
  kDefault,  // where a modulation is loaded
  kOn,       // it must be
  kOff,
};

// "default" (or empty), "on", "off". INVALID_ARGUMENT that begins with "modulation".
absl::StatusOr<ModulationChoice> ParseModulationChoice(std::string_view text);

// As ParseModulationChoice reads it; the default is empty.
std::string Name(ModulationChoice choice);

}  // namespace dki::injection
