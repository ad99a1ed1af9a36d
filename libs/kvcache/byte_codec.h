// SPDX-License-Identifier: Apache-2.0
// Writing and reading numbers and strings as little-endian bytes. A reader that runs out of bytes
// is no longer ok() and gives zeros and empty strings from then on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dki::kvcache {

class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}

  void U32(uint32_t value) { Number(value, 4); }
  void U64(uint64_t value) { Number(value, 8); }
  void Raw(std::string_view bytes) { out_->append(bytes); }
  void String(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    Raw(text);
  }
  void Strings(const std::vector<std::string>& texts) {
    U32(static_cast<uint32_t>(texts.size()));
    for (const std::string& text : texts) String(text);
  }

 private:
  void Number(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) out_->push_back(static_cast<char>(value >> (8 * i)));
  }
  std::string* const out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  std::string_view Raw(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::string_view String() { return Raw(U32()); }
  std::vector<std::string> Strings() {
    std::vector<std::string> texts;
    const uint32_t count = U32();
    for (uint32_t i = 0; i < count && ok_; ++i) texts.emplace_back(String());
    return texts;
  }

 private:
  uint64_t Number(int size) {
    uint64_t value = 0;
    const std::string_view bytes = Raw(size);
    for (size_t i = 0; i < bytes.size(); ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return value;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace dki::kvcache
