// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/blend_block.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "libs/base/check.h"
#include "libs/injection/compute_pack.h"

namespace dki::injection {
namespace {

double SquareNorm(const float* row, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += double{row[i]} * row[i];
  return sum;
}

double SquareDistance(const float* a, const float* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

// The tokens [begin, end) of all layers, behind what `to` holds.
void Append(const model::KvBuffer& from, int begin, int end, model::KvBuffer* to) {
  const size_t row = from.shape().row_size();
  DKI_CHECK(to->size() == begin);
  for (int layer = 0; layer < from.shape().n_layers; ++layer) {
    for (int token = begin; token < end; ++token) {  // pages may end anywhere
      std::copy_n(from.keys(layer, token), row, to->keys(layer, token));
      std::copy_n(from.values(layer, token), row, to->values(layer, token));
    }
  }
  to->Resize(end);
}

// A chunk of the block's tokens [begin, end) behind its chain and what `block` holds.
model::Chunk ChunkOf(const PlannedBlock& planned, const ChainSegments& chain, int begin, int end,
                     model::KvBuffer* block) {
  return {.tokens = std::span(planned.tokens).subspan(begin, end - begin),
          .context = block,
          .context_offset = chain.end,
          .segments = chain.segments,
          .logits = model::LogitsWanted::kNone};
}

absl::StatusOr<std::vector<int>> Choose(model::Model* model, const PlannedBlock& planned,
                                        const ChainSegments& chain, const model::KvBuffer& alone) {
  const int n_tokens = static_cast<int>(planned.tokens.size());
  std::vector<int> all(n_tokens);
  std::iota(all.begin(), all.end(), 0);
  const int n_layers = std::min(kBlendEstimateLayers, model->config().n_layers);
  if (planned.n_recomputed >= n_tokens) return all;
  model::KvBuffer in_context(alone.shape(), n_tokens);
  model::Chunk chunk = ChunkOf(planned, chain, 0, n_tokens, &in_context);
  DKI_ASSIGN_OR_RETURN(const std::unique_ptr<model::LayeredForward> pass,
                       model->StartForward({&chunk, 1}));
  pass->Run(n_layers);
  return Largest(KvDeviations(in_context, alone, n_layers - 1, n_tokens), planned.n_recomputed);
}

}  // namespace

std::vector<double> KvDeviations(const model::KvBuffer& in_context, const model::KvBuffer& alone,
                                 int layer, int n_tokens) {
  const int row = static_cast<int>(alone.shape().row_size());
  double key_norm = 0, value_norm = 0;
  for (int token = 0; token < n_tokens; ++token) {
    key_norm += SquareNorm(alone.keys(layer, token), row);
    value_norm += SquareNorm(alone.values(layer, token), row);
  }
  const auto in_units = [n_tokens](double square, double norm) {
    return norm > 0 ? square * n_tokens / norm : square;
  };
  std::vector<double> deviations;
  for (int token = 0; token < n_tokens; ++token) {
    deviations.push_back(
        in_units(SquareDistance(in_context.keys(layer, token), alone.keys(layer, token), row),
                 key_norm) +
        in_units(SquareDistance(in_context.values(layer, token), alone.values(layer, token), row),
                 value_norm));
  }
  return deviations;
}

std::vector<int> Largest(std::span<const double> values, int n) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return values[a] > values[b]; });
  order.resize(std::min(static_cast<size_t>(n), order.size()));
  std::ranges::sort(order);
  return order;
}

absl::StatusOr<BlendedKv> BlendBlock(model::Model* model, const PackPlan& plan,
                                     const model::KvBuffer& context,
                                     std::span<const model::KvBuffer* const> kv, int index,
                                     const model::KvBuffer& alone) {
  const PlannedBlock& planned = plan.blocks[index];
  const int n_tokens = static_cast<int>(planned.tokens.size());
  DKI_CHECK(planned.is_blended() && planned.begin == 0 && alone.size() == n_tokens);
  const ChainSegments chain = SegmentsOfChain(plan, context, kv, index);
  DKI_ASSIGN_OR_RETURN(std::vector<int> chosen, Choose(model, planned, chain, alone));
  model::KvBuffer block(alone.shape(), n_tokens);
  for (size_t i = 0; i < chosen.size();) {
    const int begin = chosen[i];
    int end = begin;
    for (; i < chosen.size() && chosen[i] == end; ++i) ++end;
    Append(alone, block.size(), begin, &block);
    model::Chunk chunk = ChunkOf(planned, chain, begin, end, &block);
    DKI_RETURN_IF_ERROR(model->Forward({&chunk, 1}).status());
  }
  Append(alone, block.size(), n_tokens, &block);
  return BlendedKv{std::move(block), std::move(chosen)};
}

}  // namespace dki::injection
