// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_cluster.h"

#include <map>

#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/rpc/call.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;

constexpr std::chrono::seconds kTimeout{300};

absl::Status SetPlace(const eval::Arm& arm, api::MemoryOptions* options) {
  if (arm.top > 0 || arm.order != eval::PackOrder::kGiven || arm.budget > 0) {
    return InvalidArgument("arm %s: top, order and budget need --local", arm.name);
  }
  if (arm.modulation && *arm.modulation != "own" && *arm.modulation != "none") {
    return InvalidArgument("arm %s: a modulation's file needs --local", arm.name);
  }
  if (arm.gates.is_active() || arm.refinement != nullptr) {
    return InvalidArgument("arm %s: gates and refinements need --local", arm.name);
  }
  options->set_gate(arm.gate);
  switch (arm.place) {
    case eval::Place::kNone:
      options->set_mode(common::v1::MODE_VANILLA);
      return absl::OkStatus();
    case eval::Place::kPromptLate:
      options->set_prompt_place(common::v1::PROMPT_PLACE_LATE);
      break;
    case eval::Place::kPromptSystem:
      options->set_prompt_place(common::v1::PROMPT_PLACE_SYSTEM);
      break;
    case eval::Place::kPromptUser:
      options->set_prompt_place(common::v1::PROMPT_PLACE_USER);
      break;
    case eval::Place::kInjected: {
      options->set_mode(common::v1::MODE_INJECTED);
      if (arm.modulation) options->set_modulation(*arm.modulation == "own" ? "on" : "off");
      if (arm.alpha) {
        options->set_alpha(*arm.alpha);
      } else if (arm.name != "default") {
        return InvalidArgument(
            "arm %s: the cluster has a policy of its own; a written-out one needs --local",
            arm.name);
      }
      return absl::OkStatus();
    }
  }
  options->set_mode(common::v1::MODE_PROMPT);
  return absl::OkStatus();
}

class ClusterSource : public eval::AnswerSource {
 public:
  ClusterSource(Context* context, api::DkiService::StubInterface* stub)
      : context_(context), stub_(stub), prefix_(NewId("eval_")) {}

  ~ClusterSource() override {
    for (const auto& [user, ids] : ids_) {
      api::EraseScopeRequest request;
      request.mutable_scope()->set_user_id(user);
      api::EraseScopeResponse response;
      stub_->EraseScope(context_->NewCall().get(), request, &response);
    }
  }

  absl::Status Prepare(const eval::Item& item) override {
    if (item.memories.empty()) return absl::OkStatus();
    const std::string user = UserOf(item);
    api::AddMemoriesRequest request;
    request.set_request_id(NewId("req_"));
    for (const auto& memory : item.memories) {
      auto* input = request.add_memories();
      input->mutable_scope()->set_user_id(memory.is_foreign ? ForeignUserOf(item) : user);
      input->set_text(memory.text);
    }
    api::AddMemoriesResponse response;
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(
        stub_->AddMemories(context_->NewCall(kTimeout).get(), request, &response)));
    std::vector<std::string> ids;
    // The same text twice is one memory.
    for (const auto& result : response.results()) {
      if (result.memory().scope().user_id() != user) continue;
      if (std::find(ids.begin(), ids.end(), result.memory().id()) == ids.end())
        ids.push_back(result.memory().id());
    }
    MutexLock lock(&mutex_);
    ids_[user] = std::move(ids);
    if (HasForeign(item)) ids_[ForeignUserOf(item)] = {};  // to be erased
    return absl::OkStatus();
  }

  void Done(const eval::Item&) override {}  // scopes are erased together, at the end

  absl::StatusOr<eval::ItemResult> Answer(const eval::Item& item, const eval::Arm& arm) override {
    api::ChatRequest request;
    request.set_request_id(NewId("req_"));
    request.mutable_scope()->set_user_id(UserOf(item));
    for (const auto& message : item.history) {
      auto* m = request.add_messages();
      m->set_role(message.role);
      m->set_content(message.content);
    }
    auto* turn = request.add_messages();
    turn->set_role("user");
    turn->set_content(item.question);
    request.mutable_sampling()->set_max_tokens(eval::kReplyTokens);
    DKI_RETURN_IF_ERROR(SetPlace(arm, request.mutable_memory()));
    // Beside another user's memory the item's own are searched for, so that it could be found.
    if (arm.place != eval::Place::kNone && !HasForeign(item)) {
      MutexLock lock(&mutex_);
      for (const std::string& id : ids_[UserOf(item)]) request.mutable_memory()->add_memory_ids(id);
    }
    const auto call = context_->NewCall(kTimeout);
    const auto stream = stub_->Chat(call.get(), request);
    eval::ItemResult result;
    api::ChatResponse event;
    while (stream->Read(&event)) {
      if (!event.has_finished()) continue;
      result.reply = event.finished().text();
      result.prompt_tokens = event.finished().outcome().usage().prompt_tokens();
      result.injected_tokens = event.finished().outcome().usage().injected_tokens();
    }
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stream->Finish()));
    return result;
  }

 private:
  std::string UserOf(const eval::Item& item) const { return prefix_ + "_" + item.id; }
  std::string ForeignUserOf(const eval::Item& item) const { return UserOf(item) + "_other"; }
  static bool HasForeign(const eval::Item& item) {
    return std::ranges::any_of(item.memories, &eval::ItemMemory::is_foreign);
  }

  Context* const context_;
  api::DkiService::StubInterface* const stub_;
  const std::string prefix_;
  Mutex mutex_;
  std::map<std::string, std::vector<std::string>> ids_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<eval::AnswerSource> MakeClusterSource(Context* context,
                                                      api::DkiService::StubInterface* stub) {
  return std::make_unique<ClusterSource>(context, stub);
}

}  // namespace dki::cli
