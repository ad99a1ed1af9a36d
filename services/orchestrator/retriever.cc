// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/retriever.h"

#include <algorithm>

#include "services/orchestrator/search_text.h"

namespace dki::orchestrator {
absl::StatusOr<retrieval::v1::SearchResponse> Retriever::Search(const rpc::Call& call,
                                                                const ChatTask& task) const {
  retrieval::v1::SearchRequest request;
  request.set_query(std::string(SearchText(task.turn.content())));
  *request.mutable_scope() = task.scope;
  request.set_k(task.memory.ids.empty() ? task.memory.k : static_cast<int>(task.memory.ids.size()));
  request.mutable_memory_ids()->Add(task.memory.ids.begin(), task.memory.ids.end());
  request.set_tag(task.memory.tag);
  // What the turn leans on ("tell me more about that"), and no note twice; named memories are all
  // wanted.
  for (std::string& text : RecentTexts(task)) request.add_recent(std::move(text));
  request.set_without_duplicates(task.memory.ids.empty());
  request.set_min_position(
      std::max(task.memory.min_position, positions_.Last(call.caller().tenant_id)));
  retrieval::v1::SearchResponse response;
  const auto context = upstreams_.ContextFor(call, upstreams_.retrieval_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.retrieval->Search(context.get(), request, &response)));
  return response;
}

absl::StatusOr<Memories> Retriever::CurrentMemories(const rpc::Call& call,
                                                    const std::vector<std::string>& ids,
                                                    const common::v1::Scope& viewer) const {
  if (ids.empty()) return Memories();
  memory::v1::BatchGetMemoriesRequest request;
  request.mutable_ids()->Add(ids.begin(), ids.end());
  *request.mutable_viewer() = viewer;
  memory::v1::BatchGetMemoriesResponse response;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      upstreams_.memory_store->BatchGetMemories(context.get(), request, &response)));
  return std::move(*response.mutable_memories());
}

absl::StatusOr<Retrieved> Retriever::Retrieve(const rpc::Call& call, const ChatTask& task) const {
  Retrieved retrieved;
  const auto found = Search(call, task);
  Hits hits;
  if (found.ok()) {
    hits = found->hits();
    retrieved.embedding_fingerprint = found->embedding_fingerprint();
    retrieved.position = found->position();
  } else {
    DKI_RETURN_IF_ERROR(CheckClient(call));
    if (!IsTransient(found.status())) return Annotate(found.status(), "retrieval");
    retrieved.degraded.push_back("retrieval");
  }

  std::vector<std::string> ids = task.memory.ids;
  if (ids.empty()) {
    for (const auto& hit : hits) ids.push_back(hit.memory_id());
  }
  const auto current = CurrentMemories(call, ids, task.scope);
  if (!current.ok()) {
    DKI_RETURN_IF_ERROR(CheckClient(call));
    if (!IsTransient(current.status())) return Annotate(current.status(), "memory_store");
    if (needs_store_) {
      return Unavailable("memory_store is away, so memories cannot be checked: %s",
                         ToStd(current.status().message()));
    }
    retrieved.degraded.push_back("memory_store");
    return retrieved;
  }
  if (task.memory.ids.empty()) {
    retrieved.candidates = JoinHits(hits, *current);
  } else {
    DKI_ASSIGN_OR_RETURN(retrieved.candidates, JoinNamed(ids, hits, *current));
  }
  return retrieved;
}

}  // namespace dki::orchestrator
