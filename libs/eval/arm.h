// SPDX-License-Identifier: Apache-2.0
// Purpose: an arm of an evaluation: where an item's memories go and how they are weighed. By name
//   (vanilla, prompt_late, prompt_system, prompt_user, injected: alpha 1, no gate; default: the
//   product's policy with its gate), or written out:
//     injected:alpha=2             every memory weighs 2
//     injected:beta=5              exp(5 * (cos_i - cos_max)), at least `floor` (0.05)
//     injected:beta=5,schedule=1-2 times 1 while the turn is read, 2 while answering (also as
//                                  read=1,answer=2); alpha is a factor of both
//     default:beta=5               the product's policy with one change
//     default:gate=off             the same for gate (on, off) and threshold (of the gate)
//     injected:format=int4         the memories' K/V is kept in that format (f32, f16, bf16, int8,
//                                  int4, int2), not in the product's default
//     injected:keep=0.9,...        only the most probable memories (injection::MostProbable), with
//                                  most=6 at most so many
//     default:calibration=FILE     with that calibration in place of the model's own; none: without
//     injected:modulation=FILE     the memories' K/V changed by the question
//     (injection::Modulation;
//                                  own: the product's for this model). injected: not unless it is
//                                  said; default: the product's own unless default:modulation=none
//     prompt_late:top=1            only the best memory by cosine
//     injected:order=relevance     the best memory first; relevance_last: last; given: as they come
//                                  (the older first). Capped ones stand behind all others
//     injected:budget=128          a pack of so many tokens: the least relevant are left out
//     injected:composition=auto    behind what its memories are computed (injection::Composition);
//                                  an injected arm's own is pack, default's the product's, auto
//     injected:law=blend,alpha=0.5 by another law than the bias: blend, as_original (values)
//     injected:alpha=2,layers=7-22 weights hold in these layers; 1 in the others
//     injected:history=sticky      with a history that attended the memories (else: memory-free)
//     injected:gates=context_aware each token gated by how well it matches the question, layer by
//                                  layer (injection::SetGateOption; also uniform, hybrid,
//                                  gated_preference, and gate_temperature=0.5, gate_layers=classes,
//                                  ...); refine=FILE: a value refinement (model/value_refinement.h)
//     default:without=top          without the memory that got the greatest share of the attention;
//                                  without=random: without a random other one. `changed` says
//                                  whether the reply is another one than with it
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/kv_format.h"
#include "libs/base/status.h"
#include "libs/injection/alpha_policy.h"
#include "libs/injection/calibration.h"
#include "libs/injection/composition.h"
#include "libs/injection/token_gates.h"
#include "libs/model/model.h"
#include "libs/model/value_refinement.h"

namespace dki::eval {

enum class Without { kNothing, kTop, kRandom };
enum class PackOrder { kGiven, kRelevance, kRelevanceLast };
enum class Place { kNone, kInjected, kPromptLate, kPromptSystem, kPromptUser };

struct Arm {
  std::string name;  // as written
  Place place = Place::kNone;
  injection::Composition composition;  // of injected arms
  model::AttentionRule rule;
  injection::GateRule gates;
  std::shared_ptr<const model::ValueRefinement> refinement;
  bool sticky_history = false;
  Without without = Without::kNothing;
  int top = 0;                          // only the best so many by cosine, order kept; 0: all
  PackOrder order = PackOrder::kGiven;  // of injected arms
  int budget = 0;                       // tokens of an injected pack; 0: all that fit

  // Of injected arms. The base is the product's policy, or the constant weight 1.
  bool is_default = false;
  bool gate = false;
  std::optional<double> alpha;  // every memory weighs this
  double factor = 1.0;          // of both phases
  // What differs from the base.
  std::optional<double> keep;
  std::optional<int> most;
  std::optional<double> beta;
  std::optional<double> floor;
  std::optional<double> read;
  std::optional<double> answer;
  std::optional<double> threshold;
  std::optional<kernels::KvFormat> format;
  std::optional<std::string> modulation;  // as written
  bool uses_calibration = false;
  std::shared_ptr<const injection::Calibration> calibration;  // null: the model's own
};

// How an arm weighs, on top of `strength`, which may be null: the cosine policy.
injection::AlphaPolicy PolicyOf(const Arm& arm, const injection::Strength* strength);
// What to load for an arm (injection::LoadModulation): the product's rule where it does not say.
std::string ModulationOf(const Arm& arm);

// INVALID_ARGUMENT that names what is not understood; an error of reading a calibration.
absl::StatusOr<Arm> ParseArm(const std::string& text);
// Separated by commas; an arm's own settings too, so "a=b" belongs to the arm before it.
absl::StatusOr<std::vector<Arm>> ParseArms(const std::string& text);

// What is to be probed: these heads, over memories that are computed so.
struct Probe {
  injection::Composition composition;
  std::vector<injection::AttentionHead> heads;
};
// What the arms' calibrations and the model's own ask for: each composition and head once.
std::vector<Probe> ProbesOf(std::span<const Arm> arms, const injection::Calibration* of_model);

// `shares[i][h]`: of memory i, head `probe.heads[h]`.
struct ProbedShares {
  Probe probe;
  std::vector<std::vector<double>> shares;
};

// What is known about an item's memories.
struct ItemEvidence {
  std::string question;
  std::vector<std::string> texts;  // of the memories
  std::vector<double> cosines;
  std::vector<double> words;                           // search::WordShares
  std::vector<std::vector<int>> later;                 // injection::Evidence
  std::vector<injection::SourceClass> source_classes;  // one per memory, or none: all the user's
  std::vector<ProbedShares> probed;
};

// How much a calibration's heads look at each memory (injection::LookShare); empty where the
// memories were not probed its way.
std::vector<double> LookShares(const injection::Calibration& calibration,
                               const ItemEvidence& evidence);

// Indexes of the memories that the arm uses, in order, and their weights.
struct WeighedItem {
  bool passed = true;                 // the gate; otherwise nothing is kept
  std::optional<double> probability;  // that the memories answer, where a calibration tells
  std::vector<int> kept;
  std::vector<injection::MemoryAlpha> alphas;  // one per kept
  std::vector<int> ranks;                      // one per kept: 0 is the most relevant
};
// `of_model` may be null: the model is not calibrated.
WeighedItem Weigh(const Arm& arm, const ItemEvidence& evidence,
                  const injection::Calibration* of_model);

}  // namespace dki::eval
