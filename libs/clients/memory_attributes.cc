// SPDX-License-Identifier: Apache-2.0
#include "libs/clients/memory_attributes.h"

namespace dki::clients {

injection::SourceClass ToSourceClass(common::v1::SourceClass proto) {
  switch (proto) {
    case common::v1::SOURCE_CLASS_USER:
      return injection::SourceClass::kUser;
    case common::v1::SOURCE_CLASS_OPERATOR:
      return injection::SourceClass::kOperator;
    case common::v1::SOURCE_CLASS_DOCUMENT:
      return injection::SourceClass::kDocument;
    case common::v1::SOURCE_CLASS_ASSISTANT:
      return injection::SourceClass::kAssistant;
    default:
      return injection::SourceClass::kTool;
  }
}

common::v1::SourceClass ToProto(injection::SourceClass source_class) {
  switch (source_class) {
    case injection::SourceClass::kUser:
      return common::v1::SOURCE_CLASS_USER;
    case injection::SourceClass::kOperator:
      return common::v1::SOURCE_CLASS_OPERATOR;
    case injection::SourceClass::kDocument:
      return common::v1::SOURCE_CLASS_DOCUMENT;
    case injection::SourceClass::kAssistant:
      return common::v1::SOURCE_CLASS_ASSISTANT;
    case injection::SourceClass::kTool:
      return common::v1::SOURCE_CLASS_TOOL;
  }
  return common::v1::SOURCE_CLASS_UNSPECIFIED;
}

injection::MemoryAttributes ToAttributes(const common::v1::MemoryAttributes& proto) {
  injection::MemoryAttributes attributes{.user_id = proto.user_id(),
                                         .source_class = ToSourceClass(proto.source_class()),
                                         .pinned = proto.pinned(),
                                         .priority = proto.priority()};
  if (proto.has_expire_time()) {
    attributes.expire_time = absl::FromUnixSeconds(proto.expire_time().seconds()) +
                             absl::Nanoseconds(proto.expire_time().nanos());
  }
  return attributes;
}

common::v1::MemoryAttributes ToProto(const injection::MemoryAttributes& attributes) {
  common::v1::MemoryAttributes proto;
  proto.set_user_id(attributes.user_id);
  proto.set_source_class(ToProto(attributes.source_class));
  proto.set_pinned(attributes.pinned);
  proto.set_priority(attributes.priority);
  if (attributes.expire_time != absl::InfiniteFuture()) {
    const int64_t seconds = absl::ToUnixSeconds(attributes.expire_time);
    proto.mutable_expire_time()->set_seconds(seconds);
    proto.mutable_expire_time()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(attributes.expire_time - absl::FromUnixSeconds(seconds))));
  }
  return proto;
}

common::v1::MemoryAttributes AttributesOf(const memory::v1::Memory& memory) {
  common::v1::MemoryAttributes attributes;
  attributes.set_user_id(memory.scope().user_id());
  attributes.set_source_class(memory.source_class());
  attributes.set_pinned(memory.pinned());
  attributes.set_priority(memory.priority());
  if (memory.has_expire_time()) *attributes.mutable_expire_time() = memory.expire_time();
  return attributes;
}

}  // namespace dki::clients
