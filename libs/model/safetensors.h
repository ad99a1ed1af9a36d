// SPDX-License-Identifier: Apache-2.0
// Purpose: reads safetensors files: named tensors, nothing copied. Files are untrusted: header,
//   shapes, sizes and offsets are checked, and the tensors must cover the data without gap or
//   overlap, as the format demands.
// Thread-safety: const and thread-safe after Open. Ownership: Open keeps the mapping; data lives as
//   long as the SafetensorsFile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/file.h"
#include "libs/base/status.h"

namespace dki::model {

struct SafetensorsTensor {
  std::string dtype;  // "F32", "F16", "BF16", "I64", ...
  std::vector<uint64_t> shape;
  std::string_view data;  // row-major, little-endian; need not be aligned
};

class SafetensorsFile {
 public:
  // INVALID_ARGUMENT for a malformed file; NOT_FOUND where there is none.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  // The same over bytes in memory, which must outlive the result.
  static absl::StatusOr<SafetensorsFile> Parse(std::string_view bytes);

  const std::map<std::string, SafetensorsTensor>& tensors() const { return tensors_; }
  // The bytes of a tensor of this type and shape. NOT_FOUND or INVALID_ARGUMENT otherwise.
  absl::StatusOr<std::string_view> Get(const std::string& name, std::string_view dtype,
                                       const std::vector<uint64_t>& shape) const;

  // The JSON text of the header's "__metadata__", well-formed but otherwise unread; empty: there is
  // none.
  std::string_view metadata() const { return metadata_; }

  // The whole file, e.g. for a fingerprint.
  std::string_view bytes() const { return bytes_; }

 private:
  std::optional<MappedFile> file_;
  std::string_view bytes_;
  std::string_view metadata_;
  std::map<std::string, SafetensorsTensor> tensors_;
};

}  // namespace dki::model
