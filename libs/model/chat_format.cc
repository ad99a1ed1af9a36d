// SPDX-License-Identifier: Apache-2.0
#include "libs/model/chat_format.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/model/gguf.h"
#include "libs/model/json_config.h"

namespace dki::model {
namespace {

// How a family writes. In these strings, text between '\1' and '\2' is a control token, and {role},
// {content} are filled in. All text between two control tokens is encoded in one piece, as it is
// when the whole conversation is rendered and encoded at once.
struct ChatFamily {
  std::string_view name;
  // The family is picked when the GGUF's chat template contains all of these.
  std::vector<std::string_view> template_marks;
  std::string_view message;  // also of the system prompt
  std::string_view answer_header;
  std::string_view answer_footer;  // after the end token
  std::string_view pack_header;
  std::string_view pack_footer;
  // In the template, the default system prompt stands behind this, up to the end of the quotation
  // or `message_end`.
  std::string_view system_header;
  std::string_view message_end;
  // Where the template has none.
  std::string_view default_system_prompt;
};

const ChatFamily kFamilies[] = {
    {.name = "chatml",
     .template_marks = {"<|im_start|>", "<|im_end|>"},
     .message = "\1<|im_start|>\2{role}\n{content}\1<|im_end|>\2\n",
     .answer_header = "\1<|im_start|>\2assistant\n",
     .answer_footer = "\n",
     .pack_header = "\1<|im_start|>\2system\nYou remember these notes:\n",
     .pack_footer = "\1<|im_end|>\2\n",
     .system_header = "<|im_start|>system\n",
     .message_end = "<|im_end|>",
     .default_system_prompt = "You are a helpful assistant."},
};

constexpr std::string_view kRoles[] = {"system", "user", "assistant"};

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
  size_t begin = text.find(family.system_header);
  if (begin == text.npos) return std::string(family.default_system_prompt);
  begin += family.system_header.size();
  const size_t end = std::min(text.find(family.message_end, begin), text.find('\'', begin));
  if (end == text.npos || end == begin) return std::string(family.default_system_prompt);
  return text.substr(begin, end - begin);
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
    for (std::string_view pattern : {family_.message, family_.answer_header, family_.answer_footer,
                                     family_.pack_header, family_.pack_footer}) {
      for (size_t at = 0; (at = pattern.find('\1', at)) != pattern.npos; ++at) {
        const auto token = pattern.substr(at + 1, pattern.find('\2', at) - at - 1);
        if (!tokenizer_->SpecialId(token)) {
          return FailedPrecondition(
              "the model has no control token %s, which its chat format (%s) "
              "needs",
              token, family_.name);
        }
      }
    }
    return absl::OkStatus();
  }

  std::string default_system_prompt() const override { return default_system_prompt_; }

  std::vector<int32_t> RenderPrefix(std::string_view system_prompt) const override {
    std::vector<int32_t> ids;
    if (const auto bos = tokenizer_->bos()) ids.push_back(*bos);
    Render(family_.message, "system", system_prompt, &ids);
    return ids;
  }

  absl::StatusOr<std::vector<int32_t>> RenderMessage(const Message& message) const override {
    if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
      return InvalidArgument("role '%s' is none of system, user, assistant",
                             Abbreviate(message.role, 32));
    }
    std::vector<int32_t> ids;
    Render(family_.message, message.role, message.content, &ids);
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

 private:
  std::vector<int32_t> Rendered(std::string_view pattern) const {
    std::vector<int32_t> ids;
    Render(pattern, "", "", &ids);
    return ids;
  }

  // Control tokens are read from the pattern before anything is filled in, so that content cannot
  // make one.
  void Render(std::string_view pattern, std::string_view role, std::string_view content,
              std::vector<int32_t>* ids) const {
    while (!pattern.empty()) {
      const size_t control = std::min(pattern.find('\1'), pattern.size());
      if (control > 0) {
        // One pass: what stands in the content is never filled in.
        std::string text;
        for (std::string_view rest = pattern.substr(0, control); !rest.empty();) {
          if (rest.starts_with("{role}")) {
            text += role;
            rest.remove_prefix(6);
          } else if (rest.starts_with("{content}")) {
            text += content;
            rest.remove_prefix(9);
          } else {
            text += rest.front();
            rest.remove_prefix(1);
          }
        }
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
  if (absl::IsNotFound(text.status())) return FailedPrecondition("%s has no chat template", path);
  if (!text.ok()) return Annotate(text.status(), path);
  for (const ChatFamily& family : kFamilies) {
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
