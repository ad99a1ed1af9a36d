// SPDX-License-Identifier: Apache-2.0
// Purpose: step 1 of the pipeline, its pure half: what retrieval found, joined with the memories'
//   present state from the store.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dki/common/v1/common.pb.h"
#include "dki/memory/v1/memory.pb.h"
#include "dki/retrieval/v1/retrieval_service.pb.h"
#include "libs/base/status.h"
#include "libs/injection/relevance.h"
#include "services/orchestrator/chat_task.h"

namespace dki::orchestrator {

// A memory on its way through the pipeline.
struct Candidate {
  std::string id;
  int64_t version = 0;
  float cosine = 0.0f;
  std::string text;  // empty where the memory is not current
  common::v1::SourceClass source_class = common::v1::SOURCE_CLASS_USER;
  common::v1::MemoryAttributes attributes;
  int64_t create_position = 0;
  std::optional<double> words;        // by a calibration: search::WordShares
  std::vector<std::string> later;     // ids, by a calibration: injection::Evidence
  std::vector<double> head_shares;    // where it was probed: of the calibration's heads
  std::optional<double> probe_share;  // of them: injection::LookShare
  std::optional<double> relevance;    // where it was probed and passed: injection::ScoreRelevance
  std::string superseded_by;          // an id, where it was probed and passed
  bool passed = false;                // the gate
  std::string reason;  // why it did not pass, or is not handed to the model all the same
};

inline constexpr char kNotCurrent[] = "not_current";

using Hits = google::protobuf::RepeatedPtrField<retrieval::v1::SearchResponse::Hit>;
using Memories = google::protobuf::RepeatedPtrField<memory::v1::Memory>;

// The hits in their order, best first. One whose memory has vanished, is not visible or has another
// version by now has the reason "not_current" and no text.
std::vector<Candidate> JoinHits(const Hits& hits, const Memories& current);

// The memories that the request names, in its order, with the cosines of `hits` (0 where there is
// none). NOT_FOUND with the id of the first that does not exist or is not visible.
absl::StatusOr<std::vector<Candidate>> JoinNamed(std::span<const std::string> ids, const Hits& hits,
                                                 const Memories& current);

// Sets `words` and `later` of each: by the words of the turn, and of the recent messages where
// it leans on them.
void CompareWords(const ChatTask& task, std::span<Candidate* const> candidates);

// What is known of each, for gate and weights.
std::vector<injection::Evidence> EvidenceOf(std::span<Candidate* const> candidates);

}  // namespace dki::orchestrator
