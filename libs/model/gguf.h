// SPDX-License-Identifier: Apache-2.0
// Purpose: reads GGUF files (versions 2 and 3, little-endian): typed metadata and tensors, nothing
//   copied. Files are untrusted: every count, length, offset and product is checked before use, and
//   a malformed file is refused with what is wrong and at which byte.
// Thread-safety: const and thread-safe after Open. Ownership: Open keeps the mapping; views and
//   data pointers live as long as the GgufFile (moving it keeps them valid).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/file.h"
#include "libs/base/status.h"

namespace dki::model {

// Number formats by their ids in the file. Other ids may occur in a file; their tensors are listed
// without data (n_bytes 0) and fail in GgufFile::GetTensor.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

// Elements and bytes of the smallest unit of a row; nullopt for an unsupported format.
struct GgmlBlock {
  int n_elements = 0;
  int n_bytes = 0;
};
std::optional<GgmlBlock> BlockOf(GgmlType type);
// "Q4_1", or "type 12" for a format that is not supported.
std::string NameOf(GgmlType type);

struct GgufTensor {
  std::string_view name;
  GgmlType type = GgmlType::kF32;
  int n_dims = 0;
  // Innermost first, as in the file: dims[0] is the length of a row; unused ones are 1.
  std::array<int64_t, 4> dims = {1, 1, 1, 1};
  const char* data = nullptr;  // aligned to the file's alignment (>= 32 when the base is)
  size_t n_bytes = 0;

  int64_t n_elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

class GgufFile {
 public:
  // INVALID_ARGUMENT for a malformed file; NOT_FOUND where there is none.
  static absl::StatusOr<GgufFile> Open(const std::string& path);
  // The same over bytes in memory, which must outlive the result.
  static absl::StatusOr<GgufFile> Parse(std::string_view bytes);

  // Metadata by key. NOT_FOUND when the key is absent, INVALID_ARGUMENT when its type does not fit.
  bool Has(std::string_view key) const;
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;  // any integer that is not negative
  absl::StatusOr<double> GetFloat(std::string_view key) const;   // any finite number
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> GetStringArray(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetIntArray(std::string_view key) const;
  absl::StatusOr<std::vector<float>> GetFloatArray(std::string_view key) const;

  // All tensors in the file's order.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  bool HasTensor(std::string_view name) const { return tensor_index_.contains(name); }
  // NOT_FOUND when absent; INVALID_ARGUMENT when its number format is not supported.
  absl::StatusOr<GgufTensor> GetTensor(std::string_view name) const;

  // The whole file, e.g. for a fingerprint.
  std::string_view bytes() const { return bytes_; }

 private:
  friend class GgufParser;

  // A value is kept as its bytes in the file: `payload` spans one scalar, the characters of a
  // string, or all elements of an array.
  struct Value {
    uint32_t type = 0;
    uint32_t element_type = 0;  // of an array
    uint64_t n_elements = 0;    // of an array
    std::string_view payload;
  };
  absl::StatusOr<Value> Find(std::string_view key) const;
  absl::StatusOr<Value> FindArray(std::string_view key) const;

  std::optional<MappedFile> file_;
  std::string_view bytes_;
  std::unordered_map<std::string_view, Value> values_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace dki::model
