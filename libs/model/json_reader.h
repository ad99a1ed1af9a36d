// SPDX-License-Identifier: Apache-2.0
// Purpose: reads JSON (RFC 8259) strictly, value by value, without building a tree: for the headers
//   and configurations of model files, which are untrusted. Reads past what is asked for never
//   happen; nesting is limited; every error says at which byte.
// Thread-safety: thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"

namespace dki::model {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  // Calls `member`, which must read or skip the value, with each name of an object. Whether a name
  // may occur twice is for the caller to say.
  template <typename F>
  absl::Status ReadObject(F&& member) {
    DKI_RETURN_IF_ERROR(Expect('{'));
    if (Accept('}')) return absl::OkStatus();
    do {
      DKI_ASSIGN_OR_RETURN(const std::string name, ReadString());
      DKI_RETURN_IF_ERROR(Expect(':'));
      DKI_RETURN_IF_ERROR(member(name));
    } while (Accept(','));
    return Expect('}');
  }

  // Calls `element`, which must read or skip it, for each element of an array.
  template <typename F>
  absl::Status ReadArray(F&& element) {
    DKI_RETURN_IF_ERROR(Expect('['));
    if (Accept(']')) return absl::OkStatus();
    do {
      DKI_RETURN_IF_ERROR(element());
    } while (Accept(','));
    return Expect(']');
  }

  // The first byte of the next value, which tells its kind; 0 at the end.
  char Peek();
  absl::StatusOr<std::string> ReadString();  // at most 64 KiB
  absl::StatusOr<bool> ReadBool();
  absl::StatusOr<double> ReadNumber();
  absl::StatusOr<std::vector<uint64_t>> ReadUints();  // [1, 2, ...], at most 64 of them
  // Any value, at most 16 levels deep; its text.
  absl::Status Skip();
  absl::StatusOr<std::string_view> ReadRaw();
  // Only white space is left.
  absl::Status ExpectEnd();

 private:
  void SkipSpace();
  bool Accept(char c);
  absl::Status Expect(char c);
  absl::Status Error(const char* what) const;
  absl::StatusOr<uint32_t> ReadHex4();
  absl::Status SkipValue(int depth);

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace dki::model
