// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_memory_repository.h"

#include <algorithm>
#include <unordered_map>

#include "libs/base/ids.h"
#include "services/memory_store/erasure_transaction.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/memory_statements.h"
#include "services/memory_store/postgres_rows.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {
namespace {

using v1::FeedEntry;

constexpr int kSweepTenants = 100;

int64_t ExpiryMicros(const v1::Memory& memory) {
  return memory.has_expire_time() ? ToMicros(memory.expire_time()) : 0;
}

bool IsExpired(const v1::Memory& memory, int64_t now_us) {
  return memory.has_expire_time() && ToMicros(memory.expire_time()) <= now_us;
}

// The memory of this scope and text; one that has expired is deleted first and does not count.
std::optional<v1::Memory> FindByContent(pqxx::work& work, const std::string& tenant_id,
                                        const v1::Memory& wanted, int64_t now_us,
                                        LockedFeed* feed) {
  const common::v1::Scope& scope = wanted.scope();
  const pqxx::result found = Exec(work, kFindByContent, tenant_id, scope.user_id(),
                                  scope.session_id(), scope.agent_id(), wanted.content_hash());
  if (found.empty()) return std::nullopt;
  v1::Memory memory = ReadMemory(found[0]);
  if (!IsExpired(memory, now_us)) return memory;
  Exec(work, kDelete, tenant_id, memory.id());
  feed->Append(work, FeedEntry::KIND_DELETE, memory.id());
  return std::nullopt;
}

void Insert(pqxx::work& work, const std::string& tenant_id, const v1::Memory& memory,
            const v1::Vector& vector, int64_t now_us, int64_t position) {
  const common::v1::Scope& scope = memory.scope();
  Exec(work, kInsert, tenant_id, memory.id(), scope.user_id(), scope.session_id(), scope.agent_id(),
       memory.text(), memory.content_hash(), ToTextArray(memory.tags()), MetadataJson(memory),
       static_cast<int>(memory.source_class()), memory.pinned(), memory.priority(),
       ExpiryMicros(memory), now_us, position, pqxx::binarystring(vector.values()),
       vector.embedding_fingerprint());
}

// `request` has id and viewer. `now_us` 0: expired ones too.
template <typename Request>
absl::StatusOr<v1::Memory> GetOne(pqxx::work& work, const std::string& tenant_id,
                                  const Request& request, int64_t now_us) {
  const common::v1::Scope& viewer = request.viewer();
  const pqxx::result found =
      Exec(work, kGetOne, tenant_id, request.id(), now_us, request.has_viewer(), viewer.user_id(),
           viewer.session_id(), viewer.agent_id());
  if (found.empty()) return MemoryNotFound(request.id());
  return ReadMemory(found[0]);
}

std::unordered_map<std::string, v1::Memory> GetByIds(
    pqxx::transaction_base& work, const std::string& tenant_id,
    const google::protobuf::RepeatedPtrField<std::string>& ids, int64_t now_us,
    const common::v1::Scope* viewer) {
  static const common::v1::Scope kNone;
  const common::v1::Scope& scope = viewer != nullptr ? *viewer : kNone;
  std::unordered_map<std::string, v1::Memory> memories;
  for (const pqxx::row& row :
       Exec(work, kGet, tenant_id, ToTextArray(ids), now_us, viewer != nullptr, scope.user_id(),
            scope.session_id(), scope.agent_id())) {
    v1::Memory memory = ReadMemory(row);
    memories[memory.id()] = std::move(memory);
  }
  return memories;
}

// What is stored with a request holds ids only: puts the memories as they are now in their place.
absl::Status ReadCreated(pqxx::transaction_base& work, const std::string& tenant_id, int64_t now_us,
                         v1::BatchCreateMemoriesResponse* response) {
  google::protobuf::RepeatedPtrField<std::string> ids;
  for (const auto& result : response->results()) *ids.Add() = result.memory().id();
  const auto memories = GetByIds(work, tenant_id, ids, now_us, nullptr);
  for (v1::CreateMemoryResponse& result : *response->mutable_results()) {
    const auto found = memories.find(result.memory().id());
    if (found == memories.end()) return MemoryNotFound(result.memory().id());
    *result.mutable_memory() = found->second;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::BatchCreateMemoriesResponse> PostgresMemoryRepository::CreateMemories(
    const Access& access, const v1::BatchCreateMemoriesRequest& request) {
  return request.memories_size() == 1 ? CreateOne(access, request) : CreateSeveral(access, request);
}

absl::StatusOr<v1::BatchCreateMemoriesResponse> PostgresMemoryRepository::CreateOne(
    const Access& access, const v1::BatchCreateMemoriesRequest& request) {
  const v1::NewMemory& written = request.memories(0);
  if (IsShared(written.scope()) && !access.admin) return SharedNeedsAdmin();
  const int64_t now_us = NowMicros();
  v1::Memory memory = MakeMemory(written);
  memory.set_id(NewId("mem_"));
  DKI_ASSIGN_OR_RETURN(const Created created,
                       creations_.Create({.tenant_id = access.tenant_id,
                                          .request_id = request.request_id(),
                                          .request_hash = RequestHash(request),
                                          .now_us = now_us,
                                          .memory = &memory,
                                          .vector = &written.vector()},
                                         access.deadline));
  v1::BatchCreateMemoriesResponse response;
  if (!created.old_response.empty()) {
    if (!response.ParseFromString(created.old_response)) {
      return DataLoss("request %s: its stored response cannot be read", request.request_id());
    }
  } else {
    v1::CreateMemoryResponse* result = response.add_results();
    result->mutable_memory()->set_id(created.memory_id);
    result->set_position(created.position);
    result->set_created(created.created);
  }
  signal_->Notify();
  v1::CreateMemoryResponse* result = response.mutable_results(0);
  if (result->created() && result->memory().id() == memory.id()) {
    *memory.mutable_create_time() = FromMicros(now_us);
    *memory.mutable_update_time() = FromMicros(now_us);
    memory.set_feed_position(result->position());
    memory.set_create_position(result->position());
    *result->mutable_memory() = std::move(memory);
    return response;
  }
  DKI_RETURN_IF_ERROR(database_->Read(access.deadline, [&](pqxx::transaction_base& work) {
    return ReadCreated(work, access.tenant_id, now_us, &response);
  }));
  return response;
}

absl::StatusOr<v1::BatchCreateMemoriesResponse> PostgresMemoryRepository::CreateSeveral(
    const Access& access, const v1::BatchCreateMemoriesRequest& request) {
  const int64_t now_us = NowMicros();
  v1::BatchCreateMemoriesResponse response;
  Subjects subjects;
  const auto create = [&](pqxx::work& work, LockedFeed* feed) -> absl::Status {
    subjects.Clear();
    for (const v1::NewMemory& written : request.memories()) {
      if (IsShared(written.scope()) && !access.admin) return SharedNeedsAdmin();
      v1::Memory memory = MakeMemory(written);
      v1::CreateMemoryResponse* result = response.add_results();
      const auto existing = FindByContent(work, access.tenant_id, memory, now_us, feed);
      if (existing.has_value()) {
        *subjects.Add() = existing->id();
        result->mutable_memory()->set_id(existing->id());
        result->set_position(existing->feed_position());
        continue;
      }
      memory.set_id(NewId("mem_"));
      *subjects.Add() = memory.id();
      Insert(work, access.tenant_id, memory, written.vector(), now_us, feed->Next());
      result->mutable_memory()->set_id(memory.id());
      result->set_created(true);
      result->set_position(feed->position());
    }
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_ASSIGN_OR_RETURN(LockedFeed feed, LockedFeed::Lock(work, access.tenant_id));
    DKI_RETURN_IF_ERROR(OncePerRequest(
        work, access.tenant_id, request.request_id(), request, now_us, &response,
        [&] { return create(work, &feed); }, &subjects));
    feed.Store(work);
    return ReadCreated(work, access.tenant_id, now_us, &response);
  }));
  return response;
}

absl::StatusOr<v1::BatchGetMemoriesResponse> PostgresMemoryRepository::GetMemories(
    const Access& access, const v1::BatchGetMemoriesRequest& request) {
  v1::BatchGetMemoriesResponse response;
  DKI_RETURN_IF_ERROR(database_->Read(access.deadline, [&](pqxx::transaction_base& work) {
    response.Clear();
    const auto memories = GetByIds(work, access.tenant_id, request.ids(), NowMicros(),
                                   request.has_viewer() ? &request.viewer() : nullptr);
    for (const std::string& id : request.ids()) {
      const auto found = memories.find(id);
      if (found != memories.end()) *response.add_memories() = found->second;
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListMemoriesResponse> PostgresMemoryRepository::ListMemories(
    const Access& access, const v1::ListMemoriesRequest& request) {
  DKI_ASSIGN_OR_RETURN(const PageTokens tokens, LoadPageTokens(access));
  const std::string binding = PageBinding(access.tenant_id, request);
  int64_t after = 0;
  if (!request.page_token().empty()) {
    DKI_ASSIGN_OR_RETURN(after, tokens.Decode(binding, request.page_token()));
  }
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const common::v1::Scope& viewer = request.viewer();
  v1::ListMemoriesResponse response;
  DKI_RETURN_IF_ERROR(database_->Read(access.deadline, [&](pqxx::transaction_base& work) {
    response.Clear();
    // One more than asked shows whether there is a next page.
    const pqxx::result rows = Exec(work, kList, access.tenant_id, after, NowMicros(),
                                   request.has_viewer(), viewer.user_id(), viewer.session_id(),
                                   viewer.agent_id(), request.tag(), page_size + 1);
    for (const pqxx::row& row : rows) {
      if (response.memories_size() < page_size) *response.add_memories() = ReadMemory(row);
    }
    if (static_cast<int>(rows.size()) > page_size) {
      response.set_next_page_token(
          tokens.Encode(binding, response.memories(page_size - 1).create_position()));
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::UpdateMemoryResponse> PostgresMemoryRepository::UpdateMemory(
    const Access& access, const v1::UpdateMemoryRequest& request) {
  const int64_t now_us = NowMicros();
  v1::UpdateMemoryResponse response;
  Subjects subjects;
  *subjects.Add() = request.id();
  const auto update = [&](pqxx::work& work, LockedFeed* feed) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(v1::Memory memory, GetOne(work, access.tenant_id, request, now_us));
    if (IsShared(memory.scope()) && !access.admin) return SharedNeedsAdmin();
    if (request.expected_version() != 0 && request.expected_version() != memory.version()) {
      return VersionMismatch(memory.id(), request.expected_version(), memory.version());
    }
    ApplyUpdate(request, &memory);
    const auto same_text = FindByContent(work, access.tenant_id, memory, now_us, feed);
    if (same_text.has_value() && same_text->id() != memory.id()) return TextExists(same_text->id());
    Exec(work, kKeepVersion, access.tenant_id, memory.id());
    const int64_t position = feed->Append(work, FeedEntry::KIND_UPSERT, memory.id());
    Exec(work, kUpdate, access.tenant_id, memory.id(), memory.text(), memory.content_hash(),
         ToTextArray(memory.tags()), MetadataJson(memory), memory.pinned(), memory.priority(),
         ExpiryMicros(memory), memory.version(), now_us, position);
    if (Names(request.update_mask(), "text")) {
      const v1::Vector& vector = request.memory().vector();
      Exec(work, kUpdateVector, access.tenant_id, memory.id(), pqxx::binarystring(vector.values()),
           vector.embedding_fingerprint());
    }
    response.set_position(position);
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_ASSIGN_OR_RETURN(LockedFeed feed, LockedFeed::Lock(work, access.tenant_id));
    DKI_RETURN_IF_ERROR(OncePerRequest(
        work, access.tenant_id, request.request_id(), request, now_us, &response,
        [&] { return update(work, &feed); }, &subjects));
    feed.Store(work);
    DKI_ASSIGN_OR_RETURN(*response.mutable_memory(),
                         GetOne(work, access.tenant_id, request, now_us));
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListMemoryVersionsResponse> PostgresMemoryRepository::ListMemoryVersions(
    const Access& access, const v1::ListMemoryVersionsRequest& request) {
  v1::ListMemoryVersionsResponse response;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_ASSIGN_OR_RETURN(const v1::Memory memory,
                         GetOne(work, access.tenant_id, request, NowMicros()));
    for (const pqxx::row& row : Exec(work, kVersions, access.tenant_id, request.id())) {
      // An update may commit between the two statements; its past state is then the current one.
      if (row[0].as<int64_t>() >= memory.version()) continue;
      v1::MemoryVersion* version = response.add_versions();
      version->set_version(row[0].as<int64_t>());
      version->set_text(row[1].as<std::string>());
      version->set_content_hash(row[2].c_str());
      *version->mutable_time() = FromMicros(row[3].as<int64_t>());
    }
    v1::MemoryVersion* current = response.add_versions();
    current->set_version(memory.version());
    current->set_text(memory.text());
    current->set_content_hash(memory.content_hash());
    *current->mutable_time() = memory.update_time();
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::DeleteMemoryResponse> PostgresMemoryRepository::DeleteMemory(
    const Access& access, const v1::DeleteMemoryRequest& request) {
  const int64_t now_us = NowMicros();
  v1::DeleteMemoryResponse response;
  const auto remove = [&](pqxx::work& work, LockedFeed* feed) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(const v1::Memory memory, GetOne(work, access.tenant_id, request, 0));
    if (IsShared(memory.scope()) && !access.admin) return SharedNeedsAdmin();
    erasure::v1::ErasureTarget target;
    target.set_memory_id(memory.id());
    target.set_with_conversations(request.with_conversations());
    const ErasureResult erased = Erase(work, access.tenant_id, target, now_us, feed);
    response.set_position(feed->position());
    response.set_erasure_id(erased.id);
    response.mutable_conversation_ids()->Add(erased.attended.begin(), erased.attended.end());
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_ASSIGN_OR_RETURN(LockedFeed feed, LockedFeed::Lock(work, access.tenant_id));
    DKI_RETURN_IF_ERROR(OncePerRequest(work, access.tenant_id, request.request_id(), request,
                                       now_us, &response, [&] { return remove(work, &feed); }));
    feed.Store(work);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::EraseScopeResponse> PostgresMemoryRepository::EraseScope(
    const Access& access, const v1::EraseScopeRequest& request) {
  const int64_t now_us = NowMicros();
  v1::EraseScopeResponse response;
  const auto erase = [&](pqxx::work& work, LockedFeed* feed) {
    erasure::v1::ErasureTarget target;
    *target.mutable_scope() = request.scope();
    target.set_with_conversations(request.with_conversations());
    const ErasureResult erased = Erase(work, access.tenant_id, target, now_us, feed);
    response.set_memories(erased.memories);
    response.set_conversations(erased.conversations);
    response.set_data_keys(erased.data_keys);
    response.set_position(feed->position());
    response.set_erasure_id(erased.id);
    response.mutable_conversation_ids()->Add(erased.attended.begin(), erased.attended.end());
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_ASSIGN_OR_RETURN(LockedFeed feed, LockedFeed::Lock(work, access.tenant_id));
    DKI_RETURN_IF_ERROR(OncePerRequest(work, access.tenant_id, request.request_id(), request,
                                       now_us, &response, [&] { return erase(work, &feed); }));
    feed.Store(work);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<int64_t> PostgresMemoryRepository::Sweep() {
  const int64_t now_us = NowMicros();
  const Access access;  // no deadline
  int64_t n_deleted = 0;
  std::vector<std::string> tenants;
  do {
    DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) {
      tenants.clear();
      for (const pqxx::row& row : Exec(work, kTenantsWithExpired, now_us, kSweepTenants)) {
        tenants.push_back(row[0].as<std::string>());
      }
      Exec(work, kForgetRequests, now_us - absl::ToInt64Microseconds(kRequestRetention));
      return absl::OkStatus();
    }));
    for (const std::string& tenant_id : tenants) {
      int64_t n = 0;
      const absl::Status status = Write(access, [&](pqxx::work& work) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(LockedFeed feed, LockedFeed::Lock(work, tenant_id));
        const auto gone = Exec(work, kDeleteExpired, tenant_id, feed.position(), now_us);
        n = static_cast<int64_t>(gone.affected_rows());
        feed.Advance(n);
        feed.Store(work);
        return absl::OkStatus();
      });
      // The tenant may have been erased meanwhile, its memories with it.
      if (!status.ok() && status.code() != absl::StatusCode::kNotFound) return status;
      n_deleted += n;
    }
  } while (tenants.size() == kSweepTenants);
  return n_deleted;
}

absl::Status PostgresMemoryRepository::Write(const Access& access, const Database::Body& body) {
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, body));
  signal_->Notify();
  return absl::OkStatus();
}

absl::StatusOr<PageTokens> PostgresMemoryRepository::LoadPageTokens(const Access& access) {
  std::string secret;
  {
    MutexLock lock(&mutex_);
    secret = page_secret_;
  }
  if (secret.empty()) {
    DKI_RETURN_IF_ERROR(database_->Read(access.deadline, [&](pqxx::transaction_base& work) {
      secret = pqxx::binarystring(Exec(work, kPageSecret)[0][0]).str();
      return absl::OkStatus();
    }));
    MutexLock lock(&mutex_);
    page_secret_ = secret;
  }
  return PageTokens(secret);
}

}  // namespace dki::memory_store
