// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefix_cache.h"

#include <algorithm>
#include <iterator>

#include "libs/base/check.h"

namespace dki::engine {
namespace {

using model::kPageTokens;

size_t CommonBeginning(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

void PrefixCache::Match::Truncate(int n) {
  DKI_CHECK(n <= n_tokens);
  n_tokens = n;
  pages.resize((n + kPageTokens - 1) / kPageTokens);
}

PrefixCache::Key PrefixCache::MakeKey(const std::string& tenant_id, std::span<const int32_t> tokens,
                                      size_t begin) const {
  const auto rest = tokens.subspan(begin, std::min<size_t>(kPageTokens, tokens.size() - begin));
  // Behind a common parent only: a page's K/V depends on all tokens in front of it.
  const std::span<const int32_t> shared = options_.shared_prefix;
  const bool is_shared =
      begin + kPageTokens <= shared.size() && rest.size() == kPageTokens &&
      std::ranges::equal(tokens.first(begin + kPageTokens), shared.first(begin + kPageTokens));
  return {is_shared ? "" : tenant_id, {rest.begin(), rest.end()}};
}

PrefixCache::Match PrefixCache::Find(const std::string& tenant_id,
                                     std::span<const int32_t> tokens) {
  Match match;
  Node* node = &root_;
  while (match.n_tokens < static_cast<int>(tokens.size())) {
    const Key key = MakeKey(tenant_id, tokens, match.n_tokens);
    const auto after = node->children.lower_bound(key);
    Node* best = nullptr;
    size_t best_tokens = 0;
    const auto consider = [&](const auto& child) {
      if (child->first.first != key.first) return;
      const size_t n = CommonBeginning(child->first.second, key.second);
      if (n <= best_tokens) return;
      best = child->second.get();
      best_tokens = n;
    };
    if (after != node->children.end()) consider(after);
    if (after != node->children.begin()) consider(std::prev(after));
    if (best == nullptr) break;
    node = best;
    match.pages.push_back(node->page);
    match.n_tokens += static_cast<int>(best_tokens);
    if (best_tokens < kPageTokens) break;
  }
  Touch(node);
  return match;
}

void PrefixCache::Insert(const std::string& tenant_id, std::span<const int32_t> tokens,
                         const model::KvBuffer& kv) {
  DKI_CHECK(kv.size() == static_cast<int>(tokens.size()));
  Node* node = &root_;
  for (size_t begin = 0; begin < tokens.size(); begin += kPageTokens) {
    Key key = MakeKey(tenant_id, tokens, begin);
    const auto after = node->children.lower_bound(key);
    if (after != node->children.end() && after->first.first == key.first &&
        CommonBeginning(after->first.second, key.second) == key.second.size()) {
      node = after->second.get();  // held, perhaps with more behind it
      continue;
    }
    // A page that ends earlier is replaced; it is the one in front, if there is one at all.
    if (after != node->children.begin()) {
      Node* const before = std::prev(after)->second.get();
      const Key& held = before->self->first;
      if (held.first == key.first &&
          CommonBeginning(held.second, key.second) == held.second.size()) {
        Erase(before);
      }
    }
    node = Add(node, std::move(key), kv.pages()[begin / kPageTokens]);
  }
  Touch(node);
  while (size_bytes_ > options_.budget_bytes) Erase(lru_.back());
}

PrefixCache::Node* PrefixCache::Add(Node* parent, Key key, std::shared_ptr<model::KvPage> page) {
  auto owned = std::make_unique<Node>();
  Node* const node = owned.get();
  node->parent = parent;
  node->self = parent->children.emplace(std::move(key), std::move(owned)).first;
  node->page = std::move(page);
  node->used = lru_.insert(lru_.begin(), node);
  node->n_bytes = static_cast<int64_t>(node->page->size_bytes());
  size_bytes_ += node->n_bytes;
  return node;
}

void PrefixCache::Erase(Node* leaf) {
  DKI_CHECK(leaf->children.empty());
  size_bytes_ -= leaf->n_bytes;
  lru_.erase(leaf->used);
  leaf->parent->children.erase(leaf->self);
}

void PrefixCache::Touch(Node* node) {
  for (; node != &root_; node = node->parent) lru_.splice(lru_.begin(), lru_, node->used);
}

int PrefixCache::DropTenant(const std::string& tenant_id) {
  int n_dropped = 0;
  // From the least recently used on: a page comes behind those that it follows, so it goes first.
  for (auto at = lru_.end(); at != lru_.begin();) {
    Node* const node = *std::prev(at);
    if (node->self->first.first == tenant_id) {
      Erase(node);
      ++n_dropped;
    } else {
      --at;
    }
  }
  return n_dropped;
}

bool PrefixCache::EvictUnused() {
  const auto found = std::find_if(lru_.rbegin(), lru_.rend(), [](const Node* node) {
    return node->children.empty() && node->page.use_count() == 1;
  });
  if (found == lru_.rend()) return false;
  Erase(*found);
  return true;
}

int64_t PrefixCache::UnusedBytes() const {
  int64_t bytes = 0;
  // Whoever attends to a page attends to those in front of it too, so what is unused is whole
  // branches. Pages that were computed twice are the exception, and are few.
  for (const Node* node : lru_) {
    if (node->page.use_count() == 1) bytes += node->n_bytes;
  }
  return bytes;
}

}  // namespace dki::engine
