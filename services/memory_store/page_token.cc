// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/page_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <charconv>

#include "libs/base/strings.h"

namespace dki::memory_store {
namespace {
constexpr size_t kPositionDigits = 16;
constexpr size_t kMacBytes = 16;
}  // namespace

std::string PageTokens::Encode(std::string_view binding, int64_t position) const {
  const std::string digits = absl::StrFormat("%016x", position);
  const std::string message = digits + std::string(binding);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac, &size);
  return digits + HexEncode({reinterpret_cast<const char*>(mac), kMacBytes});
}

absl::StatusOr<int64_t> PageTokens::Decode(std::string_view binding, std::string_view token) const {
  const absl::Status bad = InvalidArgument("page_token: not one of this list");
  if (token.size() != kPositionDigits + 2 * kMacBytes) return bad;
  int64_t position = 0;
  const char* end = token.data() + kPositionDigits;
  const auto parsed = std::from_chars(token.data(), end, position, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end || position < 0) return bad;
  const std::string expected = Encode(binding, position);
  if (CRYPTO_memcmp(expected.data(), token.data(), token.size()) != 0) return bad;
  return position;
}

}  // namespace dki::memory_store
