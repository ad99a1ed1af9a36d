// SPDX-License-Identifier: Apache-2.0
// The engine under load, on the real model:
//   serving_bench --model FILE [--threads N] [--seconds N] [--trace FILE.csv] [--kv_mib N] SCENARIO
// Prints one JSON object. Scenarios:
//   chats     1 and 8 chats that decode together, interleaved: tokens/s
//   beside    the time between an answer's tokens, idle and while a 4,000-token prompt is read
//   turns     the time to the first token of a conversation's next request: at once, and later
//   trace     open loop: a stretch of the Azure trace at the rate of requests that this machine
//             answers (--capacity, or found out first), every second of its requests, and each of
//             them twice, so that all loads have the same mix: goodput, refusals, memory
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "libs/engine/engine.h"
#include "libs/engine/loaded_model.h"

namespace dki::engine {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model, trace, scenario;
  int threads = 0;
  int seconds = 20;
  int kv_mib = 1024;
  // Requests/s of the trace's mix that this machine answers; 0: found out first.
  double capacity = 0.0;
};

double Since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0.0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<size_t>(q * values.size()))];
}

double RssMib() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// Words that do not repeat soon: about a token each.
std::string Words(int n, int seed) {
  static constexpr const char* kWords[] = {"river", "stone",  "green", "walk",  "paper", "light",
                                           "seven", "garden", "music", "north", "table", "bread",
                                           "cloud", "winter", "glass", "horse"};
  std::string text;
  uint32_t state = 2654435761u * static_cast<uint32_t>(seed + 1);
  for (int i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    text += std::string(i == 0 ? "" : " ") + kWords[state >> 28];
  }
  return text;
}

Prompt Ask(const std::string& text) {
  Prompt prompt;
  prompt.turn = {"user", text};
  return prompt;
}

// Answers go on to max_tokens: high temperature, so that the end token is as rare as any.
AnswerOptions Long(int max_tokens) {
  AnswerOptions options;
  options.max_tokens = max_tokens;
  options.sampling.temperature = 2.0f;
  return options;
}

// Notes when pieces of text arrive.
class Watch : public AnswerSink {
 public:
  bool OnStarted(const Started&) override { return true; }
  bool OnText(std::string_view) override {
    times.push_back(Clock::now());
    if (on_text) on_text(times.size());
    return true;
  }
  std::vector<Clock::time_point> times;
  std::function<void(size_t)> on_text;
};

struct Bench {
  Flags flags;
  LoadedModel loaded;

  std::unique_ptr<Engine> MakeEngine() {
    Engine::Options options;
    options.kv_cache_bytes = int64_t{flags.kv_mib} << 20;
    options.prefix_cache_bytes = options.kv_cache_bytes / 2;
    options.max_waiting = 32;
    return std::make_unique<Engine>(options, loaded.model.get(), loaded.tokenizer.get(),
                                    loaded.format.get(), nullptr);
  }
};

RequestContext Tenant(const std::string& id) {
  return {.tenant_id = id, .request_id = "bench", .cancelled = nullptr};
}

int64_t DecodeTogether(Engine& engine, int n_chats, double* seconds) {
  constexpr int kTokens = 96;
  std::atomic<int64_t> tokens = 0;
  const EngineStats before = engine.stats();
  const Clock::time_point began = Clock::now();
  std::vector<std::thread> chats;
  for (int i = 0; i < n_chats; ++i) {
    chats.emplace_back([&, i] {
      AnswerOptions options = Long(kTokens);
      options.sampling.seed = i;
      engine.Generate(Tenant("t"), Ask(Words(24, i)), options, nullptr).ok();
    });
  }
  for (std::thread& chat : chats) chat.join();
  const EngineStats after = engine.stats();
  // All but the reading of the prompts: the model, sampling, streaming.
  *seconds = Since(began) - (after.prefill_seconds - before.prefill_seconds);
  return after.decode_tokens - before.decode_tokens;
}

void Chats(Bench& bench) {
  const auto engine = bench.MakeEngine();
  double seconds = 0.0;
  DecodeTogether(*engine, 8, &seconds);
  std::string one, eight;
  for (int rep = 0; rep < 5; ++rep) {
    const int64_t single = DecodeTogether(*engine, 1, &seconds);
    one += (rep == 0 ? "" : ", ") + std::to_string(single / seconds);
    const int64_t together = DecodeTogether(*engine, 8, &seconds);
    eight += (rep == 0 ? "" : ", ") + std::to_string(together / seconds);
  }
  std::printf("{\"one\": [%s], \"eight\": [%s]}\n", one.c_str(), eight.c_str());
}

std::vector<double> Gaps(const std::vector<Clock::time_point>& times, Clock::time_point from,
                         Clock::time_point to) {
  std::vector<double> gaps;
  for (size_t i = 1; i < times.size(); ++i) {
    if (times[i - 1] >= from && times[i] <= to)
      gaps.push_back(1e3 * std::chrono::duration<double>(times[i] - times[i - 1]).count());
  }
  return gaps;
}

// An answer of many tokens; when 200 are there, the long prompt arrives.
void Beside(Bench& bench) {
  std::string rows;
  for (int rep = 0; rep < 3; ++rep) {
    const auto engine = bench.MakeEngine();
    engine->Generate(Tenant("w"), Ask(Words(300, 100)), Long(4), nullptr).ok();  // warm
    Clock::time_point began{}, ended{};
    std::thread reader;
    Watch watch;
    std::atomic<bool> done = false;
    RequestContext context = Tenant("a");
    context.cancelled = [&] { return done.load(); };
    watch.on_text = [&](size_t n) {
      if (n != 200) return;
      reader = std::thread([&] {
        began = Clock::now();
        engine->Generate(Tenant("b"), Ask(Words(3900, rep)), Long(1), nullptr).ok();
        ended = Clock::now();
        done = true;
      });
    };
    engine->Generate(context, Ask(Words(24, rep)), Long(6000), &watch).ok();
    if (reader.joinable()) reader.join();
    const std::vector<double> idle = Gaps(watch.times, watch.times.front(), began);
    const std::vector<double> beside = Gaps(watch.times, began, ended);
    char row[256];
    std::snprintf(row, sizeof(row),
                  "%s{\"idle_p50\": %.3f, \"idle_p99\": %.3f, \"beside_p50\": %.3f, "
                  "\"beside_p99\": %.3f, \"gaps\": %zu, \"prefill_seconds\": %.3f}",
                  rep == 0 ? "" : ", ", Quantile(idle, 0.5), Quantile(idle, 0.99),
                  Quantile(beside, 0.5), Quantile(beside, 0.99), beside.size(),
                  std::chrono::duration<double>(ended - began).count());
    rows += row;
  }
  std::printf("[%s]\n", rows.c_str());
}

// A conversation of six turns; the next request at once, later, and on a server that knows nothing.
void Turns(Bench& bench) {
  std::string rows;
  for (int rep = 0; rep < 5; ++rep) {
    Prompt prompt = Ask(Words(40, 10 * rep));
    for (int i = 0; i < 5; ++i) {
      prompt.history.push_back({"user", Words(40, 1000 * rep + i)});
      prompt.history.push_back({"assistant", Words(60, 2000 * rep + i)});
    }
    const auto first_token = [&](bool wait, bool forget) {
      auto engine = bench.MakeEngine();
      const auto answer = engine->Generate(Tenant("a"), prompt, Long(48), nullptr);
      if (!answer.ok()) return -1.0;
      Prompt next = prompt;
      next.history.push_back(prompt.turn);
      next.history.push_back({"assistant", answer->text});
      next.turn.content = Words(12, 7);
      if (wait) engine->WaitUntilIdle();
      if (forget) engine = bench.MakeEngine();
      const auto again = engine->Generate(Tenant("a"), next, Long(1), nullptr);
      return again.ok() ? again->timings.first_token_us / 1e3 : -1.0;
    };
    const double at_once = first_token(false, false);
    const double later = first_token(true, false);
    const double cold = first_token(true, true);
    char row[160];
    std::snprintf(row, sizeof(row), "%s{\"at_once\": %.3f, \"later\": %.3f, \"cold\": %.3f}",
                  rep == 0 ? "" : ", ", at_once, later, cold);
    rows += row;
  }
  std::printf("[%s]\n", rows.c_str());
}

struct Arrival {
  double seconds = 0.0;  // from the first on
  int context_tokens = 0;
  int generated_tokens = 0;
};

std::vector<Arrival> ReadTrace(const std::string& path) {
  std::vector<Arrival> arrivals;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  double first = -1.0;
  while (std::getline(file, line)) {
    int hour = 0, minute = 0, context = 0, generated = 0;
    double second = 0.0;
    if (std::sscanf(line.c_str(), "%*d-%*d-%*d %d:%d:%lf,%d,%d", &hour, &minute, &second, &context,
                    &generated) != 5)
      continue;
    const double at = 3600.0 * hour + 60.0 * minute + second;
    if (first < 0.0) first = at;
    // The lengths are a cluster's; an eighth of them gives a run of this machine enough requests to
    // speak of.
    arrivals.push_back(
        {at - first, std::clamp(context / 8, 8, 512), std::clamp(generated / 8, 2, 64)});
  }
  return arrivals;
}

struct Load {
  int sent = 0, answered = 0, refused = 0, late = 0, hinted = 0;
  double seconds = 0.0, tokens = 0.0;
  std::vector<double> first_token_ms;
};

// Sends a stretch of the trace, its bursts as they are, that holds `rate` requests/s on average:
// `copies` of each, or every second where that is 0. Longer stretches would have other requests: in
// this trace those of the next half minute write a sixth more. The texts are new ones
// in each load, or the prefix cache would know them. An answer counts if it ends within its
// deadline.
Load Send(Engine& engine, const std::vector<Arrival>& trace, double rate, double seconds,
          int copies, int load_index) {
  constexpr size_t kFirst = 1000;  // the trace begins slowly
  const size_t end = std::min(trace.size() - 1, kFirst + static_cast<size_t>(rate * seconds));
  const double stretch = seconds / (trace[end].seconds - trace[kFirst].seconds);
  constexpr auto kDeadline = std::chrono::seconds(20);
  Load load;
  Mutex mutex;
  std::vector<std::thread> clients;
  const Clock::time_point began = Clock::now();
  for (size_t i = kFirst; i < end; ++i) {
    std::this_thread::sleep_until(
        began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                    (trace[i].seconds - trace[kFirst].seconds) * stretch)));
    const int n = copies > 0 ? copies : static_cast<int>(i % 2);
    load.sent += n;
    for (int copy = 0; copy < n; ++copy)
      clients.emplace_back([&, i, copy] {
        RequestContext context = Tenant("tenant" + std::to_string((i + copy) % 4));
        context.deadline = std::chrono::system_clock::now() + kDeadline;
        AnswerOptions options = Long(trace[i].generated_tokens);
        const int seed = static_cast<int>(trace.size() * (2 * load_index + copy) + i);
        options.sampling.seed = seed;
        const auto answer =
            engine.Generate(context, Ask(Words(trace[i].context_tokens, seed)), options, nullptr);
        const int64_t hint = engine.RetryAfter().count();
        MutexLock lock(&mutex);
        if (answer.ok()) {
          ++load.answered;
          load.tokens += answer->usage.prompt_tokens + answer->usage.completion_tokens;
          load.first_token_ms.push_back(answer->timings.first_token_us / 1e3);
        } else if (absl::IsResourceExhausted(answer.status())) {
          ++load.refused;
          if (hint > 0) ++load.hinted;
        } else {
          ++load.late;
        }
      });
  }
  for (std::thread& client : clients) client.join();
  load.seconds = Since(began);
  return load;
}

void Print(const char* name, const Load& load, const Engine& engine) {
  const EngineStats stats = engine.stats();
  std::printf(
      "{\"name\": \"%s\", \"sent\": %d, \"answered\": %d, \"refused\": %d, \"late\": %d, "
      "\"hinted\": %d, \"seconds\": %.2f, \"goodput\": %.3f, \"tokens_per_s\": %.1f, "
      "\"first_token_p50_ms\": %.1f, \"first_token_p99_ms\": %.1f, \"preempted\": %lld, "
      "\"kv_mib\": %.1f, \"rss_mib\": %.1f}",
      name, load.sent, load.answered, load.refused, load.late, load.hinted, load.seconds,
      load.answered / load.seconds, load.tokens / load.seconds, Quantile(load.first_token_ms, 0.5),
      Quantile(load.first_token_ms, 0.99), static_cast<long long>(stats.preempted),
      static_cast<double>(stats.kv_bytes) / (1 << 20), RssMib());
}

// Peak: the arrivals at about the machine's capacity, which a closed loop finds out. Then twice as
// many, twice: memory must not grow from one to the other.
void Trace(Bench& bench) {
  const std::vector<Arrival> trace = ReadTrace(bench.flags.trace);
  if (trace.size() < 2000) {
    std::fprintf(stderr, "no trace in %s\n", bench.flags.trace.c_str());
    std::exit(1);
  }
  const auto engine = bench.MakeEngine();
  double capacity = bench.flags.capacity;
  if (capacity == 0.0) {
    std::atomic<size_t> next = 0;
    std::atomic<int> done = 0;
    const Clock::time_point began = Clock::now();
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&] {
        while (Since(began) < bench.flags.seconds / 2.0) {
          const Arrival& arrival = trace[next++ % trace.size()];
          if (engine
                  ->Generate(Tenant("t"),
                             Ask(Words(arrival.context_tokens, -1 - static_cast<int>(next))),
                             Long(arrival.generated_tokens), nullptr)
                  .ok())
            ++done;
        }
      });
    }
    for (std::thread& client : clients) client.join();
    capacity = done / Since(began);
  }
  std::printf("{\"capacity\": %.3f, \"loads\": [", capacity);
  int index = 0;
  for (const auto& [name, copies] :
       {std::pair{"half", 0}, {"peak", 1}, {"overload", 2}, {"overload_again", 2}}) {
    const Load load = Send(*engine, trace, capacity, bench.flags.seconds, copies, index);
    if (index++ > 0) std::printf(", ");
    Print(name, load, *engine);
    engine->WaitUntilIdle();
  }
  std::printf("]}\n");
}

bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) {
      flags->scenario = name;
      continue;
    }
    if (++i == argc) return false;
    const char* value = argv[i];
    if (name == "--model")
      flags->model = value;
    else if (name == "--trace")
      flags->trace = value;
    else if (name == "--threads")
      flags->threads = std::atoi(value);
    else if (name == "--seconds")
      flags->seconds = std::atoi(value);
    else if (name == "--kv_mib")
      flags->kv_mib = std::atoi(value);
    else if (name == "--capacity")
      flags->capacity = std::atof(value);
    else
      return false;
  }
  return !flags->model.empty() && flags->seconds > 0 && flags->kv_mib > 0;
}

int Main(int argc, char** argv) {
  Bench bench;
  if (!Parse(argc, argv, &bench.flags)) {
    std::fprintf(stderr,
                 "usage: %s --model FILE [--threads N] [--seconds N] [--trace FILE] [--kv_mib N]\n"
                 "       [--capacity REQUESTS_PER_S] chats|beside|turns|trace\n",
                 argv[0]);
    return 2;
  }
  absl::StatusOr<LoadedModel> loaded =
      LoadedModel::Load(bench.flags.model, {.n_threads = bench.flags.threads});
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", ToString(loaded.status()).c_str());
    return 1;
  }
  bench.loaded = *std::move(loaded);
  if (bench.flags.scenario == "chats") {
    Chats(bench);
  } else if (bench.flags.scenario == "beside") {
    Beside(bench);
  } else if (bench.flags.scenario == "turns") {
    Turns(bench);
  } else if (bench.flags.scenario == "trace") {
    Trace(bench);
  } else {
    std::fprintf(stderr, "no scenario \"%s\"\n", bench.flags.scenario.c_str());
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace dki::engine

int main(int argc, char** argv) {
  return dki::engine::Main(argc, argv);
}
