// SPDX-License-Identifier: Apache-2.0
#include "libs/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "libs/model/json_reader.h"

namespace dki::model {
namespace {

using ::testing::HasSubstr;

std::string File(std::string_view header, size_t n_data) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return bytes.append(header).append(n_data, 'x');
}

constexpr std::string_view kHeader =
    R"({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 3],)"
    R"( "data_offsets": [4, 28]}, "b\u00e9": {"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
    R"("empty":{"dtype":"I64","shape":[0],"data_offsets":[28,28]}})";

std::string ErrorOf(const std::string& bytes) {
  const auto file = SafetensorsFile::Parse(bytes);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << bytes;
  return ToString(file.status());
}

TEST(Safetensors, ReadsTensors) {
  const std::string bytes = File(kHeader, 28);
  const auto file = SafetensorsFile::Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->Get("a", "F32", {2, 3})->size(), 24u);
  EXPECT_EQ(file->Get("bé", "BF16", {2})->data() + 4, file->Get("a", "F32", {2, 3})->data());
  EXPECT_EQ(file->Get("c", "F32", {1}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(file->Get("a", "F32", {3, 2}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(file->Get("a", "F16", {2, 3}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Safetensors, RefusesHostileFiles) {
  const auto one = [](std::string_view tensor, size_t n_data) {
    return ErrorOf(File(R"({"t": {)" + std::string(tensor) + "}}", n_data));
  };
  EXPECT_THAT(ErrorOf(std::string(8, '\xff')), HasSubstr("header of"));
  EXPECT_THAT(ErrorOf(File("[]", 0)), HasSubstr("expected '{'"));
  EXPECT_THAT(ErrorOf(File("{} x", 0)), HasSubstr("after the value"));
  EXPECT_THAT(ErrorOf(File("{}", 1)), HasSubstr("belong to no tensor"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[1])", 4), HasSubstr("needs once each"));
  EXPECT_THAT(one(R"("dtype":"F99","shape":[1],"data_offsets":[0,4])", 4), HasSubstr("known type"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])", 4), HasSubstr("integer"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4), HasSubstr("offsets"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", 4), HasSubstr("offsets"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[1],"data_offsets":[8,4])", 8), HasSubstr("offsets"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", 8), HasSubstr("gap"));
  EXPECT_THAT(one(R"("dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0])", 0),
              HasSubstr("too large"));
  EXPECT_THAT(ErrorOf(File(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                           2)),
              HasSubstr("twice"));
  EXPECT_THAT(ErrorOf(File(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                           R"("u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                           3)),
              HasSubstr("overlap"));
  EXPECT_THAT(ErrorOf(File(R"({"__metadata__":)" + std::string(100, '['), 0)), HasSubstr("deep"));
}

TEST(Safetensors, DamageNeverCrashes) {
  const std::string good = File(kHeader, 28);
  for (size_t n = 0; n < good.size(); ++n) {
    const auto copy = std::make_unique<char[]>(n);  // exact size: for the address sanitizer
    std::memcpy(copy.get(), good.data(), n);
    EXPECT_FALSE(SafetensorsFile::Parse({copy.get(), n}).ok()) << n;
  }
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int i = 0; i < 2; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto file = SafetensorsFile::Parse(bytes);
    if (!file.ok()) continue;
    for (const auto& [name, tensor] : file->tensors()) {
      ASSERT_GE(tensor.data.data(), bytes.data());
      ASSERT_LE(tensor.data.data() + tensor.data.size(), bytes.data() + bytes.size());
    }
  }
}

TEST(JsonReader, ReadsStrictly) {
  EXPECT_EQ(JsonReader(R"( "a\n\u0041\ud83d\ude00" )").ReadString().value(), "a\nA😀");
  EXPECT_EQ(JsonReader("-1.5e2").ReadNumber().value(), -150.0);
  EXPECT_TRUE(JsonReader(R"([1, {"a": [true, null, "x"]}, -2])").Skip().ok());
  for (const char* bad : {"\"\\ud800\"", "\"\\x\"", "\"a", "\"\\u12", "\"\n\"", "\"\xff\""}) {
    EXPECT_FALSE(JsonReader(bad).ReadString().ok()) << bad;
  }
  for (const char* bad : {"", "+1", "01", ".5", "nan", "inf", "1e999", "0x1"}) {
    JsonReader json(bad);
    EXPECT_FALSE(json.ReadNumber().ok() && json.ExpectEnd().ok()) << bad;
  }
  for (const char* bad : {"[1,]", "[1", "{\"a\"}", "{\"a\":1,}", "tru", "[1 2]"}) {
    EXPECT_FALSE(JsonReader(bad).Skip().ok()) << bad;
  }
}

}  // namespace
}  // namespace dki::model
