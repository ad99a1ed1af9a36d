// SPDX-License-Identifier: Apache-2.0
#include "libs/model/safetensors.h"

#include <algorithm>
#include <cstring>

#include "libs/base/strings.h"
#include "libs/model/json_reader.h"

namespace dki::model {
namespace {

constexpr uint64_t kMaxHeaderBytes = 16 << 20;
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kMaxDims = 8;

// 0 for a type that we do not know.
int BytesOf(std::string_view dtype) {
  struct Row {
    std::string_view name;
    int n_bytes;
  };
  static constexpr Row kRows[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                  {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                                  {"U16", 2}, {"U8", 1},  {"BOOL", 1}};
  for (const Row& row : kRows) {
    if (row.name == dtype) return row.n_bytes;
  }
  return 0;
}

std::string ShapeText(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (uint64_t dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

absl::StatusOr<SafetensorsTensor> ReadTensor(const std::string& name, std::string_view data,
                                             JsonReader* json) {
  SafetensorsTensor tensor;
  std::vector<uint64_t> offsets;
  int n_members = 0;
  DKI_RETURN_IF_ERROR(json->ReadObject([&](const std::string& member) -> absl::Status {
    ++n_members;
    if (member == "dtype") {
      DKI_ASSIGN_OR_RETURN(tensor.dtype, json->ReadString());
    } else if (member == "shape") {
      DKI_ASSIGN_OR_RETURN(tensor.shape, json->ReadUints());
    } else if (member == "data_offsets") {
      DKI_ASSIGN_OR_RETURN(offsets, json->ReadUints());
    } else {
      return InvalidArgument("unknown member '%s'", Abbreviate(member, 64));
    }
    return absl::OkStatus();
  }));
  const std::string shown = Abbreviate(name, 128);
  const int element_bytes = BytesOf(tensor.dtype);
  if (n_members != 3 || offsets.size() != 2 || element_bytes == 0) {
    return InvalidArgument(
        "tensor '%s' needs once each: dtype (of a known type), shape, data_offsets (two)", shown);
  }
  if (tensor.shape.size() > kMaxDims) {
    return InvalidArgument("tensor '%s' has %d dimensions, at most %d are allowed", shown,
                           tensor.shape.size(), kMaxDims);
  }
  uint64_t n_bytes = element_bytes;
  for (uint64_t dim : tensor.shape) {
    if (__builtin_mul_overflow(n_bytes, dim, &n_bytes)) {
      return InvalidArgument("tensor '%s' of shape %s is too large", shown,
                             ShapeText(tensor.shape));
    }
  }
  if (offsets[0] > offsets[1] || offsets[1] > data.size() || offsets[1] - offsets[0] != n_bytes) {
    return InvalidArgument("tensor '%s' of %d bytes has the data offsets %s; the data has %d bytes",
                           shown, n_bytes, ShapeText(offsets), data.size());
  }
  tensor.data = data.substr(offsets[0], n_bytes);
  return tensor;
}

// No byte of the data belongs to two tensors or to none: nothing can be smuggled in a valid file.
absl::Status CheckCover(const std::map<std::string, SafetensorsTensor>& tensors,
                        std::string_view data) {
  std::vector<std::string_view> parts;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.data.empty()) parts.push_back(tensor.data);
  }
  std::sort(parts.begin(), parts.end(), [](auto a, auto b) { return a.data() < b.data(); });
  const char* at = data.data();
  for (std::string_view part : parts) {
    if (part.data() != at) {
      return InvalidArgument("the tensors leave a gap or overlap at byte %d of the data",
                             at - data.data());
    }
    at += part.size();
  }
  if (at == data.data() + data.size()) return absl::OkStatus();
  return InvalidArgument("%d bytes of the data belong to no tensor",
                         data.data() + data.size() - at);
}

absl::StatusOr<std::map<std::string, SafetensorsTensor>> ReadTensors(std::string_view bytes,
                                                                     std::string_view* metadata) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes))
    return InvalidArgument("the file has %d bytes", bytes.size());
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  bytes.remove_prefix(sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size()) {
    return InvalidArgument("a header of %d bytes: at most %d are allowed, and the file has %d left",
                           header_bytes, kMaxHeaderBytes, bytes.size());
  }
  JsonReader json(bytes.substr(0, header_bytes));
  const std::string_view data = bytes.substr(header_bytes);
  std::map<std::string, SafetensorsTensor> tensors;
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& name) -> absl::Status {
    if (name == "__metadata__") {
      DKI_ASSIGN_OR_RETURN(*metadata, json.ReadRaw());
      return absl::OkStatus();
    }
    if (tensors.size() == kMaxTensors) return InvalidArgument("more than %d tensors", kMaxTensors);
    DKI_ASSIGN_OR_RETURN(SafetensorsTensor tensor, ReadTensor(name, data, &json));
    if (!tensors.emplace(name, std::move(tensor)).second) {
      return InvalidArgument("tensor '%s' occurs twice", Abbreviate(name, 128));
    }
    return absl::OkStatus();
  }));
  DKI_RETURN_IF_ERROR(json.ExpectEnd());
  DKI_RETURN_IF_ERROR(CheckCover(tensors, data));
  return tensors;
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::string_view bytes) {
  SafetensorsFile result;
  result.bytes_ = bytes;
  auto tensors = ReadTensors(bytes, &result.metadata_);
  if (!tensors.ok()) return Annotate(tensors.status(), "safetensors");
  result.tensors_ = *std::move(tensors);
  return result;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto result = Parse(file.bytes());
  if (!result.ok()) return Annotate(result.status(), path);
  result->file_ = std::move(file);
  return result;
}

absl::StatusOr<std::string_view> SafetensorsFile::Get(const std::string& name,
                                                      std::string_view dtype,
                                                      const std::vector<uint64_t>& shape) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) return NotFound("safetensors: no tensor '%s'", name);
  if (it->second.dtype != dtype || it->second.shape != shape) {
    return InvalidArgument("safetensors: tensor '%s' is %s %s, not %s %s", name, it->second.dtype,
                           ShapeText(it->second.shape), dtype, ShapeText(shape));
  }
  return it->second.data;
}

}  // namespace dki::model
