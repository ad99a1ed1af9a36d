// SPDX-License-Identifier: Apache-2.0
#include "libs/base/sha256.h"

#include <openssl/evp.h>

#include "libs/base/check.h"
#include "libs/base/strings.h"

namespace dki {

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) { Start(); }
  ~State() { EVP_MD_CTX_free(context); }
  void Start() { DKI_CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }

  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view bytes) {
  DKI_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::FinishBytes() {
  std::string digest(32, '\0');
  DKI_CHECK(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()),
                               nullptr) == 1);
  state_->Start();
  return digest;
}

std::string Sha256::FinishHex() {
  return HexEncode(FinishBytes());
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 digest;
  digest.Update(bytes);
  return digest.FinishHex();
}

}  // namespace dki
