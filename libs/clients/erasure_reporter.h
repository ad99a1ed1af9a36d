// SPDX-License-Identifier: Apache-2.0
// Purpose: tells memory_store, signed, what this service removed for each erasure, once it has
//   applied its changes: a thread asks every second what is due. It goes on after restarts and
//   while the store was away, since the store remembers who has not reported.
// Thread-safety: Start once; Stop any time, from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "dki/erasure/v1/erasure_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/clients/erasure_ledger.h"
#include "libs/rpc/service_runtime.h"

namespace dki::clients {

class ErasureReporter {
 public:
  // The service's stores, when the changes have been applied; nullopt: not all is gone, ask again.
  using Describe =
      std::function<std::optional<std::vector<erasure::v1::ErasedItems>>(const DueErasure& due)>;
  struct Options {
    std::chrono::milliseconds interval{1000};
  };

  // All outlive it. `describe` is called on the reporter's thread.
  ErasureReporter(std::unique_ptr<erasure::v1::ErasureService::StubInterface> stub,
                  rpc::ServiceRuntime* runtime, const ErasureLedger* ledger, Describe describe,
                  Options options);
  ~ErasureReporter() { Stop(); }

  void Start();
  void Stop();

  // One round: reports what is due and done. For tests, and for the thread.
  absl::Status ReportDue();

 private:
  void Run();
  absl::Status Report(const DueErasure& due);

  const std::unique_ptr<erasure::v1::ErasureService::StubInterface> stub_;
  rpc::ServiceRuntime* const runtime_;
  const ErasureLedger* const ledger_;
  const Describe describe_;
  const Options options_;

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::clients
