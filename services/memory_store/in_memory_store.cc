// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/in_memory_store.h"

#include <algorithm>

#include "libs/base/ids.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {

using v1::FeedEntry;

namespace {

template <typename TenantT>
int64_t Append(TenantT* tenant, FeedEntry::Kind kind, const std::string& memory_id) {
  FeedEntry entry;
  entry.set_position(++tenant->position);
  entry.set_kind(kind);
  entry.set_memory_id(memory_id);
  tenant->feed.push_back(entry);
  return tenant->position;
}

// Deletes the memories that `condition` chooses, oldest first; returns how many.
template <typename TenantT>
int64_t DeleteWhere(TenantT* tenant, const std::function<bool(const v1::Memory&)>& condition) {
  std::vector<std::pair<int64_t, std::string>> gone;
  for (const auto& [id, row] : tenant->memories) {
    if (condition(row.memory)) gone.emplace_back(row.memory.create_position(), id);
  }
  std::sort(gone.begin(), gone.end());
  for (const auto& [position, id] : gone) {
    tenant->memories.erase(id);
    Append(tenant, FeedEntry::KIND_DELETE, id);
  }
  return static_cast<int64_t>(gone.size());
}

v1::MemoryVersion VersionOf(const v1::Memory& memory) {
  v1::MemoryVersion version;
  version.set_version(memory.version());
  version.set_text(memory.text());
  version.set_content_hash(memory.content_hash());
  *version.mutable_time() = memory.update_time();
  return version;
}

}  // namespace

bool InMemoryStore::IsExpired(const v1::Memory& memory) const {
  return memory.has_expire_time() && ToMicros(memory.expire_time()) <= NowMicros();
}

absl::Status InMemoryStore::Write(const std::string& tenant_id,
                                  const std::function<absl::Status(Tenant*)>& body) {
  {
    MutexLock lock(&mutex_);
    Tenant copy = tenants_[tenant_id];
    if (copy.erased) return TenantNotFound(tenant_id);
    DKI_RETURN_IF_ERROR(body(&copy));
    tenants_[tenant_id] = std::move(copy);
  }
  signal_->Notify();
  return absl::OkStatus();
}

absl::Status InMemoryStore::Once(Tenant* tenant, const std::string& request_id,
                                 const google::protobuf::Message& request,
                                 google::protobuf::MessageLite* response,
                                 const std::function<absl::Status()>& body) {
  const std::string hash = RequestHash(request);
  const auto found = tenant->requests.find(request_id);
  if (found != tenant->requests.end()) {
    if (found->second.hash != hash) return RequestIdReused(request_id);
    response->ParseFromString(found->second.response);
    return absl::OkStatus();
  }
  DKI_RETURN_IF_ERROR(body());
  tenant->requests[request_id] = {hash, response->SerializeAsString(), NowMicros()};
  return absl::OkStatus();
}

absl::StatusOr<InMemoryStore::Row*> InMemoryStore::Find(Tenant* tenant, const std::string& id,
                                                        bool has_viewer,
                                                        const common::v1::Scope& viewer,
                                                        bool also_expired) const {
  const auto found = tenant->memories.find(id);
  if (found == tenant->memories.end()) return MemoryNotFound(id);
  const v1::Memory& memory = found->second.memory;
  if (has_viewer && !IsVisible(memory.scope(), viewer)) return MemoryNotFound(id);
  if (!also_expired && IsExpired(memory)) return MemoryNotFound(id);
  return &found->second;
}

InMemoryStore::Row* InMemoryStore::FindByContent(Tenant* tenant, const v1::Memory& wanted) const {
  for (auto& [id, row] : tenant->memories) {
    const v1::Memory& memory = row.memory;
    const bool same_scope =
        IsWithin(memory.scope(), wanted.scope()) && IsWithin(wanted.scope(), memory.scope());
    if (!same_scope || memory.content_hash() != wanted.content_hash()) continue;
    if (!IsExpired(memory)) return &row;
    const std::string gone = id;
    tenant->memories.erase(gone);
    Append(tenant, FeedEntry::KIND_DELETE, gone);
    return nullptr;
  }
  return nullptr;
}

absl::StatusOr<v1::BatchCreateMemoriesResponse> InMemoryStore::CreateMemories(
    const Access& access, const v1::BatchCreateMemoriesRequest& request) {
  v1::BatchCreateMemoriesResponse response;
  const auto create = [&](Tenant* tenant) -> absl::Status {
    for (const v1::NewMemory& written : request.memories()) {
      if (IsShared(written.scope()) && !access.admin) return SharedNeedsAdmin();
      v1::Memory memory = MakeMemory(written);
      v1::CreateMemoryResponse* result = response.add_results();
      if (const Row* existing = FindByContent(tenant, memory)) {
        result->mutable_memory()->set_id(existing->memory.id());
        result->set_position(existing->memory.feed_position());
        continue;
      }
      memory.set_id(NewId("mem_"));
      memory.set_create_position(Append(tenant, FeedEntry::KIND_UPSERT, memory.id()));
      memory.set_feed_position(memory.create_position());
      *memory.mutable_create_time() = FromMicros(NowMicros());
      *memory.mutable_update_time() = memory.create_time();
      result->mutable_memory()->set_id(memory.id());
      result->set_created(true);
      result->set_position(memory.create_position());
      tenant->memories[memory.id()] = {memory, written.vector(), {}};
    }
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) -> absl::Status {
    DKI_RETURN_IF_ERROR(
        Once(tenant, request.request_id(), request, &response, [&] { return create(tenant); }));
    for (v1::CreateMemoryResponse& result : *response.mutable_results()) {
      DKI_ASSIGN_OR_RETURN(const Row* row, Find(tenant, result.memory().id(), false, {}, false));
      *result.mutable_memory() = row->memory;
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::BatchGetMemoriesResponse> InMemoryStore::GetMemories(
    const Access& access, const v1::BatchGetMemoriesRequest& request) {
  MutexLock lock(&mutex_);
  Tenant* tenant = &tenants_[access.tenant_id];
  v1::BatchGetMemoriesResponse response;
  for (const std::string& id : request.ids()) {
    const auto row = Find(tenant, id, request.has_viewer(), request.viewer(), false);
    if (row.ok()) *response.add_memories() = (*row)->memory;
  }
  return response;
}

absl::StatusOr<v1::ListMemoriesResponse> InMemoryStore::ListMemories(
    const Access& access, const v1::ListMemoriesRequest& request) {
  const std::string binding = PageBinding(access.tenant_id, request);
  int64_t after = 0;
  if (!request.page_token().empty()) {
    DKI_ASSIGN_OR_RETURN(after, tokens_.Decode(binding, request.page_token()));
  }
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  MutexLock lock(&mutex_);
  std::map<int64_t, const v1::Memory*> by_age;
  for (const auto& [id, row] : tenants_[access.tenant_id].memories) {
    const v1::Memory& memory = row.memory;
    const auto& tags = memory.tags();
    if (memory.create_position() <= after || IsExpired(memory)) continue;
    if (request.has_viewer() && !IsVisible(memory.scope(), request.viewer())) continue;
    if (!request.tag().empty() &&
        std::find(tags.begin(), tags.end(), request.tag()) == tags.end()) {
      continue;
    }
    by_age[memory.create_position()] = &memory;
  }
  v1::ListMemoriesResponse response;
  for (const auto& [position, memory] : by_age) {
    if (response.memories_size() == page_size) {
      response.set_next_page_token(
          tokens_.Encode(binding, response.memories(page_size - 1).create_position()));
      break;
    }
    *response.add_memories() = *memory;
  }
  return response;
}

absl::StatusOr<v1::UpdateMemoryResponse> InMemoryStore::UpdateMemory(
    const Access& access, const v1::UpdateMemoryRequest& request) {
  v1::UpdateMemoryResponse response;
  const auto update = [&](Tenant* tenant) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(Row * row,
                         Find(tenant, request.id(), request.has_viewer(), request.viewer(), false));
    v1::Memory memory = row->memory;
    if (IsShared(memory.scope()) && !access.admin) return SharedNeedsAdmin();
    if (request.expected_version() != 0 && request.expected_version() != memory.version()) {
      return VersionMismatch(memory.id(), request.expected_version(), memory.version());
    }
    ApplyUpdate(request, &memory);
    const Row* same_text = FindByContent(tenant, memory);
    if (same_text != nullptr && same_text != row) return TextExists(same_text->memory.id());
    row->history.push_back(VersionOf(row->memory));
    memory.set_feed_position(Append(tenant, FeedEntry::KIND_UPSERT, memory.id()));
    *memory.mutable_update_time() = FromMicros(NowMicros());
    row->memory = memory;
    if (Names(request.update_mask(), "text")) row->vector = request.memory().vector();
    response.set_position(memory.feed_position());
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) -> absl::Status {
    DKI_RETURN_IF_ERROR(
        Once(tenant, request.request_id(), request, &response, [&] { return update(tenant); }));
    DKI_ASSIGN_OR_RETURN(const Row* row,
                         Find(tenant, request.id(), request.has_viewer(), request.viewer(), false));
    *response.mutable_memory() = row->memory;
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListMemoryVersionsResponse> InMemoryStore::ListMemoryVersions(
    const Access& access, const v1::ListMemoryVersionsRequest& request) {
  MutexLock lock(&mutex_);
  DKI_ASSIGN_OR_RETURN(const Row* row, Find(&tenants_[access.tenant_id], request.id(),
                                            request.has_viewer(), request.viewer(), false));
  v1::ListMemoryVersionsResponse response;
  for (const v1::MemoryVersion& version : row->history) *response.add_versions() = version;
  *response.add_versions() = VersionOf(row->memory);
  return response;
}

absl::StatusOr<v1::DeleteMemoryResponse> InMemoryStore::DeleteMemory(
    const Access& access, const v1::DeleteMemoryRequest& request) {
  v1::DeleteMemoryResponse response;
  const auto remove = [&](Tenant* tenant) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(const Row* row,
                         Find(tenant, request.id(), request.has_viewer(), request.viewer(), true));
    if (IsShared(row->memory.scope()) && !access.admin) return SharedNeedsAdmin();
    tenant->memories.erase(request.id());
    response.set_position(Append(tenant, FeedEntry::KIND_DELETE, request.id()));
    response.set_erasure_id(NewId("era_"));
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) {
    return Once(tenant, request.request_id(), request, &response, [&] { return remove(tenant); });
  }));
  return response;
}

absl::StatusOr<v1::EraseScopeResponse> InMemoryStore::EraseScope(
    const Access& access, const v1::EraseScopeRequest& request) {
  v1::EraseScopeResponse response;
  const auto erase = [&](Tenant* tenant) {
    response.set_memories(DeleteWhere(tenant, [&](const v1::Memory& memory) {
      return IsWithin(memory.scope(), request.scope());
    }));
    response.set_conversations(
        static_cast<int64_t>(std::erase_if(tenant->conversations, [&](const auto& item) {
          return IsWithin(item.second.scope, request.scope());
        })));
    response.set_position(tenant->position);
    response.set_erasure_id(NewId("era_"));
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) {
    return Once(tenant, request.request_id(), request, &response, [&] { return erase(tenant); });
  }));
  return response;
}

absl::StatusOr<int64_t> InMemoryStore::Sweep() {
  const int64_t oldest_us = NowMicros() - absl::ToInt64Microseconds(kRequestRetention);
  int64_t n_deleted = 0;
  {
    MutexLock lock(&mutex_);
    for (auto& [tenant_id, tenant] : tenants_) {
      n_deleted +=
          DeleteWhere(&tenant, [&](const v1::Memory& memory) { return IsExpired(memory); });
      std::erase_if(tenant.requests,
                    [&](const auto& item) { return item.second.create_us < oldest_us; });
    }
  }
  signal_->Notify();
  return n_deleted;
}

absl::StatusOr<std::vector<FeedHead>> InMemoryStore::ReadHeads(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  std::vector<FeedHead> heads;
  for (const auto& [id, tenant] : tenants_) {
    if (tenant_id.empty() || tenant_id == id) heads.push_back({id, tenant.position});
  }
  return heads;
}

absl::StatusOr<FeedBatch> InMemoryStore::ReadFeed(const std::string& tenant_id,
                                                  int64_t after_position, int limit,
                                                  bool with_vectors) {
  MutexLock lock(&mutex_);
  const Tenant& tenant = tenants_[tenant_id];
  FeedBatch batch{.entries = {}, .position = after_position, .full = false};
  int n_read = 0;
  for (FeedEntry entry : tenant.feed) {
    if (entry.position() <= after_position) continue;
    if (n_read++ == limit) break;
    batch.position = entry.position();
    batch.full = n_read == limit;
    entry.set_tenant_id(tenant_id);
    if (entry.kind() == FeedEntry::KIND_UPSERT) {
      const auto found = tenant.memories.find(entry.memory_id());
      if (found == tenant.memories.end()) continue;
      const v1::Memory& memory = found->second.memory;
      *entry.mutable_scope() = memory.scope();
      entry.set_version(memory.version());
      if (memory.has_expire_time()) *entry.mutable_expire_time() = memory.expire_time();
      entry.set_pinned(memory.pinned());
      *entry.mutable_tags() = memory.tags();
      *entry.mutable_update_time() = memory.update_time();
      if (with_vectors) {
        *entry.mutable_vector() = found->second.vector;
        entry.set_text(memory.text());
      }
    }
    batch.entries.push_back(std::move(entry));
  }
  return batch;
}

void InMemoryStore::EraseTenant(const std::string& tenant_id) {
  {
    MutexLock lock(&mutex_);
    Tenant erased;
    erased.position = tenants_[tenant_id].position;
    erased.erased = true;
    Append(&erased, FeedEntry::KIND_ERASE_TENANT, "");
    tenants_[tenant_id] = std::move(erased);
  }
  signal_->Notify();
}

void InMemoryStore::OpenTenant(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  tenants_[tenant_id].erased = false;
}

}  // namespace dki::memory_store
