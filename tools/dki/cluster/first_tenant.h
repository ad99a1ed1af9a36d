// SPDX-License-Identifier: Apache-2.0
// Purpose: the first tenant and its key, so that a new cluster can be used at once.
#pragma once

#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

// Makes tenant "default" and a key with all permissions, and writes client.json (0600). Does
// nothing where that file is.
absl::Status MakeFirstTenant(const Layout& layout, int port_base);

}  // namespace dki::cluster
