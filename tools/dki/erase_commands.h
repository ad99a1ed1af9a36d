// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki erase`: erasures with receipts, and what they leave to do.
#pragma once

#include <string>

#include "libs/base/status.h"
#include "tools/dki/context.h"

namespace dki::cli {

enum class EraseTarget { kMemory, kUser, kSession, kAgent, kTenant };

struct EraseOptions {
  EraseTarget kind = EraseTarget::kMemory;
  std::string id;  // of the target, the erasure or the service
  ScopeOptions viewer;
  bool with_conversations = false;
  bool wait = false;
  int timeout_seconds = 120;
  std::string receipt;  // a file
  std::string keyring;  // a file; empty: the local cluster's
};

// Acknowledged when nothing can be used any more. With `wait` or a receipt's file:
// DEADLINE_EXCEEDED names the services that have not reported.
absl::Status Erase(Context& context, const EraseOptions& options);
absl::Status EraseStatus(Context& context, const EraseOptions& options);
absl::Status EraseReceipt(Context& context, const EraseOptions& options);
// DATA_LOSS when the receipt is not what the services signed.
absl::Status EraseVerify(Context& context, const EraseOptions& options);
absl::Status EraseKeys(Context& context);
absl::Status EraseScrub(Context& context);
absl::Status EraseForgetService(Context& context, const EraseOptions& options);

}  // namespace dki::cli
