// SPDX-License-Identifier: Apache-2.0
// Files, read whole, written atomically, or mapped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki {

absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes to a temporary file beside `path`, syncs it and renames it over `path`. `mode` are the
// permission bits.
absl::Status WriteFileAtomically(const std::string& path, std::string_view contents,
                                 int mode = 0644);

// A read-only mapping of a whole file. Thread-compatible; owns the mapping.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace dki
