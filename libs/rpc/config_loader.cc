// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/config_loader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <yaml-cpp/yaml.h>

#include <memory>
#include <set>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/strings.h"

namespace dki::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Duration;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsDuration(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type() == Duration::descriptor();
}

// Walks a YAML tree and a message together. yaml-cpp throws; MergeYaml catches.
class Reader {
 public:
  explicit Reader(std::string source) : source_(std::move(source)) {}

  absl::Status ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
    if (node.IsNull()) return absl::OkStatus();  // "server:" with nothing below it
    if (!node.IsMap()) return Error(node, path, "must be a map of fields");
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string name = entry.first.as<std::string>();
      const std::string field_path = path.empty() ? name : path + "." + name;
      const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(name);
      if (field == nullptr) {
        return Error(entry.first, field_path,
                     "unknown field; known here: " + KnownFields(*message->GetDescriptor()));
      }
      if (!seen.insert(name).second) return Error(entry.first, field_path, "is given twice");
      DKI_RETURN_IF_ERROR(ReadField(entry.second, field_path, field, message));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadField(const YAML::Node& node, const std::string& path,
                         const FieldDescriptor* field, Message* message) {
    if (!field->is_repeated()) return ReadValue(node, path, field, message);
    if (!node.IsSequence()) return Error(node, path, "must be a list");
    message->GetReflection()->ClearField(message, field);
    for (size_t i = 0; i < node.size(); ++i) {
      DKI_RETURN_IF_ERROR(ReadValue(node[i], absl::StrFormat("%s[%d]", path, i), field, message));
    }
    return absl::OkStatus();
  }

  // One value: sets a singular field, adds to a repeated one.
  absl::Status ReadValue(const YAML::Node& node, const std::string& path,
                         const FieldDescriptor* field, Message* message) {
    const Reflection* reflection = message->GetReflection();
    if (IsDuration(field)) return ReadDuration(node, path, MutableMessage(field, message));
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(node, path, MutableMessage(field, message));
    }
    if (!node.IsScalar()) return Error(node, path, absl::StrFormat("must be %s", TypeName(field)));
    const auto set = [&](auto value, auto setter, auto adder) {
      if (field->is_repeated()) {
        (reflection->*adder)(message, field, value);
      } else {
        (reflection->*setter)(message, field, value);
      }
      return true;
    };
    bool ok = false;
#define DKI_READ_SCALAR(CPPTYPE, Type, Name)                                    \
  case FieldDescriptor::CPPTYPE: {                                              \
    Type value;                                                                 \
    ok = YAML::convert<Type>::decode(node, value) &&                            \
         set(std::move(value), &Reflection::Set##Name, &Reflection::Add##Name); \
    break;                                                                      \
  }
    switch (field->cpp_type()) {
      DKI_READ_SCALAR(CPPTYPE_STRING, std::string, String)
      DKI_READ_SCALAR(CPPTYPE_BOOL, bool, Bool)
      DKI_READ_SCALAR(CPPTYPE_INT32, int32_t, Int32)
      DKI_READ_SCALAR(CPPTYPE_INT64, int64_t, Int64)
      DKI_READ_SCALAR(CPPTYPE_UINT32, uint32_t, UInt32)
      DKI_READ_SCALAR(CPPTYPE_UINT64, uint64_t, UInt64)
      DKI_READ_SCALAR(CPPTYPE_FLOAT, float, Float)
      DKI_READ_SCALAR(CPPTYPE_DOUBLE, double, Double)
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* value = field->enum_type()->FindValueByName(node.Scalar());
        ok = value != nullptr && set(value, &Reflection::SetEnum, &Reflection::AddEnum);
        break;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
#undef DKI_READ_SCALAR
    if (ok) return absl::OkStatus();
    return Error(node, path,
                 absl::StrFormat("is \"%s\"; it must be %s", Abbreviate(node.Scalar(), 64),
                                 TypeName(field)));
  }

  absl::Status ReadDuration(const YAML::Node& node, const std::string& path, Message* message) {
    absl::Duration value;
    if (!node.IsScalar() || !absl::ParseDuration(node.Scalar(), &value) ||
        value == absl::InfiniteDuration() || value == -absl::InfiniteDuration()) {
      return Error(node, path, "must be a duration such as \"10s\", \"250ms\" or \"1h30m\"");
    }
    auto* duration = static_cast<Duration*>(message);
    duration->set_seconds(absl::IDivDuration(value, absl::Seconds(1), &value));
    duration->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value)));
    return absl::OkStatus();
  }

  static Message* MutableMessage(const FieldDescriptor* field, Message* message) {
    const Reflection* reflection = message->GetReflection();
    return field->is_repeated() ? reflection->AddMessage(message, field)
                                : reflection->MutableMessage(message, field);
  }

  static std::string TypeName(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return "a string";
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return "a number";
      case FieldDescriptor::CPPTYPE_ENUM: {
        std::string names = "one of";
        for (int i = 0; i < field->enum_type()->value_count(); ++i) {
          names += " " + field->enum_type()->value(i)->name();
        }
        return names;
      }
      default:
        return absl::StrFormat("a whole number (%s)", field->type_name());
    }
  }

  static std::string KnownFields(const Descriptor& descriptor) {
    std::string names;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      names += (i == 0 ? "" : ", ") + descriptor.field(i)->name();
    }
    return names;
  }

  absl::Status Error(const YAML::Node& node, const std::string& path, const std::string& what) {
    return InvalidArgument("%s:%d: %s%s%s", source_, node.Mark().line + 1, path,
                           path.empty() ? "" : ": ", what);
  }

  const std::string source_;
};

std::string ScalarText(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(reflection->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(reflection->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(reflection->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrFormat("%.9g", reflection->GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrFormat("%.17g", reflection->GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->GetEnum(message, field)->name();
    default:
      return "";
  }
}

std::string DurationText(const Duration& duration) {
  return absl::FormatDuration(absl::Seconds(duration.seconds()) +
                              absl::Nanoseconds(duration.nanos()));
}

void WriteMessage(const Message& message, YAML::Emitter* out) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  *out << YAML::BeginMap;
  for (const FieldDescriptor* field : fields) {
    *out << YAML::Key << field->name() << YAML::Value;
    if (field->is_repeated()) {
      // No config has one of another type; a new one is added here with its test.
      *out << YAML::BeginSeq;
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
          *out << YAML::DoubleQuoted << reflection->GetRepeatedString(message, field, i);
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          WriteMessage(reflection->GetRepeatedMessage(message, field, i), out);
        }
      }
      *out << YAML::EndSeq;
    } else if (IsDuration(field)) {
      *out << DurationText(static_cast<const Duration&>(reflection->GetMessage(message, field)));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      WriteMessage(reflection->GetMessage(message, field), out);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      *out << YAML::DoubleQuoted << reflection->GetString(message, field);
    } else {
      *out << ScalarText(message, field);
    }
  }
  *out << YAML::EndMap;
}

}  // namespace

absl::Status MergeYaml(const std::string& yaml, const std::string& source, Message* config) {
  try {
    const YAML::Node root = YAML::Load(yaml);
    // Into a copy: a file with an error changes nothing.
    const std::unique_ptr<Message> merged(config->New());
    merged->CopyFrom(*config);
    DKI_RETURN_IF_ERROR(Reader(source).ReadMessage(root, "", merged.get()));
    config->CopyFrom(*merged);
    return absl::OkStatus();
  } catch (const YAML::Exception& e) {
    return InvalidArgument("%s:%d: %s", source, e.mark.line + 1, e.msg);
  }
}

std::string DumpYaml(const Message& config) {
  YAML::Emitter out;
  WriteMessage(config, &out);
  return std::string(out.c_str()) + "\n";
}

}  // namespace dki::rpc
