// SPDX-License-Identifier: Apache-2.0
#include "libs/model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

namespace dki::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes GGUF files by hand, hostile ones too.
class Writer {
 public:
  template <typename T>
  Writer& Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  Writer& Str(std::string_view text) {
    Put<uint64_t>(text.size());
    bytes_.append(text);
    return *this;
  }
  Writer& Header(uint64_t n_tensors, uint64_t n_values, uint32_t version = 3) {
    bytes_.append("GGUF");
    return Put(version).Put(n_tensors).Put(n_values);
  }
  Writer& Tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                 uint64_t offset) {
    Str(name).Put<uint32_t>(dims.size());
    for (uint64_t d : dims) Put(d);
    return Put(type).Put(offset);
  }
  Writer& Data(size_t n_bytes) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32);
    bytes_.resize(bytes_.size() + n_bytes, 'x');
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string SmallFile() {
  Writer w;
  w.Header(3, 7);
  w.Str("general.architecture").Put<uint32_t>(8).Str("llama");
  w.Str("n").Put<uint32_t>(4).Put<uint32_t>(30);
  w.Str("negative").Put<uint32_t>(5).Put<int32_t>(-2);
  w.Str("eps").Put<uint32_t>(6).Put<float>(0.5f);
  w.Str("flag").Put<uint32_t>(7).Put<uint8_t>(1);
  w.Str("tokens").Put<uint32_t>(9).Put<uint32_t>(8).Put<uint64_t>(2).Str("a").Str("bc");
  w.Str("types").Put<uint32_t>(9).Put<uint32_t>(5).Put<uint64_t>(2).Put<int32_t>(1).Put<int32_t>(3);
  w.Tensor("norm", {4}, 0, 0);
  w.Tensor("weight", {32, 2}, 3, 32);
  w.Tensor("strange", {256}, 16, 96);
  w.Data(128);
  return w.bytes();
}

std::string ErrorOf(const std::string& bytes) {
  const auto file = GgufFile::Parse(bytes);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  return ToString(file.status());
}

// Everything that can be asked of a file, as a sum of lengths; for fuzzing.
size_t Touch(const GgufFile& file) {
  size_t sum = 0;
  for (const char* key : {"general.architecture", "n", "eps", "flag", "tokens", "types"}) {
    if (const auto v = file.GetUint(key); v.ok()) sum += *v;
    if (const auto v = file.GetFloat(key); v.ok()) sum += 1;
    if (const auto v = file.GetString(key); v.ok()) sum += std::string(*v).size();
    if (const auto v = file.GetStringArray(key); v.ok()) {
      for (const auto s : *v) sum += std::string(s).size();
    }
    if (const auto v = file.GetIntArray(key); v.ok()) sum += v->size();
    if (const auto v = file.GetFloatArray(key); v.ok()) sum += v->size();
  }
  for (const GgufTensor& t : file.tensors()) sum += std::string(t.data, t.n_bytes).size();
  return sum;
}

TEST(Gguf, ReadsMetadataAndTensors) {
  const std::string bytes = SmallFile();
  const auto file = GgufFile::Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file->GetString("general.architecture"), "llama");
  EXPECT_EQ(*file->GetUint("n"), 30u);
  EXPECT_EQ(*file->GetFloat("eps"), 0.5);
  EXPECT_TRUE(*file->GetBool("flag"));
  EXPECT_THAT(*file->GetStringArray("tokens"), ElementsAre("a", "bc"));
  EXPECT_THAT(*file->GetIntArray("types"), ElementsAre(1, 3));

  const auto weight = file->GetTensor("weight");
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(weight->type, GgmlType::kQ4_1);
  EXPECT_THAT(weight->dims, ElementsAre(32, 2, 1, 1));
  EXPECT_EQ(weight->n_bytes, 40u);
  EXPECT_EQ(weight->data - file->GetTensor("norm")->data, 32);
}

TEST(Gguf, GettersSayWhatIsWrong) {
  const std::string bytes = SmallFile();
  const auto file = GgufFile::Parse(bytes);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->GetUint("absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(file->GetTensor("absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(file->GetUint("eps").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(file->GetUint("negative").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(file->GetIntArray("tokens").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(ToString(file->GetTensor("strange").status()), HasSubstr("type 16"));
}

TEST(Gguf, RefusesHostileFiles) {
  const std::string good = SmallFile();
  EXPECT_THAT(ErrorOf("GGML" + good.substr(4)), HasSubstr("does not begin"));
  EXPECT_THAT(ErrorOf(Writer().Header(0, 0, 1).bytes()), HasSubstr("version 1"));
  EXPECT_THAT(ErrorOf(Writer().Header(1 << 20, 0).bytes()), HasSubstr("tensors"));
  EXPECT_THAT(ErrorOf(Writer().Header(1000, 0).bytes()), HasSubstr("do not fit"));
  EXPECT_THAT(ErrorOf(Writer().Header(0, uint64_t{1} << 60).bytes()), HasSubstr("metadata values"));
  EXPECT_THAT(ErrorOf(Writer().Header(0, 1).Put<uint64_t>(~uint64_t{0}).bytes()),
              HasSubstr("at most"));
  EXPECT_THAT(ErrorOf(Writer().Header(0, 1).Str("k").Put<uint32_t>(13).bytes()),
              HasSubstr("unknown type 13"));
  // 2^61 strings of 8 bytes and more: the product overflows.
  EXPECT_THAT(ErrorOf(Writer()
                          .Header(0, 1)
                          .Str("k")
                          .Put<uint32_t>(9)
                          .Put<uint32_t>(8)
                          .Put(uint64_t{1} << 61)
                          .bytes()),
              HasSubstr("elements"));
  EXPECT_THAT(ErrorOf(Writer()
                          .Header(0, 2)
                          .Str("k")
                          .Put<uint32_t>(7)
                          .Put<uint8_t>(1)
                          .Str("k")
                          .Put<uint32_t>(7)
                          .Put<uint8_t>(1)
                          .bytes()),
              HasSubstr("'k' at byte 38 occurs twice"));
}

TEST(Gguf, RefusesHostileTensors) {
  const auto one = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    return ErrorOf(Writer().Header(1, 0).Tensor("t", dims, type, offset).Data(64).bytes());
  };
  EXPECT_THAT(one({}, 0, 0), HasSubstr("0 dimensions"));
  EXPECT_THAT(one({1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 dimensions"));
  EXPECT_THAT(one({0}, 0, 0), HasSubstr("dimension 0 is 0"));
  EXPECT_THAT(one({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0), HasSubstr("dimension 1"));
  EXPECT_THAT(one({33}, 8, 0), HasSubstr("whole Q8_0 blocks"));
  EXPECT_THAT(one({17}, 0, 0), HasSubstr("within the file"));
  EXPECT_THAT(one({1}, 0, 4), HasSubstr("multiple of 32"));
  EXPECT_THAT(one({1}, 0, ~uint64_t{31}), HasSubstr("within the file"));
  EXPECT_THAT(
      ErrorOf(Writer().Header(2, 0).Tensor("t", {1}, 0, 0).Tensor("t", {1}, 0, 0).Data(64).bytes()),
      HasSubstr("occurs twice"));
  EXPECT_THAT(ErrorOf(Writer()
                          .Header(0, 1)
                          .Str("general.alignment")
                          .Put<uint32_t>(4)
                          .Put<uint32_t>(24)
                          .bytes()),
              HasSubstr("power of two"));
}

// Copies of exact size, so that the address sanitizer sees a read past the end.
TEST(Gguf, EveryTruncationIsRefused) {
  const std::string bytes = SmallFile();
  // The strange tensor (no known size) ends the file: cutting its data is not seen, so stop there.
  const size_t needed = bytes.size() - 32;
  for (size_t n = 0; n < needed; ++n) {
    const auto copy = std::make_unique<char[]>(n);
    std::memcpy(copy.get(), bytes.data(), n);
    EXPECT_EQ(GgufFile::Parse({copy.get(), n}).status().code(), absl::StatusCode::kInvalidArgument)
        << n;
  }
}

TEST(Gguf, RandomDamageNeverCrashes) {
  const std::string good = SmallFile();
  std::mt19937 random(7);
  size_t sum = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = good;
    const int n_flips = 1 + random() % 4;
    for (int i = 0; i < n_flips; ++i) {
      // Often a whole byte pattern that makes counts huge or zero.
      const uint8_t value = random() % 3 == 0 ? (random() % 2 ? 0xff : 0) : random();
      bytes[random() % bytes.size()] = static_cast<char>(value);
    }
    const auto copy = std::make_unique<char[]>(bytes.size());
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    const auto file = GgufFile::Parse({copy.get(), bytes.size()});
    if (file.ok()) {
      sum += Touch(*file);
    } else {
      ASSERT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
  EXPECT_GT(sum, 0u);
}

TEST(Gguf, AbsentFileIsNotFound) {
  EXPECT_EQ(GgufFile::Open("no/such/file.gguf").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace dki::model
