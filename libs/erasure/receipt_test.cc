// SPDX-License-Identifier: Apache-2.0
#include "libs/erasure/receipt.h"

#include <gmock/gmock.h>

#include "libs/testing/status_matchers.h"

namespace dki::erasure {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

class ReceiptTest : public ::testing::Test {
 protected:
  ReceiptTest() {
    Know(kStore, store_);
    Know("kv", kv_);
    Know("retrieval", retrieval_);
    statement_.set_erasure_id("era_1");
    statement_.set_tenant_id("acme");
    statement_.mutable_target()->set_memory_id("mem_1");
    statement_.set_position(7);
    statement_.add_stores()->set_store("memories");
  }
  void Know(const std::string& service, const SigningKey& key) {
    v1::PublicKey& entry = keys_.emplace_back();
    entry.set_service(service);
    entry.set_key(key.public_key());
  }
  v1::ServiceReport Report(const std::string& service) const {
    v1::ServiceReport report;
    report.set_erasure_id("era_1");
    report.set_tenant_id("acme");
    report.set_service(service);
    report.set_position(7);
    report.add_stores()->set_items(3);
    return report;
  }
  v1::Receipt Receipt() const {
    return MakeReceipt(store_, statement_,
                       {Sign(kv_, Report("kv").SerializeAsString()),
                        Sign(retrieval_, Report("retrieval").SerializeAsString())});
  }
  // What reading a receipt's file and checking it says.
  absl::Status Check(const std::string& text) const {
    DKI_ASSIGN_OR_RETURN(const v1::Receipt receipt, ParseReceipt(text));
    return Verify(receipt, keys_).status();
  }

  const SigningKey store_ = SigningKey::Generate();
  const SigningKey kv_ = SigningKey::Generate();
  const SigningKey retrieval_ = SigningKey::Generate();
  Keyring keys_;
  v1::ErasureStatement statement_;
};

TEST_F(ReceiptTest, SaysWhatWasSigned) {
  ASSERT_OK_AND_ASSIGN(const v1::Receipt read, ParseReceipt(RenderReceipt(Receipt())));
  ASSERT_OK_AND_ASSIGN(const VerifiedReceipt verified, Verify(read, keys_));
  EXPECT_EQ(verified.statement.target().memory_id(), "mem_1");
  ASSERT_EQ(verified.reports.size(), 2);
  EXPECT_EQ(verified.reports[0].service(), "kv");
  EXPECT_EQ(verified.reports[1].stores(0).items(), 3);
}

TEST_F(ReceiptTest, EveryChangeOfEveryByteIsFound) {
  const std::string text = RenderReceipt(Receipt());
  ASSERT_OK(Check(text));
  for (size_t i = 0; i < text.size(); ++i) {
    for (const int bit : {0, 1, 2, 3, 4, 5, 6, 7}) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ (1 << bit));
      EXPECT_FALSE(Check(other).ok()) << "byte " << i << ", bit " << bit;
    }
    EXPECT_FALSE(Check(text.substr(0, i)).ok()) << "cut at " << i;
    EXPECT_FALSE(Check(text.substr(0, i) + text.substr(i + 1)).ok()) << "without byte " << i;
    EXPECT_FALSE(Check(text.substr(0, i) + " " + text.substr(i)).ok()) << "with a space at " << i;
  }
  EXPECT_FALSE(Check(text + "\n").ok());
}

TEST_F(ReceiptTest, NothingCanBeLeftOutOrExchanged) {
  v1::Receipt shorter = Receipt();
  shorter.mutable_reports()->RemoveLast();
  EXPECT_THAT(Verify(shorter, keys_).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("names 2 reports")));
  v1::Receipt swapped = Receipt();
  swapped.mutable_reports()->SwapElements(0, 1);
  EXPECT_FALSE(Verify(swapped, keys_).ok());
  // Signed, but another report than the one that was there.
  v1::Receipt other = Receipt();
  v1::ServiceReport report = Report("kv");
  report.mutable_stores(0)->set_items(4);
  *other.mutable_reports(0) = Sign(kv_, report.SerializeAsString());
  EXPECT_FALSE(Verify(other, keys_).ok());
}

TEST_F(ReceiptTest, OnlyAServicesOwnKeySpeaksForIt) {
  const auto sign_kv = [&](const SigningKey& key, const v1::ServiceReport& report) {
    return Verify(MakeReceipt(store_, statement_, {Sign(key, report.SerializeAsString())}), keys_)
        .status();
  };
  EXPECT_OK(sign_kv(kv_, Report("kv")));
  EXPECT_THAT(sign_kv(retrieval_, Report("kv")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not signed by a known key")));
  EXPECT_FALSE(Verify(MakeReceipt(kv_, statement_, {}), keys_).ok());
  EXPECT_FALSE(Verify(Receipt(), {}).ok());
  v1::ServiceReport early = Report("kv");
  early.set_position(6);
  EXPECT_THAT(sign_kv(kv_, early),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("of something else")));
  v1::ServiceReport foreign = Report("kv");
  foreign.set_erasure_id("era_2");
  EXPECT_FALSE(sign_kv(kv_, foreign).ok());
}

TEST_F(ReceiptTest, AKeyringIsReadBack) {
  ASSERT_OK_AND_ASSIGN(const Keyring read, ParseKeyring(RenderKeyring(keys_)));
  ASSERT_EQ(read.size(), keys_.size());
  EXPECT_EQ(read[1].service(), "kv");
  EXPECT_EQ(read[1].key(), kv_.public_key());
  EXPECT_FALSE(ParseKeyring("{}").ok());
  EXPECT_FALSE(ParseKeyring(RenderKeyring(keys_) + " ").ok());
  for (const char* text :
       {"", "[]", "{\"format\": 1}", "{\"format\":\"dki erasure receipt 1\"}",
        "{\"format\":\"dki erasure receipt 1\",\"statement\":1,\"reports\":2}"}) {
    EXPECT_FALSE(ParseReceipt(text).ok()) << text;
  }
}

}  // namespace
}  // namespace dki::erasure
