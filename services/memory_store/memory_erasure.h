// SPDX-License-Identifier: Apache-2.0
// Purpose: a tenant's end, and its beginning, as far as its memories go. For the tenant repository,
//   inside its own transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <pqxx/pqxx>
#include <string>

namespace dki::memory_store {

// Deletes all memories, conversations, request results, data keys and feed entries of the tenant
// and leaves one ERASE_TENANT entry for the followers, whose position it returns. Later writes of
// the tenant fail with NOT_FOUND. `before`: called when nobody writes any more and everything is
// still there.
int64_t EraseTenantMemories(
    pqxx::work& work, const std::string& tenant_id, const std::function<void()>& before = [] {});

// Lets a tenant of an id that was erased before write again; its feed positions go on. Call it
// whenever a tenant is created.
void OpenTenantMemories(pqxx::work& work, const std::string& tenant_id);

}  // namespace dki::memory_store
