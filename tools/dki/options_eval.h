// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval ...` and `dki calibrate`: what they take.
#pragma once

#include "tools/dki/command_builder.h"

namespace dki::cli {

void DeclareEvaluation(const CommandBuilder& builder);

}  // namespace dki::cli
