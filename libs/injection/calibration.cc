// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/calibration.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "libs/model/json_reader.h"

namespace dki::injection {
namespace {

using model::JsonReader;

constexpr size_t kMaxHeads = 64;
constexpr int kMaxMost = 256;

absl::Status ReadNumbers(JsonReader* json, std::vector<double>* numbers) {
  numbers->clear();
  return json->ReadArray([&]() -> absl::Status {
    DKI_ASSIGN_OR_RETURN(const double number, json->ReadNumber());
    numbers->push_back(number);
    return absl::OkStatus();
  });
}

absl::Status ReadHeads(JsonReader* json, std::vector<AttentionHead>* heads) {
  heads->clear();
  return json->ReadArray([&]() -> absl::Status {
    std::vector<double> pair;
    DKI_RETURN_IF_ERROR(ReadNumbers(json, &pair));
    if (pair.size() != 2 || !(pair[0] >= 0 && pair[0] < 4096 && pair[1] >= 0 && pair[1] < 4096)) {
      return InvalidArgument("heads: an entry is [layer, head], both from 0 on");
    }
    heads->push_back({static_cast<int>(pair[0]), static_cast<int>(pair[1])});
    return absl::OkStatus();
  });
}

// An object whose members are numbers, each read into its place, or the array "heads".
struct NamedNumber {
  const char* name;
  double* value;
};
absl::Status ReadModel(JsonReader* json, const char* model, std::vector<NamedNumber> numbers,
                       std::vector<double>* heads) {
  return json->ReadObject([&](const std::string& name) -> absl::Status {
    if (heads != nullptr && name == "heads") return ReadNumbers(json, heads);
    for (const NamedNumber& number : numbers) {
      if (name != number.name) continue;
      DKI_ASSIGN_OR_RETURN(*number.value, json->ReadNumber());
      if (!std::isfinite(*number.value)) return InvalidArgument("%s.%s is not finite", model, name);
      return absl::OkStatus();
    }
    return InvalidArgument("%s.%s is no field of a calibration", model, name);
  });
}

absl::Status ReadStrength(JsonReader* json, const char* kind, Strength* strength) {
  double most = 0;
  DKI_RETURN_IF_ERROR(ReadModel(json, kind,
                                {{"keep", &strength->keep},
                                 {"most", &most},
                                 {"beta", &strength->beta},
                                 {"floor", &strength->floor},
                                 {"read", &strength->read},
                                 {"answer", &strength->answer}},
                                nullptr));
  if (!(most >= 0 && most <= kMaxMost) || most != std::floor(most)) {
    return InvalidArgument("%s.most: %g, must be a whole number from 0 to %d", kind, most,
                           kMaxMost);
  }
  strength->most = static_cast<int>(most);
  return absl::OkStatus();
}

std::string StrengthJson(const Strength& s) {
  return absl::StrFormat(
      "{\"keep\": %.6g, \"most\": %d, \"beta\": %.6g, \"floor\": %.6g, \"read\": %.6g, "
      "\"answer\": %.6g}",
      s.keep, s.most, s.beta, s.floor, s.read, s.answer);
}

absl::Status CheckStrength(const char* kind, const Strength& strength) {
  if (!(strength.keep >= 0 && strength.keep <= 1)) {
    return InvalidArgument("%s.keep: %g, must be from 0 to 1", kind, strength.keep);
  }
  return Annotate(Validate(WithStrength(AlphaPolicy(), strength)), kind);
}

absl::Status Check(const Calibration& c) {
  if (c.model_fingerprint.empty()) return InvalidArgument("model_fingerprint is missing");
  if (c.heads.empty() || c.heads.size() > kMaxHeads) {
    return InvalidArgument("heads has %d entries, it must have 1 to %d", c.heads.size(), kMaxHeads);
  }
  if (c.relevance.heads.size() != c.heads.size()) {
    return InvalidArgument("relevance.heads has %d entries for %d heads", c.relevance.heads.size(),
                           c.heads.size());
  }
  if (!(c.answer.threshold >= 0 && c.answer.threshold <= 1)) {
    return InvalidArgument("answer.threshold: %g, must be from 0 to 1", c.answer.threshold);
  }
  DKI_RETURN_IF_ERROR(CheckStrength("lookup", c.lookup));
  DKI_RETURN_IF_ERROR(CheckStrength("linked", c.linked));
  return CheckStrength("judgement", c.judgement);
}

std::string Numbers(const std::vector<double>& numbers) {
  return absl::StrJoin(numbers, ", ", [](std::string* out, double number) {
    absl::StrAppendFormat(out, "%.6g", number);
  });
}

}  // namespace

absl::StatusOr<Calibration> ParseCalibration(std::string_view text) {
  Calibration c;
  bool has_linked = false;
  JsonReader json(text);
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& name) -> absl::Status {
    if (name == "model_fingerprint") {
      DKI_ASSIGN_OR_RETURN(c.model_fingerprint, json.ReadString());
      return absl::OkStatus();
    }
    if (name == "made_from") return json.Skip();  // for people
    if (name == "heads") return ReadHeads(&json, &c.heads);
    if (name == "probe") {
      DKI_ASSIGN_OR_RETURN(const std::string text, json.ReadString());
      auto composition = ParseServedComposition(text);
      if (!composition.ok()) return Annotate(composition.status(), "probe");
      c.probe = *composition;
      return absl::OkStatus();
    }
    if (name == "relevance") {
      return ReadModel(&json, "relevance",
                       {{"cosine", &c.relevance.cosine},
                        {"words", &c.relevance.words},
                        {"recency", &c.relevance.recency},
                        {"superseded", &c.relevance.superseded}},
                       &c.relevance.heads);
    }
    if (name == "answer") {
      return ReadModel(&json, "answer",
                       {{"bias", &c.answer.bias},
                        {"cosine", &c.answer.cosine},
                        {"personal", &c.answer.personal},
                        {"words", &c.answer.words},
                        {"relevance", &c.answer.relevance},
                        {"threshold", &c.answer.threshold}},
                       nullptr);
    }
    if (name == "lookup") return ReadStrength(&json, "lookup", &c.lookup);
    if (name == "linked") {
      has_linked = true;
      return ReadStrength(&json, "linked", &c.linked);
    }
    if (name == "judgement") return ReadStrength(&json, "judgement", &c.judgement);
    return InvalidArgument("%s is no field of a calibration", name);
  }));
  DKI_RETURN_IF_ERROR(json.ExpectEnd());
  if (!has_linked) c.linked = c.lookup;
  DKI_RETURN_IF_ERROR(Check(c));
  return c;
}

std::string ToJson(const Calibration& c) {
  const std::string heads =
      absl::StrJoin(c.heads, ", ", [](std::string* out, const AttentionHead& head) {
        absl::StrAppendFormat(out, "[%d, %d]", head.layer, head.head);
      });
  return absl::StrFormat(
      "{\"model_fingerprint\": \"%s\",\n"
      " \"heads\": [%s],\n"
      " \"probe\": \"%s\",\n"
      " \"relevance\": {\"cosine\": %.6g, \"words\": %.6g, \"recency\": %.6g, \"superseded\": "
      "%.6g, \"heads\": [%s]},\n"
      " \"answer\": {\"bias\": %.6g, \"cosine\": %.6g, \"personal\": %.6g, \"words\": %.6g, "
      "\"relevance\": %.6g, \"threshold\": %.6g},\n"
      " \"lookup\": %s,\n"
      " \"linked\": %s,\n"
      " \"judgement\": %s}\n",
      c.model_fingerprint, heads, ToString(c.probe), c.relevance.cosine, c.relevance.words,
      c.relevance.recency, c.relevance.superseded, Numbers(c.relevance.heads), c.answer.bias,
      c.answer.cosine, c.answer.personal, c.answer.words, c.answer.relevance, c.answer.threshold,
      StrengthJson(c.lookup), StrengthJson(c.linked), StrengthJson(c.judgement));
}

AlphaPolicy WithStrength(AlphaPolicy policy, const Strength& strength) {
  policy.beta = strength.beta;
  policy.floor = strength.floor;
  policy.read = strength.read;
  policy.answer = strength.answer;
  return policy;
}

}  // namespace dki::injection
