// SPDX-License-Identifier: Apache-2.0
// Every family's way to write, held to its chat template (tools/fixtures/make_chat_templates.py).
#include "libs/model/chat_family.h"

#include <gmock/gmock.h>

#include <map>
#include <sstream>

#include "libs/base/file.h"
#include "libs/model/chat_format.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::model {
namespace {

using testing::TempDir;

// Bytes, and the control tokens of all families.
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(std::string_view bos) : bos_(bos) {}
  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
    return ids;
  }
  std::string Decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id < 256) text += static_cast<char>(id);
    }
    return text;
  }
  int vocab_size() const override { return 256 + static_cast<int>(std::size(kControls)); }
  std::optional<int32_t> SpecialId(std::string_view text) const override {
    for (size_t i = 0; i < std::size(kControls); ++i) {
      if (kControls[i] == text) return 256 + static_cast<int32_t>(i);
    }
    return std::nullopt;
  }
  bool IsControl(int32_t id) const override { return id >= 256; }
  bool IsEndOfGeneration(int32_t) const override { return false; }
  std::optional<int32_t> bos() const override { return SpecialId(bos_); }

  // With the names of the control tokens.
  static std::string Written(const std::vector<int32_t>& ids) {
    std::string text;
    for (const int32_t id : ids) {
      if (id < 256) {
        text += static_cast<char>(id);
      } else {
        text += kControls[id - 256];
      }
    }
    return text;
  }

  static constexpr std::string_view kControls[] = {"<|im_start|>",
                                                   "<|im_end|>",
                                                   "<|begin_of_text|>",
                                                   "<|start_header_id|>",
                                                   "<|eot_id|>",
                                                   "<|end_header_id|>",
                                                   "<bos>",
                                                   "<start_of_turn>",
                                                   "<end_of_turn>",
                                                   "[gMASK]",
                                                   "<sop>",
                                                   "<|system|>",
                                                   "<|user|>",
                                                   "<|assistant|>"};

 private:
  const std::string_view bos_;
};

std::string_view BosOf(const std::string& family) {
  if (family.starts_with("llama3")) return "<|begin_of_text|>";
  return family == "gemma3" ? "<bos>" : "";
}

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\t') {
      fields.emplace_back();
    } else if (line[i] == '\\') {
      const char c = line[++i];
      fields.back() += c == 'n' ? '\n' : c == 't' ? '\t' : c;
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

class ChatFamilyTest : public ::testing::Test {
 protected:
  // The format of a model with this template; "": without one.
  const ChatFormat& FormatOf(const std::string& family, const std::string& chat_template) {
    TempDir dir;
    if (chat_template.empty()) {
      EXPECT_OK(WriteFileAtomically(dir.File("tokenizer_config.json"), "{}"));
    } else {
      EXPECT_OK(WriteFileAtomically(dir.File("chat_template.jinja"), chat_template));
    }
    tokenizers_.push_back(std::make_unique<ByteTokenizer>(BosOf(family)));
    auto format = ChatFormat::Create(dir.path(), tokenizers_.back().get());
    EXPECT_OK(format) << family;
    return *(formats_[family] = *std::move(format));
  }
  // All families of the fixture, by name, and "plain".
  void MakeAll() {
    for (const std::vector<std::string>& fields : Lines()) {
      if (fields[0] == "template") FormatOf(fields[1], fields[2]);
    }
    FormatOf("plain", "");
  }
  static std::vector<std::vector<std::string>> Lines() {
    std::istringstream file(ReadFile("libs/model/testdata/chat_templates.txt").value());
    std::vector<std::vector<std::string>> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(Fields(line));
    return lines;
  }
  static int CountControl(const std::vector<int32_t>& ids) {
    return static_cast<int>(
        std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id >= 256; }));
  }

  std::vector<std::unique_ptr<Tokenizer>> tokenizers_;
  std::map<std::string, std::unique_ptr<ChatFormat>> formats_;
};

TEST_F(ChatFamilyTest, MessagesOneByOneEqualTheWholeTemplate) {
  MakeAll();
  int n_chats = 0;
  for (const std::vector<std::string>& fields : Lines()) {
    if (fields[0] != "chat") continue;
    ++n_chats;
    const ChatFormat& format = *formats_.at(fields[1]);
    std::vector<Message> messages;
    for (size_t i = 2; i + 2 < fields.size(); i += 2)
      messages.push_back({fields[i], fields[i + 1]});
    std::string system = format.default_system_prompt();
    if (messages.front().role == "system") {
      system = messages.front().content;
      messages.erase(messages.begin());
    }
    std::string written = ByteTokenizer::Written(format.RenderPrefix(system));
    for (const Message& message : messages) {
      written += ByteTokenizer::Written(format.RenderMessage(message).value());
    }
    written += ByteTokenizer::Written(format.RenderAnswerHeader());
    // GLM's template leaves the line break to the model, which writes nothing else there.
    EXPECT_EQ(written, fields.back() + (fields[1] == "glm4" ? "\n" : "")) << fields[1];
  }
  EXPECT_EQ(n_chats, 21);
}

TEST_F(ChatFamilyTest, ModelsWithoutATemplateGetPlainText) {
  const ChatFormat& plain = FormatOf("plain", "");
  EXPECT_EQ(ByteTokenizer::Written(plain.RenderPrefix("Be brief.")), "Be brief.\n\n");
  EXPECT_EQ(ByteTokenizer::Written(plain.RenderMessage({"user", "Hi"}).value()), "User: Hi\n");
  EXPECT_EQ(ByteTokenizer::Written(plain.RenderMessage({"assistant", "Yes"}).value()),
            "Assistant: Yes\n");
  EXPECT_EQ(ByteTokenizer::Written(plain.RenderAnswerHeader()), "Assistant:");
  EXPECT_EQ(ByteTokenizer::Written(plain.PackHeader()), "You remember these notes:\n");
  EXPECT_EQ(ByteTokenizer::Written(plain.PackLine(" Tea\nis hot. ")), "- Tea is hot.\n");
  EXPECT_THAT(plain.stop_texts(), ::testing::ElementsAre("\nUser:"));
  EXPECT_TRUE(plain.trims_answers());
  // A pack needs a context to be computed behind.
  EXPECT_FALSE(plain.RenderPrefix("").empty());
}

TEST_F(ChatFamilyTest, TextNeverBecomesControlTokensInAnyFamily) {
  MakeAll();
  std::string text = "{content}\1<|eot_id|>\2";
  for (const std::string_view control : ByteTokenizer::kControls) text += control;
  ASSERT_EQ(formats_.size(), 7u);
  for (const auto& [family, format] : formats_) {
    SCOPED_TRACE(family);
    for (const char* role : {"system", "user", "assistant"}) {
      EXPECT_EQ(CountControl(format->RenderMessage({role, text}).value()),
                CountControl(format->RenderMessage({role, "x"}).value()));
      EXPECT_THAT(ByteTokenizer::Written(format->RenderMessage({role, text}).value()),
                  ::testing::HasSubstr(text));
    }
    EXPECT_EQ(CountControl(format->RenderPrefix(text)), CountControl(format->RenderPrefix("x")));
    EXPECT_EQ(CountControl(format->PackLine(text)), 0);
    EXPECT_THAT(format->RenderMessage({"tool", "x"}),
                testing::StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

// What is rendered for an answer is what its message is.
TEST_F(ChatFamilyTest, AnAnswerIsRenderedAsAnAssistantMessage) {
  MakeAll();
  for (const auto& [family, format] : formats_) {
    const std::string header = ByteTokenizer::Written(format->RenderAnswerHeader());
    const std::string space = format->trims_answers() ? " " : "";
    const std::string message =
        ByteTokenizer::Written(format->RenderMessage({"assistant", "It is Paris."}).value());
    const std::string footer = ByteTokenizer::Written(format->RenderAnswerFooter());
    EXPECT_TRUE(message.starts_with(header + space + "It is Paris.")) << family;
    EXPECT_TRUE(message.ends_with(footer)) << family;
  }
}

TEST_F(ChatFamilyTest, APackIsAMessageOfLines) {
  MakeAll();
  for (const auto& [family, format] : formats_) {
    const std::string pack =
        ByteTokenizer::Written(format->PackHeader()) + ByteTokenizer::Written(format->PackFooter());
    EXPECT_THAT(pack, ::testing::HasSubstr("You remember these notes:\n")) << family;
    if (family == "plain") continue;
    EXPECT_EQ(CountControl(format->PackHeader()) + CountControl(format->PackFooter()),
              CountControl(format->RenderMessage({"system", ""}).value()))
        << family;
  }
}

TEST_F(ChatFamilyTest, TheDefaultSystemPromptIsTheTemplates) {
  MakeAll();
  EXPECT_EQ(formats_.at("qwen2.5")->default_system_prompt(),
            "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
  EXPECT_EQ(formats_.at("qwen3")->default_system_prompt(), "You are a helpful assistant.");
  EXPECT_EQ(formats_.at("llama3")->default_system_prompt(), "");
}

}  // namespace
}  // namespace dki::model
