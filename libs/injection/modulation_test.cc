// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/modulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/dtype.h"
#include "libs/injection/modulation_fixture.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

// Two kinds of layers with rotations of their own, of which one leaves channels as they are.
model::ModelConfig TinyConfig(model::RopePairing pairing) {
  model::ModelConfig config;
  config.n_layers = 3;
  config.n_heads = config.n_kv_heads = 2;
  config.head_dim = 8;
  config.hidden_dim = 5;
  config.vocab_size = 7;
  config.rope = {.pairing = pairing, .theta = 100.0, .n_rot = 8, .factors = {1, 1, 2, 4}};
  config.window = 16;
  config.window_rope = {.pairing = pairing, .theta = 10.0, .n_rot = 4, .factors = {}};
  config.windowed = {false, true, false};
  config.fingerprint = "f00d";
  return config;
}

// Embeddings and nothing else.
class Embeddings : public model::Model {
 public:
  explicit Embeddings(const model::ModelConfig& config) : config_(config) {}
  const model::ModelConfig& config() const override { return config_; }
  std::string description() const override { return ""; }
  size_t weight_bytes_per_token() const override { return 0; }
  static float At(int32_t token, size_t i) {
    return static_cast<float>((token * 5 + static_cast<int>(i) * 3) % 11) - 4.5f;
  }
  void EmbeddingRow(int32_t token, std::span<float> row) const override {
    for (size_t i = 0; i < row.size(); ++i) row[i] = At(token, i);
  }
  absl::StatusOr<std::vector<float>> Forward(std::span<model::Chunk>) override {
    return Internal("no layers");
  }
  absl::StatusOr<std::unique_ptr<model::LayeredForward>> StartForward(
      std::span<model::Chunk>) override {
    return Internal("no layers");
  }

 private:
  const model::ModelConfig config_;
};

model::KvShape ShapeOf(const model::ModelConfig& config) {
  return {config.n_layers, config.n_kv_heads, config.head_dim, {}};
}

model::KvBuffer RandomKv(const model::ModelConfig& config, int n_tokens) {
  model::KvBuffer kv(ShapeOf(config), n_tokens);
  kv.Resize(n_tokens);
  std::mt19937 random(3);
  std::uniform_real_distribution<float> value(-2.0f, 2.0f);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int token = 0; token < n_tokens; ++token) {
      for (int c = 0; c < kv.shape().row_size(); ++c) {
        kv.keys(layer, token)[c] = value(random);
        kv.values(layer, token)[c] = value(random);
      }
    }
  }
  return kv;
}

std::shared_ptr<const Modulation> Made(const ModulationParts& parts,
                                       const model::ModelConfig& config) {
  auto made = Modulation::Parse(FileBytes(parts), config, kernels::BestIsa());
  EXPECT_OK(made);
  return made.ok() ? *made : nullptr;
}

// One head's key in the file's order (halves), turned by `position`, back where that is negative.
std::vector<double> Turned(const model::RopeConfig& rope, std::vector<double> key,
                           double position) {
  const int half = rope.n_rot / 2;
  for (int i = 0; i < half; ++i) {
    const double factor = rope.factors.empty() ? 1.0 : rope.factors[i];
    const double angle = position * std::pow(rope.theta, -2.0 * i / rope.n_rot) / factor;
    const double a = key[i], b = key[i + half];
    key[i] = a * std::cos(angle) - b * std::sin(angle);
    key[i + half] = a * std::sin(angle) + b * std::cos(angle);
  }
  return key;
}

// Where a model of this pairing has channel c of a head in the file's order.
int ModelChannel(const model::RopeConfig& rope, int c) {
  if (rope.pairing == model::RopePairing::kHalves || c >= rope.n_rot) return c;
  const int half = rope.n_rot / 2;
  return c < half ? 2 * c : 2 * (c - half) + 1;
}

class ModulationTest : public ::testing::TestWithParam<model::RopePairing> {};
INSTANTIATE_TEST_SUITE_P(Pairings, ModulationTest,
                         ::testing::Values(model::RopePairing::kInterleaved,
                                           model::RopePairing::kHalves));

TEST_P(ModulationTest, IsTheFormulaInPlainLoops) {
  const model::ModelConfig config = TinyConfig(GetParam());
  constexpr int kRank = 3, kTokens = 70, kBegin = 2;  // more than a page
  const ModulationParts parts = RandomModulation(config, kRank, 1);
  const auto modulation = Made(parts, config);
  ASSERT_NE(modulation, nullptr);
  EXPECT_FALSE(modulation->is_identity());
  const model::KvBuffer kv = RandomKv(config, kTokens);
  const std::vector<int32_t> turn = {3, 1, 6, 1};
  const model::KvBuffer changed =
      modulation->Apply(modulation->Read(Embeddings(config), turn), kv, kBegin);
  ASSERT_EQ(changed.size(), kTokens);

  const int h = config.hidden_dim, d = config.n_kv_heads * config.head_dim;
  std::vector<double> q(h);
  double squares = 0;
  for (int i = 0; i < h; ++i) {
    for (const int32_t token : turn) q[i] += Embeddings::At(token, i) / 4.0;
    squares += q[i] * q[i];
  }
  for (double& value : q) value /= std::sqrt(squares / h + 1e-6);

  for (int layer = 0; layer < config.n_layers; ++layer) {
    const model::RopeConfig& rope = config.rope_of(layer);
    const auto weight = [&](const char* name, int row, int column) {
      const std::vector<int>& shape = parts.shapes.at(name);
      return double{parts.values.at(name)[(layer * shape[1] + row) * shape[2] + column]};
    };
    for (int token = 0; token < kTokens; ++token) {
      std::vector<double> x(2 * d);
      for (int head = 0; head < config.n_kv_heads; ++head) {
        std::vector<double> key(config.head_dim);
        for (int c = 0; c < config.head_dim; ++c) {
          const int at = head * config.head_dim + ModelChannel(rope, c);
          key[c] = kv.keys(layer, token)[at];
        }
        key = Turned(rope, key, -token);
        std::ranges::copy(key, x.begin() + head * config.head_dim);
      }
      for (int c = 0; c < d; ++c) x[d + c] = kv.values(layer, token)[c];
      std::vector<double> changed_x = x;
      for (int r = 0; r < kRank; ++r) {
        double z = 0, scale = 1, shift = 0;
        for (int c = 0; c < 2 * d; ++c) z += weight("down", r, c) * x[c];
        for (int i = 0; i < h; ++i) scale += weight("gamma", r, i) * q[i];
        for (int i = 0; i < h; ++i) shift += weight("beta", r, i) * q[i];
        z = scale * z + shift;
        for (int c = 0; c < 2 * d; ++c) changed_x[c] += weight("up", c, r) * z;
      }
      if (token < kBegin) changed_x = x;
      for (int head = 0; head < config.n_kv_heads; ++head) {
        const auto first = changed_x.begin() + head * config.head_dim;
        const auto key = Turned(rope, {first, first + config.head_dim}, token);
        for (int c = 0; c < config.head_dim; ++c) {
          const int at = head * config.head_dim + ModelChannel(rope, c);
          EXPECT_NEAR(changed.keys(layer, token)[at], key[c], 2e-3)
              << "layer " << layer << " token " << token << " channel " << at;
        }
      }
      for (int c = 0; c < d; ++c) {
        EXPECT_NEAR(changed.values(layer, token)[c], changed_x[d + c], 2e-3);
      }
    }
  }
}

TEST_P(ModulationTest, UntrainedChangesNoBit) {
  const model::ModelConfig config = TinyConfig(GetParam());
  const auto modulation = Made(RandomModulation(config, 4, 1, 0.0f), config);
  ASSERT_NE(modulation, nullptr);
  EXPECT_TRUE(modulation->is_identity());
  const model::KvBuffer kv = RandomKv(config, 9);
  const model::KvBuffer same =
      modulation->Apply(modulation->Read(Embeddings(config), {{1, 2}}), kv, 0);
  EXPECT_TRUE(kvcache::SameKv(same, kv));
}

TEST_P(ModulationTest, TokensDoNotDependOnTheirNeighbours) {
  const model::ModelConfig config = TinyConfig(GetParam());
  const auto modulation = Made(RandomModulation(config, 4, 2), config);
  ASSERT_NE(modulation, nullptr);
  const auto question = modulation->Read(Embeddings(config), {{5}});
  const model::KvBuffer kv = RandomKv(config, 66);
  const model::KvBuffer all = modulation->Apply(question, kv, 0);
  EXPECT_FALSE(kvcache::SameKv(all, kv));
  for (const int n : {1, 12, 13, 65}) {
    EXPECT_TRUE(kvcache::SameKv(modulation->Apply(question, kv.Share(n), 0), all.Share(n))) << n;
  }
  const auto other = modulation->Read(Embeddings(config), {{5, 2}});
  EXPECT_FALSE(kvcache::SameKv(modulation->Apply(other, kv, 0), all));
}

TEST(Modulation, APairingOfItsOwnIsTheSameMap) {
  // A file whose keys are ordered as the interleaved model's: the weights of another one, moved.
  model::ModelConfig config = TinyConfig(model::RopePairing::kInterleaved);
  config.window = 0;
  const ModulationParts halves = RandomModulation(config, 2, 1);
  ModulationParts own = halves;
  own.metadata["rope_pairing"] = "interleaved";
  const int d = config.n_kv_heads * config.head_dim;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int c = 0; c < d; ++c) {
      const int at =
          c / config.head_dim * config.head_dim + ModelChannel(config.rope, c % config.head_dim);
      for (int r = 0; r < 2; ++r) {
        const int row = (layer * 2 + r) * 2 * d, column = layer * 2 * d;
        own.values["down"][row + at] = halves.values.at("down")[row + c];
        own.values["up"][(column + at) * 2 + r] = halves.values.at("up")[(column + c) * 2 + r];
      }
    }
  }
  const auto a = Made(halves, config), b = Made(own, config);
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_NE(a->fingerprint(), b->fingerprint());
  const model::KvBuffer kv = RandomKv(config, 5);
  const auto question = a->Read(Embeddings(config), {{5}});
  EXPECT_TRUE(kvcache::SameKv(a->Apply(question, kv, 0), b->Apply(question, kv, 0)));
}

TEST(Modulation, RefusesWhatIsNotForTheModel) {
  const model::ModelConfig config = TinyConfig(model::RopePairing::kHalves);
  const auto refused = [&](auto&& change, const char* message) {
    ModulationParts parts = RandomModulation(config, 2, 1);
    change(&parts);
    EXPECT_THAT(Modulation::Parse(FileBytes(parts), config, kernels::BestIsa()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  const auto metadata = [&](const char* name, const char* value, const char* message) {
    refused([&](ModulationParts* p) { p->metadata[name] = value; }, message);
  };
  metadata("format", "pt", "format is \"pt\"");
  metadata("version", "2", "version is \"2\"");
  metadata("model_fingerprint", "beef", "must be \"f00d\"");
  metadata("rope_pairing", "pairs", "rope_pairing");
  metadata("rank", "3", "tensor 'down'");
  metadata("rank", "0", "from 1 to 256");
  metadata("rank", "x", "from 1 to 256");
  refused([](ModulationParts* p) { p->metadata.clear(); }, "format is \"\"");
  refused([](ModulationParts* p) { p->shapes["up"] = {3, 2, 32}; }, "tensor 'up'");
  refused([](ModulationParts* p) { p->values.erase("beta"); }, "'beta'");
  refused([](ModulationParts* p) { p->values["beta"][1] = NAN; }, "tensor 'beta' has a value");
  refused([](ModulationParts* p) { p->values["up"].back() = -INFINITY; }, "tensor 'up'");
  refused([](ModulationParts* p) { p->values["gamma"][0] = 1001.0f; }, "within +-1000");
  EXPECT_THAT(Modulation::Load("/nowhere", config), StatusIs(absl::StatusCode::kNotFound));

  ModulationParts parts = RandomModulation(config, 2, 1);
  parts.metadata["model_fingerprint"] = "";
  EXPECT_OK(Modulation::Parse(FileBytes(parts), config, kernels::BestIsa()));
  parts.metadata.erase("model_fingerprint");
  EXPECT_OK(Modulation::Parse(FileBytes(parts), config, kernels::BestIsa()));
}

TEST(Modulation, ReadsHalves) {
  const model::ModelConfig config = TinyConfig(model::RopePairing::kHalves);
  const ModulationParts parts = RandomModulation(config, 2, 1);
  const std::string floats = FileBytes(parts);
  // The same file, each tensor of half the size.
  std::string header = floats.substr(8, floats.find("}}") + 2 - 8), data;
  size_t at = 0;
  while ((at = header.find("F32", at)) != std::string::npos) header.replace(at, 3, "F16");
  size_t begin = 0;
  for (const auto& [name, values] : parts.values) {
    const std::string old = std::to_string(2 * begin) + ", " +
                            std::to_string(2 * begin + values.size() * sizeof(float));
    header.replace(header.find("[" + old) + 1, old.size(),
                   std::to_string(begin) + ", " + std::to_string(begin + 2 * values.size()));
    begin += 2 * values.size();
    for (const float value : values) {
      const uint16_t half = kernels::FloatToHalf(value);
      data.append(reinterpret_cast<const char*>(&half), sizeof(half));
    }
  }
  const uint64_t length = header.size();
  const std::string bytes =
      std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
  const auto halves = Modulation::Parse(bytes, config, kernels::BestIsa());
  ASSERT_OK(halves);
  const auto whole = Made(parts, config);
  const model::KvBuffer kv = RandomKv(config, 5);
  const auto question = whole->Read(Embeddings(config), {{5}});
  EXPECT_TRUE(kvcache::SameKv((*halves)->Apply(question, kv, 0), whole->Apply(question, kv, 0)));
}

}  // namespace
}  // namespace dki::injection
