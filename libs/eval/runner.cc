// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/runner.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

template <typename T>
void Set(const char* name, const std::optional<T>& value, nlohmann::json* json) {
  if (value) (*json)[name] = *value;
}
template <typename T>
void Get(const nlohmann::json& json, const char* name, std::optional<T>* value) {
  if (json.contains(name)) *value = json[name].get<T>();
}

SuiteResult AddUp(const Suite& suite, const std::vector<std::vector<ItemResult>>& results,
                  size_t n_arms) {
  SuiteResult sum;
  sum.name = suite.name;
  sum.n = static_cast<int>(suite.items.size());
  sum.arms.resize(n_arms);
  int n_attacks = 0;
  for (const Item& item : suite.items) n_attacks += item.attack.empty() ? 0 : 1;
  for (ArmResult& arm : sum.arms) arm.n_attacks = n_attacks;
  for (const auto& item : results) {
    for (size_t a = 0; a < n_arms; ++a) {
      const ItemResult& result = item[a];
      ArmResult& arm = sum.arms[a];
      arm.right += result.right ? 1 : 0;
      arm.others += result.others ? 1 : 0;
      arm.attacked += result.attacked ? 1 : 0;
      if (result.changed) {
        ++arm.n_changed;
        arm.changed += *result.changed ? 1 : 0;
      }
      arm.repeats += result.repeats;
      arm.gated_out += result.gated_out ? 1 : 0;
      arm.first_token_ms += result.first_token_ms;
      if (result.kl) {
        ++arm.n_kl;
        arm.kl_sum += *result.kl;
      }
      if (result.gold_is_top) {
        ++arm.n_top;
        arm.gold_is_top += *result.gold_is_top ? 1 : 0;
      }
      arm.right_items.push_back(result.right);
      arm.prompt_tokens += result.prompt_tokens;
      arm.injected_tokens += result.injected_tokens;
      arm.company_tokens += result.company_tokens;
      if (!result.nll || !result.exact) continue;
      ++arm.n_scored;
      arm.exact += *result.exact ? 1 : 0;
      arm.nll_sum += *result.nll;
      arm.nll_square_sum += *result.nll * *result.nll;
    }
  }
  return sum;
}

// All arms of an item, with what is known already.
absl::Status AnswerItem(const Suite& suite, const Item& item, const std::vector<Arm>& arms,
                        AnswerSource* source, const RunOptions& options,
                        std::vector<ItemResult>* results, std::vector<bool>* is_new) {
  bool prepared = false;
  for (size_t a = 0; a < arms.size(); ++a) {
    if (options.known) {
      if (const ItemResult* known = options.known(suite.name, item.id, arms[a].name)) {
        (*results)[a] = *known;
        continue;
      }
    }
    if (!prepared) DKI_RETURN_IF_ERROR(source->Prepare(item));
    prepared = true;
    auto result = source->Answer(item, arms[a]);
    if (!result.ok()) {
      return Annotate(result.status(), suite.name + " " + item.id + ", arm " + arms[a].name);
    }
    result->right = ReplyHolds(result->reply, item.answer);
    result->attacked = ReplyHolds(result->reply, item.attack);
    result->others = HoldsOtherValue(result->reply, item);
    result->repeats = RepeatedTrigrams(result->reply);
    (*results)[a] = *std::move(result);
    (*is_new)[a] = true;
  }
  if (prepared) source->Done(item);
  return absl::OkStatus();
}

}  // namespace

std::string RawLine(const std::string& suite, const Item& item, const std::string& arm,
                    const ItemResult& result) {
  nlohmann::json json;
  json["suite"] = suite;
  json["id"] = item.id;
  json["arm"] = arm;
  json["reply"] = result.reply;
  json["gold"] = item.answer;
  json["right"] = result.right;
  json["others"] = result.others;
  if (!item.attack.empty()) {
    json["attacked"] = result.attacked;
    for (const ItemMemory& memory : item.memories) {
      if (memory.is_foreign) json["foreign"] = true;
    }
  }
  Set("changed", result.changed, &json);
  json["repeats"] = result.repeats;
  json["prompt_tokens"] = result.prompt_tokens;
  json["cached_prompt_tokens"] = result.cached_prompt_tokens;
  json["injected_tokens"] = result.injected_tokens;
  json["company_tokens"] = result.company_tokens;
  json["first_token_ms"] = result.first_token_ms;
  json["gated_out"] = result.gated_out;
  json["n_memories"] = item.memories.size();
  json["history_turns"] = item.history.size();
  json["needed"] = item.needed;
  if (!item.gold.empty() && item.memories.size() > 1) {
    json["gold_position"] =
        static_cast<double>(item.gold.front()) / static_cast<double>(item.memories.size() - 1);
  }
  Set("exact", result.exact, &json);
  Set("nll", result.nll, &json);
  Set("kl", result.kl, &json);
  Set("probability", result.probability, &json);
  Set("gold_share", result.gold_share, &json);
  Set("gold_is_top", result.gold_is_top, &json);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<KnownResult> ParseRawLine(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgument("a line of results is not a JSON object");
  KnownResult known;
  try {
    known.suite = json.at("suite").get<std::string>();
    known.id = json.at("id").get<std::string>();
    known.arm = json.at("arm").get<std::string>();
    ItemResult& result = known.result;
    result.reply = json.at("reply").get<std::string>();
    result.right = json.at("right").get<bool>();
    result.others = json.at("others").get<bool>();
    result.attacked = json.value("attacked", false);
    Get(json, "changed", &result.changed);
    result.repeats = json.at("repeats").get<double>();
    result.prompt_tokens = json.at("prompt_tokens").get<int>();
    result.cached_prompt_tokens = json.at("cached_prompt_tokens").get<int>();
    result.injected_tokens = json.at("injected_tokens").get<int>();
    result.company_tokens = json.value("company_tokens", 0);
    result.first_token_ms = json.at("first_token_ms").get<double>();
    result.gated_out = json.at("gated_out").get<bool>();
    Get(json, "exact", &result.exact);
    Get(json, "nll", &result.nll);
    Get(json, "kl", &result.kl);
    Get(json, "probability", &result.probability);
    Get(json, "gold_share", &result.gold_share);
    Get(json, "gold_is_top", &result.gold_is_top);
  } catch (const nlohmann::json::exception& e) {
    return InvalidArgument("a line of results: %s", e.what());
  }
  return known;
}

absl::StatusOr<std::vector<SuiteResult>> Run(const std::vector<Suite>& suites,
                                             const std::vector<Arm>& arms, AnswerSource* source,
                                             const RunOptions& options) {
  int total = 0;
  for (const Suite& suite : suites) total += static_cast<int>(suite.items.size());
  std::vector<SuiteResult> sums;
  int done = 0;
  for (const Suite& suite : suites) {
    std::vector<std::vector<ItemResult>> results(suite.items.size(),
                                                 std::vector<ItemResult>(arms.size()));
    std::atomic<size_t> next{0};
    Mutex mutex;
    absl::Status failure;
    const auto work = [&] {
      while (true) {
        const size_t i = next++;
        if (i >= suite.items.size()) return;
        const Item& item = suite.items[i];
        std::vector<bool> is_new(arms.size(), false);
        const absl::Status status =
            AnswerItem(suite, item, arms, source, options, &results[i], &is_new);
        MutexLock lock(&mutex);
        if (!status.ok()) {
          failure = status;
          next = suite.items.size();
          return;
        }
        ++done;
        if (options.raw) {
          for (size_t a = 0; a < arms.size(); ++a) {
            if (is_new[a]) options.raw(RawLine(suite.name, item, arms[a].name, results[i][a]));
          }
        }
        if (options.progress) options.progress(done, total);
      }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < options.parallel; ++t) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    DKI_RETURN_IF_ERROR(failure);
    sums.push_back(AddUp(suite, results, arms.size()));
  }
  return sums;
}

}  // namespace dki::eval
