// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_buffer.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "libs/base/check.h"

namespace dki::model {
KvPage::KvPage(const KvShape& shape, int capacity, std::shared_ptr<KvMeter> meter)
    : shape_(shape),
      capacity_(capacity),
      meter_(std::move(meter)),
      data_(std::make_unique_for_overwrite<float[]>(shape.bytes_per_token() / sizeof(float) *
                                                    static_cast<size_t>(capacity))) {
  if (meter_) *meter_ += static_cast<int64_t>(size_bytes());
}

// All of it, whatever it is of: notes stand in prompts, too, and turns have attended to them. What
// was deleted is not to be found in freed memory.
KvPage::~KvPage() {
  DropCodes();
  if (meter_) *meter_ -= static_cast<int64_t>(size_bytes());
  explicit_bzero(data_.get(), shape_.bytes_per_token() * capacity_);
}

size_t KvPage::size_bytes() const {
  return shape_.bytes_per_token() * capacity_ + (codes_ ? codes_->size_bytes() : 0);
}

void KvPage::MakeCodes() {
  DKI_CHECK(capacity_ == kPageTokens);
  DropCodes();
  codes_ = std::make_unique<KvCodes>(shape_);
  if (meter_) *meter_ += static_cast<int64_t>(codes_->size_bytes());
}

void KvPage::DropCodes() {
  if (meter_ && codes_) *meter_ -= static_cast<int64_t>(codes_->size_bytes());
  if (codes_) {
    const void* const data = codes_->keys(0) != nullptr ? codes_->keys(0) : codes_->values(0);
    explicit_bzero(const_cast<void*>(data), codes_->size_bytes());
  }
  codes_ = nullptr;
}

std::shared_ptr<KvPage> KvPage::Clone(int n_tokens, int capacity) const {
  auto clone = std::make_shared<KvPage>(shape_, capacity, meter_);
  const size_t n = static_cast<size_t>(n_tokens) * shape_.row_size();
  for (int plane = 0; plane < 2 * shape_.n_layers; ++plane) {
    std::copy_n(Plane(plane), n, clone->Plane(plane));
  }
  return clone;
}

KvBuffer::KvBuffer(const KvShape& shape, int capacity_tokens, std::shared_ptr<KvMeter> meter)
    : shape_(shape), meter_(std::move(meter)) {
  for (int held = 0; held < capacity_tokens; held += kPageTokens) {
    pages_.push_back(
        std::make_shared<KvPage>(shape_, std::min(kPageTokens, capacity_tokens - held), meter_));
  }
}

KvBuffer::KvBuffer(const KvShape& shape, std::vector<std::shared_ptr<KvPage>> pages, int n_tokens,
                   std::shared_ptr<KvMeter> meter)
    : shape_(shape), meter_(std::move(meter)), pages_(std::move(pages)) {
  Resize(n_tokens);
}

KvBuffer KvBuffer::Share(int n_tokens) const {
  DKI_CHECK(n_tokens >= 0 && n_tokens <= size_);
  return {shape_, {pages_.begin(), pages_.begin() + PagesFor(n_tokens)}, n_tokens, meter_};
}

int KvBuffer::capacity() const {
  if (pages_.empty()) return 0;
  return static_cast<int>(pages_.size() - 1) * kPageTokens + pages_.back()->capacity();
}

size_t KvBuffer::size_bytes() const {
  return shape_.bytes_per_token() * static_cast<size_t>(capacity());
}

const float* KvBuffer::keys(int layer, int token) const {
  const KvPage& page = *pages_[token / kPageTokens];
  return page.keys(layer) + static_cast<size_t>(token % kPageTokens) * shape_.row_size();
}
const float* KvBuffer::values(int layer, int token) const {
  const KvPage& page = *pages_[token / kPageTokens];
  return page.values(layer) + static_cast<size_t>(token % kPageTokens) * shape_.row_size();
}
float* KvBuffer::keys(int layer, int token) {
  return OwnPage(token).keys(layer) + static_cast<size_t>(token % kPageTokens) * shape_.row_size();
}
float* KvBuffer::values(int layer, int token) {
  return OwnPage(token).values(layer) +
         static_cast<size_t>(token % kPageTokens) * shape_.row_size();
}

KvPage& KvBuffer::OwnPage(int token) {
  const std::shared_ptr<KvPage>& page = pages_[token / kPageTokens];
  DKI_CHECK(page.use_count() == 1);
  return *page;
}

void KvBuffer::Resize(int n_tokens) {
  DKI_CHECK(n_tokens >= 0 && n_tokens <= capacity());
  size_ = n_tokens;
}

bool KvBuffer::MustReplace(int page, int n_tokens) const {
  const int capacity = pages_[page]->capacity();
  return pages_[page].use_count() > 1 ||
         (capacity < kPageTokens && page * kPageTokens + capacity < n_tokens);
}

int KvBuffer::PagesToReserve(int n_tokens) const {
  int n = std::max(0, PagesFor(n_tokens) - static_cast<int>(pages_.size()));
  for (int i = size_ / kPageTokens; i < static_cast<int>(pages_.size()); ++i) {
    if (MustReplace(i, n_tokens)) ++n;
  }
  return n;
}

void KvBuffer::Reserve(int n_tokens) {
  const int wanted = PagesFor(n_tokens);
  for (int i = size_ / kPageTokens; i < static_cast<int>(pages_.size()); ++i) {
    if (!MustReplace(i, n_tokens)) continue;
    pages_[i] = pages_[i]->Clone(std::max(0, size_ - i * kPageTokens), kPageTokens);
  }
  while (static_cast<int>(pages_.size()) < wanted) {
    pages_.push_back(std::make_shared<KvPage>(shape_, kPageTokens, meter_));
  }
}

}  // namespace dki::model
