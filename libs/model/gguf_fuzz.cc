// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: no bytes may crash the readers of model files.
#include <cstddef>
#include <cstdint>

#include "libs/model/gguf.h"
#include "libs/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto file = dki::model::GgufFile::Parse(bytes); file.ok()) {
    uint64_t sum = 0;
    for (const auto& tensor : file->tensors()) {
      for (size_t i = 0; i < tensor.n_bytes; i += 4096) sum += static_cast<uint8_t>(tensor.data[i]);
      if (tensor.n_bytes > 0) sum += static_cast<uint8_t>(tensor.data[tensor.n_bytes - 1]);
      sum += file->GetTensor(tensor.name).ok();
    }
    for (const char* key : {"general.alignment", "tokenizer.ggml.tokens", "k"}) {
      sum += file->GetUint(key).ok() + file->GetFloat(key).ok() + file->GetString(key).ok() +
             file->GetStringArray(key).ok() + file->GetIntArray(key).ok() +
             file->GetFloatArray(key).ok() + file->GetBool(key).ok();
    }
    volatile uint64_t used = sum;
    (void)used;
  }
  (void)dki::model::SafetensorsFile::Parse(bytes);
  return 0;
}
