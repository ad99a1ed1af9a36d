// SPDX-License-Identifier: Apache-2.0
#include "services/kv/store_data_keys.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <map>
#include <utility>

#include "libs/base/check.h"
#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"

namespace dki::kv {
namespace {

using absl::StatusCode;
using memory::v1::DataKey;
using testing::StatusIs;
using Millis = std::chrono::milliseconds;

// memory_store's service over gRPC, with rows that the test may touch. One tenant.
class TestStore final : public memory::v1::DataKeyService::Service {
 public:
  TestStore() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    DKI_CHECK(server_ != nullptr);
  }
  ~TestStore() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status GetOrCreateDataKey(grpc::ServerContext*,
                                  const memory::v1::GetOrCreateDataKeyRequest* request,
                                  memory::v1::GetOrCreateDataKeyResponse* response) override {
    MutexLock lock(&mutex);
    ++n_calls;
    if (!is_up) return {grpc::StatusCode::UNAVAILABLE, "database away"};
    const DataKey& key = request->key();
    *response->mutable_key() =
        rows.try_emplace({key.user_id(), key.wrapping_key()}, key).first->second;
    return grpc::Status::OK;
  }
  grpc::Status GetDataKey(grpc::ServerContext*, const memory::v1::GetDataKeyRequest* request,
                          memory::v1::GetDataKeyResponse* response) override {
    MutexLock lock(&mutex);
    ++n_calls;
    if (!is_up) return {grpc::StatusCode::UNAVAILABLE, "database away"};
    for (const auto& [name, key] : rows) {
      if (key.key_id() != request->key_id()) continue;
      *response->mutable_key() = key;
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "destroyed"};
  }

  std::unique_ptr<memory::v1::DataKeyService::Stub> NewStub() const {
    return memory::v1::DataKeyService::NewStub(
        rpc::CreateChannel("127.0.0.1:" + std::to_string(port_)));
  }

  Mutex mutex;
  std::map<std::pair<std::string, std::string>, DataKey> rows ABSL_GUARDED_BY(mutex);
  bool is_up ABSL_GUARDED_BY(mutex) = true;
  int n_calls ABSL_GUARDED_BY(mutex) = 0;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class StoreDataKeysTest : public ::testing::Test {
 protected:
  std::unique_ptr<StoreDataKeys> Worker(char deployment_key = 'k',
                                        StoreDataKeys::Options options = {
                                            Millis(3'600'000), Millis(30'000), Millis(0)}) {
    return std::make_unique<StoreDataKeys>(store_.NewStub(),
                                           *SecretKey::FromBytes(std::string(32, deployment_key)),
                                           runtime_.get(), options);
  }
  static std::string Name(const absl::StatusOr<kvcache::DataKeys::Held>& key) {
    EXPECT_OK(key);
    return key.ok() ? (*key)->key.Fingerprint() : "";
  }
  int Calls() {
    MutexLock lock(&store_.mutex);
    return store_.n_calls;
  }
  void SetUp(bool is_up) {
    MutexLock lock(&store_.mutex);
    store_.is_up = is_up;
  }

  TestStore store_;
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting("kv");
};

TEST_F(StoreDataKeysTest, WorkersOfOneDeploymentHaveTheSameKeyPerUser) {
  const auto a = Worker(), b = Worker();
  const std::string ann = Name(a->ForUser("tenant", "ann"));
  EXPECT_EQ(Name(b->ForUser("tenant", "ann")), ann);
  EXPECT_NE(Name(a->ForUser("tenant", "bob")), ann);
  EXPECT_EQ(Name(b->ById("tenant", (*a->ForUser("tenant", "ann"))->id)), ann);
}

TEST_F(StoreDataKeysTest, AKeyIsAskedForOnce) {
  const auto worker = Worker();
  const std::string id = (*worker->ForUser("tenant", "ann"))->id;
  EXPECT_EQ(Calls(), 1);
  for (int i = 0; i < 3; ++i) {
    Name(worker->ForUser("tenant", "ann"));
    Name(worker->ById("tenant", id));
  }
  EXPECT_EQ(Calls(), 1);
}

TEST_F(StoreDataKeysTest, TheStoreNeverSeesAKey) {
  const auto worker = Worker();
  const std::string name = Name(worker->ForUser("tenant", "ann"));
  MutexLock lock(&store_.mutex);
  const DataKey& row = store_.rows.begin()->second;
  EXPECT_EQ(row.wrapped().size(), SecretKey::kSize + SecretKey::kOverhead);
  const auto as_key = SecretKey::FromBytes(row.wrapped().substr(SecretKey::kNonceSize, 32));
  EXPECT_NE(as_key->Fingerprint(), name);
}

TEST_F(StoreDataKeysTest, WhatWasForgottenIsAskedForAgainAndWhatWasDestroyedIsGone) {
  const auto worker = Worker();
  const std::string id = (*worker->ForUser("tenant", "ann"))->id;
  {
    MutexLock lock(&store_.mutex);
    store_.rows.clear();
  }
  EXPECT_OK(worker->ById("tenant", id)) << "still held";
  worker->Forget("other");
  EXPECT_OK(worker->ById("tenant", id));
  worker->Forget("tenant");
  EXPECT_THAT(worker->ById("tenant", id).status(), StatusIs(StatusCode::kNotFound));
  EXPECT_NE((*worker->ForUser("tenant", "ann"))->id, id);
}

TEST_F(StoreDataKeysTest, AnOpenedKeyIsUsedForItsLifetimeOnly) {
  const auto worker = Worker('k', {Millis(0), Millis(30'000), Millis(0)});
  const std::string id = (*worker->ForUser("tenant", "ann"))->id;
  {
    MutexLock lock(&store_.mutex);
    store_.rows.clear();
  }
  EXPECT_THAT(worker->ById("tenant", id).status(), StatusIs(StatusCode::kNotFound));
}

TEST_F(StoreDataKeysTest, AStoreThatIsAwayIsAskedOnceAndThenLeftAlone) {
  const auto worker = Worker('k', {Millis(3'600'000), Millis(30'000), Millis(3'600'000)});
  SetUp(false);
  EXPECT_TRUE(worker->IsUp());
  EXPECT_THAT(worker->ForUser("tenant", "ann").status(), StatusIs(StatusCode::kUnavailable));
  EXPECT_FALSE(worker->IsUp());
  EXPECT_THAT(worker->ForUser("tenant", "ann").status(), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(Calls(), 1);
}

TEST_F(StoreDataKeysTest, ItComesBackAfterTheRest) {
  const auto worker = Worker();
  SetUp(false);
  EXPECT_FALSE(worker->ForUser("tenant", "ann").ok());
  SetUp(true);
  EXPECT_OK(worker->ForUser("tenant", "ann"));
}

TEST_F(StoreDataKeysTest, RowsCannotBeSwapped) {
  Name(Worker()->ForUser("tenant", "ann"));
  const std::string bob_id = (*Worker()->ForUser("tenant", "bob"))->id;
  {
    MutexLock lock(&store_.mutex);
    auto ann = store_.rows.begin(), bob = std::next(ann);
    bob->second.set_wrapped(ann->second.wrapped());
  }
  EXPECT_THAT(Worker()->ForUser("tenant", "bob").status(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(Worker()->ById("tenant", bob_id).status(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(Worker()->ById("another tenant", bob_id).status(),
              StatusIs(StatusCode::kUnavailable));
}

TEST_F(StoreDataKeysTest, AnotherDeploymentKeyBeginsAnew) {
  const std::string id = (*Worker('k')->ForUser("tenant", "ann"))->id;
  const auto replaced = Worker('x');
  EXPECT_THAT(replaced->ById("tenant", id).status(), StatusIs(StatusCode::kNotFound));
  EXPECT_NE((*replaced->ForUser("tenant", "ann"))->id, id);
  EXPECT_EQ((*Worker('k')->ForUser("tenant", "ann"))->id, id);
}

}  // namespace
}  // namespace dki::kv
