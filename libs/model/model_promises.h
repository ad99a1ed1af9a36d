// SPDX-License-Identifier: Apache-2.0
// The promises of the forward pass, as functions over any model: checked for the tiny one on every
// path and for the real one.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "libs/model/model.h"
#include "libs/testing/status_matchers.h"

namespace dki::model {

using Logits = std::vector<float>;
using Tokens = std::vector<int32_t>;

inline Tokens MakeTokens(const Model& model, int n, int seed) {
  Tokens tokens(n);
  for (int i = 0; i < n; ++i)
    tokens[i] = static_cast<int32_t>((i * 7919L + seed * 104729L) % model.config().vocab_size);
  return tokens;
}

// One chunk's logits.
inline Logits RunChunk(Model& model, Chunk chunk) {
  absl::StatusOr<Logits> logits = model.Forward({&chunk, 1});
  EXPECT_OK(logits);
  return logits.ok() ? *std::move(logits) : Logits{};
}
inline Logits RunOn(Model& model, std::span<const int32_t> tokens, KvBuffer* context,
                    LogitsWanted wanted = LogitsWanted::kAll) {
  return RunChunk(model, {.tokens = tokens, .context = context, .segments = {}, .logits = wanted});
}
inline KvBuffer Prefill(Model& model, std::span<const int32_t> tokens) {
  KvBuffer context(model.kv_shape(), 0);
  RunOn(model, tokens, &context, LogitsWanted::kNone);
  return context;
}

inline bool SameKv(const KvBuffer& a, const KvBuffer& b) {
  if (a.size() != b.size()) return false;
  const int n = a.shape().row_size();
  for (int layer = 0; layer < a.shape().n_layers; ++layer) {
    for (int token = 0; token < a.size(); ++token) {
      const float* keys = a.keys(layer, token);
      const float* values = a.values(layer, token);
      if (!std::equal(keys, keys + n, b.keys(layer, token)) ||
          !std::equal(values, values + n, b.values(layer, token)))
        return false;
    }
  }
  return true;
}

// max |a - b| / max |b|
inline double Difference(const Logits& a, const Logits& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, largest = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference = std::max(difference, std::fabs(static_cast<double>(a[i]) - b[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return difference / largest;
}

// P11: the chunks that a sequence is cut into, and what else is in the batch, change no bit.
inline void ExpectChunkingChangesNothing(Model& model, int n_tokens) {
  const Tokens tokens = MakeTokens(model, n_tokens, 1);
  const Tokens other = MakeTokens(model, 11, 2);
  KvBuffer whole(model.kv_shape(), n_tokens);
  const Logits want = RunOn(model, tokens, &whole);
  KvBuffer pieces(model.kv_shape(), 0);
  Logits got;
  int length = 1;
  for (int at = 0; at < n_tokens; at += length, length = length * 3 % 71 + 1) {
    length = std::min(length, n_tokens - at);
    KvBuffer neighbour(model.kv_shape(), 0);
    Chunk chunks[2];
    chunks[0].tokens = other;
    chunks[0].context = &neighbour;
    chunks[1].tokens = std::span(tokens).subspan(at, length);
    chunks[1].context = &pieces;
    chunks[1].logits = LogitsWanted::kAll;
    chunks[0].logits = LogitsWanted::kNone;
    // With a neighbour in front every other time.
    const bool alone = length % 2 == 0;
    absl::StatusOr<Logits> part = model.Forward(std::span(chunks).subspan(alone ? 1 : 0));
    ASSERT_OK(part);
    got.insert(got.end(), part->begin(), part->end());
  }
  EXPECT_EQ(got, want);
  EXPECT_TRUE(SameKv(pieces, whole));
}

// P11: a pass in parts, with others in between, gives the bits of one at once; abandoned half-way
// it leaves nothing behind.
inline void ExpectLayersInPartsChangeNothing(Model& model, int n_tokens) {
  const Tokens tokens = MakeTokens(model, n_tokens, 8);
  const Tokens other = MakeTokens(model, 70, 9);
  KvBuffer whole(model.kv_shape(), 0);
  const Logits want = RunOn(model, tokens, &whole);
  KvBuffer neighbour(model.kv_shape(), 0);
  const Logits want_other = RunOn(model, other, &neighbour);

  KvBuffer context(model.kv_shape(), 0);
  RunOn(model, std::span(tokens).first(10), &context);
  Chunk chunk{.tokens = std::span(tokens).subspan(10), .context = &context, .segments = {}};
  chunk.logits = LogitsWanted::kAll;
  for (const bool abandon : {true, false}) {
    absl::StatusOr<std::unique_ptr<LayeredForward>> pass = model.StartForward({&chunk, 1});
    ASSERT_OK(pass);
    for (int part = 1; (*pass)->layers_left() > (abandon ? 1 : 0); ++part) {
      KvBuffer between(model.kv_shape(), 0);
      EXPECT_EQ(RunOn(model, other, &between), want_other);
      (*pass)->Run(part % 2);  // at times none
    }
    EXPECT_EQ(context.size(), 10);
    if (abandon) continue;
    const Logits rest = (*pass)->Finish();
    const size_t skipped = size_t{10} * model.config().vocab_size;
    EXPECT_EQ(rest, Logits(want.begin() + static_cast<ptrdiff_t>(skipped), want.end()));
  }
  EXPECT_TRUE(SameKv(context, whole));
}

// P11: a prefix held in pages that others share gives the bits of one computed in place, and
// writing behind it leaves the others' pages alone.
inline void ExpectSharingChangesNothing(Model& model, int n_prefix, int n_rest) {
  const Tokens tokens = MakeTokens(model, n_prefix + n_rest, 6);
  KvBuffer whole(model.kv_shape(), 0);
  const Logits logits = RunOn(model, tokens, &whole);
  const Logits want(logits.end() - static_cast<size_t>(n_rest) * model.config().vocab_size,
                    logits.end());
  const Tokens other = MakeTokens(model, n_rest, 7);
  KvBuffer before = whole.Share(n_prefix);
  RunOn(model, other, &before, LogitsWanted::kNone);  // writes behind the shared prefix
  KvBuffer shared = whole.Share(n_prefix);
  EXPECT_EQ(RunOn(model, std::span(tokens).subspan(n_prefix), &shared), want);
  EXPECT_TRUE(SameKv(shared, whole));
  EXPECT_FALSE(SameKv(before, whole));
}

// P1 and P2 of a memory between a prefix and a turn.
struct MemoryCase {
  Tokens prefix, memory, turn, flat;
  KvBuffer prefix_kv, memory_kv;

  MemoryCase(Model& model, int n_prefix, int n_memory, int n_turn)
      : prefix(MakeTokens(model, n_prefix, 3)),
        memory(MakeTokens(model, n_memory, 4)),
        turn(MakeTokens(model, n_turn, 5)),
        prefix_kv(Prefill(model, prefix)),
        memory_kv(model.kv_shape(), 0) {
    for (const Tokens* part : {&prefix, &memory, &turn})
      flat.insert(flat.end(), part->begin(), part->end());
    RunChunk(model, {.tokens = memory,
                     .context = &memory_kv,
                     .context_offset = static_cast<double>(n_prefix),
                     .segments = {{.kv = &prefix_kv, .n_tokens = n_prefix}},
                     .logits = LogitsWanted::kNone});
  }
  int n_prefix() const { return static_cast<int>(prefix.size()); }
  int n_memory() const { return static_cast<int>(memory.size()); }
  double memory_end() const { return n_prefix() + n_memory(); }

  // The turn's logits, placed at `place`, the memory ending there.
  Logits Turn(Model& model, double alpha, double place, AttentionMass* mass = nullptr,
              const AttentionRule& rule = {}) {
    KvBuffer context(model.kv_shape(), 0);
    return RunChunk(model, {.tokens = turn,
                            .context = &context,
                            .context_offset = place,
                            .segments = {{.kv = &prefix_kv, .n_tokens = n_prefix()},
                                         {.kv = &memory_kv,
                                          .n_tokens = n_memory(),
                                          .offset = place - n_memory(),
                                          .alpha = alpha}},
                            .rule = rule,
                            .logits = LogitsWanted::kAll,
                            .mass = mass});
  }
  // The turn's logits without the memory's segment.
  Logits Vanilla(Model& model) {
    KvBuffer context(model.kv_shape(), 0);
    return RunChunk(model, {.tokens = turn,
                            .context = &context,
                            .context_offset = static_cast<double>(n_prefix()),
                            .segments = {{.kv = &prefix_kv, .n_tokens = n_prefix()}},
                            .logits = LogitsWanted::kAll});
  }
};

inline void ExpectAlphaZeroIsVanilla(Model& model, MemoryCase& c) {
  EXPECT_EQ(c.Turn(model, 0.0, c.n_prefix()), c.Vanilla(model));
}

inline void ExpectAlphaOneIsThePrompt(Model& model, MemoryCase& c, double tolerance) {
  KvBuffer flat(model.kv_shape(), 0);
  const Logits prompt = RunOn(model, c.flat, &flat);
  const Logits want(prompt.end() - c.turn.size() * model.config().vocab_size, prompt.end());
  EXPECT_LE(Difference(c.Turn(model, 1.0, c.memory_end()), want), tolerance);
}

}  // namespace dki::model
