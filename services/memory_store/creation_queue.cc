// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/creation_queue.h"

#include <algorithm>
#include <optional>

#include "services/memory_store/memory_rules.h"
#include "services/memory_store/postgres_rows.h"

namespace dki::memory_store {
namespace {

// One transaction while another one's commit reaches the disk.
constexpr int kMaxRunning = 2;
constexpr size_t kMaxGroup = 64;
// How long one waits for others to go with.
constexpr std::chrono::milliseconds kGatherTime{1};

// migrations/0004_create_memories.sql: the rows that it has created.
constexpr Statement kCreateMemories{"create_memories", R"(
    SELECT row_number, new_position
      FROM create_memories($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[],
                           $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                           $12::text[], $13::int[], $14::boolean[], $15::int[], $16::bigint[],
                           $17::int[], $18::int[], $19, $20::text[]))"};

// All of one request: migrations/0003_create_memory.sql.
constexpr Statement kCreateMemory{"create_memory", R"(
    SELECT outcome, memory_id, new_position, is_new, old_response
      FROM create_memory($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text[], $12, $13, $14, $15,
                         $16, $17, $18))"};

int64_t ExpiryMicros(const v1::Memory& memory) {
  return memory.has_expire_time() ? ToMicros(memory.expire_time()) : 0;
}

// An array parameter.
class Column {
 public:
  void Add(const std::string& value) { *values_.Add() = value; }
  void Add(int64_t value) { Add(std::to_string(value)); }
  std::string Array() const { return ToTextArray(values_); }

 private:
  google::protobuf::RepeatedPtrField<std::string> values_;
};

// What two of a group must not have in common: see create_memories.
std::vector<std::string> Claims(const Creation& creation) {
  const common::v1::Scope& scope = creation.memory->scope();
  std::string content = "content";
  for (const std::string* part : {&creation.tenant_id, &scope.user_id(), &scope.session_id(),
                                  &scope.agent_id(), &creation.memory->content_hash()}) {
    content.append(1, '\0').append(*part);
  }
  std::string request = "request";
  request.append(1, '\0').append(creation.tenant_id).append(1, '\0').append(creation.request_id);
  return {std::move(request), std::move(content)};
}

}  // namespace

struct CreationQueue::Entry {
  Entry(const Creation& the_creation, Database::Deadline the_deadline)
      : creation(the_creation), deadline(the_deadline), claims(Claims(the_creation)) {}

  const Creation& creation;
  const Database::Deadline deadline;
  // Set when it could go for the first time.
  std::optional<std::chrono::steady_clock::time_point> gathers_until;
  const std::vector<std::string> claims;
  enum class State { kWaiting, kRunning, kDone } state = State::kWaiting;
  CondVar changed;
  // None when it must be done alone.
  std::optional<absl::StatusOr<Created>> result;
};

absl::StatusOr<Created> CreationQueue::Create(const Creation& creation,
                                              Database::Deadline deadline) {
  Entry entry(creation, deadline);
  std::vector<Entry*> group;
  {
    MutexLock lock(&mutex_);
    waiting_.push_back(&entry);
    n_lately_ = std::max(n_lately_, ++n_under_way_);
    while (entry.state == Entry::State::kWaiting) {
      group = TakeGroup(&entry);
      if (!group.empty()) break;
      const auto left = Remaining(deadline);
      if (left.count() <= 0) {
        waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &entry));
        --n_under_way_;
        WakeLeader();  // this may have been told to lead
        return Unavailable("database: the creations before this one are not done");
      }
      entry.changed.WaitFor(&mutex_, MayLead(entry) ? std::min(left, kGatherTime) : left);
    }
    while (group.empty() && entry.state == Entry::State::kRunning) entry.changed.Wait(&mutex_);
  }
  if (!group.empty()) {
    RunGroup(group);
    MutexLock lock(&mutex_);
    --n_running_;
    n_under_way_ -= static_cast<int>(group.size());
    for (Entry* member : group) {
      running_tenants_.erase(member->creation.tenant_id);
      member->state = Entry::State::kDone;
      member->changed.NotifyOne();
    }
    WakeLeader();
  }
  if (entry.result.has_value()) return *std::move(entry.result);
  return CreateAlone(creation, deadline);
}

int CreationQueue::n_waiting() {
  MutexLock lock(&mutex_);
  return static_cast<int>(waiting_.size());
}

bool CreationQueue::MayLead(const Entry& entry) const {
  return n_running_ < kMaxRunning && running_tenants_.count(entry.creation.tenant_id) == 0;
}

int CreationQueue::UsualGroup() const {
  return (n_lately_ + kMaxRunning - 1) / kMaxRunning;
}

std::vector<CreationQueue::Entry*> CreationQueue::TakeGroup(Entry* leader) {
  std::vector<Entry*> group;
  if (!MayLead(*leader)) return group;
  if (static_cast<int>(waiting_.size()) < UsualGroup()) {
    const auto now = std::chrono::steady_clock::now();
    if (!leader->gathers_until) leader->gathers_until = now + kGatherTime;
    if (now < *leader->gathers_until) return group;
  }
  // Whoever has stopped coming is forgotten after some groups.
  n_lately_ = std::max(n_under_way_, n_lately_ - 1);
  std::set<std::string> claimed;
  const auto now = std::chrono::system_clock::now();
  const auto take = [&](Entry* entry) {
    if (group.size() == kMaxGroup || running_tenants_.count(entry->creation.tenant_id) > 0 ||
        std::any_of(entry->claims.begin(), entry->claims.end(),
                    [&](const std::string& claim) { return claimed.count(claim) > 0; })) {
      return false;
    }
    claimed.insert(entry->claims.begin(), entry->claims.end());
    entry->state = Entry::State::kRunning;
    group.push_back(entry);
    return true;
  };
  take(leader);
  std::deque<Entry*> left;
  for (Entry* entry : waiting_) {
    if (entry == leader || (entry->deadline > now && take(entry))) continue;
    left.push_back(entry);
  }
  waiting_ = std::move(left);
  for (const Entry* entry : group) running_tenants_.insert(entry->creation.tenant_id);
  ++n_running_;
  WakeLeader();  // of other tenants
  return group;
}

void CreationQueue::WakeLeader() {
  for (Entry* entry : waiting_) {
    if (!MayLead(*entry)) continue;
    entry->changed.NotifyOne();
    return;
  }
}

void CreationQueue::RunGroup(const std::vector<Entry*>& group) {
  Column tenants, request_ids, hashes, times, ids, users, sessions, agents, texts, content_hashes,
      tags, metadatas, source_classes, pins, priorities, expiries, vector_begins, vector_ends,
      fingerprints;
  std::string vectors;
  Database::Deadline deadline = group.front()->deadline;
  for (const Entry* entry : group) {
    const Creation& creation = entry->creation;
    const v1::Memory& memory = *creation.memory;
    deadline = std::max(deadline, entry->deadline);
    tenants.Add(creation.tenant_id);
    request_ids.Add(creation.request_id);
    hashes.Add(creation.request_hash);
    times.Add(creation.now_us);
    ids.Add(memory.id());
    users.Add(memory.scope().user_id());
    sessions.Add(memory.scope().session_id());
    agents.Add(memory.scope().agent_id());
    texts.Add(memory.text());
    content_hashes.Add(memory.content_hash());
    tags.Add(ToTextArray(memory.tags()));
    metadatas.Add(MetadataJson(memory));
    source_classes.Add(static_cast<int64_t>(memory.source_class()));
    pins.Add(memory.pinned() ? "t" : "f");
    priorities.Add(memory.priority());
    expiries.Add(ExpiryMicros(memory));
    vector_begins.Add(static_cast<int64_t>(vectors.size()));
    vectors += creation.vector->values();
    vector_ends.Add(static_cast<int64_t>(vectors.size()));
    fingerprints.Add(creation.vector->embedding_fingerprint());
  }
  std::vector<Created> created(group.size());  // position 0: not created
  const absl::Status status =
      database_->Write(deadline, [&](pqxx::transaction_base& work) -> absl::Status {
        created.assign(group.size(), Created());
        for (const pqxx::row& row :
             Exec(work, kCreateMemories, tenants.Array(), request_ids.Array(), hashes.Array(),
                  times.Array(), ids.Array(), users.Array(), sessions.Array(), agents.Array(),
                  texts.Array(), content_hashes.Array(), tags.Array(), metadatas.Array(),
                  source_classes.Array(), pins.Array(), priorities.Array(), expiries.Array(),
                  vector_begins.Array(), vector_ends.Array(), pqxx::binarystring(vectors),
                  fingerprints.Array())) {
          Created& one = created[row[0].as<size_t>() - 1];
          one.position = row[1].as<int64_t>();
          one.created = true;
        }
        return absl::OkStatus();
      });
  for (size_t i = 0; i < group.size(); ++i) {
    if (status.ok() && created[i].created) {
      created[i].memory_id = group[i]->creation.memory->id();
      group[i]->result = std::move(created[i]);
    } else if (!status.ok() && !absl::IsInternal(status)) {
      group[i]->result = status;
    }
    // An internal error is one row's, and nothing is committed: each alone has its own.
  }
}

absl::StatusOr<Created> CreationQueue::CreateAlone(const Creation& creation,
                                                   Database::Deadline deadline) {
  const v1::Memory& memory = *creation.memory;
  const common::v1::Scope& scope = memory.scope();
  Created created;
  DKI_RETURN_IF_ERROR(database_->Write(deadline, [&](pqxx::transaction_base& work) -> absl::Status {
    created = Created();
    const pqxx::row row =
        Exec(work, kCreateMemory, creation.tenant_id, creation.request_id, creation.request_hash,
             creation.now_us, memory.id(), scope.user_id(), scope.session_id(), scope.agent_id(),
             memory.text(), memory.content_hash(), ToTextArray(memory.tags()), MetadataJson(memory),
             static_cast<int>(memory.source_class()), memory.pinned(), memory.priority(),
             ExpiryMicros(memory), pqxx::binarystring(creation.vector->values()),
             creation.vector->embedding_fingerprint())[0];
    const std::string outcome = row[0].c_str();
    if (outcome == "erased") return TenantNotFound(creation.tenant_id);
    if (outcome == "reused") return RequestIdReused(creation.request_id);
    if (!row[4].is_null()) {
      created.old_response = pqxx::binarystring(row[4]).str();
      return absl::OkStatus();
    }
    created.memory_id = row[1].c_str();
    created.position = row[2].as<int64_t>();
    created.created = row[3].as<bool>();
    return absl::OkStatus();
  }));
  return created;
}

}  // namespace dki::memory_store
