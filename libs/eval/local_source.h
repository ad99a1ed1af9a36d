// SPDX-License-Identifier: Apache-2.0
// Purpose: answers with the runtime in this process: the same engine, packs and weights as the
// cluster's services.
#pragma once

#include <memory>
#include <string>

#include "libs/eval/runner.h"

namespace dki::eval {

// `models`: folder of the default models.
absl::StatusOr<std::unique_ptr<AnswerSource>> MakeLocalSource(const std::string& models);

}  // namespace dki::eval
