// SPDX-License-Identifier: Apache-2.0
// Both ends together, and each of them with a peer that does not behave.
#include "libs/transfer/handoff.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/transfer/handoff_giver.h"
#include "libs/transfer/handoff_taker.h"

namespace dki::transfer {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kLong{60'000};
constexpr std::chrono::milliseconds kShort{50};

int OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<int>(std::distance(begin(all), end(all)));
}

std::shared_ptr<const SealedMemory> Sealed(const std::string& bytes) {
  auto memory = SealedMemory::Create(bytes);
  EXPECT_OK(memory);
  return *std::move(memory);
}

// Asks again until it is so: the other end's thread has its own time.
template <typename F>
bool Eventually(F&& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

class HandoffTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.File("kv.sock"); }
  void StartGiver() { ASSERT_OK_AND_ASSIGN(giver_, HandoffGiver::Start(Path())); }
  HandoffTaker MakeTaker(std::chrono::milliseconds pause = std::chrono::milliseconds(0)) {
    return HandoffTaker({.path = Path(), .patience = kLong, .pause = pause});
  }

  testing::TempDir folder_;
  std::unique_ptr<HandoffGiver> giver_;
};

TEST_F(HandoffTest, BlocksArriveInOrderAndTheConnectionServesTheNextCall) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  std::string token;
  for (int call = 0; call < 3; ++call) {
    ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
    if (call > 0) {
      EXPECT_EQ(taking->token(), token);
    }
    token = taking->token();
    const auto giving = giver_->Take(token);
    ASSERT_NE(giving, nullptr);
    EXPECT_EQ(giver_->Take(token), nullptr) << "one call at a time";
    ASSERT_OK_AND_ASSIGN(const std::string first, giving->Give(*Sealed("first")));
    ASSERT_OK_AND_ASSIGN(const std::string second, giving->Give(*Sealed("second one")));
    ASSERT_OK_AND_ASSIGN(const auto a, taking->Take(first, 5));
    ASSERT_OK_AND_ASSIGN(const auto b, taking->Take(second, 10));
    EXPECT_EQ(a->bytes(), "first");
    EXPECT_EQ(b->bytes(), "second one");
    taking->Done();
  }
}

TEST_F(HandoffTest, WhatAnUnfinishedCallLeftIsNotTheNextOnes) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  std::string token;
  {
    ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
    token = taking->token();
    ASSERT_OK(giver_->Take(token)->Give(*Sealed("left")));
  }
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  EXPECT_NE(taking->token(), token);
  EXPECT_TRUE(Eventually([&] { return giver_->Take(token) == nullptr; }));
}

TEST_F(HandoffTest, OnlyTheTokenOfAConnectionNamesIt) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  EXPECT_EQ(giver_->Take(""), nullptr);
  EXPECT_EQ(giver_->Take(std::string(kTokenBytes, '\0')), nullptr);
  std::string near = taking->token();
  near.back() ^= 1;
  EXPECT_EQ(giver_->Take(near), nullptr);
  EXPECT_NE(giver_->Take(taking->token()), nullptr);
}

TEST_F(HandoffTest, ManyCallsAtOnceGetTheirOwnBlocks) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  std::vector<std::thread> calls;
  for (int i = 0; i < 8; ++i) {
    calls.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        const auto taking = taker.Take();
        ASSERT_OK(taking);
        const auto giving = giver_->Take((*taking)->token());
        ASSERT_NE(giving, nullptr);
        const std::string bytes(1000 + i, static_cast<char>('a' + i));
        const auto tag = giving->Give(*Sealed(bytes));
        ASSERT_OK(tag);
        const auto block = (*taking)->Take(*tag, bytes.size());
        ASSERT_OK(block);
        EXPECT_EQ((*block)->bytes(), bytes);
        (*taking)->Done();
      }
    });
  }
  for (std::thread& call : calls) call.join();
}

// More blocks than fit on their way at once.
TEST_F(HandoffTest, ATakerThatIsBehindIsWaitedFor) {
  constexpr int kBlocks = 2000;
  StartGiver();
  HandoffTaker taker = MakeTaker();
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  const auto giving = giver_->Take(taking->token());
  const auto block = Sealed("block");
  std::vector<std::promise<std::string>> tags(kBlocks);
  std::thread reads([&] {
    for (std::promise<std::string>& tag : tags) {
      EXPECT_OK(taking->Take(tag.get_future().get(), 5));
    }
  });
  for (std::promise<std::string>& tag : tags) tag.set_value(giving->Give(*block).value_or(""));
  reads.join();
}

TEST_F(HandoffTest, ATakerThatReadsNothingIsNotWaitedForLong) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  const auto giving = giver_->Take(taking->token());
  const auto block = Sealed("block");
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = giving->Give(*block).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(giving->Give(*block), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(HandoffTest, AGiverThatWasRestartedIsFoundAgain) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  {
    ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
    taking->Done();
  }
  giver_ = nullptr;
  EXPECT_THAT(taker.Take(), StatusIs(absl::StatusCode::kUnavailable));
  StartGiver();
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  EXPECT_NE(giver_->Take(taking->token()), nullptr);
}

TEST_F(HandoffTest, AGiverThatStopsInTheMiddleIsUnavailable) {
  StartGiver();
  HandoffTaker taker = MakeTaker();
  ASSERT_OK_AND_ASSIGN(const auto taking, taker.Take());
  std::string tag;
  {
    const auto giving = giver_->Take(taking->token());
    ASSERT_OK_AND_ASSIGN(tag, giving->Give(*Sealed("block")));
  }
  giver_ = nullptr;
  EXPECT_OK(taking->Take(tag, 5)) << "it was sent";
  EXPECT_THAT(taking->Take(tag, 5), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(HandoffTest, AfterAFailureThereIsAPause) {
  HandoffTaker taker = MakeTaker(kLong);
  EXPECT_THAT(taker.Take(), StatusIs(absl::StatusCode::kUnavailable));
  StartGiver();
  EXPECT_THAT(taker.Take(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("a moment ago")));
}

TEST_F(HandoffTest, TakersThatSpeakOrAreTooManyAreLetGo) {
  StartGiver();
  ASSERT_OK_AND_ASSIGN(const FileDescriptor loud, Connect(Path()));
  ASSERT_OK_AND_ASSIGN(const Message hello,
                       Receive(loud.get(), std::chrono::steady_clock::now() + kLong));
  ASSERT_OK(Send(loud.get(), "give me something", -1, Deadline::max()));
  EXPECT_TRUE(
      Eventually([&] { return giver_->Take(hello.bytes.substr(kHello.size())) == nullptr; }));

  std::vector<FileDescriptor> many;
  for (size_t i = 0; i < HandoffGiver::kMaxConnections; ++i) {
    absl::StatusOr<FileDescriptor> socket = Unavailable("not yet");
    ASSERT_TRUE(Eventually([&] {
      socket = Connect(Path());  // the backlog may be full for a moment
      return socket.ok();
    }));
    ASSERT_OK(Receive(socket->get(), std::chrono::steady_clock::now() + kLong));
    many.push_back(*std::move(socket));
  }
  ASSERT_OK_AND_ASSIGN(const FileDescriptor one_more, Connect(Path()));
  EXPECT_THAT(Receive(one_more.get(), std::chrono::steady_clock::now() + kLong),
              StatusIs(absl::StatusCode::kUnavailable));
  many.clear();
  HandoffTaker taker = MakeTaker();
  EXPECT_TRUE(Eventually([&] { return taker.Take().ok(); }));
}

TEST_F(HandoffTest, ASocketThatADeadProcessLeftIsReplacedAndOneInUseIsNot) {
  { ASSERT_OK_AND_ASSIGN(const FileDescriptor left, Listen(Path())); }
  ASSERT_TRUE(std::filesystem::exists(Path()));
  StartGiver();
  EXPECT_THAT(HandoffGiver::Start(Path()), StatusIs(absl::StatusCode::kAlreadyExists));
  struct stat status = {};
  ASSERT_EQ(stat(Path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  // Somebody else's by now.
  ASSERT_TRUE(std::filesystem::remove(Path()));
  { std::ofstream(Path()) << "other"; }
  giver_ = nullptr;
  EXPECT_TRUE(std::filesystem::exists(Path()));
  ASSERT_TRUE(std::filesystem::remove(Path()));
  StartGiver();
  giver_ = nullptr;
  EXPECT_FALSE(std::filesystem::exists(Path()));
}

TEST_F(HandoffTest, APathThatDoesNotFitIsRefused) {
  EXPECT_THAT(HandoffGiver::Start(folder_.path() + "/" + std::string(kMaxSocketPath, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("107")));
  EXPECT_THAT(Connect(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HandoffTest, AnotherUsersProcessGetsNoToken) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  StartGiver();
  // Even where the files would let it.
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(Path().c_str(), 0666), 0);
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (setresuid(kNobody, kNobody, kNobody) != 0) _exit(2);
    const auto socket = Connect(Path());
    if (!socket.ok()) _exit(3);
    const auto hello = Receive(socket->get(), std::chrono::steady_clock::now() + kLong);
    _exit(absl::IsUnavailable(hello.status()) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// A giver that says what the test wants.
class HostileGiverTest : public HandoffTest {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(listener_, Listen(Path())); }
  // The taker's connection, with the giver's end in `socket_`.
  std::unique_ptr<HandoffTaker::Lease> Greeted() {
    auto taking = std::async(std::launch::async, [this] { return taker_.Take(); });
    socket_ = FileDescriptor(accept(listener_.get(), nullptr, nullptr));
    EXPECT_OK(Send(socket_.get(), std::string(kHello) + std::string(kTokenBytes, 't'), -1,
                   Deadline::max()));
    auto lease = taking.get();
    EXPECT_OK(lease);
    return *std::move(lease);
  }
  absl::Status TakeAfter(const std::string& bytes, const std::vector<int>& descriptors) {
    const auto lease = Greeted();
    SendMany(bytes, descriptors);
    return lease->Take(tag_, 5).status();
  }
  // As many descriptors as Send would never send.
  void SendMany(const std::string& bytes, const std::vector<int>& descriptors) {
    iovec data = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      cmsghdr* const part = CMSG_FIRSTHDR(&header);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size() * sizeof(int));
    }
    ASSERT_GE(sendmsg(socket_.get(), &header, 0), 0);
  }

  FileDescriptor listener_;
  FileDescriptor socket_;
  HandoffTaker taker_{{.path = Path(), .patience = kLong, .pause = std::chrono::milliseconds(0)}};
  const std::string tag_ = std::string(kTagBytes, 'g');
};

TEST_F(HostileGiverTest, OtherTagsAndMissingMemoryAreNoticed) {
  const auto block = Sealed("block");
  EXPECT_OK(TakeAfter(tag_, {block->descriptor()}));
  EXPECT_THAT(TakeAfter(std::string(kTagBytes, 'x'), {block->descriptor()}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(TakeAfter("", {block->descriptor()}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(TakeAfter(tag_ + "x", {block->descriptor()}), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(TakeAfter(std::string(1000, 'g'), {block->descriptor()}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("too long")));
  EXPECT_THAT(TakeAfter(tag_, {}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("without")));
}

TEST_F(HostileGiverTest, ManyDescriptorsAreRefusedAndClosed) {
  const auto block = Sealed("block");
  for (const size_t n : {2, 3, 8, 9, 100}) {
    const int before = OpenDescriptors();
    EXPECT_THAT(TakeAfter(tag_, std::vector<int>(n, block->descriptor())),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more than one")));
    // The giver's end was opened by the test, once more each round.
    socket_ = FileDescriptor();
    EXPECT_LE(OpenDescriptors(), before) << n;
  }
}

TEST_F(HostileGiverTest, MemoryThatCouldChangeIsRefused) {
  FileDescriptor open_memory(memfd_create("open", MFD_ALLOW_SEALING));
  ASSERT_EQ(write(open_memory.get(), "block", 5), 5);
  EXPECT_THAT(TakeAfter(tag_, {open_memory.get()}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("seals")));
  const auto short_block = Sealed("bloc");
  EXPECT_THAT(TakeAfter(tag_, {short_block->descriptor()}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("4 bytes")));
  FileDescriptor file(open(folder_.File("f").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(write(file.get(), "block", 5), 5);
  EXPECT_THAT(TakeAfter(tag_, {file.get()}), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(TakeAfter(tag_, {listener_.get()}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HostileGiverTest, ADescriptorThatThereIsNoRoomForIsNoticed) {
  const auto block = Sealed("block");
  const auto lease = Greeted();
  SendMany(tag_, {block->descriptor()});
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few = {.rlim_cur = 1, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const absl::Status status = lease->Take(tag_, 5).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(HostileGiverTest, SilenceEndsAtTheLimit) {
  HandoffTaker hasty({.path = Path(), .patience = kShort, .pause = std::chrono::milliseconds(0)});
  EXPECT_THAT(hasty.Take(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_OK_AND_ASSIGN(const FileDescriptor socket, Connect(Path()));
  EXPECT_THAT(Receive(socket.get(), std::chrono::steady_clock::now() + kShort),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(HostileGiverTest, AStrangeGreetingIsRefused) {
  for (const std::string& hello :
       {std::string("SSH-2.0"), std::string(kHello), std::string(kHello) + std::string(31, 't'),
        "DKIHAND2" + std::string(kTokenBytes, 't')}) {
    auto taking = std::async(std::launch::async, [this] { return taker_.Take().status(); });
    const FileDescriptor socket(accept(listener_.get(), nullptr, nullptr));
    ASSERT_OK(Send(socket.get(), hello, -1, Deadline::max()));
    EXPECT_THAT(taking.get(), StatusIs(absl::StatusCode::kDataLoss));
  }
}

}  // namespace
}  // namespace dki::transfer
