// SPDX-License-Identifier: Apache-2.0
// Purpose: one tenant's memories by meaning: exact cosines of the memories that a request may see.
//   ScanVectorIndex is the product's; InMemoryVectorIndex, plain loops, is its oracle and the
//   tests' fake. Both pass vector_index_conformance_test.cc.
// Thread-safety: const functions may run together; others need the object for themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/status.h"

namespace dki::retrieval {

struct Scope {
  std::string user_id;
  std::string session_id;
  std::string agent_id;
};

// What the index knows of a memory; never its text (`signature`: libs/search/duplicates.h).
struct IndexedMemory {
  std::string id;
  int64_t version = 0;
  Scope scope;
  std::vector<std::string> tags;
  absl::Time expire_time = absl::InfiniteFuture();
  bool pinned = false;
  uint64_t signature = 0;
  absl::Time update_time = absl::UnixEpoch();
};

// Which memories a request may see and wants to see.
struct SearchFilter {
  Scope scope;                // the requester's
  absl::Time now;             // memories that have expired by then are out
  std::string tag;            // empty: any
  std::set<std::string> ids;  // empty: any
};

// Each scope field that is set on the memory equals the request's (design.md section 2), and the
// rest of the filter.
bool Matches(const IndexedMemory& memory, const SearchFilter& filter);

struct Hit {
  std::string memory_id;
  int64_t version = 0;
  float cosine = 0;
  bool pinned = false;

  friend bool operator==(const Hit&, const Hit&) = default;
};

// The order of results: cosine, best first; among equals the pinned, then by id.
bool ComesBefore(const Hit& a, const Hit& b);

class VectorIndex {
 public:
  virtual ~VectorIndex() = default;

  virtual int dimension() const = 0;
  virtual int64_t size() const = 0;

  // Adds the memory, or replaces the one with its id. `vector` [dimension] must be finite and of
  // unit length within 0.1 % (INVALID_ARGUMENT, nothing changed).
  virtual absl::Status Upsert(IndexedMemory memory, std::span<const float> vector) = 0;
  // False when there is none.
  virtual bool Remove(const std::string& memory_id) = 0;
  virtual void Clear() = 0;
  // Null when there is none; good until the next change.
  virtual const IndexedMemory* Find(const std::string& memory_id) const = 0;

  // The first `k` of the matching memories in the order of results; with a threshold only those
  // whose cosine is at least that. REQUIRES: k >= 1.
  virtual absl::StatusOr<std::vector<Hit>> Search(std::span<const float> query, int k,
                                                  std::optional<float> threshold,
                                                  const SearchFilter& filter) const = 0;

  // Work that makes later searches faster; none: nullptr. It may take seconds and leaves the
  // contents alone, so others may search and change them meanwhile; what it returns needs the
  // object for itself, for a few milliseconds. REQUIRES: one at a time, and the index lives longer.
  using Upkeep = std::function<std::function<void()>()>;
  virtual Upkeep NextUpkeep() { return nullptr; }
};

// What Upsert and Search demand of a vector.
absl::Status CheckUnitVector(std::span<const float> vector, int dimension);

}  // namespace dki::retrieval
