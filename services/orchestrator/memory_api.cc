// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/memory_api.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "libs/base/ids.h"
#include "services/orchestrator/limits.h"
#include "services/orchestrator/memory_rules.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kEmbedBatch = 256;

std::string RequestIdOr(const std::string& id) {
  return id.empty() ? NewId("req_") : id;
}

// Who looks: see the class comment.
template <typename From, typename To>
void SetViewer(const rpc::Call& call, const From& from, To* to) {
  if (from.has_viewer() || !call.caller().May(rpc::Permission::kAdmin)) {
    *to->mutable_viewer() = from.viewer();
  }
}

bool Names(const google::protobuf::FieldMask& mask, const char* path) {
  return std::find(mask.paths().begin(), mask.paths().end(), path) != mask.paths().end();
}

void CopyCreated(memory::v1::CreateMemoryResponse* from, v1::AddMemoryResponse* to) {
  *to->mutable_memory() = std::move(*from->mutable_memory());
  to->set_created(from->created());
  to->set_position(from->position());
}

}  // namespace

absl::StatusOr<std::vector<memory::v1::Vector>> MemoryApi::Embed(
    const rpc::Call& call, const std::vector<std::string>& texts) const {
  std::vector<memory::v1::Vector> vectors;
  for (size_t begin = 0; begin < texts.size(); begin += kEmbedBatch) {
    const size_t end = std::min(begin + kEmbedBatch, texts.size());
    retrieval::v1::EmbedRequest request;
    for (size_t i = begin; i < end; ++i) request.add_texts(texts[i]);
    retrieval::v1::EmbedResponse response;
    // A batch of texts takes as long as it takes; the client's deadline still holds.
    const Timeout timeout =
        std::max(upstreams_.retrieval_timeout, Timeout(100 * static_cast<int64_t>(end - begin)));
    const auto context = upstreams_.ContextFor(call, timeout);
    const absl::Status status =
        rpc::FromGrpcStatus(upstreams_.retrieval->Embed(context.get(), request, &response));
    if (!status.ok()) {
      DKI_RETURN_IF_ERROR(CheckClient(call));
      if (IsTransient(status)) {
        return Unavailable("embedding is away, so nothing was written: %s",
                           ToStd(status.message()));
      }
      return Annotate(status, "embedding");
    }
    if (response.embeddings_size() != request.texts_size()) {
      return Internal("embedding gave %d vectors for %d texts", response.embeddings_size(),
                      request.texts_size());
    }
    for (auto& embedding : *response.mutable_embeddings()) {
      memory::v1::Vector& vector = vectors.emplace_back();
      vector.set_values(std::move(*embedding.mutable_values()));
      vector.set_embedding_fingerprint(response.embedding_fingerprint());
    }
  }
  return vectors;
}

absl::Status MemoryApi::Add(const rpc::Call& call, const v1::AddMemoryRequest& request,
                            v1::AddMemoryResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckNewMemory("memory", request.memory(), call.caller()));
  DKI_ASSIGN_OR_RETURN(auto vectors, Embed(call, {request.memory().text()}));
  memory::v1::CreateMemoryRequest create;
  create.set_request_id(RequestIdOr(request.request_id()));
  *create.mutable_memory() = ToNewMemory(request.memory());
  *create.mutable_memory()->mutable_vector() = std::move(vectors.front());
  memory::v1::CreateMemoryResponse created;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->CreateMemory(context.get(), create, &created)));
  Saw(call, created.position());
  CopyCreated(&created, response);
  return absl::OkStatus();
}

absl::Status MemoryApi::AddAll(const rpc::Call& call, const v1::AddMemoriesRequest& request,
                               v1::AddMemoriesResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckRange("memories", request.memories_size(), 1, kMaxBatch));
  std::vector<std::string> texts;
  for (int i = 0; i < request.memories_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckNewMemory(absl::StrFormat("memories[%d]", i), request.memories(i), call.caller()));
    texts.push_back(request.memories(i).text());
  }
  DKI_ASSIGN_OR_RETURN(auto vectors, Embed(call, texts));
  memory::v1::BatchCreateMemoriesRequest create;
  create.set_request_id(RequestIdOr(request.request_id()));
  for (int i = 0; i < request.memories_size(); ++i) {
    memory::v1::NewMemory* memory = create.add_memories();
    *memory = ToNewMemory(request.memories(i));
    *memory->mutable_vector() = std::move(vectors[static_cast<size_t>(i)]);
  }
  memory::v1::BatchCreateMemoriesResponse created;
  // Each memory costs the database a statement or two.
  const auto context = upstreams_.ContextFor(
      call, upstreams_.memory_store_timeout + Timeout(10 * request.memories_size()));
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      upstreams_.memory_store->BatchCreateMemories(context.get(), create, &created)));
  for (auto& result : *created.mutable_results()) {
    Saw(call, result.position());
    CopyCreated(&result, response->add_results());
  }
  return absl::OkStatus();
}

absl::Status MemoryApi::Get(const rpc::Call& call, const v1::GetMemoryRequest& request,
                            v1::GetMemoryResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckId("id", request.id(), "mem_"));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  memory::v1::GetMemoryRequest get;
  get.set_id(request.id());
  SetViewer(call, request, &get);
  memory::v1::GetMemoryResponse got;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->GetMemory(context.get(), get, &got)));
  *response->mutable_memory() = std::move(*got.mutable_memory());
  return absl::OkStatus();
}

absl::Status MemoryApi::List(const rpc::Call& call, const v1::ListMemoriesRequest& request,
                             v1::ListMemoriesResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  if (request.all() && !call.caller().May(rpc::Permission::kAdmin)) {
    return PermissionDenied("all: listing the whole tenant needs a key with the scope admin");
  }
  memory::v1::ListMemoriesRequest list;
  if (!request.all()) *list.mutable_viewer() = request.viewer();
  list.set_page_size(request.page_size());
  list.set_page_token(request.page_token());
  list.set_tag(request.tag());
  memory::v1::ListMemoriesResponse listed;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->ListMemories(context.get(), list, &listed)));
  *response->mutable_memories() = std::move(*listed.mutable_memories());
  response->set_next_page_token(listed.next_page_token());
  return absl::OkStatus();
}

absl::Status MemoryApi::Update(const rpc::Call& call, const v1::UpdateMemoryRequest& request,
                               v1::UpdateMemoryResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckId("id", request.id(), "mem_"));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  if (request.update_mask().paths().empty()) {
    return InvalidArgument("update_mask must name at least one field");
  }
  memory::v1::UpdateMemoryRequest update;
  update.set_request_id(RequestIdOr(request.request_id()));
  update.set_id(request.id());
  SetViewer(call, request, &update);
  *update.mutable_update_mask() = request.update_mask();
  *update.mutable_memory() = ToNewMemory(request.memory());
  update.set_expected_version(request.expected_version());
  if (Names(request.update_mask(), "text")) {
    DKI_RETURN_IF_ERROR(CheckMemoryText("memory.text", request.memory().text()));
    DKI_ASSIGN_OR_RETURN(auto vectors, Embed(call, {request.memory().text()}));
    *update.mutable_memory()->mutable_vector() = std::move(vectors.front());
  }
  memory::v1::UpdateMemoryResponse updated;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->UpdateMemory(context.get(), update, &updated)));
  Saw(call, updated.position());
  *response->mutable_memory() = std::move(*updated.mutable_memory());
  response->set_position(updated.position());
  return absl::OkStatus();
}

absl::Status MemoryApi::ListVersions(const rpc::Call& call,
                                     const v1::ListMemoryVersionsRequest& request,
                                     v1::ListMemoryVersionsResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckId("id", request.id(), "mem_"));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  memory::v1::ListMemoryVersionsRequest list;
  list.set_id(request.id());
  SetViewer(call, request, &list);
  memory::v1::ListMemoryVersionsResponse listed;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      upstreams_.memory_store->ListMemoryVersions(context.get(), list, &listed)));
  *response->mutable_versions() = std::move(*listed.mutable_versions());
  return absl::OkStatus();
}

absl::Status MemoryApi::Delete(const rpc::Call& call, const v1::DeleteMemoryRequest& request,
                               v1::DeleteMemoryResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckId("id", request.id(), "mem_"));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  memory::v1::DeleteMemoryRequest remove;
  remove.set_request_id(RequestIdOr(request.request_id()));
  remove.set_id(request.id());
  remove.set_with_conversations(request.with_conversations());
  SetViewer(call, request, &remove);
  memory::v1::DeleteMemoryResponse removed;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->DeleteMemory(context.get(), remove, &removed)));
  Saw(call, removed.position());
  response->set_position(removed.position());
  response->set_erasure_id(removed.erasure_id());
  *response->mutable_conversation_ids() = std::move(*removed.mutable_conversation_ids());
  return absl::OkStatus();
}

absl::Status MemoryApi::Erase(const rpc::Call& call, const v1::EraseScopeRequest& request,
                              v1::EraseScopeResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckScope("scope", request.scope()));
  if (IsEmpty(request.scope())) {
    return InvalidArgument("scope must have at least one of user_id, session_id and agent_id");
  }
  memory::v1::EraseScopeRequest erase;
  erase.set_request_id(RequestIdOr(request.request_id()));
  *erase.mutable_scope() = request.scope();
  erase.set_with_conversations(request.with_conversations());
  memory::v1::EraseScopeResponse erased;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.memory_store->EraseScope(context.get(), erase, &erased)));
  Saw(call, erased.position());
  response->set_memories(erased.memories());
  response->set_conversations(erased.conversations());
  response->set_position(erased.position());
  response->set_erasure_id(erased.erasure_id());
  *response->mutable_conversation_ids() = std::move(*erased.mutable_conversation_ids());
  return absl::OkStatus();
}

absl::Status MemoryApi::GetErasure(const rpc::Call& call, const v1::GetErasureRequest& request,
                                   v1::GetErasureResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckId("id", request.id(), "era_"));
  erasure::v1::GetErasureRequest get;
  get.set_id(request.id());
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  return rpc::FromGrpcStatus(
      upstreams_.erasures->GetErasure(context.get(), get, response->mutable_result()));
}

absl::Status MemoryApi::ListErasureKeys(const rpc::Call& call,
                                        v1::ListErasureKeysResponse* response) const {
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  return rpc::FromGrpcStatus(
      upstreams_.erasures->ListKeys(context.get(), {}, response->mutable_result()));
}

absl::Status MemoryApi::Search(const rpc::Call& call, const v1::SearchMemoriesRequest& request,
                               v1::SearchMemoriesResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckText("query", request.query(), 1, kMaxQueryBytes));
  DKI_RETURN_IF_ERROR(CheckScope("scope", request.scope()));
  DKI_RETURN_IF_ERROR(CheckRange("k", request.k(), 0, kMaxSearchK));
  if (request.has_threshold()) {
    DKI_RETURN_IF_ERROR(CheckReal("threshold", request.threshold(), -1.0, 1.0));
  }
  if (request.min_position() < 0) return InvalidArgument("min_position must be at least 0");
  DKI_RETURN_IF_ERROR(CheckText("tag", request.tag(), 0, kMaxTagBytes));

  retrieval::v1::SearchRequest search;
  search.set_query(request.query());
  *search.mutable_scope() = request.scope();
  search.set_k(request.k() == 0 ? 8 : request.k());
  if (request.has_threshold()) search.set_threshold(request.threshold());
  search.set_min_position(
      std::max(request.min_position(), positions_.Last(call.caller().tenant_id)));
  search.set_tag(request.tag());
  retrieval::v1::SearchResponse found;
  const auto context = upstreams_.ContextFor(call, upstreams_.retrieval_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.retrieval->Search(context.get(), search, &found)));

  std::vector<std::string> ids;
  for (const auto& hit : found.hits()) ids.push_back(hit.memory_id());
  DKI_ASSIGN_OR_RETURN(Memories current, retriever_.CurrentMemories(call, ids, request.scope()));
  std::unordered_map<std::string, memory::v1::Memory*> by_id;
  for (auto& memory : current) by_id.emplace(memory.id(), &memory);
  for (const auto& hit : found.hits()) {
    const auto memory = by_id.find(hit.memory_id());
    if (memory == by_id.end() || memory->second->version() != hit.version()) continue;
    auto* out = response->add_hits();
    *out->mutable_memory() = std::move(*memory->second);
    out->set_cosine(hit.cosine());
  }
  response->set_position(found.position());
  return absl::OkStatus();
}

absl::Status MemoryApi::CreateConversation(const rpc::Call& call,
                                           const v1::CreateConversationRequest& request,
                                           v1::CreateConversationResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckScope("scope", request.scope()));
  memory::v1::CreateConversationRequest create;
  create.set_request_id(RequestIdOr(request.request_id()));
  *create.mutable_scope() = request.scope();
  memory::v1::CreateConversationResponse created;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      upstreams_.memory_store->CreateConversation(context.get(), create, &created)));
  response->set_conversation_id(created.conversation_id());
  return absl::OkStatus();
}

}  // namespace dki::orchestrator
