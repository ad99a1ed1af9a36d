// SPDX-License-Identifier: Apache-2.0
// Reads .xz files through liblzma.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki::eval {

// DATA_LOSS for bytes that are no whole xz stream.
absl::StatusOr<std::string> DecompressXz(std::string_view bytes);

}  // namespace dki::eval
