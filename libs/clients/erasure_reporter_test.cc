// SPDX-License-Identifier: Apache-2.0
#include "libs/clients/erasure_reporter.h"

#include <gmock/gmock.h>

#include "libs/erasure/receipt.h"
#include "libs/rpc/client.h"
#include "libs/testing/status_matchers.h"

namespace dki::clients {
namespace {

using erasure::v1::ErasedItems;

class FakeErasures final : public erasure::v1::ErasureService::Service {
 public:
  grpc::Status ListDueErasures(grpc::ServerContext*,
                               const erasure::v1::ListDueErasuresRequest* request,
                               erasure::v1::ListDueErasuresResponse* response) override {
    if (away) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "away");
    asked_by = request->service();
    *response = due;
    return grpc::Status::OK;
  }
  grpc::Status ReportErasure(grpc::ServerContext*, const erasure::v1::ReportErasureRequest* request,
                             erasure::v1::ReportErasureResponse*) override {
    reports.push_back(request->report());
    due.clear_due();
    return grpc::Status::OK;
  }

  bool away = false;
  std::string asked_by;
  erasure::v1::ListDueErasuresResponse due;
  std::vector<erasure::v1::SignedBytes> reports;
};

// Everything on the test's own thread but the call itself, which it waits for.
class ErasureReporterTest : public ::testing::Test {
 protected:
  ErasureReporterTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&store_);
    server_ = builder.BuildAndStart();
    reporter_ = std::make_unique<ErasureReporter>(
        erasure::v1::ErasureService::NewStub(server_->InProcessChannel({})), runtime_.get(),
        &ledger_,
        [this](const DueErasure& due) -> std::optional<std::vector<ErasedItems>> {
          if (!is_gone_) return std::nullopt;
          return std::vector<ErasedItems>{ledger_.Items(due, "blocks")};
        },
        ErasureReporter::Options());
    DueErasure* due = store_.due.add_due();
    due->set_erasure_id("era_1");
    due->set_tenant_id("t");
    due->set_after_position(4);
    due->set_position(6);
  }
  ~ErasureReporterTest() override { server_->Shutdown(); }

  FakeClock clock_;
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting("kv");
  FakeErasures store_;
  std::unique_ptr<grpc::Server> server_;
  ErasureLedger ledger_{&clock_};
  bool is_gone_ = true;
  std::unique_ptr<ErasureReporter> reporter_;
};

TEST_F(ErasureReporterTest, SaysWhatWentWithItsChangesOnceTheyHaveBeenApplied) {
  ledger_.Removed("t", 4, "blocks", 100);  // another erasure's
  ledger_.Removed("t", 5, "blocks", 2);
  ledger_.Removed("u", 6, "blocks", 100);
  ledger_.Removed("t", 6, "pages", 100);
  ledger_.Applied("t", 5);
  EXPECT_OK(reporter_->ReportDue());
  EXPECT_EQ(store_.asked_by, "kv");
  EXPECT_TRUE(store_.reports.empty());
  ledger_.Removed("t", 6, "blocks", 3);
  ledger_.Removed("t", 7, "blocks", 100);
  ledger_.Applied("t", 7);
  EXPECT_OK(reporter_->ReportDue());
  ASSERT_EQ(store_.reports.size(), 1u);
  erasure::Keyring keys(1);
  keys[0].set_service("kv");
  keys[0].set_key(runtime_->signing_key().public_key());
  EXPECT_TRUE(erasure::IsSigned(keys, "kv", store_.reports[0]));
  erasure::v1::ServiceReport report;
  ASSERT_TRUE(report.ParseFromString(store_.reports[0].payload()));
  EXPECT_EQ(report.erasure_id(), "era_1");
  EXPECT_EQ(report.position(), 6);
  ASSERT_EQ(report.stores_size(), 1);
  EXPECT_EQ(report.stores(0).items(), 5);
  EXPECT_EQ(ToTimestamp(clock_.Now()).seconds(), report.stores(0).gone_time().seconds());
  EXPECT_OK(reporter_->ReportDue());
  EXPECT_EQ(store_.reports.size(), 1u);
}

TEST_F(ErasureReporterTest, WaitsUntilAllIsGoneAndUntilTheStoreIsBack) {
  ledger_.Applied("t", 6);
  is_gone_ = false;
  EXPECT_OK(reporter_->ReportDue());
  store_.away = true;
  EXPECT_FALSE(reporter_->ReportDue().ok());
  store_.away = false;
  EXPECT_TRUE(store_.reports.empty());
  is_gone_ = true;
  EXPECT_OK(reporter_->ReportDue());
  EXPECT_EQ(store_.reports.size(), 1u);
}

TEST_F(ErasureReporterTest, AnotherFeedBeginsAnew) {
  ledger_.Applied("t", 6);
  ledger_.Clear();
  EXPECT_OK(reporter_->ReportDue());
  EXPECT_TRUE(store_.reports.empty());
}

}  // namespace
}  // namespace dki::clients
