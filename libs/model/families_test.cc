// SPDX-License-Identifier: Apache-2.0
// Every family as a folder of a tiny checkpoint, against another implementation
// (tools/fixtures/make_families.py).
#include <filesystem>
#include <fstream>

#include "libs/model/architecture.h"
#include "libs/model/chat_format.h"
#include "libs/model/golden_logits.h"
#include "libs/model/tokenizer.h"
#include "libs/testing/temp_dir.h"

namespace dki::model {
namespace {

using ::dki::testing::StatusIs;
using ::dki::testing::TempDir;
using ::testing::HasSubstr;

const std::filesystem::path kFamilies = "libs/model/testdata/families";

// A folder as Hugging Face writes it: the checkpoint and the tokenizer that all of them share.
void CopyFamily(const std::string& name, const std::string& to) {
  std::filesystem::copy(kFamilies / name, to);
  std::filesystem::copy_file(kFamilies / "tokenizer.json", to + "/tokenizer.json");
}

class FamilyTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { CopyFamily(GetParam(), dir_.path()); }
  std::unique_ptr<Model> Load(const ModelOptions& options) {
    absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(dir_.path(), options);
    EXPECT_OK(model);
    return model.ok() ? *std::move(model) : nullptr;
  }
  TempDir dir_;
};

TEST_P(FamilyTest, EqualsTheIndependentImplementation) {
  for (const auto& [activations, tolerance] : {std::pair{"float", 1e-5}, std::pair{"auto", 5e-3}}) {
    const auto model = Load({.n_threads = 2, .activations = activations});
    ASSERT_NE(model, nullptr);
    ExpectGolden(*model, kFamilies / GetParam() / "logits.bin", tolerance);
  }
}

TEST_P(FamilyTest, TheSameAsGguf) {
  const std::string path = kFamilies / GetParam() / "model.gguf";
  if (GetParam() == "glm") {
    EXPECT_FALSE(std::filesystem::exists(path));  // there is no such form
    return;
  }
  ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(path, {.activations = "float"}));
  ExpectGolden(*model, kFamilies / GetParam() / "logits.bin", 1e-5);
}

TEST_P(FamilyTest, HoldsThePromises) {
  const auto model = Load({.n_threads = 2, .activations = "float"});
  ASSERT_NE(model, nullptr);
  ASSERT_TRUE(model->config().supports_placement());
  ExpectChunkingChangesNothing(*model, 100);
  MemoryCase c(*model, 20, 30, 9);
  ExpectAlphaZeroIsVanilla(*model, c);
  ExpectAlphaOneIsThePrompt(*model, c, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyTest,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma3", "glm", "glm4",
                                           "gpt_neox", "gpt_neox_sequential"),
                         [](const auto& info) { return info.param; });

TEST(FamilyTableTest, EveryFamilyHasATest) {
  for (const Architecture& row : Architectures()) {
    const std::string type(row.hugging_face.name);
    EXPECT_TRUE(std::filesystem::exists(kFamilies / row.name) ||
                std::filesystem::exists(kFamilies / type))
        << row.name;
  }
}

TEST(PlacementTest, WithoutRotaryPositionsMemoryIsATruePrefixOnly) {
  TempDir dir;
  CopyFamily("glm4", dir.path());
  ASSERT_OK_AND_ASSIGN(std::string config, ReadFile(dir.File("config.json")));
  const std::string_view factor = "\"partial_rotary_factor\": 0.5";
  ASSERT_NE(config.find(factor), config.npos);
  config.replace(config.find(factor), factor.size(), "\"partial_rotary_factor\": 0.05");
  ASSERT_OK(WriteFileAtomically(dir.File("config.json"), config));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Model> model, Model::Load(dir.path(), {}));
  EXPECT_FALSE(model->config().supports_placement());
  MemoryCase c(*model, 20, 30, 9);
  ExpectAlphaOneIsThePrompt(*model, c, 1e-4);
  for (const double shift : {-30.0, 0.5}) {
    KvBuffer context(model->kv_shape(), 0);
    Chunk chunk;
    chunk.tokens = c.turn;
    chunk.context = &context;
    chunk.context_offset = 50 + shift;
    chunk.segments = {{.kv = &c.prefix_kv, .n_tokens = 20},
                      {.kv = &c.memory_kv, .n_tokens = 30, .offset = 20 + shift}};
    EXPECT_THAT(model->Forward({&chunk, 1}),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("true prefix")));
  }
}

// tokens.txt: a line per text, "ids<tab>text", of the `tokenizers` package.
TEST(JsonTokenizerTest, IdsEqualTheReference) {
  TempDir dir;
  CopyFamily("llama", dir.path());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(dir.path()));
  std::ifstream lines(kFamilies / "tokens.txt");
  int n_lines = 0;
  for (std::string line; std::getline(lines, line); ++n_lines) {
    const size_t tab = line.find('\t');
    const std::string text = line.substr(tab + 1);
    std::string ids;
    for (const int32_t id : tokenizer->Encode(text))
      ids += (ids.empty() ? "" : " ") + std::to_string(id);
    EXPECT_EQ(ids, line.substr(0, tab)) << text;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)), text);
  }
  EXPECT_EQ(n_lines, 2);
  EXPECT_EQ(tokenizer->vocab_size(), 320);
  EXPECT_EQ(tokenizer->bos(), 0);
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(1));
  // Added tokens: white space is taken whole, marks of a conversation are plain text.
  EXPECT_EQ(tokenizer->Encode("   ").size(), 1u);
  EXPECT_GT(tokenizer->Encode("<tool_call>").size(), 1u);
  EXPECT_GT(tokenizer->Encode("</s>").size(), 1u);
}

TEST(HuggingFaceLoadTest, TheChatTemplateIsFoundInTheFolder) {
  TempDir dir;
  CopyFamily("qwen2", dir.path());
  ASSERT_OK_AND_ASSIGN(std::string json, ReadFile(dir.File("tokenizer.json")));
  for (const auto& [from, to] :
       {std::pair{"\"<s>\"", "\"<|im_start|>\""}, std::pair{"\"</s>\"", "\"<|im_end|>\""}}) {
    for (size_t at; (at = json.find(from)) != json.npos;)
      json.replace(at, std::string_view(from).size(), to);
  }
  ASSERT_OK(WriteFileAtomically(dir.File("tokenizer.json"), json));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(dir.path()));
  // Without one it is a model that was not taught to chat.
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ChatFormat> plain,
                       ChatFormat::Create(dir.path(), tokenizer.get()));
  EXPECT_EQ(plain->RenderAnswerHeader(), tokenizer->Encode("Assistant:"));
  const std::string text = "{{'<|im_start|>' + role + '\\n' + content + '<|im_end|>'}}";
  ASSERT_OK(WriteFileAtomically(dir.File("tokenizer_config.json"),
                                "{\"chat_template\": \"" + text + "\"}"));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ChatFormat> format,
                       ChatFormat::Create(dir.path(), tokenizer.get()));
  const std::vector<int32_t> header = format->RenderAnswerHeader();
  ASSERT_FALSE(header.empty());
  EXPECT_EQ(header[0], tokenizer->SpecialId("<|im_start|>"));
  ASSERT_OK(WriteFileAtomically(dir.File("chat_template.jinja"), "of no family"));
  EXPECT_THAT(ChatFormat::Create(dir.path(), tokenizer.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no family")));
}

TEST(HuggingFaceLoadTest, BadFilesAreRefusedByName) {
  const auto refused = [](const char* file, std::string_view from, std::string_view to,
                          const char* what) {
    TempDir dir;
    CopyFamily("llama", dir.path());
    const std::string path = dir.File(file);
    ASSERT_OK_AND_ASSIGN(std::string text, ReadFile(path));
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    ASSERT_OK(WriteFileAtomically(path, text));
    EXPECT_THAT(Model::Load(dir.path(), {}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)))
        << to;
  };
  refused("config.json", "\"llama\"", "\"mamba\"", "model_type \"mamba\"");
  refused("config.json", "\"hidden_size\": 32", "\"hidden_size\": 0", "hidden_size is 0");
  refused("config.json", "\"hidden_size\": 32", "\"hidden_size\": 64", "model.embed_tokens.weight");
  refused("config.json", "\"head_dim\": 8", "\"head_dim\": 1000", "head_dim is 1000");
  refused("config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "K/V heads");
  refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2.");
  refused("config.json", "\"llama3\"", "\"yarn\"", "yarn");
  refused("config.json", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 5.0", "low_freq_factor");
  refused("config.json", "\"silu\"", "\"relu\"", "relu");
  refused("config.json", "\"mlp_bias\": false", "\"mlp_bias\": true", "mlp_bias");
  refused("config.json", "{", "", "JSON");
  refused("model.safetensors.index.json", "model-00001-of-00003", "../model-00001", "not allowed");
}

}  // namespace
}  // namespace dki::model
