// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "libs/model/tokenizer.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {

// See MakeTokenizer. REQUIRES: ids and kinds of `spec` are consistent.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeBytePairTokenizer(const TokenizerSpec& spec);

}  // namespace dki::model
