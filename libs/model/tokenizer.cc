// SPDX-License-Identifier: Apache-2.0
#include "libs/model/tokenizer.h"

#include <filesystem>

#include "libs/base/file.h"
#include "libs/model/byte_pair.h"
#include "libs/model/gguf.h"
#include "libs/model/sentence_piece.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {
namespace {

absl::StatusOr<TokenizerSpec> ReadSpec(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    DKI_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
    return ReadGgufTokenizer(file);
  }
  DKI_ASSIGN_OR_RETURN(const std::string tokenizer, ReadFile(path + "/tokenizer.json"));
  DKI_ASSIGN_OR_RETURN(const std::string config, ReadFile(path + "/config.json"));
  absl::StatusOr<std::string> generation = ReadFile(path + "/generation_config.json");
  if (!generation.ok() && !absl::IsNotFound(generation.status())) return generation.status();
  return ReadJsonTokenizer(tokenizer, config, generation.ok() ? *generation : "");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(TokenizerSpec spec) {
  return spec.form == TokenizerSpec::Form::kByteLevel ? MakeBytePairTokenizer(spec)
                                                      : MakeSentencePieceTokenizer(spec);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& path) {
  absl::StatusOr<TokenizerSpec> spec = ReadSpec(path);
  if (!spec.ok()) return Annotate(spec.status(), path);
  auto tokenizer = MakeTokenizer(*std::move(spec));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

}  // namespace dki::model
