// SPDX-License-Identifier: Apache-2.0
// A query head of a model. Some of them look for what a question asks for ("retrieval heads"): how
// much they attend to a memory tells whether it holds the answer.
#pragma once

namespace dki::injection {

struct AttentionHead {
  int layer = 0;
  int head = 0;  // within the layer
  bool operator==(const AttentionHead&) const = default;
};

}  // namespace dki::injection
