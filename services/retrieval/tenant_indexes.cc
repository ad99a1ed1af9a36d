// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/tenant_indexes.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "libs/search/duplicates.h"
#include "libs/telemetry/log.h"

namespace dki::retrieval {

using memory::v1::FeedEntry;

namespace {

static_assert(std::endian::native == std::endian::little, "vectors travel as little-endian");

// How often a waiting search looks whether its client has gone.
constexpr std::chrono::milliseconds kCancelCheck(50);

std::vector<float> DecodeVector(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

IndexedMemory MemoryOf(const FeedEntry& entry) {
  IndexedMemory memory;
  memory.id = entry.memory_id();
  memory.version = entry.version();
  memory.scope = {entry.scope().user_id(), entry.scope().session_id(), entry.scope().agent_id()};
  memory.tags.assign(entry.tags().begin(), entry.tags().end());
  if (entry.has_expire_time()) {
    memory.expire_time = absl::FromUnixSeconds(entry.expire_time().seconds()) +
                         absl::Nanoseconds(entry.expire_time().nanos());
  }
  memory.pinned = entry.pinned();
  memory.signature = search::Signature(entry.text());
  memory.update_time = absl::FromUnixSeconds(entry.update_time().seconds()) +
                       absl::Nanoseconds(entry.update_time().nanos());
  return memory;
}

// Waits until `condition` holds. REQUIRES: `mutex` is held.
template <typename Condition>
absl::Status Await(Mutex* mutex, CondVar* changed, const Patience& patience,
                   const Condition& condition) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  while (!condition()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        patience.until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Unavailable("not in time");
    if (patience.is_cancelled()) return Cancelled("the client cancelled the search");
    changed->WaitFor(mutex, std::min(left, kCancelCheck));
  }
  return absl::OkStatus();
}

}  // namespace

TenantIndexes::TenantIndexes(IndexFactory factory, std::string embedding_fingerprint,
                             const Clock* clock, telemetry::Metrics* metrics)
    : factory_(std::move(factory)),
      embedding_fingerprint_(std::move(embedding_fingerprint)),
      clock_(clock),
      metrics_(metrics) {}

TenantIndexes::Tenant* TenantIndexes::GetTenant(const std::string& tenant_id) const {
  MutexLock lock(&mutex_);
  std::unique_ptr<Tenant>& tenant = tenants_[tenant_id];
  if (tenant == nullptr) {
    tenant = std::make_unique<Tenant>();
    MutexLock tenant_lock(&tenant->mutex);
    tenant->index = std::make_unique<HybridIndex>(factory_());
  }
  return tenant.get();
}

int64_t TenantIndexes::Apply(const FeedEntry& entry) {
  int64_t n_removed = 0;
  Tenant* tenant = GetTenant(entry.tenant_id());
  MutexLock lock(&tenant->mutex);
  switch (entry.kind()) {
    case FeedEntry::KIND_UPSERT:
      Upsert(entry, tenant->index.get());
      break;
    case FeedEntry::KIND_DELETE:
      n_removed = tenant->index->Remove(entry.memory_id()) ? 1 : 0;
      break;
    case FeedEntry::KIND_ERASE_TENANT:
      n_removed = tenant->index->size();
      tenant->index->Clear();
      break;
    default:  // KIND_CAUGHT_UP, and kinds of a newer store that change no memory
      break;
  }
  tenant->position = std::max(tenant->position, entry.position());
  tenant->advanced.NotifyAll();
  return n_removed;
}

void TenantIndexes::Upsert(const FeedEntry& entry, HybridIndex* index) const {
  // Whatever is wrong with the new vector, the old one no longer speaks for the memory.
  if (entry.vector().embedding_fingerprint() != embedding_fingerprint_) {
    index->Remove(entry.memory_id());
    CountSkipped("embedding_model");
    return;
  }
  const absl::Status status =
      index->Upsert(MemoryOf(entry), DecodeVector(entry.vector().values()), entry.text());
  if (!status.ok()) {
    index->Remove(entry.memory_id());
    CountSkipped("bad_vector");
    log::Warning("vector skipped", {{"tenant", entry.tenant_id()},
                                    {"memory_id", entry.memory_id()},
                                    {"error", ToString(status)}});
  }
}

void TenantIndexes::CountSkipped(const char* reason) const {
  metrics_
      ->GetCounter("dki_retrieval_vectors_skipped_total",
                   "Vectors of the feed that are not in the index.", {{"reason", reason}})
      ->Increment();
}

void TenantIndexes::SetCaughtUp() {
  MutexLock lock(&mutex_);
  caught_up_ = true;
  caught_up_changed_.NotifyAll();
}

void TenantIndexes::Reset() {
  MutexLock lock(&mutex_);
  caught_up_ = false;
  for (auto& [id, tenant] : tenants_) {
    MutexLock tenant_lock(&tenant->mutex);
    tenant->index->Clear();
    tenant->position = 0;
  }
}

std::map<std::string, int64_t> TenantIndexes::Positions() const {
  std::map<std::string, int64_t> positions;
  MutexLock lock(&mutex_);
  for (const auto& [id, tenant] : tenants_) {
    MutexLock tenant_lock(&tenant->mutex);
    if (tenant->position > 0) positions[id] = tenant->position;
  }
  return positions;
}

absl::Status TenantIndexes::WaitCaughtUp(const Patience& patience) const {
  MutexLock lock(&mutex_);
  const absl::Status status =
      Await(&mutex_, &caught_up_changed_, patience, [this] { return caught_up_.load(); });
  if (!absl::IsUnavailable(status)) return status;
  return Unavailable("the index is being built from the feed; retry");
}

absl::StatusOr<TenantIndexes::Result> TenantIndexes::Search(const Query& query,
                                                            const Patience& patience) const {
  DKI_RETURN_IF_ERROR(WaitCaughtUp(patience));
  const Tenant* tenant = GetTenant(query.tenant_id);
  if (StatusOf(query.tenant_id).position < query.min_position) patience.on_wait();
  MutexLock lock(&tenant->mutex);
  const absl::Status status =
      Await(&tenant->mutex, &tenant->advanced, patience, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return caught_up_ && tenant->position >= query.min_position;
      });
  if (absl::IsUnavailable(status)) {
    return Unavailable("the index has reached feed position %d, min_position is %d; retry",
                       tenant->position, query.min_position);
  }
  DKI_RETURN_IF_ERROR(status);
  const HybridIndex::Query search{.vector = query.vector,
                                  .words = query.words,
                                  .k = query.k,
                                  .threshold = query.threshold,
                                  .filter = {query.scope, clock_->Now(), query.tag, query.ids},
                                  .ranking = query.ranking,
                                  .without_duplicates = query.without_duplicates};
  DKI_ASSIGN_OR_RETURN(HybridIndex::Result found, tenant->index->Search(search));
  return Result{std::move(found.hits), found.n_below_threshold, tenant->position};
}

bool TenantIndexes::RunUpkeep() {
  std::vector<Tenant*> tenants;
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, tenant] : tenants_) tenants.push_back(tenant.get());
  }
  bool had_work = false;
  for (Tenant* tenant : tenants) {
    VectorIndex::Upkeep upkeep;
    {
      MutexLock lock(&tenant->mutex);
      upkeep = tenant->index->NextUpkeep();
    }
    if (!upkeep) continue;
    const std::function<void()> finish = upkeep();
    MutexLock lock(&tenant->mutex);
    finish();
    had_work = true;
  }
  return had_work;
}

TenantIndexes::TenantStatus TenantIndexes::StatusOf(const std::string& tenant_id) const {
  MutexLock lock(&mutex_);
  const auto found = tenants_.find(tenant_id);
  if (found == tenants_.end()) return {};
  MutexLock tenant_lock(&found->second->mutex);
  return {found->second->position, found->second->index->size()};
}

}  // namespace dki::retrieval
