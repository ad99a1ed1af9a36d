// SPDX-License-Identifier: Apache-2.0
// memory_store's change feed over gRPC, with what a test puts into it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <vector>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/check.h"
#include "libs/base/mutex.h"

namespace dki::kv {

class TestFeed final : public memory::v1::MemoryStoreService::Service {
 public:
  TestFeed() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    DKI_CHECK(server_ != nullptr);
  }
  ~TestFeed() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Returns its position.
  int64_t Add(memory::v1::FeedEntry::Kind kind, const std::string& memory_id, int64_t version = 1,
              const std::string& tenant_id = "tenant") {
    MutexLock lock(&mutex_);
    memory::v1::FeedEntry entry;
    entry.set_tenant_id(tenant_id);
    entry.set_kind(kind);
    entry.set_memory_id(memory_id);
    entry.set_version(version);
    entry.set_position(static_cast<int64_t>(entries_.size()) + 1);
    entries_.push_back(entry);
    return entry.position();
  }
  // Another database: empty, so that whoever was ahead is told to start over.
  void Replace() {
    MutexLock lock(&mutex_);
    entries_.clear();
  }

  grpc::Status FollowFeed(grpc::ServerContext* context,
                          const memory::v1::FollowFeedRequest* request,
                          grpc::ServerWriter<memory::v1::FollowFeedResponse>* writer) override {
    std::map<std::string, int64_t> positions;
    for (const auto& start : request->starts())
      positions[start.tenant_id()] = start.after_position();
    size_t next = 0;
    while (!context->IsCancelled()) {
      MutexLock lock(&mutex_);
      for (const auto& [tenant_id, position] : positions) {
        if (position > static_cast<int64_t>(entries_.size())) {
          return {grpc::StatusCode::OUT_OF_RANGE, "start from 0"};
        }
      }
      for (; next < entries_.size(); ++next) {
        const memory::v1::FeedEntry& entry = entries_[next];
        if (entry.position() <= positions[entry.tenant_id()]) continue;
        memory::v1::FollowFeedResponse response;
        *response.add_entries() = entry;
        writer->Write(response);
        positions[entry.tenant_id()] = entry.position();
      }
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(5));
    }
    return grpc::Status::CANCELLED;
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<memory::v1::FeedEntry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kv
