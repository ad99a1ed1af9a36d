// SPDX-License-Identifier: Apache-2.0
// How K/V blocks change hands between two processes of one host without being copied. The blocks'
// request and answer travel over an authenticated call; beside it there is a unix socket:
//
//   taker  connects; each side checks that the other runs as its own user
//   giver  sends "DKIHAND1" and the connection's token (32 random bytes)
//   taker  names the token in its authenticated call: so the giver knows whose socket it is
//   giver  for each block: sends the block's tag (16 random bytes) and a sealed memfd, then says
//   tag
//          and size in the answer of the call: so the taker knows which block came
//
// Who connects without making an authenticated call gets a token and nothing else. A connection
// serves one call at a time. Whatever goes wrong closes it; blocks then travel in the answer of the
// call.
#pragma once

#include <cstddef>
#include <string_view>

namespace dki::transfer {

inline constexpr std::string_view kHello = "DKIHAND1";
inline constexpr size_t kTokenBytes = 32;
inline constexpr size_t kTagBytes = 16;

}  // namespace dki::transfer
