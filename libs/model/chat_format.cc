// SPDX-License-Identifier: Apache-2.0
#include "libs/model/chat_format.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/model/chat_family.h"
#include "libs/model/gguf.h"
#include "libs/model/json_config.h"

namespace dki::model {
namespace {

std::string Replace(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at; (at = text.find(from)) != text.npos; text.remove_prefix(at + from.size())) {
    out.append(text.substr(0, at)).append(to);
  }
  return out.append(text);
}

// The system prompt that the template puts in front where a conversation has none.
std::string DefaultSystemPrompt(const ChatFamily& family, std::string_view chat_template) {
  // Templates write newlines as themselves or as "\n".
  const std::string text = Replace(chat_template, "\\n", "\n");
  const std::string_view header = family.system_header;
  for (size_t begin = 0; !header.empty() && (begin = text.find(header, begin)) != text.npos;) {
    begin += header.size();
    const size_t end = std::min(text.find(family.message_end, begin), text.find('\'', begin));
    // Where the conversation's own prompt is filled in, the quotation ends at once.
    if (end != text.npos && end > begin) return text.substr(begin, end - begin);
  }
  return std::string(family.default_system_prompt);
}

std::string_view WithoutThinking(std::string_view answer) {
  constexpr std::string_view kEnd = "</think>";
  const size_t at = answer.rfind(kEnd);
  if (at == answer.npos) return answer;
  answer.remove_prefix(at + kEnd.size());
  while (answer.starts_with('\n')) answer.remove_prefix(1);
  return answer;
}

class TableChatFormat : public ChatFormat {
 public:
  TableChatFormat(const ChatFamily& family, std::string default_system_prompt,
                  const Tokenizer* tokenizer)
      : family_(family),
        default_system_prompt_(std::move(default_system_prompt)),
        tokenizer_(tokenizer) {}

  // Every control token of the row must exist. Rows are ours: they are rendered once here.
  absl::Status Check() const {
    for (std::string_view pattern :
         {family_.prefix, family_.system_prompt, family_.system, family_.user, family_.assistant,
          family_.answer_header, family_.answer_footer, family_.pack_header, family_.pack_footer}) {
      for (size_t at = 0; (at = pattern.find('\1', at)) != pattern.npos; ++at) {
        const auto token = pattern.substr(at + 1, pattern.find('\2', at) - at - 1);
        if (!tokenizer_->SpecialId(token)) {
          return FailedPrecondition(
              "the model has no control token %s, which its chat format (%s) needs", token,
              family_.name);
        }
      }
    }
    return absl::OkStatus();
  }

  std::string default_system_prompt() const override { return default_system_prompt_; }

  std::vector<int32_t> RenderPrefix(std::string_view system_prompt) const override {
    std::vector<int32_t> ids;
    if (const auto bos = tokenizer_->bos()) ids.push_back(*bos);
    Render(family_.prefix, "", &ids);
    if (!system_prompt.empty() || !family_.omits_empty_system) {
      Render(family_.system_prompt, Content(system_prompt), &ids);
    }
    return ids;
  }

  absl::StatusOr<std::vector<int32_t>> RenderMessage(const Message& message) const override {
    std::vector<int32_t> ids;
    if (message.role == "system") {
      Render(family_.system, Content(message.content), &ids);
    } else if (message.role == "user") {
      Render(family_.user, Content(message.content), &ids);
    } else if (message.role == "assistant") {
      const std::string_view content = message.content;
      Render(family_.assistant,
             Content(family_.drops_thinking ? WithoutThinking(content) : content), &ids);
    } else {
      return InvalidArgument("role '%s' is none of system, user, assistant",
                             Abbreviate(message.role, 32));
    }
    return ids;
  }

  std::vector<int32_t> RenderAnswerHeader() const override {
    return Rendered(family_.answer_header);
  }
  std::vector<int32_t> RenderAnswerFooter() const override {
    return Rendered(family_.answer_footer);
  }
  std::vector<int32_t> PackHeader() const override { return Rendered(family_.pack_header); }
  std::vector<int32_t> PackFooter() const override { return Rendered(family_.pack_footer); }
  std::vector<int32_t> PackLine(std::string_view memory_text) const override {
    return tokenizer_->Encode("- " + FoldNewlines(Trim(memory_text)) + "\n");
  }
  std::vector<std::string> stop_texts() const override {
    return {family_.stop_texts.begin(), family_.stop_texts.end()};
  }
  bool trims_answers() const override { return family_.trims_answers; }

 private:
  std::vector<int32_t> Rendered(std::string_view pattern) const {
    std::vector<int32_t> ids;
    Render(pattern, "", &ids);
    return ids;
  }

  std::string_view Content(std::string_view text) const {
    return family_.trims_content ? Trim(text) : text;
  }

  // Control tokens are read from the pattern before anything is filled in, so that content cannot
  // make one.
  void Render(std::string_view pattern, std::string_view content, std::vector<int32_t>* ids) const {
    while (!pattern.empty()) {
      const size_t control = std::min(pattern.find('\1'), pattern.size());
      if (control > 0) {
        // Once: what stands in the content is never filled in.
        constexpr std::string_view kContent = "{content}";
        std::string text(pattern.substr(0, control));
        const size_t at = text.find(kContent);
        if (at != text.npos) text.replace(at, kContent.size(), content);
        const std::vector<int32_t> piece = tokenizer_->Encode(text);
        ids->insert(ids->end(), piece.begin(), piece.end());
        pattern.remove_prefix(control);
        continue;
      }
      const size_t end = pattern.find('\2');
      ids->push_back(*tokenizer_->SpecialId(pattern.substr(1, end - 1)));  // see Check
      pattern.remove_prefix(end + 1);
    }
  }

  const ChatFamily& family_;
  const std::string default_system_prompt_;
  const Tokenizer* const tokenizer_;
};

// NOT_FOUND where there is none.
absl::StatusOr<std::string> GgufTemplate(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  DKI_ASSIGN_OR_RETURN(const std::string_view text, file.GetString("tokenizer.chat_template"));
  return std::string(text);
}

// A file of its own, or a member of tokenizer_config.json.
absl::StatusOr<std::string> FolderTemplate(const std::string& folder) {
  absl::StatusOr<std::string> own = ReadFile(folder + "/chat_template.jinja");
  if (own.ok() || !absl::IsNotFound(own.status())) return own;
  DKI_ASSIGN_OR_RETURN(const std::string json, ReadFile(folder + "/tokenizer_config.json"));
  DKI_ASSIGN_OR_RETURN(const JsonConfig config, JsonConfig::Parse(json));
  DKI_ASSIGN_OR_RETURN(const std::string_view text, config.GetString("chat_template"));
  return std::string(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChatFormat>> ChatFormat::Create(const std::string& path,
                                                               const Tokenizer* tokenizer) {
  std::error_code error;
  absl::StatusOr<std::string> text =
      std::filesystem::is_directory(path, error) ? FolderTemplate(path) : GgufTemplate(path);
  const bool has_template = !absl::IsNotFound(text.status());
  if (!has_template) {
    text = "";
  } else if (!text.ok()) {
    return Annotate(text.status(), path);
  }
  for (const ChatFamily& family : ChatFamilies()) {
    if (family.template_marks.empty() == has_template) continue;
    const bool fits =
        std::all_of(family.template_marks.begin(), family.template_marks.end(),
                    [&](std::string_view mark) { return text->find(mark) != text->npos; });
    if (!fits) continue;
    auto format =
        std::make_unique<TableChatFormat>(family, DefaultSystemPrompt(family, *text), tokenizer);
    DKI_RETURN_IF_ERROR(format->Check());
    return format;
  }
  return FailedPrecondition("%s: the chat template is of no family in the table", path);
}

}  // namespace dki::model
