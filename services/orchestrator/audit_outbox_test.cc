// SPDX-License-Identifier: Apache-2.0
// One suite for all outboxes, then what only a file can go through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "libs/base/file.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/orchestrator/memory_outbox.h"
#include "services/orchestrator/spool_outbox.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::dki::testing::TempDir;
using ::testing::HasSubstr;

AuditEntry Entry(const std::string& request, RecordKind kind = RecordKind::kDecision) {
  return {.tenant_id = "t-1", .kind = kind, .request = request};
}

std::unique_ptr<SpoolOutbox> OpenSpool(const std::string& path) {
  auto spool = SpoolOutbox::Open(path);
  EXPECT_OK(spool);
  return spool.ok() ? std::move(*spool) : nullptr;
}

using MakeOutbox = std::function<std::unique_ptr<AuditOutbox>(const TempDir&)>;
class AnyOutbox : public ::testing::TestWithParam<MakeOutbox> {};

TEST_P(AnyOutbox, GivesEntriesBackInOrder) {
  const TempDir folder;
  const auto outbox = GetParam()(folder);
  const std::string odd("\0\n \xff", 4);
  for (const std::string& request : {std::string("first"), odd, std::string()}) {
    ASSERT_OK(outbox->Push(Entry(request, RecordKind::kOutcome)));
  }
  EXPECT_EQ(outbox->size(), 3u);
  for (const std::string& request : {std::string("first"), odd, std::string()}) {
    ASSERT_OK_AND_ASSIGN(const auto entry, outbox->Front());
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->tenant_id, "t-1");
    EXPECT_EQ(entry->kind, RecordKind::kOutcome);
    EXPECT_EQ(entry->request, request);
    ASSERT_OK(outbox->Pop());
  }
  ASSERT_OK_AND_ASSIGN(const auto none, outbox->Front());
  EXPECT_FALSE(none.has_value());
  ASSERT_OK(outbox->Push(Entry("again")));
  EXPECT_EQ((*outbox->Front())->request, "again");
}

TEST_P(AnyOutbox, RefusesMoreThanItsLimit) {
  const TempDir folder;
  const auto outbox = GetParam()(folder);
  absl::Status status;
  int n = 0;
  while (status.ok() && ++n < 1000) status = outbox->Push(Entry(std::string(100, 'x')));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(outbox->size(), static_cast<size_t>(n - 1));
}

INSTANTIATE_TEST_SUITE_P(All, AnyOutbox,
                         ::testing::Values(MakeOutbox([](const TempDir&) {
                                             return std::make_unique<MemoryOutbox>(10);
                                           }),
                                           MakeOutbox([](const TempDir& folder) {
                                             auto spool =
                                                 SpoolOutbox::Open(folder.File("spool"), 4096);
                                             EXPECT_OK(spool);
                                             return std::move(*spool);
                                           })));

TEST(Spool, SurvivesARestartAndGoesOnWithItsChain) {
  const TempDir folder;
  const std::string path = folder.File("spool");
  {
    const auto spool = OpenSpool(path);
    ASSERT_OK(spool->Push(Entry("1")));
    ASSERT_OK(spool->Push(Entry("2")));
    ASSERT_OK(spool->Pop());
  }
  {
    const auto spool = OpenSpool(path);
    // What was taken out but not yet forgotten comes again.
    EXPECT_EQ(spool->size(), 2u);
    ASSERT_OK(spool->Push(Entry("3")));
  }
  const auto spool = OpenSpool(path);
  EXPECT_EQ(spool->size(), 3u);
  for (const char* request : {"1", "2", "3"}) {
    EXPECT_EQ((*spool->Front())->request, request);
    ASSERT_OK(spool->Pop());
  }
  EXPECT_EQ(std::filesystem::file_size(path), 0u);
}

TEST(Spool, ATornLastLineIsCutOffAtEveryLength) {
  const TempDir folder;
  const std::string path = folder.File("spool");
  size_t whole = 0;
  {
    const auto spool = OpenSpool(path);
    ASSERT_OK(spool->Push(Entry("1")));
    whole = std::filesystem::file_size(path);
    ASSERT_OK(spool->Push(Entry("2")));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(path));
  for (size_t n = whole; n < bytes.size(); ++n) {
    ASSERT_OK(WriteFileAtomically(path, bytes.substr(0, n)));
    const auto spool = OpenSpool(path);
    ASSERT_NE(spool, nullptr);
    EXPECT_EQ(spool->size(), 1u) << n;
    EXPECT_EQ(std::filesystem::file_size(path), whole);
  }
}

TEST(Spool, AnyChangedByteBeforeTheLastLineIsFound) {
  const TempDir folder;
  const std::string path = folder.File("spool");
  size_t first = 0;
  {
    const auto spool = OpenSpool(path);
    ASSERT_OK(spool->Push(Entry("1")));
    first = std::filesystem::file_size(path);
    ASSERT_OK(spool->Push(Entry("2")));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(path));
  for (size_t at = 0; at + 1 < first; ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    if (changed[at] == '\n') continue;
    ASSERT_OK(WriteFileAtomically(path, changed));
    EXPECT_THAT(SpoolOutbox::Open(path),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged")))
        << at;
  }
}

TEST(Spool, BelongsToOneProcessAndItsOwner) {
  const TempDir folder;
  const std::string path = folder.File("spool");
  const auto spool = OpenSpool(path);
  EXPECT_THAT(SpoolOutbox::Open(path), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace dki::orchestrator
