// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: no bytes may crash the reader of safetensors files.
#include <cstddef>
#include <cstdint>

#include "libs/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = dki::model::SafetensorsFile::Parse({reinterpret_cast<const char*>(data), size});
  if (!file.ok()) return 0;
  volatile uint64_t used = 0;
  for (const auto& [name, tensor] : file->tensors()) {
    if (!tensor.data.empty())
      used = used + static_cast<uint8_t>(tensor.data.front()) +
             static_cast<uint8_t>(tensor.data.back());
    used = used + file->Get(name, tensor.dtype, tensor.shape).ok();
  }
  return 0;
}
