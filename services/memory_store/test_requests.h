// SPDX-License-Identifier: Apache-2.0
// Purpose: short ways for tests to say what they write.
#pragma once

#include <cstring>
#include <string>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "services/memory_store/memory_repository.h"

namespace dki::memory_store {

inline common::v1::Scope UserScope(const std::string& user, const std::string& session = "") {
  common::v1::Scope scope;
  scope.set_user_id(user);
  scope.set_session_id(session);
  return scope;
}

// Unit length: dimension `axis` of four.
inline v1::Vector UnitVector(int axis = 0) {
  float values[4] = {0, 0, 0, 0};
  values[axis] = 1;
  v1::Vector vector;
  vector.set_values(reinterpret_cast<const char*>(values), sizeof(values));
  vector.set_embedding_fingerprint("test-embedding");
  return vector;
}

inline v1::NewMemory TextMemory(const common::v1::Scope& scope, const std::string& text) {
  v1::NewMemory memory;
  *memory.mutable_scope() = scope;
  memory.set_text(text);
  memory.set_source_class(common::v1::SOURCE_CLASS_USER);
  *memory.mutable_vector() = UnitVector();
  return memory;
}

inline v1::BatchCreateMemoriesRequest CreateRequest(const std::string& request_id,
                                                    const v1::NewMemory& memory) {
  v1::BatchCreateMemoriesRequest request;
  request.set_request_id(request_id);
  *request.add_memories() = memory;
  return request;
}

inline v1::UpdateMemoryRequest TextUpdate(const std::string& request_id, const std::string& id,
                                          const std::string& text) {
  v1::UpdateMemoryRequest request;
  request.set_request_id(request_id);
  request.set_id(id);
  request.mutable_update_mask()->add_paths("text");
  request.mutable_memory()->set_text(text);
  *request.mutable_memory()->mutable_vector() = UnitVector(1);
  return request;
}

inline v1::DeleteMemoryRequest DeleteRequest(const std::string& request_id, const std::string& id) {
  v1::DeleteMemoryRequest request;
  request.set_request_id(request_id);
  request.set_id(id);
  return request;
}

}  // namespace dki::memory_store
