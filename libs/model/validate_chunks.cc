// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <unordered_map>

#include "libs/model/forward.h"

namespace dki::model {
namespace {

bool IsPlace(double position) {
  return std::isfinite(position) && std::fabs(position) <= 1e9;
}

absl::Status ValidateTokens(const Chunk& chunk, int index, const ModelConfig& config) {
  if (chunk.tokens.empty()) return InvalidArgument("chunks[%d].tokens is empty", index);
  for (size_t i = 0; i < chunk.tokens.size(); ++i) {
    if (chunk.tokens[i] < 0 || chunk.tokens[i] >= config.vocab_size) {
      return InvalidArgument("chunks[%d].tokens[%d] is %d, the vocabulary has %d tokens", index, i,
                             chunk.tokens[i], config.vocab_size);
    }
  }
  return absl::OkStatus();
}

// Where keys do not carry their position as a rotation alone, K/V is only right where it was
// computed: everything that a chunk attends to stands without a gap in front of it.
absl::Status ValidateTruePrefix(const Chunk& chunk, int index) {
  double end = 0;
  for (size_t s = 0; s < chunk.segments.size(); ++s) {
    const Segment& segment = chunk.segments[s];
    if (segment.alpha == 0) continue;
    if (segment.offset + segment.begin != end) {
      return FailedPrecondition(
          "chunks[%d].segments[%d] stands at %g, not at %g: the model has no rotary positions, so "
          "memory must be a true prefix",
          index, s, segment.offset + segment.begin, end);
    }
    end += segment.n_tokens;
  }
  if (chunk.context_offset == end) return absl::OkStatus();
  return FailedPrecondition(
      "chunks[%d].context_offset is %g, not %g: the model has no rotary positions, so memory must "
      "be a true prefix",
      index, chunk.context_offset, end);
}

// Groups of a format begin with the block.
absl::Status ValidateRounded(const Chunk& chunk, int index, const KvShape& shape) {
  const RoundedKv& rounded = chunk.rounded;
  if (rounded.kv == nullptr) return absl::OkStatus();
  if (rounded.codec == nullptr || !rounded.codec->shape().SameModel(shape) ||
      !rounded.kv->shape().SameModel(shape) || rounded.kv == chunk.context)
    return InvalidArgument("chunks[%d].rounded is not another buffer of this model", index);
  if (rounded.kv->size() != 0 || chunk.context->size() != 0)
    return InvalidArgument("chunks[%d].rounded: its %d tokens or the context's %d are not none",
                           index, rounded.kv->size(), chunk.context->size());
  return absl::OkStatus();
}

absl::Status ValidateGates(const Segment& segment, const std::string& where,
                           const ModelConfig& config) {
  if (segment.gates == nullptr) return absl::OkStatus();
  const LayerGates& gates = *segment.gates;
  const size_t n_layers = config.n_layers;
  const bool fits = gates.n_tokens >= segment.begin + segment.n_tokens &&
                    (gates.attended.empty() || gates.attended.size() == n_layers) &&
                    (gates.log_gates.empty() ||
                     gates.log_gates.size() == n_layers * gates.n_tokens * config.n_kv_heads);
  if (fits) return absl::OkStatus();
  return InvalidArgument("%s.gates are not of this segment and model", where);
}

absl::Status ValidateMatch(const Chunk& chunk, int index, const ModelConfig& config) {
  if (chunk.match == nullptr) return absl::OkStatus();
  const KvShape shape{config.n_layers, config.n_kv_heads, config.head_dim};
  for (const KeyRun& run : chunk.match->runs) {
    const size_t n_scores = size_t{1} * config.n_layers * run.n_tokens * config.n_kv_heads;
    if (run.kv == nullptr || !run.kv->shape().SameModel(shape) || run.kv == chunk.context ||
        run.begin < 0 || run.n_tokens < 0 || run.begin > run.kv->size() - run.n_tokens ||
        (chunk.match->rows > 0 && run.scores.size() != n_scores))
      return InvalidArgument("chunks[%d].match: a run is not of another buffer of this model",
                             index);
  }
  return absl::OkStatus();
}

// Laws other than the bias know one weight.
absl::Status ValidateRule(const Chunk& chunk, int index) {
  if (chunk.rule.law == AttentionLaw::kBias) return absl::OkStatus();
  double weight = 1.0;
  for (size_t s = 0; s < chunk.segments.size(); ++s) {
    const double alpha = chunk.segments[s].alpha;
    if (alpha == 0.0 || alpha == 1.0) continue;
    if (weight != 1.0 && alpha != weight) {
      return InvalidArgument("chunks[%d].segments[%d].alpha is %g, another is %g: its law has one",
                             index, s, alpha, weight);
    }
    if (chunk.rule.law == AttentionLaw::kBlend && alpha > 1.0) {
      return InvalidArgument("chunks[%d].segments[%d].alpha is %g, a blend has at most 1", index, s,
                             alpha);
    }
    weight = alpha;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateChunks(std::span<const Chunk> chunks, const ModelConfig& config) {
  const KvShape shape{config.n_layers, config.n_kv_heads, config.head_dim};
  // Contexts of the chunks so far, with the size that they will have.
  std::unordered_map<const KvBuffer*, int> written;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const Chunk& chunk = chunks[c];
    const int index = static_cast<int>(c);
    DKI_RETURN_IF_ERROR(ValidateTokens(chunk, index, config));
    if (chunk.context == nullptr || !chunk.context->shape().SameModel(shape))
      return InvalidArgument("chunks[%d].context is not a buffer of this model", index);
    DKI_RETURN_IF_ERROR(ValidateRounded(chunk, index, shape));
    if (!IsPlace(chunk.context_offset))
      return InvalidArgument("chunks[%d].context_offset is not a position", index);
    const size_t size = static_cast<size_t>(chunk.context->size()) + chunk.tokens.size();
    if (size > static_cast<size_t>(config.context_length)) {
      return InvalidArgument("chunks[%d].tokens: a context of %d tokens exceeds the window of %d",
                             index, size, config.context_length);
    }
    for (size_t s = 0; s < chunk.segments.size(); ++s) {
      const Segment& segment = chunk.segments[s];
      const auto where = [&] { return absl::StrFormat("chunks[%d].segments[%d]", index, s); };
      if (segment.kv == nullptr || !segment.kv->shape().SameModel(shape) ||
          segment.kv == chunk.context)
        return InvalidArgument("%s.kv is not another buffer of this model", where());
      const auto earlier = written.find(segment.kv);
      const int held = earlier == written.end() ? segment.kv->size() : earlier->second;
      if (segment.begin < 0 || segment.n_tokens < 0 || segment.begin > held ||
          segment.n_tokens > held - segment.begin) {
        return InvalidArgument("%s: tokens [%d, %d + %d) are not within the %d held", where(),
                               segment.begin, segment.begin, segment.n_tokens, held);
      }
      if (!IsPlace(segment.offset)) return InvalidArgument("%s.offset is not a position", where());
      if (!(std::isfinite(segment.alpha) && segment.alpha >= 0))
        return InvalidArgument("%s.alpha is %g, it must be finite and not negative", where(),
                               segment.alpha);
      DKI_RETURN_IF_ERROR(ValidateGates(segment, where(), config));
    }
    DKI_RETURN_IF_ERROR(ValidateMatch(chunk, index, config));
    DKI_RETURN_IF_ERROR(ValidateRule(chunk, index));
    if (!config.supports_placement()) DKI_RETURN_IF_ERROR(ValidateTruePrefix(chunk, index));
    if (chunk.mass != nullptr && chunk.mass->n_columns != 0) {
      const AttentionMass& mass = *chunk.mass;
      if (mass.n_layers != config.n_layers || mass.n_heads != config.n_heads ||
          mass.n_columns != static_cast<int>(chunk.segments.size()) + 1 ||
          mass.biased.size() != mass.size() || mass.unbiased.size() != mass.size())
        return InvalidArgument("chunks[%d].mass was begun with another number of segments", index);
    }
    if (!written.emplace(chunk.context, static_cast<int>(size)).second)
      return InvalidArgument("chunks[%d].context is the context of an earlier chunk too", index);
    if (chunk.rounded.kv != nullptr &&
        !written.emplace(chunk.rounded.kv, static_cast<int>(size)).second)
      return InvalidArgument("chunks[%d].rounded is a buffer of an earlier chunk too", index);
  }
  return absl::OkStatus();
}

}  // namespace dki::model
