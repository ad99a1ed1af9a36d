// SPDX-License-Identifier: Apache-2.0
// Purpose: config messages as YAML. Internal to libs/rpc.
//
// A YAML map is a message, its keys are the proto's field names; durations are "10s", "250ms",
// "1h30m"; enums are their names. A list replaces the default's list.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "libs/base/status.h"

namespace dki::rpc {

// Sets in `config` what `yaml` says and leaves the rest. INVALID_ARGUMENT names `source`, line and
// field path: "kv.yaml:3: server.listne: unknown field"; then `config` is as before.
absl::Status MergeYaml(const std::string& yaml, const std::string& source,
                       google::protobuf::Message* config);

// What MergeYaml reads back to an equal message.
std::string DumpYaml(const google::protobuf::Message& config);

}  // namespace dki::rpc
