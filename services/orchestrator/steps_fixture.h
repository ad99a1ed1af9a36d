// SPDX-License-Identifier: Apache-2.0
// What tests of the pipeline's pure steps begin with: requests, memories, candidates.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "dki/orchestrator/v1/dki_service.pb.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {

inline std::string Id(const std::string& prefix, int n) {
  return prefix + absl::StrFormat("%032x", n);
}

inline void AddMessage(v1::ChatRequest* request, const std::string& role,
                       const std::string& content) {
  auto* message = request->add_messages();
  message->set_role(role);
  message->set_content(content);
}

inline v1::ChatRequest Question(const std::string& text) {
  v1::ChatRequest request;
  AddMessage(&request, "user", text);
  return request;
}

inline memory::v1::Memory Stored(int n, int64_t version = 1) {
  memory::v1::Memory memory;
  memory.set_id(Id("mem_", n));
  memory.set_version(version);
  memory.set_text(absl::StrFormat("Fact %d.", n));
  memory.set_source_class(common::v1::SOURCE_CLASS_USER);
  memory.set_create_position(n);
  return memory;
}

// A struct with some members set.
template <typename T>
T With(const std::function<void(T&)>& set) {
  T value;
  set(value);
  return value;
}

inline std::vector<Candidate> Passed(const std::vector<std::pair<int, float>>& created_and_cosine) {
  std::vector<Candidate> candidates;
  for (const auto& [position, cosine] : created_and_cosine) {
    Candidate& candidate = candidates.emplace_back();
    candidate.id = Id("mem_", position);
    candidate.version = 1;
    candidate.cosine = cosine;
    candidate.text = "x";
    candidate.create_position = position;
    candidate.passed = true;
  }
  return candidates;
}

// Weighed by cosine.
inline std::vector<Chosen> Choose(const MemoryRules& rules, std::span<Candidate> candidates) {
  return ChooseMemories({}, nullptr, "", rules, InPackOrder(rules, candidates));
}

}  // namespace dki::orchestrator
