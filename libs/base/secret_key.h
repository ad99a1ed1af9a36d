// SPDX-License-Identifier: Apache-2.0
// A 256-bit key and what it does: AES-256-GCM (NIST SP 800-38D, through OpenSSL). Its memory is
// overwritten when it is freed.
// Nonces are random: at most 2^32 messages under one key (SP 800-38D, 8.3).
// Thread-safety: const functions are thread-safe.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki {

class SecretKey {
 public:
  static constexpr size_t kSize = 32;
  static constexpr size_t kNonceSize = 12;
  static constexpr size_t kTagSize = 16;
  // What Seal adds to a message.
  static constexpr size_t kOverhead = kNonceSize + kTagSize;

  static SecretKey Random();
  // INVALID_ARGUMENT unless there are kSize bytes.
  static absl::StatusOr<SecretKey> FromBytes(std::string_view bytes);
  // 64 hexadecimal digits, in a file that its owner alone may read (FAILED_PRECONDITION).
  static absl::StatusOr<SecretKey> Load(const std::string& path);

  SecretKey(SecretKey&&) noexcept = default;
  SecretKey& operator=(SecretKey&&) noexcept = default;

  // Names the key without telling it: 16 hexadecimal digits.
  std::string Fingerprint() const;

  // Appends nonce, ciphertext and tag to `out`. `associated` is authenticated, not stored; `more`
  // follows `message` in the plaintext.
  void Seal(std::string_view associated, std::string_view message, std::string_view more,
            std::string* out) const;
  // DATA_LOSS unless exactly these bytes were sealed under this key with this `associated`.
  absl::StatusOr<std::string> Open(std::string_view associated, std::string_view sealed) const;

  // A key sealed under this one, and back.
  std::string Wrap(std::string_view associated, const SecretKey& key) const;
  absl::StatusOr<SecretKey> Unwrap(std::string_view associated, std::string_view wrapped) const;

 private:
  using Bytes = std::array<unsigned char, kSize>;
  struct Cleanse {
    void operator()(Bytes* bytes) const;
  };
  SecretKey();
  std::string_view view() const;

  std::unique_ptr<Bytes, Cleanse> bytes_;
};

// Overwrites the bytes of `text`, in a way that no optimiser leaves out.
void Overwrite(std::string* text);

}  // namespace dki
