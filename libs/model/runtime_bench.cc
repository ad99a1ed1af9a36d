// SPDX-License-Identifier: Apache-2.0
// Speed of the runtime alone: load, prefill and decode of one sequence, and what this machine can
// do at most in the same moments.
//   runtime_bench --model FILE [--threads N] [--isa NAME] [--activations auto|float|int16]
//                 [--kv F] [--prefill N] [--decode N] [--context N] [--reps N] [--json]
// Decoding starts behind a context of N tokens. Prints the best of the repetitions; with --json a
// list of {name, value, unit}.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/bench/peak.h"
#include "kernels/thread_pool.h"
#include "libs/model/model.h"

namespace {

using dki::model::Chunk;
using dki::model::KvBuffer;
using dki::model::Model;

struct Flags {
  std::string model;
  dki::model::ModelOptions options;
  int prefill = 512;
  int decode = 128;
  int context = 32;  // short, as peers measure it
  int reps = 3;
  bool json = false;
};

struct Figure {
  std::string name;
  double value;
  std::string unit;
};

int Usage(const char* program) {
  std::fprintf(
      stderr,
      "usage: %s --model FILE [--threads N] [--isa NAME] [--activations auto|float|int16]\n"
      "       [--kv F] [--prefill N] [--decode N] [--context N] [--reps N] [--json]\n",
      program);
  return 2;
}

bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--json") {
      flags->json = true;
      continue;
    }
    if (++i == argc) return false;
    const char* value = argv[i];
    if (name == "--model")
      flags->model = value;
    else if (name == "--isa")
      flags->options.isa = value;
    else if (name == "--activations")
      flags->options.activations = value;
    else if (name == "--kv")
      flags->options.kv_format = value;
    else if (name == "--threads")
      flags->options.n_threads = std::atoi(value);
    else if (name == "--prefill")
      flags->prefill = std::atoi(value);
    else if (name == "--decode")
      flags->decode = std::atoi(value);
    else if (name == "--context")
      flags->context = std::atoi(value);
    else if (name == "--reps")
      flags->reps = std::atoi(value);
    else
      return false;
  }
  return !flags->model.empty() && flags->prefill > 0 && flags->decode > 0 && flags->context > 0 &&
         flags->reps > 0;
}

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Runs the tokens and returns the most likely next one.
absl::StatusOr<int32_t> Step(Model* model, std::span<const int32_t> tokens, KvBuffer* context) {
  Chunk chunk;
  chunk.tokens = tokens;
  chunk.context = context;
  DKI_ASSIGN_OR_RETURN(const std::vector<float> logits, model->Forward({&chunk, 1}));
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Bytes per second that the team reads from a buffer of `bytes`.
double ReadBandwidth(dki::kernels::ThreadPool* pool, const char* buffer, size_t bytes) {
  const Stopwatch reading;
  pool->ForRanges(static_cast<int>(bytes), 4096,
                  [&](int begin, int end) { dki::kernels::ReadAll(buffer + begin, end - begin); });
  return static_cast<double>(bytes) / reading.Seconds();
}

// A written buffer in huge pages, as the packed weights are.
std::unique_ptr<char, void (*)(void*)> MakeBuffer(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* data = std::aligned_alloc(kHugePage, rounded);
  madvise(data, rounded, MADV_HUGEPAGE);
  std::memset(data, 1, rounded);
  return {static_cast<char*>(data), std::free};
}

// Operations per second of int8 dot products on all threads.
double Int8Rate(dki::kernels::ThreadPool* pool) {
  const Stopwatch multiplying;
  pool->Run([](int) { dki::kernels::Int8MultiplyAdds(); });
  const double seconds = multiplying.Seconds();
  return pool->n_threads() * dki::kernels::Int8MultiplyAdds() / seconds;
}

// Multiply-adds of a token in the matrices of all layers; the output is computed for few tokens.
double BodyProducts(const dki::model::ModelConfig& c) {
  const double attention = (2.0 * c.n_heads + 2.0 * c.n_kv_heads) * c.head_dim;
  return c.n_layers * static_cast<double>(c.hidden_dim) * (attention + 3.0 * c.ffn_dim);
}

absl::StatusOr<std::vector<Figure>> Measure(const Flags& flags, std::string* description) {
  const Stopwatch loading;
  DKI_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::Load(flags.model, flags.options));
  const double load_seconds = loading.Seconds();
  *description = model->description();

  std::vector<int32_t> prompt(flags.prefill);
  for (size_t i = 0; i < prompt.size(); ++i)
    prompt[i] = static_cast<int32_t>((i * 7919 + 17) % model->config().vocab_size);
  // Touches all weights and wakes all threads once.
  KvBuffer warm_up(model->kv_shape(), 64);
  DKI_RETURN_IF_ERROR(
      Step(model.get(), std::span(prompt).first(std::min(flags.prefill, 64)), &warm_up).status());
  double prefill_seconds = 1e30;
  double decode_seconds = 1e30;
  double read_rate = 0;
  double int8_rate = 0;
  dki::kernels::ThreadPool pool(flags.options.n_threads);
  const size_t buffer_bytes = model->weight_bytes_per_token();
  const auto buffer = MakeBuffer(buffer_bytes);
  KvBuffer context(model->kv_shape(), std::max(flags.prefill, flags.context) + flags.decode);
  for (int rep = 0; rep < flags.reps; ++rep) {
    context.Resize(0);
    const Stopwatch prefilling;
    DKI_ASSIGN_OR_RETURN(int32_t token, Step(model.get(), prompt, &context));
    prefill_seconds = std::min(prefill_seconds, prefilling.Seconds());
    while (context.size() < flags.context) {
      DKI_ASSIGN_OR_RETURN(token, Step(model.get(), prompt, &context));
    }
    context.Resize(flags.context);
    const Stopwatch decoding;
    for (int i = 0; i < flags.decode; ++i) {
      DKI_ASSIGN_OR_RETURN(token, Step(model.get(), {&token, 1}, &context));
    }
    decode_seconds = std::min(decode_seconds, decoding.Seconds());
    read_rate = std::max(read_rate, ReadBandwidth(&pool, buffer.get(), buffer_bytes));
    int8_rate = std::max(int8_rate, Int8Rate(&pool));
  }
  const double weight_bytes = static_cast<double>(model->weight_bytes_per_token());
  return std::vector<Figure>{{"load", load_seconds * 1e3, "ms"},
                             {"prefill", flags.prefill / prefill_seconds, "tokens/s"},
                             {"decode", flags.decode / decode_seconds, "tokens/s"},
                             {"weights", weight_bytes / 1e6, "MB"},
                             {"products", BodyProducts(model->config()) / 1e6, "M"},
                             {"read", read_rate / 1e9, "GB/s"},
                             {"int8", int8_rate / 1e12, "Top/s"}};
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  if (!Parse(argc, argv, &flags)) return Usage(argv[0]);
  std::string description;
  const absl::StatusOr<std::vector<Figure>> figures = Measure(flags, &description);
  if (!figures.ok()) {
    std::fprintf(stderr, "%s\n", dki::ToString(figures.status()).c_str());
    return 1;
  }
  if (!flags.json) std::printf("%s\n", description.c_str());
  for (size_t i = 0; i < figures->size(); ++i) {
    const Figure& f = (*figures)[i];
    if (flags.json) {
      std::printf("%s{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"%s\"}%s\n", i == 0 ? "[" : " ",
                  f.name.c_str(), f.value, f.unit.c_str(), i + 1 == figures->size() ? "]" : ",");
    } else {
      std::printf("%-8s %10.1f %s\n", f.name.c_str(), f.value, f.unit.c_str());
    }
  }
  return 0;
}
