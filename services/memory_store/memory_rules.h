// SPDX-License-Identifier: Apache-2.0
// Purpose: rules that every implementation of the repositories shares, as pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "dki/memory/v1/memory_store_service.pb.h"
#include "libs/base/status.h"

namespace dki::memory_store {

// How long the result of a request id is kept.
constexpr absl::Duration kRequestRetention = absl::Hours(7 * 24);

// Each field that is set on `scope` equals the viewer's.
bool IsVisible(const common::v1::Scope& scope, const common::v1::Scope& viewer);
// No field is set: the whole tenant sees it.
bool IsShared(const common::v1::Scope& scope);
// Each field that is set on `filter` equals the scope's.
bool IsWithin(const common::v1::Scope& scope, const common::v1::Scope& filter);

// A memory's first version. Id, positions and times are the repository's to set.
memory::v1::Memory MakeMemory(const memory::v1::NewMemory& written);
// Overwrites what the mask names, counts the version up.
void ApplyUpdate(const memory::v1::UpdateMemoryRequest& request, memory::v1::Memory* memory);
// The mask names `path`.
bool Names(const google::protobuf::FieldMask& mask, const std::string& path);

// Microseconds since 1970, the store's resolution; Timestamps outside of years 1 to 9999 are
// refused by validate.h.
int64_t ToMicros(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp FromMicros(int64_t micros);

// Hash of what a request asks, without vectors.
std::string RequestHash(const google::protobuf::Message& request);

// What page tokens of a list are bound to: tenant, viewer and filter.
std::string PageBinding(const std::string& tenant_id,
                        const memory::v1::ListMemoriesRequest& request);

// Errors.
absl::Status MemoryNotFound(const std::string& id);
absl::Status ConversationNotFound(const std::string& id);
absl::Status TenantNotFound(const std::string& tenant_id);
absl::Status RequestIdReused(const std::string& request_id);
absl::Status SharedNeedsAdmin();
absl::Status TextExists(const std::string& id);
absl::Status VersionMismatch(const std::string& id, int64_t expected, int64_t current);

}  // namespace dki::memory_store
