// SPDX-License-Identifier: Apache-2.0
// What keeping K/V in a number format does to it.
#pragma once

#include "kernels/isa.h"
#include "libs/model/kv_buffer.h"

namespace dki::model {

// A copy of the first `n_tokens` tokens that went through `codec`, a running context's, and back:
// in groups of 32 tokens, the last of them short; under 8 tokens keys are int8 per token.
// `frequencies`: of the model's rotation (kernels::RopeFrequencies), for codecs that quantise keys
// before it. REQUIRES: n_tokens <= kv.size().
KvBuffer RoundThrough(const KvBuffer& kv, int n_tokens, const KvCodec& codec, kernels::Isa isa,
                      const std::vector<double>& frequencies = {});

}  // namespace dki::model
