// SPDX-License-Identifier: Apache-2.0
// Purpose: feed entries, an embedder without a model, and a memory_store with nothing but a feed,
// for the tests of retrieval.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/model/embedder.h"
#include "libs/rpc/call.h"
#include "libs/rpc/run_service.h"

namespace dki::retrieval {

constexpr char kTestFingerprint[] = "f00d";

// Unit vectors that depend on the text alone; the same text is the same vector, others are
// unrelated.
class FakeEmbedder : public model::Embedder {
 public:
  static constexpr int kDimension = 16;

  static std::vector<float> VectorOf(const std::string& text) {
    std::seed_seq seed(text.begin(), text.end());
    std::mt19937 random(seed);
    std::vector<float> vector(kDimension);
    float sum = 0;
    for (float& value : vector) {
      value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
      sum += value * value;
    }
    for (float& value : vector) value /= std::sqrt(sum);
    return vector;
  }

  int dimension() const override { return kDimension; }
  const std::string& fingerprint() const override { return fingerprint_; }
  absl::StatusOr<std::vector<std::vector<float>>> Embed(
      const std::vector<std::string>& texts) override {
    std::vector<std::vector<float>> vectors;
    for (const std::string& text : texts) vectors.push_back(VectorOf(text));
    return vectors;
  }

 private:
  const std::string fingerprint_ = kTestFingerprint;
};

inline memory::v1::FeedEntry Entry(const std::string& tenant_id, int64_t position,
                                   memory::v1::FeedEntry::Kind kind) {
  memory::v1::FeedEntry entry;
  entry.set_tenant_id(tenant_id);
  entry.set_position(position);
  entry.set_kind(kind);
  return entry;
}

// The memory `id` with the vector and the words of `text`.
inline memory::v1::FeedEntry UpsertEntry(const std::string& tenant_id, int64_t position,
                                         const std::string& id, const std::string& text) {
  memory::v1::FeedEntry entry = Entry(tenant_id, position, memory::v1::FeedEntry::KIND_UPSERT);
  entry.set_memory_id(id);
  entry.set_version(1);
  entry.set_text(text);
  const std::vector<float> vector = FakeEmbedder::VectorOf(text);
  entry.mutable_vector()->set_values(vector.data(), vector.size() * sizeof(float));
  entry.mutable_vector()->set_embedding_fingerprint(kTestFingerprint);
  return entry;
}

inline memory::v1::FeedEntry DeleteEntry(const std::string& tenant_id, int64_t position,
                                         const std::string& id) {
  memory::v1::FeedEntry entry = Entry(tenant_id, position, memory::v1::FeedEntry::KIND_DELETE);
  entry.set_memory_id(id);
  return entry;
}

// The feed as memory_store sends it, from a list.
class FakeMemoryStore final : public memory::v1::MemoryStoreService::Service,
                              public rpc::ServiceInstance {
 public:
  explicit FakeMemoryStore(rpc::ServiceRuntime* runtime) : runtime_(runtime) {}

  void Add(memory::v1::FeedEntry entry) {
    MutexLock lock(&mutex_);
    entries_.push_back(std::move(entry));
    changed_.NotifyAll();
  }
  // Replaces the database by another one and ends all streams.
  void Replace(std::vector<memory::v1::FeedEntry> entries) {
    MutexLock lock(&mutex_);
    entries_ = std::move(entries);
    ++epoch_;
    changed_.NotifyAll();
  }
  void BreakStreams() {
    MutexLock lock(&mutex_);
    ++epoch_;
    changed_.NotifyAll();
  }
  // The starts of every stream so far, waiting until there are `n`.
  std::vector<std::map<std::string, int64_t>> WaitForStreams(size_t n) {
    MutexLock lock(&mutex_);
    while (starts_.size() < n) changed_.Wait(&mutex_);
    return starts_;
  }

  grpc::Status FollowFeed(grpc::ServerContext* context,
                          const memory::v1::FollowFeedRequest* request,
                          grpc::ServerWriter<memory::v1::FollowFeedResponse>* writer) override {
    return rpc::Handle(*runtime_, context, "FollowFeed", rpc::Requirement::ClusterOnly(),
                       [&](const rpc::Call& call) { return Follow(call, *request, writer); });
  }

  grpc::Status WakeFeed(grpc::ServerContext* context, const memory::v1::WakeFeedRequest*,
                        memory::v1::WakeFeedResponse*) override {
    return rpc::Handle(*runtime_, context, "WakeFeed", rpc::Requirement::ClusterOnly(),
                       [&](const rpc::Call&) {
                         if (on_wake) on_wake();
                         return absl::OkStatus();
                       });
  }
  // Set before the first search.
  std::function<void()> on_wake;

  std::vector<grpc::Service*> services() override { return {this}; }
  absl::Status Start() override { return absl::OkStatus(); }
  void Drain() override { BreakStreams(); }

 private:
  absl::Status Follow(const rpc::Call& call, const memory::v1::FollowFeedRequest& request,
                      grpc::ServerWriter<memory::v1::FollowFeedResponse>* writer) {
    std::map<std::string, int64_t> positions;
    for (const auto& start : request.starts())
      positions[start.tenant_id()] = start.after_position();
    MutexLock lock(&mutex_);
    starts_.push_back(positions);
    changed_.NotifyAll();
    for (const auto& [tenant_id, position] : positions) {
      if (position > Head(tenant_id)) return OutOfRange("position beyond the head");
    }
    const int epoch = epoch_;
    size_t next = 0;
    bool announced = false;
    while (epoch == epoch_) {
      memory::v1::FollowFeedResponse response;
      for (; next < entries_.size(); ++next) {
        const memory::v1::FeedEntry& entry = entries_[next];
        if (entry.position() > positions[entry.tenant_id()]) *response.add_entries() = entry;
      }
      if (!std::exchange(announced, true)) {
        *response.add_entries() = Entry("", 0, memory::v1::FeedEntry::KIND_CAUGHT_UP);
      }
      if (response.entries_size() > 0) writer->Write(response);
      if (call.IsCancelled()) return Cancelled("the reader has gone");
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(10));
    }
    return Unavailable("stream broken");
  }
  int64_t Head(const std::string& tenant_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    int64_t head = 0;
    for (const auto& entry : entries_) {
      if (entry.tenant_id() == tenant_id) head = std::max(head, entry.position());
    }
    return head;
  }

  rpc::ServiceRuntime* const runtime_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<memory::v1::FeedEntry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::map<std::string, int64_t>> starts_ ABSL_GUARDED_BY(mutex_);
  int epoch_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dki::retrieval
