// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention_state.h"
#include "kernels/dtype.h"
#include "kernels/reference/reference.h"

namespace dki::kernels::reference {
namespace {

// A segment's tokens up to the last that a row sees, as floats. [n_tokens, n_kv_heads, head_dim]
struct Planes {
  std::vector<float> keys;
  std::vector<float> values;
};

void DecodePlane(const AttentionOp& op, const KvSegment& segment, bool is_keys, int n_tokens,
                 std::vector<float>* plane) {
  const KvFormat format = is_keys ? segment.key_format : segment.value_format;
  const void* from = is_keys ? segment.keys : segment.values;
  plane->resize(static_cast<size_t>(n_tokens) * op.n_kv_heads * op.head_dim);
  switch (format) {
    case KvFormat::kF32:
      return DequantizeRow(DType::kF32, from, plane->size(), plane->data());
    case KvFormat::kF16:
      return DequantizeRow(DType::kF16, from, plane->size(), plane->data());
    case KvFormat::kBF16:
      return DequantizeRow(DType::kBF16, from, plane->size(), plane->data());
    default:
      break;
  }
  const KvGroupShape shape{format,      segment.key_groups, op.n_kv_heads,
                           op.head_dim, op.pairs,           op.n_rot};
  const auto* groups = static_cast<const uint8_t*>(from);
  if (is_keys)
    DecodeKeys(shape, groups, n_tokens, segment.key_rotations, plane->data());
  else
    DecodeValues(shape, groups, n_tokens, plane->data());
}

Planes Decode(const AttentionOp& op, const KvSegment& segment) {
  Planes planes;
  if (std::isinf(segment.log_alpha)) return planes;
  const int n_tokens = segment.begin + segment.n_tokens + (segment.causal ? op.n_rows - 1 : 0);
  DecodePlane(op, segment, true, n_tokens, &planes.keys);
  DecodePlane(op, segment, false, n_tokens, &planes.values);
  return planes;
}

// The state of one tile [begin, end) for a rotated query, without the segment's own bias.
AttentionState Tile(const AttentionOp& op, const KvSegment& segment, const Planes& planes,
                    const float* q, int kv_head, int begin, int end) {
  AttentionState state(op.head_dim);
  std::vector<float> logits;
  for (int j = begin; j < end; ++j) {
    const size_t index = static_cast<size_t>(j) * op.n_kv_heads + kv_head;
    const float* row = planes.keys.data() + index * op.head_dim;
    double dot = 0;
    for (int c = 0; c < op.head_dim; ++c) dot += static_cast<double>(q[c]) * row[c];
    const float gate = segment.log_gates == nullptr ? 0.0f : segment.log_gates[index];
    logits.push_back(static_cast<float>(dot * op.scale + gate));
    state.softmax.m = std::max(state.softmax.m, logits.back());
  }
  if (std::isinf(state.softmax.m)) return AttentionState(op.head_dim);  // every gate is closed
  std::vector<double> o(op.head_dim, 0.0);
  double d = 0;
  for (int j = begin; j < end; ++j) {
    const size_t index = static_cast<size_t>(j) * op.n_kv_heads + kv_head;
    const float* row = planes.values.data() + index * op.head_dim;
    const double p = std::exp(static_cast<double>(logits[j - begin]) - state.softmax.m);
    d += p;
    for (int c = 0; c < op.head_dim; ++c) o[c] += p * row[c];
  }
  state.softmax.d = static_cast<float>(d);
  for (int c = 0; c < op.head_dim; ++c) state.o[c] = static_cast<float>(o[c]);
  return state;
}

void Head(const AttentionOp& op, const std::vector<Planes>& planes, int row, int head) {
  const size_t n_segments = op.n_segments;
  const int kv_head = head / (op.n_heads / op.n_kv_heads);
  const size_t at = static_cast<size_t>(row) * op.n_heads + head;
  std::vector<float> q(op.head_dim);
  std::vector<SoftmaxState> parts(n_segments);
  AttentionState all(op.head_dim);
  SoftmaxState all_unbiased;
  for (size_t s = 0; s < n_segments; ++s) {
    const KvSegment& segment = op.segments[s];
    if (std::isinf(segment.log_alpha)) continue;
    if (segment.rotations == nullptr) {
      std::copy_n(op.q + at * op.head_dim, op.head_dim, q.data());
    } else {
      ApplyRope(op.pairs, segment.rotations + static_cast<size_t>(row) * op.n_rot, op.n_rot, 1,
                op.head_dim, op.q + at * op.head_dim, q.data());
    }
    const int end = segment.begin + segment.n_tokens + (segment.causal ? row : 0);
    const int visible = segment.first_visible == nullptr ? 0 : segment.first_visible[row];
    for (int tile = std::max(segment.begin, visible); tile < end;) {
      const int tile_end = std::min(end, (tile / kAttentionTile + 1) * kAttentionTile);
      AttentionState state = Tile(op, segment, planes[s], q.data(), kv_head, tile, tile_end);
      Merge(state.softmax, &parts[s]);
      state.softmax.m += segment.log_alpha;
      all.MergeFrom(state);
      tile = tile_end;
    }
    Merge(parts[s], &all_unbiased);
  }
  const std::vector<float> out = all.Output();
  std::copy(out.begin(), out.end(), op.out + at * op.head_dim);
  if (op.mass == nullptr) return;
  for (size_t s = 0; s < n_segments; ++s) {
    double* mass = op.mass + (at * n_segments + s) * 2;
    mass[1] = Share(parts[s], all_unbiased);
    parts[s].m += op.segments[s].log_alpha;
    mass[0] = Share(parts[s], all.softmax);
  }
}

}  // namespace

void Attention(const AttentionOp& op, int begin, int end) {
  std::vector<Planes> planes;
  for (int s = 0; s < op.n_segments; ++s) planes.push_back(Decode(op, op.segments[s]));
  for (int unit = begin; unit < end; ++unit) {
    const int first = unit / op.n_heads * kAttentionRowBlock;
    for (int row = first; row < std::min(op.n_rows, first + kAttentionRowBlock); ++row)
      Head(op, planes, row, unit % op.n_heads);
  }
}

}  // namespace dki::kernels::reference
