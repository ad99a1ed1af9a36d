// SPDX-License-Identifier: Apache-2.0
// Measures chats of a running cluster; for tests/bench/store.py.
//   chat_bench ADDRESS API_KEY USER QUESTION COUNT
// Asks COUNT times, one after the other, all memories at weight 1 and without a gate, for one
// token. Prints one JSON array: of each chat the milliseconds to the end of its stream, less those
// of the model's prefill.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/rpc/client.h"

namespace dki::orchestrator {
namespace {

constexpr std::chrono::milliseconds kTimeout{30'000};

v1::ChatRequest MakeRequest(const std::string& user, const std::string& question) {
  v1::ChatRequest request;
  request.mutable_scope()->set_user_id(user);
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content(question);
  request.mutable_sampling()->set_max_tokens(1);
  request.mutable_memory()->set_k(3);
  request.mutable_memory()->set_gate(false);
  request.mutable_memory()->set_alpha(1.0);
  return request;
}

int Measure(const std::string& address, const std::string& key, const v1::ChatRequest& request,
            int count) {
  const auto stub = v1::DkiService::NewStub(rpc::CreateChannel(address));
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto context = rpc::BearerContext(key, "", kTimeout);
    const auto reader = stub->Chat(context.get(), request);
    v1::ChatResponse event;
    double prefill_ms = 0;
    while (reader->Read(&event)) {
      if (!event.has_finished()) continue;
      prefill_ms = static_cast<double>(event.finished().outcome().timings().prefill_us()) / 1000.0;
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.error_message().c_str());
      return 1;
    }
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    std::printf("%s%.3f", i == 0 ? "[" : ", ", elapsed.count() - prefill_ms);
  }
  std::printf("]\n");
  return 0;
}

}  // namespace
}  // namespace dki::orchestrator

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: chat_bench ADDRESS API_KEY USER QUESTION COUNT\n");
    return 2;
  }
  return dki::orchestrator::Measure(
      argv[1], argv[2], dki::orchestrator::MakeRequest(argv[3], argv[4]), std::atoi(argv[5]));
}
