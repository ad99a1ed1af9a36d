// SPDX-License-Identifier: Apache-2.0
// Purpose: answers with the runtime in this process: the same engine, packs, probes and weights as
// the cluster's services.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libs/eval/runner.h"

namespace dki::eval {

struct LocalOptions {
  std::string models;  // folder of the default models
  std::string model;   // another model file or folder; empty: the default one
  bool kl = false;     // ItemResult::kl
};

class LocalSource : public AnswerSource {
 public:
  virtual const std::string& model_fingerprint() const = 0;
  // All query heads of the model.
  virtual std::vector<injection::AttentionHead> AllHeads() const = 0;
  // Retrieval's cosines and what each of `probes` sees, in their order.
  virtual absl::StatusOr<ItemEvidence> EvidenceOf(const Item& item,
                                                  std::span<const Probe> probes) = 0;
  // Of the next token when nothing is remembered, nats.
  virtual absl::StatusOr<double> VanillaEntropy(const Item& item) = 0;
};

// `arms`: those that will be asked for; their calibrations say what to probe.
absl::StatusOr<std::unique_ptr<LocalSource>> MakeLocalSource(const LocalOptions& options,
                                                             std::span<const Arm> arms);

}  // namespace dki::eval
