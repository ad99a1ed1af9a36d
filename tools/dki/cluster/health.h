// SPDX-License-Identifier: Apache-2.0
// Purpose: asks a service whether it is ready, by the standard health protocol.
#pragma once

#include <chrono>
#include <string>

namespace dki::cluster {

enum class Health { kUnreachable, kNotServing, kServing };
std::string_view ToString(Health health);

Health CheckHealth(const std::string& address, std::chrono::milliseconds timeout);

}  // namespace dki::cluster
