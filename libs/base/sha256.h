// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), in one piece or piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace dki {

// Thread-compatible. After a Finish the object starts a new digest.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::string_view bytes);
  // 64 lower-case hexadecimal digits.
  std::string FinishHex();
  // 32 bytes.
  std::string FinishBytes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Sha256Hex(std::string_view bytes);

}  // namespace dki
