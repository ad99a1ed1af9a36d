// SPDX-License-Identifier: Apache-2.0
#include "libs/base/ids.h"

#include <openssl/rand.h>

#include <limits>

#include "libs/base/check.h"
#include "libs/base/strings.h"

namespace dki {

std::string RandomBytes(size_t n) {
  DKI_CHECK(n <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::string bytes(n, '\0');
  // Without randomness there are no safe ids or keys: nothing sensible can go on.
  DKI_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(n)) == 1);
  return bytes;
}

std::string NewId(std::string_view prefix) {
  return std::string(prefix) + HexEncode(RandomBytes(16));
}

}  // namespace dki
