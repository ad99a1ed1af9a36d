// SPDX-License-Identifier: Apache-2.0
#include "libs/model/packed_weights.h"

#include <sys/mman.h>

#include <vector>

#include "kernels/packed_matrix.h"
#include "libs/base/check.h"

namespace dki::model {
namespace {

constexpr size_t kAlignment = 64;

// Those that products read. The embeddings are looked up by row, from the file.
std::vector<kernels::WeightMatrix*> Packable(Weights* weights) {
  std::vector<kernels::WeightMatrix*> found;
  const auto add = [&found](kernels::WeightMatrix* w) {
    if (w->data != nullptr && kernels::IsPackable(*w)) found.push_back(w);
  };
  for (LayerWeights& layer : weights->layers) {
    for (kernels::WeightMatrix* w : {&layer.q, &layer.k, &layer.v, &layer.attention_output,
                                     &layer.gate, &layer.up, &layer.down})
      add(w);
  }
  add(&weights->output);
  return found;
}

size_t RoundUp(size_t n) {
  return (n + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void PackedWeights::Unmap::operator()(uint8_t* data) const {
  munmap(data, size);
}

PackedWeights PackedWeights::Pack(kernels::ThreadPool* pool, Weights* weights) {
  PackedWeights packed;
  const std::vector<kernels::WeightMatrix*> matrices = Packable(weights);
  for (const kernels::WeightMatrix* w : matrices) packed.size_ += RoundUp(PackedBytes(*w));
  if (packed.size_ == 0) return packed;
  void* data =
      mmap(nullptr, packed.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  DKI_CHECK(data != MAP_FAILED);  // as operator new would end the process
  // Every token reads all of it: 4 KiB pages would cost a TLB miss each. A wish, not a need.
  madvise(data, packed.size_, MADV_HUGEPAGE);
  packed.data_ = {static_cast<uint8_t*>(data), Unmap{packed.size_}};
  uint8_t* to = packed.data_.get();
  for (kernels::WeightMatrix* w : matrices) {
    const int tiles = (w->n_out + kernels::kPackedRows - 1) / kernels::kPackedRows;
    pool->ForRanges(tiles, 1, [&](int begin, int end) { kernels::PackTiles(*w, begin, end, to); });
    w->packed = to;
    to += RoundUp(PackedBytes(*w));
    w->dtype = kernels::PackedDType(w->dtype);
  }
  return packed;
}

}  // namespace dki::model
