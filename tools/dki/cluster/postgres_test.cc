// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/postgres.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "libs/base/file.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::cluster {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::StatusIs;

class PostgresTest : public ::testing::Test {
 protected:
  PostgresTest() {
    // PostgreSQL's user has to enter it.
    ::chmod(dir_.path().c_str(), 0755);
    layout_.data = dir_.File("data");
  }

  testing::TempDir dir_;
  Layout layout_;
};

TEST_F(PostgresTest, AnInterruptedPreparationIsMadeAnew) {
  fs::create_directories(layout_.postgres() + ".new");
  ASSERT_OK(WriteFileAtomically(layout_.postgres() + ".new/PG_VERSION", "15\n"));
  ASSERT_OK(PreparePostgres(layout_));
  EXPECT_FALSE(fs::exists(layout_.postgres() + ".new"));
  EXPECT_THAT(*ReadFile(layout_.postgres() + "/pg_hba.conf"), HasSubstr("peer map=dki"));
  const std::string settings = *ReadFile(layout_.postgres() + "/postgresql.conf");
  EXPECT_THAT(settings, HasSubstr("listen_addresses = ''"));
  EXPECT_THAT(settings, ::testing::Not(::testing::ContainsRegex("\nfsync = off")));
  // What is there stays.
  ASSERT_OK(WriteFileAtomically(layout_.postgres() + "/pg_hba.conf", "mine\n"));
  ASSERT_OK(PreparePostgres(layout_));
  EXPECT_EQ(*ReadFile(layout_.postgres() + "/pg_hba.conf"), "mine\n");
}

TEST_F(PostgresTest, ASocketFolderThatIsALinkIsRefused) {
  fs::create_directories(layout_.run());
  fs::create_directories(dir_.File("elsewhere"));
  fs::create_directory_symlink(dir_.File("elsewhere"), layout_.postgres_socket());
  EXPECT_THAT(PreparePostgres(layout_), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(LayoutTest, ALongPathHasItsSocketElsewhere) {
  const Layout layout{"/" + std::string(120, 'x')};
  EXPECT_LE(layout.postgres_socket().size(), 85);
  EXPECT_NE(layout.postgres_socket(), Layout{"/" + std::string(120, 'y')}.postgres_socket());
  EXPECT_EQ(Layout{"/short"}.postgres_socket(), "/short/run/postgres");
  EXPECT_LE(layout.handoff_socket().size(), 107);
  EXPECT_EQ(Layout{"/short"}.handoff_socket(), "/short/run/kv.sock");
}

}  // namespace
}  // namespace dki::cluster
