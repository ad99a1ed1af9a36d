// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/data_keys.h"

#include <gmock/gmock.h>

#include "services/memory_store/repository_fixture.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using testing::StatusIs;

constexpr DataKeyStore::Deadline kNoDeadline = DataKeyStore::Deadline::max();

memory::v1::DataKey Key(const std::string& user_id, char id,
                        const std::string& wrapping_key = "w1") {
  memory::v1::DataKey key;
  key.set_user_id(user_id);
  key.set_wrapping_key(wrapping_key);
  key.set_key_id(std::string(16, id));
  key.set_wrapped(std::string("sealed\0", 7) + id);
  return key;
}

class DataKeysTest : public ::testing::Test {
 protected:
  DataKeysTest() {
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(),
                              std::chrono::system_clock::now() + std::chrono::seconds(30)));
  }
  memory::v1::DataKey Create(const std::string& tenant_id, const memory::v1::DataKey& proposed) {
    const auto key = keys_.GetOrCreate(tenant_id, proposed, kNoDeadline);
    EXPECT_OK(key);
    return key.ok() ? *key : memory::v1::DataKey();
  }
  bool Exists(const std::string& tenant_id, char id) {
    const auto key = keys_.Get(tenant_id, std::string(16, id), kNoDeadline);
    EXPECT_TRUE(key.ok() || absl::IsNotFound(key.status())) << ToString(key.status());
    return key.ok();
  }
  v1::EraseScopeResponse EraseScope(const common::v1::Scope& scope) {
    v1::EraseScopeRequest request;
    request.set_request_id("erase " + std::to_string(++n_requests_));
    *request.mutable_scope() = scope;
    const auto response = memories_.EraseScope({.tenant_id = "a", .admin = true}, request);
    EXPECT_OK(response);
    return response.ok() ? *response : v1::EraseScopeResponse();
  }

  Database database_{{.connection_string = testing::TestPostgres::Get().CreateDatabase()}};
  FakeClock clock_;
  FeedSignal signal_;
  DataKeyStore keys_{&database_, &clock_};
  PostgresMemoryRepository memories_{&database_, &signal_, &clock_};
  int n_requests_ = 0;
};

TEST_F(DataKeysTest, TheFirstKeyOfAUserStays) {
  const memory::v1::DataKey first = Key("ann", '1');
  EXPECT_EQ(Create("a", first).SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(Create("a", Key("ann", '2')).SerializeAsString(), first.SerializeAsString());
  EXPECT_FALSE(Exists("a", '2'));
  ASSERT_OK_AND_ASSIGN(const auto found, keys_.Get("a", std::string(16, '1'), kNoDeadline));
  EXPECT_EQ(found.SerializeAsString(), first.SerializeAsString());
  // Other users, wrapping keys and tenants have others.
  EXPECT_EQ(Create("a", Key("", '3')).key_id(), std::string(16, '3'));
  EXPECT_EQ(Create("a", Key("ann", '4', "w2")).key_id(), std::string(16, '4'));
  EXPECT_EQ(Create("b", Key("ann", '5')).key_id(), std::string(16, '5'));
  EXPECT_FALSE(Exists("b", '1'));
}

TEST_F(DataKeysTest, ErasingAUserDestroysTheirKeys) {
  Create("a", Key("ann", '1'));
  Create("a", Key("ann", '2', "w2"));
  Create("a", Key("bob", '3'));
  Create("a", Key("", '4'));
  EXPECT_EQ(EraseScope(UserScope("ann", "session")).data_keys(), 0) << "only a part of the user";
  EXPECT_EQ(EraseScope(UserScope("", "session")).data_keys(), 0);
  EXPECT_TRUE(Exists("a", '1'));
  EXPECT_EQ(EraseScope(UserScope("ann")).data_keys(), 2);
  EXPECT_FALSE(Exists("a", '1'));
  EXPECT_FALSE(Exists("a", '2'));
  EXPECT_TRUE(Exists("a", '3'));
  EXPECT_TRUE(Exists("a", '4'));
}

TEST_F(DataKeysTest, ErasingATenantDestroysAllItsKeysAndRefusesNewOnes) {
  Create("a", Key("ann", '1'));
  Create("a", Key("", '2'));
  Create("b", Key("", '3'));
  ASSERT_OK(database_.Transact(kNoDeadline, [](pqxx::work& work) {
    EraseTenantMemories(work, "a");
    return absl::OkStatus();
  }));
  EXPECT_FALSE(Exists("a", '1'));
  EXPECT_FALSE(Exists("a", '2'));
  EXPECT_TRUE(Exists("b", '3'));
  EXPECT_THAT(keys_.GetOrCreate("a", Key("ann", '4'), kNoDeadline).status(),
              StatusIs(StatusCode::kNotFound));
}

TEST_F(DataKeysTest, KeysCanBeDestroyedByThemselves) {
  Create("a", Key("ann", '1'));
  ASSERT_OK_AND_ASSIGN(const int64_t destroyed, keys_.DestroyUser("a", "ann", kNoDeadline));
  EXPECT_EQ(destroyed, 1);
  EXPECT_FALSE(Exists("a", '1'));
  EXPECT_EQ(Create("a", Key("ann", '2')).key_id(), std::string(16, '2'));
}

}  // namespace
}  // namespace dki::memory_store
