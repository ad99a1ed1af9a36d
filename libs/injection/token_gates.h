// SPDX-License-Identifier: Apache-2.0
// Purpose: the Engram-inspired injection: a gate per memory token, layer and K/V head, and the
//   layers in which a class of memories is attended to at all (docs/engram.md). Pure functions.
//
//   s_i = the mean (or greatest) match of memory token i with the user's message, over its tokens
//         and the query heads of the K/V head (model/key_match.h)
//   z_i = (s_i - mean) / std, of the same score over the tokens of unrelated notes (null_notes.h)
//   g_i = sigmoid(z_i / temperature + bias)
//   The logit of the token gets ln alpha + ln g_i: alpha -> 0 is the model without the memory.
//   (The original multiplied values by g, which does not approach it, and compared keys of one
//   layer with keys of all, without calibration.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/memory_attributes.h"
#include "libs/model/key_match.h"
#include "libs/model/layer_gates.h"

namespace dki::injection {

enum class GateMode {
  kNone,     // tokens are not gated
  kUniform,  // every token sigmoid(bias): what a token gets that is as far off as a null one
  kContextAware,
  kHybrid,           // floor + (1 - floor) g_i: no token weighs less than the floor
  kGatedPreference,  // g_i for the class preference alone; by default in the layers of the classes
};

// Whose memory it is, by its source class: what the user or the operator stated is a preference,
// what was said or written elsewhere (assistant, document, tool) is history.
enum class MemoryClass { kPreference, kHistory };
MemoryClass ClassOf(SourceClass source_class);

// Depths from 0 to 1: layer min(floor(depth * n_layers), n_layers - 1), all from `first` to `last`.
struct DepthRange {
  double first = 0.0;
  double last = 0.0;
  bool operator==(const DepthRange&) const = default;
};

struct GateRule {
  GateMode mode = GateMode::kNone;
  model::MatchPool pool = model::MatchPool::kMean;
  double temperature = 1.0;  // (0, 100]
  double bias = 0.0;         // [-20, 20]
  double floor = 0.5;        // [0, 1], of kHybrid
  // In other layers than its class's a memory is not attended to. The defaults are the original's.
  bool class_layers = false;
  std::vector<DepthRange> preference_layers = {{0, 0}, {0.1, 0.1}, {0.2, 0.2}};
  std::vector<DepthRange> history_layers = {{0.3, 0.3}, {0.5, 0.5}};

  bool is_active() const { return mode != GateMode::kNone || class_layers; }
  // Whether the gates of a class depend on what was asked.
  bool asks(MemoryClass memory_class) const;
  bool operator==(const GateRule&) const = default;
};

// Sets one option by name: gates (none, uniform, context_aware, hybrid, gated_preference),
// gate_pool (max, mean), gate_temperature, gate_bias, gate_floor, gate_layers (all, classes),
// preference_layers, history_layers (depths and ranges of them: "0+0.1+0.2", "0.25-0.75").
// `gates` sets gate_layers as well. NOT_FOUND: no such name; INVALID_ARGUMENT.
absl::Status SetGateOption(std::string_view name, std::string_view value, GateRule* rule);
// INVALID_ARGUMENT with the option and its limits.
absl::Status Validate(const GateRule& rule);

// [n_layers], 0 or 1.
std::vector<uint8_t> LayersOf(const std::vector<DepthRange>& ranges, int n_layers);

// The gates of a memory of this class in a buffer of `n_tokens`, of which `run` was matched (the
// others are neither matched nor attended to: 0). `nulls`: the runs of `match` over unrelated
// notes. `run` may be null where the rule does not ask. REQUIRES: where it asks, rows > 0.
model::LayerGates MakeGates(const GateRule& rule, MemoryClass memory_class, int n_layers,
                            int n_heads, int n_kv_heads, int n_tokens, const model::KeyMatch& match,
                            const model::KeyRun* run,
                            const std::vector<const model::KeyRun*>& nulls);

}  // namespace dki::injection
