// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/runner.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

std::string RawLine(const Suite& suite, const Item& item, const Arm& arm,
                    const ItemResult& result) {
  nlohmann::json json = {{"suite", suite.name},
                         {"id", item.id},
                         {"arm", arm.name},
                         {"reply", result.reply},
                         {"gold", item.answer},
                         {"right", result.right},
                         {"prompt_tokens", result.prompt_tokens},
                         {"injected_tokens", result.injected_tokens}};
  if (result.exact) json["exact"] = *result.exact;
  if (result.nll) json["nll"] = *result.nll;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

SuiteResult AddUp(const Suite& suite, const std::vector<std::vector<ItemResult>>& results,
                  size_t n_arms) {
  SuiteResult sum;
  sum.name = suite.name;
  sum.n = static_cast<int>(suite.items.size());
  sum.arms.resize(n_arms);
  for (const auto& item : results) {
    for (size_t a = 0; a < n_arms; ++a) {
      const ItemResult& result = item[a];
      ArmResult& arm = sum.arms[a];
      arm.right += result.right ? 1 : 0;
      arm.right_items.push_back(result.right);
      arm.prompt_tokens += result.prompt_tokens;
      arm.injected_tokens += result.injected_tokens;
      if (!result.nll || !result.exact) continue;
      ++arm.n_scored;
      arm.exact += *result.exact ? 1 : 0;
      arm.nll_sum += *result.nll;
      arm.nll_square_sum += *result.nll * *result.nll;
    }
  }
  return sum;
}

}  // namespace

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
        absl::Status status = source->Prepare(item);
        for (size_t a = 0; status.ok() && a < arms.size(); ++a) {
          auto result = source->Answer(item, arms[a]);
          if (!result.ok()) {
            status =
                Annotate(result.status(), suite.name + " " + item.id + ", arm " + arms[a].name);
            break;
          }
          result->right = ReplyHolds(result->reply, item.answer);
          results[i][a] = *std::move(result);
        }
        MutexLock lock(&mutex);
        if (!status.ok()) {
          failure = status;
          next = suite.items.size();
          return;
        }
        ++done;
        if (options.raw) {
          for (size_t a = 0; a < arms.size(); ++a)
            options.raw(RawLine(suite, item, arms[a], results[i][a]));
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
