// SPDX-License-Identifier: Apache-2.0
// Small valid models with damage of many kinds: each mutant is refused, or it is a model that runs.
// No crash, at most 200 ms of the processor, memory of the file and 64 MiB. DKI_MUTANTS says how
// many (some hundred where it is not set).
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>

#include "libs/base/file.h"
#include "libs/model/model_promises.h"
#include "libs/model/tokenizer.h"
#include "libs/testing/temp_dir.h"

namespace dki::model {
namespace {

using ::dki::testing::TempDir;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // they take their own time and memory
#else
constexpr bool kSanitized = false;
#endif

int NumMutants() {
  const char* text = std::getenv("DKI_MUTANTS");
  return text == nullptr ? 400 : std::atoi(text);
}

double ProcessorSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

size_t PeakBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

// Damages bytes as bad disks, cut transfers and hostile authors do: mostly in front, where the
// counts, lengths, names and offsets are.
class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string bytes) {
    const int n = 1 + Below(3);
    for (int i = 0; i < n && !bytes.empty(); ++i) MutateOnce(&bytes);
    return bytes;
  }
  int Below(size_t n) { return static_cast<int>(random_() % n); }

 private:
  size_t Place(size_t size) {
    const size_t front = std::min<size_t>(size, 4096);
    return Below(4) == 0 ? Below(size) : Below(front);
  }

  void MutateOnce(std::string* bytes) {
    const size_t at = Place(bytes->size());
    switch (Below(8)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ 1 << Below(8));
        return;
      case 1:
        (*bytes)[at] = static_cast<char>(random_());
        return;
      case 2:
        return bytes->resize(at);
      case 3:
        bytes->erase(at, 1 + Below(16));
        return;
      case 4:
        bytes->insert(at, bytes->substr(Place(bytes->size()), 1 + Below(16)));
        return;
      case 5: {  // a number
        static constexpr uint64_t kNumbers[] = {0,          1,          2,          31,
                                                255,        65'536,     0x7fffffff, 0x80000000,
                                                0xffffffff, 1ull << 40, 1ull << 63, ~0ull};
        const uint64_t number = kNumbers[Below(std::size(kNumbers))];
        const size_t width = Below(2) == 0 ? 4 : 8;
        if (at + width <= bytes->size()) std::memcpy(&(*bytes)[at], &number, width);
        return;
      }
      case 6: {  // one digit of a text for another; elsewhere the next number
        const size_t digit = bytes->find_first_of("0123456789", at);
        if (digit != bytes->npos) (*bytes)[digit] = static_cast<char>('0' + Below(10));
        return;
      }
      default: {  // two parts change places
        const size_t length = 1 + Below(32);
        const size_t other = Place(bytes->size());
        if (std::max(at, other) + length > bytes->size()) return;
        if (std::min(at, other) + length > std::max(at, other)) return;
        std::swap_ranges(bytes->begin() + at, bytes->begin() + at + length, bytes->begin() + other);
      }
    }
  }

  std::mt19937 random_;
};

bool IsRefusal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsNotFound(status);
}

void Write(const std::string& file, const std::string& bytes) {
  std::filesystem::remove(file);  // truncating would make the file system write it out each time
  std::ofstream(file, std::ios::binary) << bytes;
}

// Loads what lies at `path`; true when it is a model that runs, with a tokenizer.
bool LoadsAndRuns(const std::string& path) {
  const auto tokenizer = Tokenizer::Load(path);
  if (tokenizer.ok()) {
    for (const int32_t id : (*tokenizer)->Encode(" Hello,\n w\xC3\xB6rld 12 <|im_end|> \xFF"))
      EXPECT_LT(id, (*tokenizer)->vocab_size());
  } else {
    EXPECT_TRUE(IsRefusal(tokenizer.status())) << tokenizer.status();
  }
  const auto model = Model::Load(path, {.n_threads = 1});
  if (!model.ok()) {
    EXPECT_TRUE(IsRefusal(model.status())) << model.status();
    return false;
  }
  const Tokens tokens = MakeTokens(**model, 3, 1);
  KvBuffer context((*model)->kv_shape(), 0);
  Chunk chunk;
  chunk.tokens = tokens;
  chunk.context = &context;
  const absl::StatusOr<Logits> logits = (*model)->Forward({&chunk, 1});
  if (!logits.ok()) {  // of a window of one token
    EXPECT_TRUE(absl::IsInvalidArgument(logits.status())) << logits.status();
    return false;
  }
  EXPECT_EQ(static_cast<int>(logits->size()), (*model)->config().vocab_size);
  return tokenizer.ok();
}

// `file` is what is damaged of the model at `path` (the same, or a file of a folder).
void MutateAndLoad(const std::string& path, const std::string& file, int n_mutants, uint32_t seed) {
  SCOPED_TRACE(file);
  ASSERT_TRUE(LoadsAndRuns(path));
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(file));
  const size_t peak_before = PeakBytes();
  Mutator mutator(seed);
  int n_run = 0;
  double slowest = 0;
  for (int i = 0; i < n_mutants; ++i) {
    const std::string bad = mutator.Mutate(good);
    Write(file, bad);
    const double before = ProcessorSeconds();
    n_run += LoadsAndRuns(path);
    slowest = std::max(slowest, ProcessorSeconds() - before);
    if (::testing::Test::HasFailure()) {
      FAIL() << "mutant " << i << " of seed " << seed;
    }
  }
  Write(file, good);
  const size_t grown = PeakBytes() - peak_before;
  std::printf("%d mutants, %d of them run, slowest %.1f ms, %.1f MiB\n", n_mutants, n_run,
              1e3 * slowest, static_cast<double>(grown) / (1 << 20));
  if (kSanitized) return;
  EXPECT_LE(slowest, 0.2);
  EXPECT_LE(grown, good.size() + (64u << 20));
}

TEST(LoadingMutationTest, GgufFilesAreRefusedOrRun) {
  TempDir dir;
  for (const char* name : {"llama.gguf", "gemma3.gguf"}) {
    const std::string path = dir.File(name);
    std::filesystem::copy_file(std::string("libs/model/fuzz/corpus/gguf/") + name, path);
    MutateAndLoad(path, path, NumMutants(), 1);
  }
}

TEST(LoadingMutationTest, HuggingFaceFoldersAreRefusedOrRun) {
  const std::filesystem::path families = "libs/model/testdata/families";
  for (const char* family : {"qwen2", "gemma3"}) {
    TempDir dir;
    std::filesystem::copy(families / family, dir.path());
    std::filesystem::copy_file(families / "tokenizer.json", dir.File("tokenizer.json"));
    uint32_t seed = 2;
    for (const char* file : {"config.json", "tokenizer.json", "model.safetensors"})
      MutateAndLoad(dir.path(), dir.File(file), NumMutants() / 2, seed++);
  }
}

}  // namespace
}  // namespace dki::model
