// SPDX-License-Identifier: Apache-2.0
// A memory's attributes between proto and plain data. Pure functions.
#pragma once

#include "dki/common/v1/common.pb.h"
#include "dki/memory/v1/memory.pb.h"
#include "libs/injection/memory_attributes.h"

namespace dki::clients {

// A source class that is unset or unknown is taken as kTool, which has the tightest cap.
injection::SourceClass ToSourceClass(common::v1::SourceClass proto);
common::v1::SourceClass ToProto(injection::SourceClass source_class);

injection::MemoryAttributes ToAttributes(const common::v1::MemoryAttributes& proto);
common::v1::MemoryAttributes ToProto(const injection::MemoryAttributes& attributes);

// Those of a stored memory.
common::v1::MemoryAttributes AttributesOf(const memory::v1::Memory& memory);

}  // namespace dki::clients
