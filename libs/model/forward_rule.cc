// SPDX-License-Identifier: Apache-2.0
// How weights act where a chunk's rule is not the default: in some layers only, or by another law
// than the bias; and the gates of tokens. The other laws are made of two attentions, with the
// weighed segments at weight 1 and without them (design, section 3; S1.1 of the seeds):
//   blend:   alpha * A(all) + (1 - alpha) * A(others)
//   values:  alpha * A(all) + (1 - alpha) * (1 - s) * A(others), s the weighed segments' mass,
//            which is (1 - s) * A(others) + alpha * s * A(weighed)
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "libs/model/forward.h"

namespace dki::model {
namespace {

bool Holds(const AttentionRule& rule, int layer) {
  return layer >= rule.first_layer && layer < rule.end_layer;
}

bool IsWeighed(const Chunk& chunk, int column) {
  return column < static_cast<int>(chunk.segments.size()) && chunk.segments[column].alpha != 1.0;
}

}  // namespace

void ForwardPass::SetWeights(int layer) {
  for (Piece& piece : pieces_) {
    const Chunk& chunk = *piece.chunk;
    const bool gated = std::ranges::any_of(
        chunk.segments, [](const Segment& segment) { return segment.gates != nullptr; });
    if (chunk.rule == AttentionRule() && !gated) continue;
    const bool biased = Holds(chunk.rule, layer) && chunk.rule.law == AttentionLaw::kBias;
    for (Rows& rows : piece.rows) {
      View& view = rows.views[kind_of(layer)];
      for (size_t s = 0; s < view.segments.size(); ++s) {
        const double alpha =
            biased && IsWeighed(chunk, view.columns[s]) ? chunk.segments[view.columns[s]].alpha : 1;
        view.segments[s].log_alpha = static_cast<float>(std::log(alpha));
        const bool own = std::cmp_equal(view.columns[s], chunk.segments.size());
        const LayerGates* gates = own ? nullptr : chunk.segments[view.columns[s]].gates;
        if (gates == nullptr) continue;
        if (!gates->is_attended(layer))
          view.segments[s].log_alpha = -std::numeric_limits<float>::infinity();
        const float* log_gates = gates->of_layer(layer, config_.n_kv_heads);
        view.segments[s].log_gates =
            log_gates == nullptr
                ? nullptr
                : log_gates + static_cast<size_t>(view.firsts[s]) * config_.n_kv_heads;
      }
    }
  }
}

void ForwardPass::ApplyLaws(int layer) {
  for (Piece& piece : pieces_) {
    const AttentionRule& rule = piece.chunk->rule;
    if (rule.law == AttentionLaw::kBias || !Holds(rule, layer)) continue;
    for (Rows& rows : piece.rows) ApplyLaw(piece, &rows, layer);
  }
}

void ForwardPass::ApplyLaw(const Piece& piece, Rows* rows, int layer) {
  const Chunk& chunk = *piece.chunk;
  View& view = rows->views[kind_of(layer)];
  const auto n_segments = static_cast<int>(view.segments.size());
  std::vector<kernels::KvSegment> others = view.segments;
  double alpha = 1.0;
  for (int s = 0; s < n_segments; ++s) {
    if (!IsWeighed(chunk, view.columns[s])) continue;
    alpha = chunk.segments[view.columns[s]].alpha;
    others[s].log_alpha = -std::numeric_limits<float>::infinity();
  }
  if (alpha == 1.0) return;  // nothing is weighed
  const int n_heads = config_.n_heads;
  const int head_dim = config_.head_dim;
  std::vector<float> without(static_cast<size_t>(rows->n) * n_heads * head_dim);
  kernels::AttentionOp op = view.op;
  op.segments = others.data();
  op.out = without.data();
  op.mass = nullptr;
  pool_.ForRanges(op.n_units(), 1,
                  [&](int begin, int end) { kernels::Attention(isa_, op, begin, end); });

  for (int i = 0; i < rows->n * n_heads; ++i) {
    double* const mass =
        view.mass.empty() ? nullptr : view.mass.data() + static_cast<size_t>(i) * n_segments * 2;
    double weighed = 0.0;  // mass on what is weighed, at weight 1
    for (int s = 0; mass != nullptr && s < n_segments; ++s) {
      if (!IsWeighed(chunk, view.columns[s])) continue;
      weighed += mass[2 * s];
      mass[2 * s] *= alpha;  // its part in the result
    }
    const double rest = chunk.rule.law == AttentionLaw::kBlend ? 1.0 : 1.0 - weighed;
    float* const out = view.op.out + static_cast<size_t>(i) * head_dim;
    const float* const other = without.data() + static_cast<size_t>(i) * head_dim;
    for (int c = 0; c < head_dim; ++c) {
      out[c] = static_cast<float>(alpha * out[c] + (1.0 - alpha) * rest * other[c]);
    }
  }
}

}  // namespace dki::model
