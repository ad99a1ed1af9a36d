// SPDX-License-Identifier: Apache-2.0
#include "libs/model/gguf.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace dki::model {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

// Value types of the file format.
enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kNumValueTypes,
};
constexpr int kScalarBytes[kNumValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr const char* kTypeNames[kNumValueTypes] = {
    "uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
    "bool",  "string", "array",  "uint64", "int64",  "float64"};

// Far above any real file; low enough that a hostile count cannot make us allocate much.
constexpr uint64_t kMaxValues = 100'000;
constexpr uint64_t kMaxTensors = 100'000;
constexpr uint64_t kMaxKeyBytes = 65'535;
constexpr uint64_t kMaxTensorNameBytes = 1'024;
constexpr uint64_t kMaxStringBytes = 16 << 20;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr int kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;

template <typename T>
T Load(const char* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}

// A scalar that is an integer, sign and range kept apart: `negative` holds the value then.
bool AsInteger(uint32_t type, const char* data, uint64_t* value, int64_t* negative) {
  int64_t s = 0;
  *negative = 0;
  switch (type) {
    case kUint8:
      *value = Load<uint8_t>(data);
      return true;
    case kUint16:
      *value = Load<uint16_t>(data);
      return true;
    case kUint32:
      *value = Load<uint32_t>(data);
      return true;
    case kUint64:
      *value = Load<uint64_t>(data);
      return true;
    case kInt8:
      s = Load<int8_t>(data);
      break;
    case kInt16:
      s = Load<int16_t>(data);
      break;
    case kInt32:
      s = Load<int32_t>(data);
      break;
    case kInt64:
      s = Load<int64_t>(data);
      break;
    default:
      return false;
  }
  *value = s < 0 ? 0 : static_cast<uint64_t>(s);
  *negative = s < 0 ? s : 0;
  return true;
}

// Keys come from the file: shown cut and with only printable characters.
std::string Shown(std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, 64)) shown.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  return shown;
}

}  // namespace

std::optional<GgmlBlock> BlockOf(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return GgmlBlock{1, 4};
    case GgmlType::kF16:
    case GgmlType::kBF16:
      return GgmlBlock{1, 2};
    case GgmlType::kQ4_0:
      return GgmlBlock{32, 18};  // f16 scale, 32 nibbles
    case GgmlType::kQ4_1:
      return GgmlBlock{32, 20};  // f16 scale, f16 minimum, 32 nibbles
    case GgmlType::kQ8_0:
      return GgmlBlock{32, 34};  // f16 scale, 32 int8
    case GgmlType::kQ5_0:
      return GgmlBlock{32, 22};
    case GgmlType::kQ5_1:
      return GgmlBlock{32, 24};
    case GgmlType::kQ4_K:
      return GgmlBlock{256, 144};
    case GgmlType::kQ5_K:
      return GgmlBlock{256, 176};
    case GgmlType::kQ6_K:
      return GgmlBlock{256, 210};
  }
  return std::nullopt;
}

std::string NameOf(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return "F32";
    case GgmlType::kF16:
      return "F16";
    case GgmlType::kBF16:
      return "BF16";
    case GgmlType::kQ4_0:
      return "Q4_0";
    case GgmlType::kQ4_1:
      return "Q4_1";
    case GgmlType::kQ8_0:
      return "Q8_0";
    case GgmlType::kQ5_0:
      return "Q5_0";
    case GgmlType::kQ5_1:
      return "Q5_1";
    case GgmlType::kQ4_K:
      return "Q4_K";
    case GgmlType::kQ5_K:
      return "Q5_K";
    case GgmlType::kQ6_K:
      return "Q6_K";
  }
  return absl::StrFormat("type %d", static_cast<uint32_t>(type));
}

// Walks the file once. Invariant: position_ <= bytes.size(); every read is checked by Need.
class GgufParser {
 public:
  explicit GgufParser(std::string_view bytes) { out_.bytes_ = bytes; }

  absl::StatusOr<GgufFile> Run() {
    uint64_t n_tensors = 0, n_values = 0;
    DKI_RETURN_IF_ERROR(ReadHeader(&n_tensors, &n_values));
    for (uint64_t i = 0; i < n_values; ++i) DKI_RETURN_IF_ERROR(ReadPair());
    out_.tensors_.reserve(n_tensors);
    offsets_.reserve(n_tensors);
    for (uint64_t i = 0; i < n_tensors; ++i) DKI_RETURN_IF_ERROR(ReadTensorInfo());
    DKI_RETURN_IF_ERROR(PlaceTensors());
    return std::move(out_);
  }

 private:
  size_t remaining() const { return out_.bytes_.size() - position_; }

  absl::Status Need(uint64_t n_bytes, const char* what) const {
    if (n_bytes <= remaining()) return absl::OkStatus();
    return InvalidArgument("GGUF: %s at byte %d needs %d bytes, the file has %d left", what,
                           position_, n_bytes, remaining());
  }

  template <typename T>
  absl::Status Read(T* value, const char* what) {
    DKI_RETURN_IF_ERROR(Need(sizeof(T), what));
    *value = Load<T>(out_.bytes_.data() + position_);
    position_ += sizeof(T);
    return absl::OkStatus();
  }

  absl::Status Take(uint64_t n_bytes, std::string_view* value, const char* what) {
    DKI_RETURN_IF_ERROR(Need(n_bytes, what));
    *value = out_.bytes_.substr(position_, n_bytes);
    position_ += n_bytes;
    return absl::OkStatus();
  }

  absl::Status ReadString(uint64_t max_bytes, std::string_view* value, const char* what) {
    uint64_t length = 0;
    DKI_RETURN_IF_ERROR(Read(&length, what));
    if (length > max_bytes) {
      return InvalidArgument("GGUF: %s at byte %d is %d bytes long, at most %d are allowed", what,
                             position_ - sizeof(length), length, max_bytes);
    }
    return Take(length, value, what);
  }

  absl::Status ReadHeader(uint64_t* n_tensors, uint64_t* n_values) {
    std::string_view magic;
    DKI_RETURN_IF_ERROR(Take(4, &magic, "magic"));
    if (magic != "GGUF") return InvalidArgument("GGUF: the file does not begin with \"GGUF\"");
    uint32_t version = 0;
    DKI_RETURN_IF_ERROR(Read(&version, "version"));
    if (version != 2 && version != 3) {
      return InvalidArgument("GGUF: version %d is not supported (2 and 3 are)", version);
    }
    DKI_RETURN_IF_ERROR(Read(n_tensors, "tensor count"));
    DKI_RETURN_IF_ERROR(Read(n_values, "metadata count"));
    if (*n_tensors > kMaxTensors) {
      return InvalidArgument("GGUF: %d tensors, at most %d are allowed", *n_tensors, kMaxTensors);
    }
    if (*n_values > kMaxValues) {
      return InvalidArgument("GGUF: %d metadata values, at most %d are allowed", *n_values,
                             kMaxValues);
    }
    // The smallest tensor entry takes 24 bytes (empty name): bounds what is reserved.
    if (*n_tensors > remaining() / 24) {
      return InvalidArgument("GGUF: %d tensors do not fit in the %d bytes left", *n_tensors,
                             remaining());
    }
    return absl::OkStatus();
  }

  absl::Status ReadPair() {
    const size_t start = position_;
    std::string_view key;
    DKI_RETURN_IF_ERROR(ReadString(kMaxKeyBytes, &key, "metadata key"));
    GgufFile::Value value;
    DKI_RETURN_IF_ERROR(Read(&value.type, "metadata type"));
    if (value.type == kArray) {
      DKI_RETURN_IF_ERROR(ReadArray(&value));
    } else if (value.type == kString) {
      DKI_RETURN_IF_ERROR(ReadString(kMaxStringBytes, &value.payload, "string"));
    } else if (value.type < kNumValueTypes) {
      DKI_RETURN_IF_ERROR(Take(kScalarBytes[value.type], &value.payload, "value"));
    } else {
      return InvalidArgument("GGUF: key '%s' at byte %d has the unknown type %d", Shown(key), start,
                             value.type);
    }
    if (!out_.values_.emplace(key, value).second) {
      return InvalidArgument("GGUF: key '%s' at byte %d occurs twice", Shown(key), start);
    }
    return absl::OkStatus();
  }

  absl::Status ReadArray(GgufFile::Value* value) {
    const size_t start = position_;
    DKI_RETURN_IF_ERROR(Read(&value->element_type, "array type"));
    DKI_RETURN_IF_ERROR(Read(&value->n_elements, "array length"));
    // Arrays of arrays occur in no model that we know; refusing them keeps the reader flat.
    if (value->element_type >= kNumValueTypes || value->element_type == kArray) {
      return InvalidArgument("GGUF: array at byte %d has elements of type %d", start,
                             value->element_type);
    }
    const bool strings = value->element_type == kString;
    const uint64_t element_bytes = strings ? 8 : kScalarBytes[value->element_type];
    if (value->n_elements > remaining() / element_bytes) {
      return InvalidArgument("GGUF: array at byte %d has %d elements, the file %d bytes left",
                             start, value->n_elements, remaining());
    }
    if (!strings) return Take(value->n_elements * element_bytes, &value->payload, "array");
    const size_t begin = position_;
    for (uint64_t i = 0; i < value->n_elements; ++i) {
      std::string_view element;
      DKI_RETURN_IF_ERROR(ReadString(kMaxStringBytes, &element, "string in an array"));
    }
    value->payload = out_.bytes_.substr(begin, position_ - begin);
    return absl::OkStatus();
  }

  absl::Status ReadTensorInfo() {
    GgufTensor tensor;
    DKI_RETURN_IF_ERROR(ReadString(kMaxTensorNameBytes, &tensor.name, "tensor name"));
    uint32_t n_dims = 0;
    DKI_RETURN_IF_ERROR(Read(&n_dims, "tensor rank"));
    if (n_dims < 1 || n_dims > kMaxDims) {
      return InvalidArgument("GGUF: tensor '%s' has %d dimensions, 1 to %d are allowed",
                             Shown(tensor.name), n_dims, kMaxDims);
    }
    tensor.n_dims = static_cast<int>(n_dims);
    // The product stays below 2^48: then no later product of sizes overflows.
    constexpr uint64_t kMaxElements = uint64_t{1} << 48;
    uint64_t n_elements = 1;
    for (uint32_t d = 0; d < n_dims; ++d) {
      uint64_t dim = 0;
      DKI_RETURN_IF_ERROR(Read(&dim, "tensor dimension"));
      if (dim < 1 || dim > kMaxElements / n_elements) {
        return InvalidArgument("GGUF: tensor '%s': dimension %d is %d", Shown(tensor.name), d, dim);
      }
      n_elements *= dim;
      tensor.dims[d] = static_cast<int64_t>(dim);
    }
    uint32_t type = 0;
    uint64_t offset = 0;
    DKI_RETURN_IF_ERROR(Read(&type, "tensor type"));
    DKI_RETURN_IF_ERROR(Read(&offset, "tensor offset"));
    tensor.type = static_cast<GgmlType>(type);
    if (const auto block = BlockOf(tensor.type)) {
      if (tensor.dims[0] % block->n_elements != 0) {
        return InvalidArgument("GGUF: tensor '%s': rows of %d elements are not whole %s blocks",
                               Shown(tensor.name), tensor.dims[0], NameOf(tensor.type));
      }
      tensor.n_bytes = n_elements / block->n_elements * block->n_bytes;
    }
    if (!out_.tensor_index_.emplace(tensor.name, out_.tensors_.size()).second) {
      return InvalidArgument("GGUF: tensor '%s' occurs twice", Shown(tensor.name));
    }
    out_.tensors_.push_back(tensor);
    offsets_.push_back(offset);
    return absl::OkStatus();
  }

  absl::Status PlaceTensors() {
    uint64_t alignment = kDefaultAlignment;
    if (out_.Has("general.alignment")) {
      DKI_ASSIGN_OR_RETURN(alignment, out_.GetUint("general.alignment"));
    }
    if (alignment < 8 || alignment > kMaxAlignment || !std::has_single_bit(alignment)) {
      return InvalidArgument("GGUF: general.alignment is %d, not a power of two from 8 to %d",
                             alignment, kMaxAlignment);
    }
    if (out_.tensors_.empty()) return absl::OkStatus();
    const uint64_t data_begin = (position_ + alignment - 1) / alignment * alignment;
    const uint64_t file_size = out_.bytes_.size();
    for (size_t i = 0; i < out_.tensors_.size(); ++i) {
      GgufTensor& tensor = out_.tensors_[i];
      const uint64_t offset = offsets_[i];
      if (offset % alignment != 0) {
        return InvalidArgument("GGUF: tensor '%s': offset %d is not a multiple of %d",
                               Shown(tensor.name), offset, alignment);
      }
      if (data_begin > file_size || offset > file_size - data_begin ||
          tensor.n_bytes > file_size - data_begin - offset) {
        return InvalidArgument(
            "GGUF: tensor '%s': %d bytes at offset %d of the data do not lie within the file "
            "(%d bytes, data from byte %d)",
            Shown(tensor.name), tensor.n_bytes, offset, file_size, data_begin);
      }
      tensor.data = out_.bytes_.data() + data_begin + offset;
    }
    return absl::OkStatus();
  }

  GgufFile out_;
  size_t position_ = 0;
  std::vector<uint64_t> offsets_;  // of the tensors, from the beginning of the data
};

absl::StatusOr<GgufFile> GgufFile::Open(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  absl::StatusOr<GgufFile> result = GgufParser(file.bytes()).Run();
  if (!result.ok()) return Annotate(result.status(), path);
  result->file_ = std::move(file);
  return result;
}

absl::StatusOr<GgufFile> GgufFile::Parse(std::string_view bytes) {
  return GgufParser(bytes).Run();
}

bool GgufFile::Has(std::string_view key) const {
  return values_.contains(key);
}

absl::StatusOr<GgufFile::Value> GgufFile::Find(std::string_view key) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return NotFound("GGUF: no metadata '%s'", key);
  return it->second;
}

namespace {
absl::Status WrongType(std::string_view key, uint32_t type, const char* wanted) {
  return InvalidArgument("GGUF: metadata '%s' is of type %s, not %s", key, kTypeNames[type],
                         wanted);
}
}  // namespace

absl::StatusOr<GgufFile::Value> GgufFile::FindArray(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, Find(key));
  if (value.type != kArray) return WrongType(key, value.type, "an array");
  return value;
}

absl::StatusOr<uint64_t> GgufFile::GetUint(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, Find(key));
  uint64_t result = 0;
  int64_t negative = 0;
  if (!AsInteger(value.type, value.payload.data(), &result, &negative)) {
    return WrongType(key, value.type, "an integer");
  }
  if (negative != 0) return InvalidArgument("GGUF: metadata '%s' is %d, below 0", key, negative);
  return result;
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, Find(key));
  double result = 0;
  if (value.type == kFloat32) {
    result = Load<float>(value.payload.data());
  } else if (value.type == kFloat64) {
    result = Load<double>(value.payload.data());
  } else {
    return WrongType(key, value.type, "a floating-point number");
  }
  if (!std::isfinite(result)) return InvalidArgument("GGUF: metadata '%s' is not finite", key);
  return result;
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, Find(key));
  if (value.type != kBool) return WrongType(key, value.type, "a bool");
  return value.payload[0] != 0;
}

absl::StatusOr<std::string_view> GgufFile::GetString(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, Find(key));
  if (value.type != kString) return WrongType(key, value.type, "a string");
  return value.payload;
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::GetStringArray(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, FindArray(key));
  if (value.element_type != kString) return WrongType(key, value.element_type, "string elements");
  std::vector<std::string_view> result;
  result.reserve(value.n_elements);
  std::string_view rest = value.payload;  // checked by ReadArray
  for (uint64_t i = 0; i < value.n_elements; ++i) {
    const uint64_t length = Load<uint64_t>(rest.data());
    result.push_back(rest.substr(8, length));
    rest.remove_prefix(8 + length);
  }
  return result;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetIntArray(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, FindArray(key));
  std::vector<int64_t> result(value.n_elements);
  for (uint64_t i = 0; i < value.n_elements; ++i) {
    uint64_t element = 0;
    int64_t negative = 0;
    if (!AsInteger(value.element_type, value.payload.data() + i * kScalarBytes[value.element_type],
                   &element, &negative)) {
      return WrongType(key, value.element_type, "integer elements");
    }
    if (element > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return InvalidArgument("GGUF: metadata '%s'[%d] is %d, above 2^63 - 1", key, i, element);
    }
    result[i] = negative != 0 ? negative : static_cast<int64_t>(element);
  }
  return result;
}

absl::StatusOr<std::vector<float>> GgufFile::GetFloatArray(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const Value value, FindArray(key));
  if (value.element_type != kFloat32) return WrongType(key, value.element_type, "float32 elements");
  std::vector<float> result(value.n_elements);
  if (!result.empty()) std::memcpy(result.data(), value.payload.data(), value.payload.size());
  return result;
}

absl::StatusOr<GgufTensor> GgufFile::GetTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  if (it == tensor_index_.end()) return NotFound("GGUF: no tensor '%s'", name);
  const GgufTensor& tensor = tensors_[it->second];
  if (!BlockOf(tensor.type)) {
    return InvalidArgument("GGUF: tensor '%s' has the unsupported number format %s", name,
                           NameOf(tensor.type));
  }
  return tensor;
}

}  // namespace dki::model
