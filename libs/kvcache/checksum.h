// SPDX-License-Identifier: Apache-2.0
// XXH3-128 (xxHash): tens of GB/s, so that every read of a block can afford it.
#pragma once

#include <string>
#include <string_view>

namespace dki::kvcache {

inline constexpr size_t kChecksumSize = 16;

std::string Checksum(std::string_view bytes);  // kChecksumSize bytes

}  // namespace dki::kvcache
