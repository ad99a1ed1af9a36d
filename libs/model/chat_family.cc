// SPDX-License-Identifier: Apache-2.0
#include "libs/model/chat_family.h"

#include <string_view>

// In a literal of its own, since "\2" would go on with a digit behind it.
#define DKI_CONTROL(name) "\1" name "\2"

namespace dki::model {
namespace {

// Qwen 2 and 2.5, SmolLM2 and most fine-tuned models.
ChatFamily ChatMl() {
  return {.name = "chatml",
          .template_marks = {"<|im_start|>", "<|im_end|>"},
          .prefix = "",
          .system_prompt =
              DKI_CONTROL("<|im_start|>") "system\n{content}" DKI_CONTROL("<|im_end|>") "\n",
          .system = DKI_CONTROL("<|im_start|>") "system\n{content}" DKI_CONTROL("<|im_end|>") "\n",
          .user = DKI_CONTROL("<|im_start|>") "user\n{content}" DKI_CONTROL("<|im_end|>") "\n",
          .assistant =
              DKI_CONTROL("<|im_start|>") "assistant\n{content}" DKI_CONTROL("<|im_end|>") "\n",
          .answer_header = DKI_CONTROL("<|im_start|>") "assistant\n",
          .answer_footer = "\n",
          .pack_header = DKI_CONTROL("<|im_start|>") "system\nYou remember these notes:\n",
          .pack_footer = DKI_CONTROL("<|im_end|>") "\n",
          .default_system_prompt = "You are a helpful assistant.",
          .system_header = "<|im_start|>system\n",
          .message_end = "<|im_end|>",
          .stop_texts = {}};
}

ChatFamily Qwen3() {
  ChatFamily family = ChatMl();
  family.name = "qwen3";
  family.template_marks.push_back("</think>");
  family.drops_thinking = true;
  return family;
}

#define DKI_LLAMA_HEADER(role) \
  DKI_CONTROL("<|start_header_id|>") role DKI_CONTROL("<|end_header_id|>") "\n\n"

ChatFamily Llama3() {
  return {.name = "llama3",
          .template_marks = {"<|start_header_id|>", "<|eot_id|>"},
          .prefix = "",
          .system_prompt = DKI_LLAMA_HEADER("system") "{content}" DKI_CONTROL("<|eot_id|>"),
          .system = DKI_LLAMA_HEADER("system") "{content}" DKI_CONTROL("<|eot_id|>"),
          .user = DKI_LLAMA_HEADER("user") "{content}" DKI_CONTROL("<|eot_id|>"),
          .assistant = DKI_LLAMA_HEADER("assistant") "{content}" DKI_CONTROL("<|eot_id|>"),
          .answer_header = DKI_LLAMA_HEADER("assistant"),
          .answer_footer = "",
          .pack_header = DKI_LLAMA_HEADER("system") "You remember these notes:\n",
          .pack_footer = DKI_CONTROL("<|eot_id|>"),
          .default_system_prompt = "",
          .system_header = "",
          .message_end = "",
          .omits_empty_system = true,
          .trims_content = true,
          .stop_texts = {}};
}

// Its template puts dates into the system message. They are those that it has as defaults: a
// prefix that changes each day would make all that is cached worthless.
ChatFamily Llama31() {
  ChatFamily family = Llama3();
  family.name = "llama3.1";
  family.template_marks.push_back("Cutting Knowledge Date");
  family.system_prompt = DKI_LLAMA_HEADER("system")
      "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{content}" DKI_CONTROL(
          "<|eot_id|>");
  family.omits_empty_system = false;
  return family;
}

#undef DKI_LLAMA_HEADER

// Knows users and the model alone. Its template writes a system prompt into the user's first turn;
// here it is a turn of its own, so that the prefix does not depend on what follows.
ChatFamily Gemma() {
  constexpr std::string_view kUser =
      DKI_CONTROL("<start_of_turn>") "user\n{content}" DKI_CONTROL("<end_of_turn>") "\n";
  return {.name = "gemma",
          .template_marks = {"<start_of_turn>", "<end_of_turn>"},
          .prefix = "",
          .system_prompt = kUser,
          .system = kUser,
          .user = kUser,
          .assistant =
              DKI_CONTROL("<start_of_turn>") "model\n{content}" DKI_CONTROL("<end_of_turn>") "\n",
          .answer_header = DKI_CONTROL("<start_of_turn>") "model\n",
          .answer_footer = "\n",
          .pack_header = DKI_CONTROL("<start_of_turn>") "user\nYou remember these notes:\n",
          .pack_footer = DKI_CONTROL("<end_of_turn>") "\n",
          .default_system_prompt = "",
          .system_header = "",
          .message_end = "",
          .omits_empty_system = true,
          .trims_content = true,
          .stop_texts = {}};
}

// A message ends where the next one begins. The template leaves the line break behind the answer's
// header to the model.
ChatFamily Glm4() {
  return {.name = "glm4",
          .template_marks = {"[gMASK]", "<sop>", "<|assistant|>"},
          .prefix = DKI_CONTROL("[gMASK]") DKI_CONTROL("<sop>"),
          .system_prompt = DKI_CONTROL("<|system|>") "\n{content}",
          .system = DKI_CONTROL("<|system|>") "\n{content}",
          .user = DKI_CONTROL("<|user|>") "\n{content}",
          .assistant = DKI_CONTROL("<|assistant|>") "\n{content}",
          .answer_header = DKI_CONTROL("<|assistant|>") "\n",
          .answer_footer = "",
          .pack_header = DKI_CONTROL("<|system|>") "\nYou remember these notes:\n",
          .pack_footer = "",
          .default_system_prompt = "",
          .system_header = "",
          .message_end = "",
          .omits_empty_system = true,
          .stop_texts = {}};
}

// Models that were not taught to chat (Pythia, Gemma 3 270M): a dialogue in plain text, which they
// continue.
ChatFamily Plain() {
  return {.name = "plain",
          .template_marks = {},
          .prefix = "",
          .system_prompt = "{content}\n\n",
          .system = "{content}\n",
          .user = "User: {content}\n",
          .assistant = "Assistant: {content}\n",
          .answer_header = "Assistant:",
          .answer_footer = "\n",
          .pack_header = "You remember these notes:\n",
          .pack_footer = "\n",
          .default_system_prompt = "A user talks with a helpful assistant.",
          .system_header = "",
          .message_end = "",
          .trims_answers = true,
          .stop_texts = {"\nUser:"}};
}

}  // namespace

std::span<const ChatFamily> ChatFamilies() {
  static const ChatFamily kFamilies[] = {Qwen3(), ChatMl(), Llama31(), Llama3(),
                                         Gemma(), Glm4(),   Plain()};
  return kFamilies;
}

}  // namespace dki::model

#undef DKI_CONTROL
