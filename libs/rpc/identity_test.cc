// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/identity.h"

#include <sys/stat.h>

#include "libs/base/file.h"
#include "libs/rpc/authenticate.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::rpc {
namespace {

using ::dki::testing::StatusIs;
using ::testing::HasSubstr;

const ClusterKey kKey = ClusterKey::FromBytes(std::string(32, 'k'));
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

Caller SomeCaller() {
  Caller caller;
  caller.tenant_id = "acme";
  caller.key_id = "key_1";
  caller.permissions = {Permission::kChat, Permission::kMemoryRead};
  return caller;
}

// Metadata as a server sees it; the strings must live longer than the map.
class SignedMetadata {
 public:
  SignedMetadata(const ClusterKey& key, const Caller& caller, absl::Time issued) {
    const int64_t ms = absl::ToUnixMillis(issued);
    values_ = {{"dki-tenant", caller.tenant_id},
               {"dki-key-id", caller.key_id},
               {"dki-permissions", "chat,memory:read"},
               {"dki-issued", std::to_string(ms)},
               {"x-request-id", "r-1"},
               {"dki-signature", key.Sign(caller, "r-1", ms)}};
  }
  std::string& operator[](const std::string& name) { return values_[name]; }
  void Remove(const std::string& name) { values_.erase(name); }

  absl::StatusOr<Caller> Authenticate(absl::Time now, const KeyVerifier& verifier = nullptr) const {
    Metadata metadata;
    for (const auto& [name, value] : values_) metadata.emplace(name, value);
    return rpc::Authenticate(metadata, kKey, verifier, now);
  }

 private:
  std::map<std::string, std::string> values_;
};

TEST(ClusterKeyTest, SignatureCoversEveryField) {
  const Caller caller = SomeCaller();
  const std::string signature = kKey.Sign(caller, "r-1", 5);
  EXPECT_TRUE(kKey.Verify(caller, "r-1", 5, signature));

  Caller changed = caller;
  changed.tenant_id = "acmf";
  EXPECT_FALSE(kKey.Verify(changed, "r-1", 5, signature));
  changed = caller;
  changed.key_id = "";
  EXPECT_FALSE(kKey.Verify(changed, "r-1", 5, signature));
  changed = caller;
  changed.permissions.insert(Permission::kAdmin);
  EXPECT_FALSE(kKey.Verify(changed, "r-1", 5, signature));
  EXPECT_FALSE(kKey.Verify(caller, "r-2", 5, signature));
  EXPECT_FALSE(kKey.Verify(caller, "r-1", 6, signature));
  EXPECT_FALSE(kKey.Verify(caller, "r-1", 5, signature.substr(1)));
  EXPECT_FALSE(kKey.Verify(caller, "r-1", 5, ""));
  EXPECT_FALSE(ClusterKey::FromBytes(std::string(32, 'x')).Verify(caller, "r-1", 5, signature));
}

TEST(ClusterKeyTest, BytesCannotMoveBetweenFields) {
  Caller a, b;
  a.tenant_id = "ab";
  a.key_id = "c";
  b.tenant_id = "a";
  b.key_id = "bc";
  EXPECT_NE(kKey.Sign(a, "r", 1), kKey.Sign(b, "r", 1));
}

TEST(ClusterKeyTest, LoadsOnlyAPrivateFileOf64Digits) {
  const testing::TempDir dir;
  const std::string path = dir.File("key");
  ASSERT_OK(WriteFileAtomically(path, std::string(64, '6') + "\n", 0600));
  ASSERT_OK_AND_ASSIGN(const ClusterKey key, ClusterKey::Load(path));
  EXPECT_EQ(key.Sign({}, "", 0), ClusterKey::FromBytes(std::string(32, 'f')).Sign({}, "", 0));

  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(ClusterKey::Load(path),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0640")));
  ASSERT_OK(WriteFileAtomically(path, std::string(63, '6') + "g", 0600));
  EXPECT_THAT(ClusterKey::Load(path),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("64 hexadecimal")));
  EXPECT_THAT(ClusterKey::Load(dir.File("none")), StatusIs(absl::StatusCode::kNotFound));
}

TEST(AuthenticateTest, AcceptsTheClusterIdentityAndItsTenant) {
  ASSERT_OK_AND_ASSIGN(const Caller caller,
                       SignedMetadata(kKey, SomeCaller(), kNow).Authenticate(kNow));
  EXPECT_EQ(caller.tenant_id, "acme");
  EXPECT_EQ(caller.key_id, "key_1");
  EXPECT_TRUE(caller.is_cluster);
  EXPECT_TRUE(caller.May(Permission::kMemoryRead));
  EXPECT_FALSE(caller.May(Permission::kMemoryWrite));
}

TEST(AuthenticateTest, RefusesAnyChangedOrMissingField) {
  for (const char* field :
       {"dki-tenant", "dki-key-id", "dki-permissions", "dki-issued", "x-request-id"}) {
    SignedMetadata changed(kKey, SomeCaller(), kNow);
    changed[field] = field == std::string("dki-permissions") ? "admin" : "1";
    EXPECT_THAT(changed.Authenticate(kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("signature")))
        << field;
    SignedMetadata missing(kKey, SomeCaller(), kNow);
    missing.Remove(field);
    EXPECT_THAT(missing.Authenticate(kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("incomplete")))
        << field;
  }
}

TEST(AuthenticateTest, RefusesStaleAndFutureIdentities) {
  const SignedMetadata metadata(kKey, SomeCaller(), kNow);
  EXPECT_OK(metadata.Authenticate(kNow + absl::Minutes(5)));
  EXPECT_OK(metadata.Authenticate(kNow - absl::Minutes(5)));
  for (const absl::Duration shift : {absl::Minutes(5) + absl::Seconds(1), -absl::Minutes(6)}) {
    EXPECT_THAT(metadata.Authenticate(kNow + shift),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("old")));
  }
}

TEST(AuthenticateTest, ABadSignatureIsNotSavedByAKey) {
  SignedMetadata metadata(kKey, SomeCaller(), kNow);
  metadata["dki-signature"][0] ^= 1;
  metadata["authorization"] = "Bearer good";
  EXPECT_THAT(metadata.Authenticate(kNow, [](const std::string&) { return SomeCaller(); }),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST(AuthenticateTest, BearerKeysGoToTheVerifierAndNeverBecomeTheCluster) {
  Metadata metadata;
  metadata.emplace("authorization", "bearer s3cret");
  EXPECT_THAT(Authenticate(metadata, kKey, nullptr, kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("only the cluster identity")));
  std::string seen;
  const KeyVerifier verifier = [&](const std::string& secret) {
    seen = secret;
    Caller caller = SomeCaller();
    caller.is_cluster = true;
    return caller;
  };
  ASSERT_OK_AND_ASSIGN(const Caller caller, Authenticate(metadata, kKey, verifier, kNow));
  EXPECT_EQ(seen, "s3cret");
  EXPECT_FALSE(caller.is_cluster);

  Metadata basic;
  basic.emplace("authorization", "Basic s3cret");
  EXPECT_THAT(Authenticate(basic, kKey, verifier, kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("Bearer")));
}

TEST(RequestIdTest, OnlyPrintableIdsAreTakenOver) {
  EXPECT_TRUE(IsValidRequestId("a"));
  EXPECT_TRUE(IsValidRequestId(std::string(128, '~')));
  for (const std::string& bad : {std::string(), std::string(129, 'a'), std::string("a b"),
                                 std::string("a\n"), std::string("\xc3\xa4")}) {
    EXPECT_FALSE(IsValidRequestId(bad)) << bad;
    Metadata metadata;
    metadata.emplace("x-request-id", bad);
    EXPECT_EQ(RequestIdOf(metadata).substr(0, 4), "req_");
  }
}

TEST(PermissionTest, NamesGoThereAndBack) {
  for (const Permission permission :
       {Permission::kChat, Permission::kMemoryRead, Permission::kMemoryWrite, Permission::kAdmin}) {
    EXPECT_EQ(ParsePermission(ToString(permission)).value(), permission);
  }
  EXPECT_THAT(ParsePermission("root"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dki::rpc
