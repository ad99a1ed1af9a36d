// SPDX-License-Identifier: Apache-2.0
// Purpose: the K/V of conversations, kept for their next turn. All of it is computed without
//   memory, so it depends on tokens alone: entries are found by content, the longest common
//   beginning is reused (bit for bit, P11), and neither writing nor erasing memories touches them.
//   Tenants never share entries (P8).
// Thread-safety: thread-compatible. Ownership: entries are immutable and shared; an entry that is
//   evicted lives on while a request attends to it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libs/model/kv_buffer.h"

namespace dki::engine {

class PrefixCache {
 public:
  explicit PrefixCache(int64_t budget_bytes) : budget_bytes_(budget_bytes) {}

  struct Match {
    std::shared_ptr<const model::KvBuffer> kv;  // at offset 0; null when nothing matches
    int n_tokens = 0;                           // leading tokens in common, <= kv->size()
  };
  // The entry with the longest common beginning; it becomes the most recently used.
  Match Find(const std::string& tenant_id, std::span<const int32_t> tokens);

  // Keeps `kv`, the K/V of `tokens` at offset 0. An entry that is a beginning of it is replaced; if
  // it is a beginning of an entry, nothing happens. Least recently used entries make room. False:
  // larger than the whole budget. REQUIRES: kv->size() == tokens.size().
  bool Insert(const std::string& tenant_id, std::vector<int32_t> tokens,
              std::shared_ptr<const model::KvBuffer> kv);

  int64_t size_bytes() const { return size_bytes_; }
  int n_entries() const { return static_cast<int>(entries_.size()); }

 private:
  struct Entry {
    std::string tenant_id;
    std::vector<int32_t> tokens;
    std::shared_ptr<const model::KvBuffer> kv;
  };
  std::list<Entry>::iterator Erase(std::list<Entry>::iterator entry);

  const int64_t budget_bytes_;
  int64_t size_bytes_ = 0;
  std::list<Entry> entries_;  // most recently used first; tens of entries, so a scan is cheap
};

}  // namespace dki::engine
