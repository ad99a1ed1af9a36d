// SPDX-License-Identifier: Apache-2.0
// What keeping a block in a format costs and saves: block_bench MODEL THREADS [TOKENS]. For each
// format: bytes, times of encoding, of reading (verified and decoded to floats, on one thread) and
// of computing the block behind its context and the pack's header, the least of several runs each,
// and the drift. A JSON list.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libs/injection/block_maker.h"
#include "libs/injection/compute_pack.h"
#include "libs/model/tokenizer.h"

namespace dki::injection {
namespace {

template <typename F>
double LeastSeconds(int rounds, F&& run) {
  double least = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    run();
    least = std::min(
        least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return least;
}

absl::Status Run(const std::string& path, int n_threads, int n_tokens) {
  DKI_ASSIGN_OR_RETURN(const auto model, model::Model::Load(path, {.n_threads = n_threads}));
  DKI_ASSIGN_OR_RETURN(const auto tokenizer, model::Tokenizer::Load(path));
  DKI_ASSIGN_OR_RETURN(const auto format, model::ChatFormat::Create(path, tokenizer.get()));
  std::string text;
  for (int i = 0; static_cast<int>(format->PackLine(text).size()) < n_tokens; ++i) {
    text += "Guest " + std::to_string(i * 37 % 101) + " takes the room with a view of the sea. ";
  }
  BlockMaker maker(model.get(), *format, {.budget = 1e9, .int8_one_in = 1});
  std::printf("[\n");
  using kernels::KvFormat;
  for (const KvFormat kept_in : {KvFormat::kF32, KvFormat::kF16, KvFormat::kBF16, KvFormat::kInt8,
                                 KvFormat::kInt4, KvFormat::kInt2}) {
    PackPlan plan = PlanPack(*format, "t", model->config().kv_fingerprint, "You are brief.",
                             {{"m", text}}, kept_in);
    plan.blocks[1].tokens.resize(n_tokens);
    plan.blocks[1].identity.content_hash = kvcache::ContentHash(plan.blocks[1].tokens);
    DKI_ASSIGN_OR_RETURN(const model::KvBuffer context,
                         ComputeContext(model.get(), plan.context_tokens));
    std::vector<const model::KvBuffer*> at_hand(plan.blocks.size(), nullptr);
    DKI_ASSIGN_OR_RETURN(const auto header, maker.Make(plan, context, at_hand, {{0}}));
    at_hand[0] = &header[0].kept;
    DKI_ASSIGN_OR_RETURN(const auto made, maker.Make(plan, context, at_hand, {{1}}));
    const kvcache::Block& block = made[0].block;
    std::string bytes;
    const double compute = LeastSeconds(
        5, [&] { (void)ComputeBlocks(model.get(), maker.codec(), plan, context, at_hand, {{1}}); });
    const double encode =
        LeastSeconds(9, [&] { bytes = kvcache::EncodeBlock(block, maker.codec()); });
    const double read = LeastSeconds(
        9, [&] { (void)kvcache::DecodeBlock(bytes, plan.blocks[1].identity, maker.codec()); });
    std::printf(
        "  {\"format\": \"%s\", \"tokens\": %d, \"bytes\": %zu, \"encode_ms\": %.3f, \"read_ms\": "
        "%.3f, \"compute_ms\": %.2f, \"ratio\": %.1f, \"drift_kl\": %.3g, \"drift_logit\": "
        "%.3g}%s\n",
        kernels::Name(kept_in), n_tokens, bytes.size(), 1e3 * encode, 1e3 * read, 1e3 * compute,
        compute / read, std::max(0.0f, block.drift.kl), std::max(0.0f, block.drift.logit_change),
        kept_in == KvFormat::kInt2 ? "" : ",");
  }
  std::printf("]\n");
  return absl::OkStatus();
}

}  // namespace
}  // namespace dki::injection

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: block_bench MODEL THREADS [TOKENS]\n");
    return 2;
  }
  const absl::Status status =
      dki::injection::Run(argv[1], std::atoi(argv[2]), argc == 4 ? std::atoi(argv[3]) : 256);
  if (!status.ok()) std::fprintf(stderr, "%s\n", dki::ToString(status).c_str());
  return status.ok() ? 0 : 1;
}
