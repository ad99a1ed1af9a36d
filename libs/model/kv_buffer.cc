// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_buffer.h"

#include <algorithm>

#include "libs/base/check.h"

namespace dki::model {
namespace {

std::unique_ptr<float[]> Allocate(const KvShape& shape, int capacity) {
  return std::make_unique_for_overwrite<float[]>(shape.bytes_per_token() / sizeof(float) *
                                                 static_cast<size_t>(capacity));
}

// Copies n_tokens tokens of every plane between two layouts of different capacity.
void CopyPlanes(const KvShape& shape, int n_tokens, const float* from, int from_capacity, float* to,
                int to_capacity) {
  const size_t row = static_cast<size_t>(shape.row_size());
  for (int plane = 0; plane < 2 * shape.n_layers; ++plane) {
    std::copy_n(from + plane * row * static_cast<size_t>(from_capacity), row * n_tokens,
                to + plane * row * static_cast<size_t>(to_capacity));
  }
}

}  // namespace

KvBuffer::KvBuffer(const KvShape& shape, int capacity_tokens)
    : shape_(shape), capacity_(capacity_tokens), data_(Allocate(shape, capacity_tokens)) {}

KvBuffer KvBuffer::Clone(int n_tokens, int capacity_tokens) const {
  DKI_CHECK(n_tokens >= 0 && n_tokens <= size_);
  KvBuffer clone(shape_, std::max(n_tokens, capacity_tokens));
  CopyPlanes(shape_, n_tokens, data_.get(), capacity_, clone.data_.get(), clone.capacity_);
  clone.size_ = n_tokens;
  return clone;
}

const float* KvBuffer::keys(int layer) const {
  return data_.get() + size_t{2} * layer * shape_.row_size() * capacity_;
}
const float* KvBuffer::values(int layer) const {
  return data_.get() + (size_t{2} * layer + 1) * shape_.row_size() * capacity_;
}
float* KvBuffer::keys(int layer) {
  return const_cast<float*>(std::as_const(*this).keys(layer));
}
float* KvBuffer::values(int layer) {
  return const_cast<float*>(std::as_const(*this).values(layer));
}

void KvBuffer::Resize(int n_tokens) {
  DKI_CHECK(n_tokens >= 0 && n_tokens <= capacity_);
  size_ = n_tokens;
}

void KvBuffer::Reserve(int capacity_tokens) {
  if (capacity_tokens <= capacity_) return;
  std::unique_ptr<float[]> data = Allocate(shape_, capacity_tokens);
  CopyPlanes(shape_, size_, data_.get(), capacity_, data.get(), capacity_tokens);
  data_ = std::move(data);
  capacity_ = capacity_tokens;
}

}  // namespace dki::model
