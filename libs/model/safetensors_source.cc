// SPDX-License-Identifier: Apache-2.0
#include "libs/model/safetensors_source.h"

#include <cstdint>
#include <filesystem>
#include <set>

#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/model/json_reader.h"

namespace dki::model {
namespace {

constexpr size_t kMaxShards = 1'024;

// The files that an index names: {"weight_map": {tensor: file, ...}, ...}.
absl::StatusOr<std::set<std::string>> ReadShards(std::string_view index) {
  std::set<std::string> shards;
  JsonReader json(index);
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& member) -> absl::Status {
    if (member != "weight_map") return json.Skip();
    return json.ReadObject([&](const std::string&) -> absl::Status {
      DKI_ASSIGN_OR_RETURN(std::string file, json.ReadString());
      // A file beside the index, never elsewhere.
      if (file.empty() || file.front() == '.' || file.find('/') != file.npos)
        return InvalidArgument("the file name '%s' is not allowed", Abbreviate(file, 64));
      shards.insert(std::move(file));
      if (shards.size() > kMaxShards) return InvalidArgument("more than %d files", kMaxShards);
      return absl::OkStatus();
    });
  }));
  DKI_RETURN_IF_ERROR(json.ExpectEnd());
  return shards;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsSource>> SafetensorsSource::Open(
    const std::string& folder) {
  const std::string index = folder + "/model.safetensors.index.json";
  std::set<std::string> names = {"model.safetensors"};
  if (std::filesystem::exists(index)) {
    DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(index));
    absl::StatusOr<std::set<std::string>> shards = ReadShards(text);
    if (!shards.ok()) return Annotate(shards.status(), index);
    names = *std::move(shards);
  }
  auto source = std::make_unique<SafetensorsSource>();
  for (const std::string& name : names) {
    DKI_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(folder + "/" + name));
    for (const auto& [tensor, unused] : file.tensors()) {
      if (source->Find(tensor) != nullptr)
        return InvalidArgument("%s: tensor %s is in another file, too", name,
                               Abbreviate(tensor, 128));
    }
    source->files_.push_back(std::move(file));
  }
  return source;
}

const SafetensorsTensor* SafetensorsSource::Find(std::string_view name) const {
  for (const SafetensorsFile& file : files_) {
    const auto it = file.tensors().find(std::string(name));
    if (it != file.tensors().end()) return &it->second;
  }
  return nullptr;
}

absl::StatusOr<TensorView> SafetensorsSource::Get(std::string_view name) const {
  const SafetensorsTensor* tensor = Find(name);
  if (tensor == nullptr) return InvalidArgument("tensor %s is missing", name);
  TensorView view;
  if (tensor->dtype == "F32") {
    view.dtype = kernels::DType::kF32;
  } else if (tensor->dtype == "F16") {
    view.dtype = kernels::DType::kF16;
  } else if (tensor->dtype == "BF16") {
    view.dtype = kernels::DType::kBF16;
  } else {
    return InvalidArgument("tensor %s: number format %s is not supported", name, tensor->dtype);
  }
  const std::vector<uint64_t>& shape = tensor->shape;
  constexpr uint64_t kMaxDim = uint64_t{1} << 31;
  for (const uint64_t dim : shape) {
    if (dim < 1 || dim > kMaxDim)
      return InvalidArgument("tensor %s has a dimension of %d", name, dim);
  }
  if (shape.empty() || shape.size() > 2)
    return InvalidArgument("tensor %s has %d dimensions, 1 or 2 are allowed", name, shape.size());
  view.n_rows = shape.size() == 1 ? 1 : static_cast<int64_t>(shape[0]);
  view.n_columns = static_cast<int64_t>(shape.back());
  view.data = tensor->data.data();
  // Writers pad the header, so that this holds.
  if (reinterpret_cast<uintptr_t>(view.data) % kernels::BlockBytes(view.dtype) != 0)
    return InvalidArgument("tensor %s is not aligned to its values", name);
  return view;
}

}  // namespace dki::model
