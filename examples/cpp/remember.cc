// SPDX-License-Identifier: Apache-2.0
// A client of DKI in C++: states two facts, asks, and shows what the answer attended to.
//   build/bin/dki_example ADDRESS KEY      (both are in client.json of the cluster's data folder)
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"

namespace api = dki::orchestrator::v1;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: dki_example ADDRESS KEY\n");
    return 2;
  }
  const auto stub =
      api::DkiService::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  const std::string bearer = std::string("Bearer ") + argv[2];

  for (const char* text : {"Ann's dog is called Biscuit.", "Ann works at the harbour."}) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", bearer);
    api::AddMemoryRequest request;
    request.mutable_memory()->mutable_scope()->set_user_id("ann");
    request.mutable_memory()->set_text(text);
    api::AddMemoryResponse response;
    const grpc::Status status = stub->AddMemory(&context, request, &response);
    if (!status.ok()) {
      std::fprintf(stderr, "AddMemory: %s\n", status.error_message().c_str());
      return 1;
    }
  }

  grpc::ClientContext context;
  context.AddMetadata("authorization", bearer);
  api::ChatRequest request;
  request.mutable_scope()->set_user_id("ann");
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content("What is Ann's dog called?");
  request.mutable_sampling()->set_max_tokens(32);

  const auto stream = stub->Chat(&context, request);
  api::ChatResponse event;
  while (stream->Read(&event)) {
    if (event.has_text()) std::printf("%s", event.text().c_str());
    if (!event.has_finished()) continue;
    const auto& outcome = event.finished().outcome();
    std::printf("\n\nprompt tokens: %d, attended to beside it: %d\n",
                outcome.usage().prompt_tokens(), outcome.usage().injected_tokens());
    for (const auto& memory : outcome.memories()) {
      std::printf("%s  attention share %.3f\n", memory.memory_id().c_str(),
                  memory.attention_share());
    }
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) std::fprintf(stderr, "Chat: %s\n", status.error_message().c_str());
  return status.ok() ? 0 : 1;
}
