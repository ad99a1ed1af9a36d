// SPDX-License-Identifier: Apache-2.0
// What the products reach, as a share of what the machine can do, measured beside them:
//   kernel_bench [threads]
// One token is bound by reading weights (GB/s against a plain read of a buffer as large), many by
// arithmetic (GFLOP/s against multiply-adds in registers). Eight are answers that decode together.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/bench/peak.h"
#include "kernels/matmul_int16.h"
#include "kernels/packed_matrix.h"

namespace {

using namespace dki::kernels;  // NOLINT: a program of one file

constexpr int kRepetitions = 5;

// The best of some runs, in seconds.
template <typename F>
double Time(F&& body) {
  double best = 1e30;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// Quantised zeros do: no kernel looks at values.
struct Matrix {
  Matrix(DType dtype, int n_out, int k)
      : bytes(RowBytes(dtype, k) * n_out), view{dtype, n_out, k, bytes.data()} {
    if (!IsPackable(view)) return;
    packed.resize(PackedBytes(view));
    view.packed = packed.data();
  }
  std::vector<char> bytes;
  std::vector<uint8_t> packed;
  WeightMatrix view;
};

void Multiply(ThreadPool* pool, Isa isa, bool int16, const Matrix& w, const std::vector<float>& x,
              int n_tokens, QuantizedActivations* q, float* y) {
  if (!int16) return MatMul(pool, isa, w.view, x.data(), n_tokens, y);
  QuantizeActivations(isa, x.data(), 0, n_tokens, q);
  pool->ForRanges(w.view.n_out, kMatMulTileRows, [&](int begin, int end) {
    MatMulInt16(isa, w.view, *q, n_tokens, y, begin, end);
  });
}

void Report(ThreadPool* pool, Isa isa, DType dtype, bool int16, double read_gbs, double gflops) {
  constexpr int kK = 576;
  constexpr int kMany = 512, kEight = 8;
  // As large as a small model, so that no cache holds it.
  const int n_out = static_cast<int>((96u << 20) / RowBytes(dtype, kK));
  const Matrix large(dtype, n_out, kK);
  const Matrix small(dtype, 1536, kK);
  const std::vector<float> x(static_cast<size_t>(kMany) * kK, 0.5f);
  std::vector<float> y(std::max<size_t>(n_out, static_cast<size_t>(kMany) * 1536));
  QuantizedActivations q;
  q.Resize(kMany, kK);
  const double one = Time([&] { Multiply(pool, isa, int16, large, x, 1, &q, y.data()); });
  const double many = Time([&] { Multiply(pool, isa, int16, small, x, kMany, &q, y.data()); });
  const double eight = Time([&] { Multiply(pool, isa, int16, small, x, kEight, &q, y.data()); });
  const double gbs = static_cast<double>(large.bytes.size()) / one / 1e9;
  const double gops = 2.0 * kMany * 1536 * kK / many / 1e9;
  const double eight_gops = 2.0 * kEight * 1536 * kK / eight / 1e9;
  std::printf(
      "%-10s %-5s %-6s %8.1f GB/s %4.0f %% %10.0f GFLOP/s %4.0f %% %10.0f GFLOP/s %4.0f %%\n",
      Name(isa), Name(dtype), int16 ? "int16" : "float", gbs, 100 * gbs / read_gbs, eight_gops,
      100 * eight_gops / gflops, gops, 100 * gops / gflops);
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 0);
  const std::vector<char> buffer(96u << 20, 1);
  const double read_gbs =
      static_cast<double>(buffer.size()) / 1e9 / Time([&] {
        pool.ForRanges(static_cast<int>(buffer.size()), 4096,
                       [&](int begin, int end) { ReadAll(buffer.data() + begin, end - begin); });
      });
  double flops = 0;
  const double seconds = Time([&] { pool.Run([&](int) { MultiplyAdds(); }); });
  flops = pool.n_threads() * MultiplyAdds() / seconds / 1e9;
  std::printf("%d threads; peak of this machine now: read %.1f GB/s, float %.0f GFLOP/s\n",
              pool.n_threads(), read_gbs, flops);
  std::printf("%-10s %-5s %-6s %13s of peak %16s of float peak %9s of float peak\n", "path", "W",
              "x", "one token", "8 tokens", "512 tokens");
  for (Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (!IsSupported(isa)) continue;
    for (DType dtype : {DType::kQ4_1, DType::kQ4_0, DType::kQ8_0, DType::kF16, DType::kF32}) {
      Report(&pool, isa, dtype, false, read_gbs, flops);
      if (dtype != DType::kF32) Report(&pool, isa, dtype, true, read_gbs, flops);
    }
  }
  return 0;
}
