// SPDX-License-Identifier: Apache-2.0
// Purpose: the K/V of conversations, kept for their next turn. All of it is computed without
//   memory, so it depends on tokens alone: it is found by content, the longest common beginning is
//   reused (bit for bit, P11), and neither writing nor erasing memories touches it.
//
//   A tree of pages: a node is a page of 64 tokens behind its parent's, so what conversations have
//   in common is held once, and a hit shares pages instead of copying them. A last page may be
//   partly filled; no page's tokens are the beginning of a sibling's. Tenants share nothing (P8)
//   but the pages of one prefix that the operator names.
// Thread-safety: thread-compatible. Ownership: shares pages with those who attend to them; a page
//   that is evicted lives on while one does.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libs/model/kv_buffer.h"

namespace dki::engine {

class PrefixCache {
 public:
  struct Options {
    int64_t budget_bytes = 0;
    // Whole pages of this beginning of a prompt are shared by all tenants. Empty: nothing is.
    std::vector<int32_t> shared_prefix = {};
  };
  explicit PrefixCache(Options options) : options_(std::move(options)) {}
  PrefixCache(const PrefixCache&) = delete;

  struct Match {
    std::vector<std::shared_ptr<model::KvPage>> pages;
    int n_tokens = 0;  // leading tokens in common; the pages may hold more

    // Less of the match. REQUIRES: n <= n_tokens.
    void Truncate(int n);
  };
  // The longest common beginning; it becomes the most recently used.
  Match Find(const std::string& tenant_id, std::span<const int32_t> tokens);

  // Keeps `kv`, the K/V of `tokens` at offset 0, as far as it is not held yet. The least recently
  // used pages make room. REQUIRES: kv.size() == tokens.size().
  void Insert(const std::string& tenant_id, std::span<const int32_t> tokens,
              const model::KvBuffer& kv);

  // Drops all that is the tenant's alone. Returns the number of pages.
  int DropTenant(const std::string& tenant_id);
  // Drops the least recently used page that nobody else attends to. False: there is none.
  bool EvictUnused();
  // Bytes that EvictUnused would free, called until it says false.
  int64_t UnusedBytes() const;

  int64_t size_bytes() const { return size_bytes_; }
  int n_pages() const { return static_cast<int>(lru_.size()); }

 private:
  // Whose, and the page's tokens: ordered, so that the sibling with the longest common beginning is
  // a neighbour. The owner of shared pages is "".
  using Key = std::pair<std::string, std::vector<int32_t>>;
  struct Node {
    Node* parent = nullptr;
    std::map<Key, std::unique_ptr<Node>>::iterator self;  // in the parent's children
    std::shared_ptr<model::KvPage> page;
    int64_t n_bytes = 0;  // of the page when it came
    std::map<Key, std::unique_ptr<Node>> children;
    std::list<Node*>::iterator used;
  };

  Key MakeKey(const std::string& tenant_id, std::span<const int32_t> tokens, size_t begin) const;
  Node* Add(Node* parent, Key key, std::shared_ptr<model::KvPage> page);
  void Erase(Node* leaf);
  void Touch(Node* node);

  const Options options_;
  int64_t size_bytes_ = 0;
  Node root_;
  // The most recently used first. A node is used whenever a descendant is, just after it: the last
  // one is a leaf.
  std::list<Node*> lru_;
};

}  // namespace dki::engine
