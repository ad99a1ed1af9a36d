// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/checksum.h"

#define XXH_INLINE_ALL  // header only: nothing to link
#include <xxhash.h>

namespace dki::kvcache {

std::string Checksum(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof(canonical.digest));
}

}  // namespace dki::kvcache
