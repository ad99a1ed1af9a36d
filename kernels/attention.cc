// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include "kernels/cpu/attention_kernels.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void Attention(Isa isa, const AttentionOp& op, int begin, int end) {
  if (isa == Isa::kReference) return reference::Attention(op, begin, end);
  DKI_CALL_KV(isa, Attention, op, begin, end);
}

}  // namespace dki::kernels
