// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/token_gates.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "libs/base/strings.h"

namespace dki::injection {
namespace {

constexpr double kSmallestStd = 1e-6;

constexpr std::pair<const char*, GateMode> kModes[] = {
    {"none", GateMode::kNone},
    {"uniform", GateMode::kUniform},
    {"context_aware", GateMode::kContextAware},
    {"hybrid", GateMode::kHybrid},
    {"gated_preference", GateMode::kGatedPreference}};

double LogSigmoid(double x) {
  return x > 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

absl::StatusOr<std::vector<DepthRange>> ParseDepths(std::string_view name, std::string_view text) {
  std::vector<DepthRange> ranges;
  while (true) {
    const size_t plus = text.find('+');
    const std::string part(text.substr(0, plus));
    const size_t dash = part.find('-');
    DepthRange range;
    const bool reads =
        absl::SimpleAtod(part.substr(0, dash), &range.first) &&
        (dash == std::string::npos ? (range.last = range.first, true)
                                   : absl::SimpleAtod(part.substr(dash + 1), &range.last));
    if (!reads || !(range.first >= 0 && range.first <= range.last && range.last <= 1)) {
      return InvalidArgument(
          "%s: '%s' is not a depth from 0 to 1 or a range of them, as in 0+0.25-0.5", name,
          Abbreviate(part, 32));
    }
    ranges.push_back(range);
    if (plus == std::string_view::npos) return ranges;
    text = text.substr(plus + 1);
  }
}

absl::Status SetChoice(std::string_view name, std::string_view value, std::string_view no,
                       std::string_view yes, bool* is_yes) {
  if (value != no && value != yes) {
    return InvalidArgument("%s=%s must be %s or %s", name, Abbreviate(std::string(value), 32), no,
                           yes);
  }
  *is_yes = value == yes;
  return absl::OkStatus();
}

absl::Status SetMode(std::string_view value, GateRule* rule) {
  for (const auto& [name, mode] : kModes) {
    if (value != name) continue;
    rule->mode = mode;
    rule->class_layers = mode == GateMode::kGatedPreference;
    return absl::OkStatus();
  }
  return InvalidArgument(
      "gates=%s is not one of none, uniform, context_aware, hybrid, gated_preference",
      Abbreviate(std::string(value), 32));
}

// Mean and standard deviation of null tokens' scores, of one layer and K/V head.
struct Moments {
  double mean = 0.0;
  double std = 0.0;
};
Moments MomentsOf(const model::KeyMatch& match, const std::vector<const model::KeyRun*>& nulls,
                  int layer, int kv_head, int n_kv_heads, int group) {
  double sum = 0.0;
  double squares = 0.0;
  int n = 0;
  for (const model::KeyRun* run : nulls) {
    for (int j = 0; j < run->n_tokens; ++j, ++n) {
      const size_t at = (static_cast<size_t>(layer) * run->n_tokens + j) * n_kv_heads + kv_head;
      const double score = match.Score(*run, at, group);
      sum += score;
      squares += score * score;
    }
  }
  if (n == 0) return {0.0, 1.0};
  const double mean = sum / n;
  return {mean, std::max(std::sqrt(std::max(squares / n - mean * mean, 0.0)), kSmallestStd)};
}

// ln gate of a token with this z.
double LogGate(const GateRule& rule, double z) {
  const double log_gate = LogSigmoid(z / rule.temperature + rule.bias);
  if (rule.mode != GateMode::kHybrid) return log_gate;
  return std::log(rule.floor + (1.0 - rule.floor) * std::exp(log_gate));
}

}  // namespace

MemoryClass ClassOf(SourceClass source_class) {
  const bool stated = source_class == SourceClass::kUser || source_class == SourceClass::kOperator;
  return stated ? MemoryClass::kPreference : MemoryClass::kHistory;
}

bool GateRule::asks(MemoryClass memory_class) const {
  switch (mode) {
    case GateMode::kNone:
    case GateMode::kUniform:
      return false;
    case GateMode::kContextAware:
    case GateMode::kHybrid:
      return true;
    case GateMode::kGatedPreference:
      break;
  }
  return memory_class == MemoryClass::kPreference;
}

absl::Status SetGateOption(std::string_view name, std::string_view value, GateRule* rule) {
  if (name == "gates") return SetMode(value, rule);
  if (name == "gate_layers") return SetChoice(name, value, "all", "classes", &rule->class_layers);
  if (name == "gate_pool") {
    bool is_mean = false;
    DKI_RETURN_IF_ERROR(SetChoice(name, value, "max", "mean", &is_mean));
    rule->pool = is_mean ? model::MatchPool::kMean : model::MatchPool::kMax;
    return absl::OkStatus();
  }
  if (name == "preference_layers" || name == "history_layers") {
    DKI_ASSIGN_OR_RETURN(auto ranges, ParseDepths(name, value));
    (name == "history_layers" ? rule->history_layers : rule->preference_layers) = std::move(ranges);
    return absl::OkStatus();
  }
  const std::pair<const char*, double*> numbers[] = {{"gate_temperature", &rule->temperature},
                                                     {"gate_bias", &rule->bias},
                                                     {"gate_floor", &rule->floor}};
  for (const auto& [number, field] : numbers) {
    if (name != number) continue;
    if (absl::SimpleAtod(std::string(value), field)) return Validate(*rule);
    return InvalidArgument("%s=%s is no number", name, Abbreviate(std::string(value), 32));
  }
  return NotFound("'%s' is no option of gates", name);
}

absl::Status Validate(const GateRule& rule) {
  if (!(rule.temperature > 0 && rule.temperature <= 100)) {
    return InvalidArgument("gate_temperature is %g, must be above 0 and at most 100",
                           rule.temperature);
  }
  if (!(rule.bias >= -20 && rule.bias <= 20)) {
    return InvalidArgument("gate_bias is %g, must be -20 to 20", rule.bias);
  }
  if (!(rule.floor >= 0 && rule.floor <= 1)) {
    return InvalidArgument("gate_floor is %g, must be 0 to 1", rule.floor);
  }
  return absl::OkStatus();
}

std::vector<uint8_t> LayersOf(const std::vector<DepthRange>& ranges, int n_layers) {
  std::vector<uint8_t> layers(n_layers, 0);
  const auto layer_at = [&](double depth) {
    return std::min(static_cast<int>(depth * n_layers), n_layers - 1);
  };
  for (const DepthRange& range : ranges) {
    for (int layer = layer_at(range.first); layer <= layer_at(range.last); ++layer) {
      layers[layer] = 1;
    }
  }
  return layers;
}

model::LayerGates MakeGates(const GateRule& rule, MemoryClass memory_class, int n_layers,
                            int n_heads, int n_kv_heads, int n_tokens, const model::KeyMatch& match,
                            const model::KeyRun* run,
                            const std::vector<const model::KeyRun*>& nulls) {
  model::LayerGates gates{.n_tokens = n_tokens};
  if (rule.class_layers) {
    const bool is_history = memory_class == MemoryClass::kHistory;
    gates.attended = LayersOf(is_history ? rule.history_layers : rule.preference_layers, n_layers);
  }
  const size_t n_gates = size_t{1} * n_layers * n_tokens * n_kv_heads;
  if (rule.mode == GateMode::kUniform) {
    gates.log_gates.assign(n_gates, static_cast<float>(LogSigmoid(rule.bias)));
  }
  if (!rule.asks(memory_class)) return gates;
  gates.log_gates.assign(n_gates, 0.0f);
  const int group = n_heads / n_kv_heads;
  for (int layer = 0; layer < n_layers; ++layer) {
    for (int kv_head = 0; kv_head < n_kv_heads; ++kv_head) {
      const Moments null = MomentsOf(match, nulls, layer, kv_head, n_kv_heads, group);
      for (int j = 0; j < run->n_tokens; ++j) {
        const size_t from = (static_cast<size_t>(layer) * run->n_tokens + j) * n_kv_heads + kv_head;
        const size_t to =
            (static_cast<size_t>(layer) * n_tokens + run->begin + j) * n_kv_heads + kv_head;
        const double z = (match.Score(*run, from, group) - null.mean) / null.std;
        gates.log_gates[to] = static_cast<float>(LogGate(rule, z));
      }
    }
  }
  return gates;
}

}  // namespace dki::injection
