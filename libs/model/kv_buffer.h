// SPDX-License-Identifier: Apache-2.0
// The keys and values of a run of tokens for all layers, in one frame of positions: the key of
// token j is rotated by position j, wherever the run is placed later. Placing it (model.h,
// Segment::offset) rotates the query.
//
// They lie in pages of 64 tokens, which buffers share: a prefix that many sequences attend to is
// held once, and taking it costs nothing. Attention reads a context in tiles of 64 tokens anyway,
// so pages change no bit of a result (P11).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_codes.h"
#include "libs/model/kv_shape.h"

namespace dki::model {

inline constexpr int PagesFor(int n_tokens) {
  return (n_tokens + kPageTokens - 1) / kPageTokens;
}

// Bytes of the pages that were made with it and still live.
using KvMeter = std::atomic<int64_t>;

// Purpose: the K/V of up to 64 tokens.
// Thread-safety: thread-compatible. Ownership: owns its memory, shares the meter.
class KvPage {
 public:
  // REQUIRES: 0 < capacity <= kPageTokens. `meter` may be null.
  KvPage(const KvShape& shape, int capacity, std::shared_ptr<KvMeter> meter);
  ~KvPage();
  KvPage(const KvPage&) = delete;

  int capacity() const { return capacity_; }
  size_t size_bytes() const;
  // Planes of one layer: [capacity, n_kv_heads, head_dim].
  float* keys(int layer) { return Plane(2 * layer); }
  float* values(int layer) { return Plane(2 * layer + 1); }
  const float* keys(int layer) const { return Plane(2 * layer); }
  const float* values(int layer) const { return Plane(2 * layer + 1); }

  // A page of `capacity` with the first `n_tokens` tokens of this one.
  std::shared_ptr<KvPage> Clone(int n_tokens, int capacity) const;

  // The page in the formats of its shape's codec, or null. The forward pass makes them for pages
  // that are full, and drops them from pages that it is about to write to.
  KvCodes* codes() const { return codes_.get(); }
  void MakeCodes();
  void DropCodes();

 private:
  float* Plane(int plane) const {
    return data_.get() + static_cast<size_t>(plane) * shape_.row_size() * capacity_;
  }

  const KvShape shape_;
  const int capacity_;
  const std::shared_ptr<KvMeter> meter_;
  const std::unique_ptr<float[]> data_;  // [n_layers, 2, capacity, n_kv_heads, head_dim]
  std::unique_ptr<KvCodes> codes_;
};

// Purpose: a sequence of pages, all of them whole but the last.
// Thread-safety: thread-compatible; buffers that share pages count as one object.
class KvBuffer {
 public:
  // The last page is no larger than needed.
  KvBuffer(const KvShape& shape, int capacity_tokens, std::shared_ptr<KvMeter> meter = nullptr);
  // The first `n_tokens` tokens of `pages`, shared. REQUIRES: they hold as many.
  KvBuffer(const KvShape& shape, std::vector<std::shared_ptr<KvPage>> pages, int n_tokens,
           std::shared_ptr<KvMeter> meter = nullptr);
  KvBuffer(KvBuffer&&) noexcept = default;
  KvBuffer& operator=(KvBuffer&&) noexcept = default;

  // The first `n_tokens` tokens, without a copy. REQUIRES: n_tokens <= size().
  KvBuffer Share(int n_tokens) const;

  const KvShape& shape() const { return shape_; }
  int size() const { return size_; }  // tokens held
  int capacity() const;
  size_t size_bytes() const;  // of its pages, shared or not
  std::span<const std::shared_ptr<KvPage>> pages() const { return pages_; }

  // The row of one token, [n_kv_heads, head_dim]; those of the tokens behind it in its page follow.
  // REQUIRES, to write: the page is not shared (see Reserve).
  float* keys(int layer, int token);
  float* values(int layer, int token);
  const float* keys(int layer, int token) const;
  const float* values(int layer, int token) const;

  // Grows or shrinks the number of tokens held. REQUIRES: 0 <= n_tokens <= capacity().
  void Resize(int n_tokens);
  // Makes room for at least `n_tokens`, in whole pages, and for writing behind what is held: a page
  // that is half full and shared is replaced by a copy.
  void Reserve(int n_tokens);
  // Pages that Reserve would allocate.
  int PagesToReserve(int n_tokens) const;

 private:
  KvPage& OwnPage(int token);
  // Whether a page from the first writable one on is shared, or too small for `n_tokens`.
  bool MustReplace(int page, int n_tokens) const;

  KvShape shape_;
  std::shared_ptr<KvMeter> meter_;
  std::vector<std::shared_ptr<KvPage>> pages_;
  int size_ = 0;
};

}  // namespace dki::model
