// SPDX-License-Identifier: Apache-2.0
// Attention of one new token over a long context, by the format of its keys and values, and of a
// chunk of rows; and the codec. One core.
//   attention_bench [--json] [context tokens]
// With --json the figures of the best path only, as a list of {name, value, unit}.
// The shape is SmolLM2-135M's (30 layers, 9 heads that share 3 K/V heads of 64 channels), each
// layer with planes of its own, so that they come from memory as in a forward pass.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/bench/peak.h"
#include "kernels/dtype.h"
#include "kernels/kv_codec.h"

namespace {

using namespace dki::kernels;  // NOLINT: a program of one file

constexpr int kLayers = 30, kHeads = 9, kKvHeads = 3, kDim = 64, kRow = kKvHeads * kDim;
constexpr int kRepetitions = 7;
constexpr int kRows = 512;  // of a chunk

std::FILE* table = stdout;  // where people read

struct alignas(64) Line {
  uint8_t bytes[64];
};

// Of this thread's own time, so that others on the machine disturb less.
double Now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}
template <typename F>
double Seconds(F&& body) {
  const double start = Now();
  body();
  return Now() - start;
}

struct Format {
  KvFormat format;
  KeyGroups groups;
};
constexpr Format kFormats[] = {
    {KvFormat::kF32, KeyGroups::kChannel},       {KvFormat::kF16, KeyGroups::kChannel},
    {KvFormat::kBF16, KeyGroups::kChannel},      {KvFormat::kInt8, KeyGroups::kChannel},
    {KvFormat::kInt4, KeyGroups::kChannel},      {KvFormat::kInt2, KeyGroups::kChannel},
    {KvFormat::kInt8, KeyGroups::kToken},        {KvFormat::kInt4, KeyGroups::kToken},
    {KvFormat::kInt8, KeyGroups::kChannelFirst}, {KvFormat::kInt4, KeyGroups::kChannelFirst}};

std::vector<float> Randoms(size_t n) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(engine);
  return x;
}

// Keys and values of all layers in one format.
struct Cache {
  Cache(Isa isa, const Format& format, int n_tokens, const std::vector<float>& rotations)
      : shape{format.format, format.groups, kKvHeads, kDim, RopePairs::kInterleaved, kDim} {
    const std::vector<float> x = Randoms(static_cast<size_t>(n_tokens) * kRow);
    plane_bytes = x.size() * (format.format == KvFormat::kF32 ? 4 : 2);
    if (IsQuantized(format.format))
      plane_bytes = static_cast<size_t>(KvGroups(n_tokens)) * kKvHeads * KvGroupBytes(shape);
    data.resize(2 * kLayers * (plane_bytes / 64));
    for (int plane = 0; plane < 2 * kLayers; ++plane) {
      uint8_t* to = data[plane * (plane_bytes / 64)].bytes;
      if (format.format == KvFormat::kF32)
        std::memcpy(to, x.data(), plane_bytes);
      else if (!IsQuantized(format.format))
        QuantizeRow(format.format == KvFormat::kF16 ? DType::kF16 : DType::kBF16, x.data(),
                    plane == 0 ? x.size() : 0, to);
      else if (plane % 2 == 0)
        EncodeKeys(isa, shape, x.data(), n_tokens, rotations.data(), to);
      else
        EncodeValues(isa, shape, x.data(), n_tokens, to);
      if (plane > 0 && !IsQuantized(format.format)) std::memcpy(to, data[0].bytes, plane_bytes);
    }
    segment.key_format = segment.value_format = format.format;
    segment.key_groups = format.groups;
    segment.key_rotations = rotations.data();
  }
  void Attend(Isa isa, AttentionOp* op, int n_layers) {
    op->segments = &segment;
    for (int layer = 0; layer < n_layers; ++layer) {
      segment.keys = data[2 * layer * (plane_bytes / 64)].bytes;
      segment.values = data[(2 * layer + 1) * (plane_bytes / 64)].bytes;
      Attention(isa, *op, 0, op->n_units());
    }
  }
  KvGroupShape shape;
  size_t plane_bytes = 0;
  std::vector<Line> data;
  KvSegment segment;
};

struct Figure {
  std::string name;
  double value;
  const char* unit;
};
using Figures = std::vector<Figure>;

std::string FullName(const Format& f) {
  std::string name = Name(f.format);
  if (IsQuantized(f.format) && f.groups != KeyGroups::kChannel)
    name += std::string(":") + Name(f.groups);
  return name;
}

Figures Decode(Isa isa, int n_tokens) {
  const std::vector<float> rotations =
      KeyRotations(RopeFrequencies(1e5, kDim, nullptr), (n_tokens + 63) / 64);
  const std::vector<float> q = Randoms(kRows * kHeads * kDim);
  std::vector<float> out(q.size());
  std::vector<Cache> caches;
  for (const Format& f : kFormats) caches.emplace_back(isa, f, n_tokens, rotations);
  // Interleaved, so that all see the same disturbances.
  std::vector<double> one(caches.size(), 1e9), many(caches.size(), 1e9);
  double read = 1e9;
  for (int rep = 0; rep < kRepetitions; ++rep) {
    read = std::min(read, Seconds([&] {
                      ReadAll(reinterpret_cast<const char*>(caches[0].data.data()),
                              caches[0].data.size() * 64);
                    }));
    for (size_t i = 0; i < caches.size(); ++i) {
      AttentionOp op;
      op.n_heads = kHeads;
      op.n_kv_heads = kKvHeads;
      op.head_dim = op.n_rot = kDim;
      op.scale = 0.125f;
      op.q = q.data();
      op.out = out.data();
      op.n_segments = 1;
      op.n_rows = 1;
      caches[i].segment.n_tokens = n_tokens;
      caches[i].segment.causal = false;
      one[i] = std::min(one[i], Seconds([&] { caches[i].Attend(isa, &op, kLayers); }));
      op.n_rows = kRows;
      caches[i].segment.n_tokens = n_tokens - kRows;
      caches[i].segment.causal = true;
      many[i] = std::min(many[i], Seconds([&] { caches[i].Attend(isa, &op, 1); }));
    }
  }
  const double read_gbs = static_cast<double>(caches[0].data.size()) * 64 / read / 1e9;
  const double flops = 4.0 * kRows * (n_tokens - kRows / 2.0) * kHeads * kDim;
  Figures figures = {{"read", read_gbs, "GB/s"}};
  std::fprintf(table, "\n%s, one core, context %d; read %.1f GB/s\n", Describe(isa).c_str(),
               n_tokens, read_gbs);
  std::fprintf(table, "%-5s %-14s %10s %9s %8s %9s %8s | %d rows of a layer\n", "K/V", "key groups",
               "bytes/tok", "one token", "to f16", "GB/s", "of read", kRows);
  for (size_t i = 0; i < caches.size(); ++i) {
    const double bytes = static_cast<double>(caches[i].data.size()) * 64;
    std::fprintf(
        stderr, "%-5s %-14s %10.0f %6.2f ms %7.2fx %9.1f %6.0f %% | %7.2f ms %6.1f GFLOP/s\n",
        Name(kFormats[i].format), IsQuantized(kFormats[i].format) ? Name(kFormats[i].groups) : "",
        bytes / n_tokens, one[i] * 1e3, one[1] / one[i], bytes / one[i] / 1e9,
        100 * bytes / one[i] / 1e9 / read_gbs, many[i] * 1e3, flops / many[i] / 1e9);
    const std::string name = FullName(kFormats[i]);
    figures.push_back({"one token, " + name, 1 / one[i], "tokens/s"});
    figures.push_back({"bytes, " + name, bytes / one[i] / 1e9, "GB/s"});
    figures.push_back({"512 rows, " + name, flops / many[i] / 1e9, "GFLOP/s"});
  }
  return figures;
}

Figures Codec(Isa isa) {
  Figures figures;
  constexpr int kTokens = 4096;
  const std::vector<float> rotations =
      KeyRotations(RopeFrequencies(1e5, kDim, nullptr), kTokens / 64);
  std::vector<float> x = Randoms(static_cast<size_t>(kTokens) * kRow), y(x.size());
  const double halves = static_cast<double>(x.size()) * 2;
  double copy = 1e9;
  for (int rep = 0; rep < kRepetitions; ++rep)
    copy = std::min(copy, Seconds([&] { std::memcpy(y.data(), x.data(), x.size() * 2); }));
  std::fprintf(table,
               "\ncodec, GB/s of f16 (memcpy %.1f): encode keys, values; decode keys, values\n",
               halves / copy / 1e9);
  for (const Format& f : kFormats) {
    if (!IsQuantized(f.format)) continue;
    const KvGroupShape shape{f.format, f.groups, kKvHeads, kDim, RopePairs::kInterleaved, kDim};
    std::vector<Line> groups(KvGroups(kTokens) * kKvHeads * KvGroupBytes(shape) / 64);
    uint8_t* to = groups[0].bytes;
    double best[4] = {1e9, 1e9, 1e9, 1e9};
    for (int rep = 0; rep < kRepetitions; ++rep) {
      const double times[4] = {
          Seconds([&] { EncodeKeys(isa, shape, x.data(), kTokens, rotations.data(), to); }),
          Seconds([&] { DecodeKeys(isa, shape, to, kTokens, rotations.data(), y.data()); }),
          Seconds([&] { EncodeValues(isa, shape, x.data(), kTokens, to); }),
          Seconds([&] { DecodeValues(isa, shape, to, kTokens, y.data()); })};
      for (int i = 0; i < 4; ++i) best[i] = std::min(best[i], times[i]);
    }
    std::fprintf(table, "%-5s %-14s %7.1f %7.1f  %7.1f %7.1f\n", Name(f.format), Name(f.groups),
                 halves / best[0] / 1e9, halves / best[2] / 1e9, halves / best[1] / 1e9,
                 halves / best[3] / 1e9);
    const std::string name = FullName(f);
    figures.push_back({"encode, " + name, 2 * halves / (best[0] + best[2]) / 1e9, "GB/s"});
    figures.push_back({"decode, " + name, 2 * halves / (best[1] + best[3]) / 1e9, "GB/s"});
  }
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  int n_tokens = 4096;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0)
      json = true;
    else
      n_tokens = std::max(kRows, std::atoi(argv[i]) / 64 * 64);
  }
  if (json) table = stderr;
  Figures figures;
  for (Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512}) {
    if (!IsSupported(isa) || (isa != BestIsa() && (json || isa == Isa::kPlain))) continue;
    figures = Decode(isa, n_tokens);
    const Figures codec = Codec(isa);
    figures.insert(figures.end(), codec.begin(), codec.end());
  }
  if (!json) return 0;
  for (size_t i = 0; i < figures.size(); ++i) {
    std::printf("%s{\"name\": \"%s\", \"value\": %.5g, \"unit\": \"%s\"}", i == 0 ? "[" : ",\n ",
                figures[i].name.c_str(), figures[i].value, figures[i].unit);
  }
  std::printf("]\n");
  return 0;
}
