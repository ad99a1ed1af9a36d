// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_fixture.h"
#include "services/memory_store/key_verifier.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

constexpr TenantRepository::Deadline kNoDeadline = TenantRepository::Deadline::max();

class TenantRepositoryTest : public ::testing::TestWithParam<std::string> {
 protected:
  TenantRepository& tenants() { return backend_->tenants(); }

  void MustCreate(const std::string& id) { EXPECT_OK(tenants().CreateTenant(id, kNoDeadline)); }
  // A key of the tenant; returns its secret.
  KeySecret MustAddKey(const std::string& tenant_id, const std::string& scope,
                       const std::string& note = "") {
    const KeySecret made = NewKeySecret();
    StoredKey stored{.key = {}, .secret = HashSecret(made.secret)};
    stored.key.set_id(made.key_id);
    stored.key.set_tenant_id(tenant_id);
    stored.key.add_scopes(scope);
    stored.key.set_note(note);
    EXPECT_OK(tenants().AddKey(stored, kNoDeadline));
    return made;
  }
  absl::StatusOr<rpc::Caller> Authenticate(const std::string& secret) {
    return AuthenticateSecret(&tenants(), secret, kNoDeadline);
  }
  std::vector<std::string> TenantIds() {
    std::vector<std::string> ids;
    const auto listed = tenants().ListTenants(kNoDeadline);
    EXPECT_OK(listed);
    for (const auto& tenant : *listed) ids.push_back(tenant.id());
    return ids;
  }

  std::unique_ptr<AuditBackend> backend_ = MakeAuditBackend(GetParam());
};

TEST_P(TenantRepositoryTest, TenantsAreMadeOnceAndListed) {
  ASSERT_OK_AND_ASSIGN(const auto tenant, tenants().CreateTenant("b", kNoDeadline));
  EXPECT_EQ(tenant.id(), "b");
  EXPECT_EQ(tenant.create_time().seconds(), absl::ToUnixSeconds(backend_->clock.Now()));
  MustCreate("a");
  EXPECT_THAT(tenants().CreateTenant("b", kNoDeadline),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("b")));
  EXPECT_THAT(TenantIds(), ElementsAre("a", "b"));
}

TEST_P(TenantRepositoryTest, AKeySaysWhoItsHolderIs) {
  MustCreate("a");
  const KeySecret made = MustAddKey("a", "memory:read", "é \"note\"");
  ASSERT_OK_AND_ASSIGN(const rpc::Caller caller, Authenticate(made.secret));
  EXPECT_EQ(caller.tenant_id, "a");
  EXPECT_EQ(caller.key_id, made.key_id);
  EXPECT_THAT(caller.permissions, ElementsAre(rpc::Permission::kMemoryRead));
  EXPECT_FALSE(caller.is_cluster);
  ASSERT_OK_AND_ASSIGN(const auto keys, tenants().ListKeys("a", kNoDeadline));
  ASSERT_EQ(keys.size(), 1);
  EXPECT_EQ(keys[0].note(), "é \"note\"");
  EXPECT_THAT(keys[0].scopes(), ElementsAre("memory:read"));
}

TEST_P(TenantRepositoryTest, NoOtherSecretIsTaken) {
  MustCreate("a");
  const KeySecret made = MustAddKey("a", "chat");
  std::string wrong = made.secret;
  wrong.back() = wrong.back() == 'A' ? 'B' : 'A';
  for (const std::string& secret : {wrong, NewKeySecret().secret, std::string("nonsense")}) {
    EXPECT_THAT(Authenticate(secret), StatusIs(StatusCode::kUnauthenticated));
  }
}

TEST_P(TenantRepositoryTest, ARevokedKeyIsRefusedAndStaysListed) {
  MustCreate("a");
  MustCreate("b");
  const KeySecret made = MustAddKey("a", "chat");
  EXPECT_THAT(tenants().RevokeKey("b", made.key_id, kNoDeadline), StatusIs(StatusCode::kNotFound));
  EXPECT_OK(Authenticate(made.secret));
  EXPECT_OK(tenants().RevokeKey("a", made.key_id, kNoDeadline));
  EXPECT_OK(tenants().RevokeKey("a", made.key_id, kNoDeadline));
  EXPECT_THAT(Authenticate(made.secret), StatusIs(StatusCode::kUnauthenticated));
  ASSERT_OK_AND_ASSIGN(const auto keys, tenants().ListKeys("a", kNoDeadline));
  ASSERT_EQ(keys.size(), 1);
  EXPECT_TRUE(keys[0].revoked());
}

TEST_P(TenantRepositoryTest, AKeyNeedsItsTenant) {
  StoredKey stored{.key = {}, .secret = HashSecret("x")};
  stored.key.set_id("key_0123456789abcdef");
  stored.key.set_tenant_id("nobody");
  EXPECT_THAT(tenants().AddKey(stored, kNoDeadline), StatusIs(StatusCode::kNotFound));
}

TEST_P(TenantRepositoryTest, DeletingATenantErasesAllThatItOwnsAndNothingElse) {
  const Access a{.tenant_id = "a", .admin = true};
  const Access b{.tenant_id = "b", .admin = true};
  std::vector<KeySecret> keys;
  for (const Access& access : {a, b}) {
    MustCreate(access.tenant_id);
    keys.push_back(MustAddKey(access.tenant_id, "chat"));
    EXPECT_OK(backend_->memories().CreateMemories(
        access, CreateRequest("r", TextMemory(UserScope("ann"), "tea"))));
    EXPECT_OK(backend_->audit().AppendDecision(access, DecisionRequest(1, "ann")));
  }
  EXPECT_OK(tenants().DeleteTenant("a", kNoDeadline));
  EXPECT_THAT(tenants().DeleteTenant("a", kNoDeadline), StatusIs(StatusCode::kNotFound));

  EXPECT_THAT(TenantIds(), ElementsAre("b"));
  EXPECT_THAT(Authenticate(keys[0].secret), StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(backend_->audit().GetDecision(a, DecisionId(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(backend_->audit().VerifyChain(a)->n_links(), 0);
  EXPECT_TRUE(backend_->audit().VerifyChain(a)->valid());
  EXPECT_THAT(backend_->memories().ListMemories(a, {})->memories(), IsEmpty());
  // What was under way leaves nothing behind.
  EXPECT_THAT(backend_->audit().AppendOutcome(a, OutcomeRequest(1)),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(backend_->audit().AppendDecision(a, DecisionRequest(2, "ann")),
              StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(backend_->audit().CloseAbandoned(absl::ZeroDuration()).value(), 1);  // b's

  EXPECT_OK(Authenticate(keys[1].secret));
  EXPECT_OK(backend_->audit().GetDecision(b, DecisionId(1)));
  EXPECT_EQ(backend_->memories().ListMemories(b, {})->memories_size(), 1);
}

TEST_P(TenantRepositoryTest, ADeletedTenantMayBeMadeAgainEmpty) {
  const Access a{.tenant_id = "a", .admin = true};
  MustCreate("a");
  const KeySecret old = MustAddKey("a", "chat");
  EXPECT_OK(backend_->audit().AppendDecision(a, DecisionRequest(1, "ann")));
  EXPECT_OK(tenants().DeleteTenant("a", kNoDeadline));
  MustCreate("a");
  EXPECT_THAT(Authenticate(old.secret), StatusIs(StatusCode::kUnauthenticated));
  EXPECT_EQ(backend_->audit().AppendDecision(a, DecisionRequest(1, "ann")).value(), 1);
  EXPECT_TRUE(backend_->audit().VerifyChain(a)->valid());
  EXPECT_OK(backend_->memories().CreateMemories(
      a, CreateRequest("r", TextMemory(UserScope("ann"), "tea"))));
}

TEST(PostgresTenantRepositoryTest, TheSecretIsNotStored) {
  PostgresAuditBackend backend;
  EXPECT_OK(backend.tenants().CreateTenant("a", kNoDeadline));
  const KeySecret made = NewKeySecret();
  StoredKey stored{.key = {}, .secret = HashSecret(made.secret)};
  stored.key.set_id(made.key_id);
  stored.key.set_tenant_id("a");
  EXPECT_OK(backend.tenants().AddKey(stored, kNoDeadline));
  const std::string random = made.secret.substr(21);
  EXPECT_EQ(backend.Number("SELECT count(*) FROM api_keys k WHERE id = '" + made.key_id + "'"), 1);
  EXPECT_EQ(backend.Number("SELECT count(*) FROM api_keys k WHERE strpos(k::text, '" + random +
                           "') > 0 OR strpos(k::text, encode('" + random + "', 'hex')) > 0"),
            0);
}

INSTANTIATE_TEST_SUITE_P(All, TenantRepositoryTest, ::testing::Values("Fake", "Postgres"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace dki::memory_store
