// SPDX-License-Identifier: Apache-2.0
// A chat format whose tokens are bytes, for tests that need no vocabulary.
#pragma once

#include <string_view>
#include <vector>

#include "libs/model/chat_format.h"

namespace dki::injection {

class FakeChatFormat : public model::ChatFormat {
 public:
  std::string default_system_prompt() const override { return "default"; }
  std::vector<int32_t> RenderPrefix(std::string_view prompt) const override {
    return Bytes("<s>" + std::string(prompt));
  }
  absl::StatusOr<std::vector<int32_t>> RenderMessage(const model::Message& m) const override {
    return Bytes(m.content);
  }
  std::vector<int32_t> RenderAnswerHeader() const override { return Bytes("A"); }
  std::vector<int32_t> RenderAnswerFooter() const override { return Bytes("Z"); }
  std::vector<int32_t> PackHeader() const override { return Bytes("notes:"); }
  std::vector<int32_t> PackLine(std::string_view text) const override {
    return Bytes("- " + std::string(text));
  }
  std::vector<int32_t> PackFooter() const override { return Bytes("end"); }

  static std::vector<int32_t> Bytes(std::string_view text) { return {text.begin(), text.end()}; }
};

}  // namespace dki::injection
