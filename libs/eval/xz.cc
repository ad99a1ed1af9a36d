// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/xz.h"

#include <lzma.h>

namespace dki::eval {

absl::StatusOr<std::string> DecompressXz(std::string_view bytes) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, UINT64_MAX, 0) != LZMA_OK) return Internal("liblzma");
  stream.next_in = reinterpret_cast<const uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  std::string text;
  std::string buffer(1 << 16, '\0');
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    stream.next_out = reinterpret_cast<uint8_t*>(buffer.data());
    stream.avail_out = buffer.size();
    result = lzma_code(&stream, LZMA_FINISH);
    text.append(buffer, 0, buffer.size() - stream.avail_out);
  }
  lzma_end(&stream);
  if (result != LZMA_STREAM_END) return DataLoss("not a whole xz stream");
  return text;
}

}  // namespace dki::eval
