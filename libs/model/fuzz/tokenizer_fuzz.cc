// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: a tokenizer.json, a NUL byte, a text. Neither may crash, and text never becomes
// a control token.
#include <cstddef>
#include <cstdint>

#include "libs/model/tokenizer.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {
namespace {

void Run(std::string_view bytes) {
  const size_t end = bytes.find('\0');
  const std::string_view json = bytes.substr(0, end);
  const std::string_view text = end == bytes.npos ? "" : bytes.substr(end + 1);
  absl::StatusOr<TokenizerSpec> spec = ReadJsonTokenizer(json, "{\"eos_token_id\": [1, 2]}", "");
  if (!spec.ok()) return;
  const auto tokenizer = MakeTokenizer(*std::move(spec));
  if (!tokenizer.ok()) return;
  const std::vector<int32_t> ids = (*tokenizer)->Encode(text);
  for (const int32_t id : ids) {
    if (id < 0 || id >= (*tokenizer)->vocab_size() || (*tokenizer)->IsControl(id)) __builtin_trap();
  }
  (void)(*tokenizer)->Decode(ids);
  (void)(*tokenizer)->SpecialId(text);
}

}  // namespace
}  // namespace dki::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dki::model::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
