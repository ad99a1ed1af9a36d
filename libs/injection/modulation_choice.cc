// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/modulation_choice.h"

#include "libs/base/strings.h"

namespace dki::injection {

absl::StatusOr<ModulationChoice> ParseModulationChoice(std::string_view text) {
  if (text.empty() || text == "default") return ModulationChoice::kDefault;
  if (text == "on") return ModulationChoice::kOn;
  if (text == "off") return ModulationChoice::kOff;
  return InvalidArgument("modulation must be default, on or off, not \"%s\"", Abbreviate(text, 32));
}

std::string Name(ModulationChoice choice) {
  switch (choice) {
    case ModulationChoice::kDefault:
      return "";
    case ModulationChoice::kOn:
      return "on";
    case ModulationChoice::kOff:
      return "off";
  }
  return "";
}

}  // namespace dki::injection
