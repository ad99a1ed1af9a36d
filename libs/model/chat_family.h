// SPDX-License-Identifier: Apache-2.0
// How model families write a conversation and a pack of memories, as data.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace dki::model {

// In these patterns, text between '\1' and '\2' is a control token, and {content} is filled in. All
// text between two control tokens is encoded in one piece, as it is when the whole conversation is
// rendered and encoded at once.
struct ChatFamily {
  std::string_view name;
  // The first family whose marks are all in the model's chat template is taken. None: the plain
  // format of models without a template.
  std::vector<std::string_view> template_marks;
  std::string_view prefix;         // behind BOS, in front of everything
  std::string_view system_prompt;  // stands once, behind the prefix
  std::string_view system, user, assistant;
  std::string_view answer_header;
  std::string_view answer_footer;  // after the end token
  std::string_view pack_header;
  std::string_view pack_footer;
  // Where the template has none.
  std::string_view default_system_prompt;
  // In the template, the default system prompt stands behind this, up to the end of the quotation
  // or `message_end`. Empty: templates have none.
  std::string_view system_header;
  std::string_view message_end;
  // An empty system prompt is no message.
  bool omits_empty_system = false;
  // White space around a message is no part of it.
  bool trims_content = false;
  // An answer's first space is what separates it from its header.
  bool trims_answers = false;
  // What a model thought before an answer is no part of the conversation.
  bool drops_thinking = false;
  // Text at which an answer is over, of models that know no token for it.
  std::vector<std::string_view> stop_texts;
};

std::span<const ChatFamily> ChatFamilies();

}  // namespace dki::model
