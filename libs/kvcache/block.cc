// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/block.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "libs/base/check.h"
#include "libs/base/sha256.h"
#include "libs/kvcache/byte_codec.h"
#include "libs/kvcache/checksum.h"

namespace dki::kvcache {
namespace {

using kernels::KvFormat;
using model::PlaneCodec;

static_assert(std::endian::native == std::endian::little, "planes are written as they lie");

constexpr std::string_view kMagic = "DKIB";
constexpr uint32_t kLastFormat = static_cast<uint32_t>(KvFormat::kInt2);
constexpr size_t kPreambleSize = 4 + 4 + 8 + kChecksumSize;

// The header, and the planes as they lie in the encoded bytes.
struct Parsed {
  BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  KvFormat format = KvFormat::kF32;
  Drift drift;
  std::vector<int32_t> tokens;
  std::string_view planes;
};

void AppendIdentity(const BlockIdentity& identity, ByteWriter* out) {
  out->String(identity.tenant_id);
  out->String(identity.memory_id);
  out->String(identity.content_hash);
  out->String(identity.model_fingerprint);
  out->String(identity.chain_hash);
  out->U32(static_cast<uint32_t>(identity.format));
}

std::string EncodeHeader(const Block& block) {
  std::string bytes;
  ByteWriter out(&bytes);
  AppendIdentity(block.identity, &out);
  out.Strings(block.chain_memory_ids);
  const model::KvShape& shape = block.kv.shape();
  out.U32(static_cast<uint32_t>(block.format));
  out.U32(std::bit_cast<uint32_t>(block.drift.kl));
  out.U32(std::bit_cast<uint32_t>(block.drift.logit_change));
  out.U32(shape.n_layers);
  out.U32(shape.n_kv_heads);
  out.U32(shape.head_dim);
  out.U32(static_cast<uint32_t>(block.tokens.size()));
  out.Raw(TokenBytes(block.tokens));
  return bytes;
}

absl::StatusOr<std::string_view> CheckPreamble(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic) return DataLoss("not a K/V block");
  if (const uint32_t version = in.U32(); version != kLayoutVersion) {
    return DataLoss("layout version %d, not %d", version, kLayoutVersion);
  }
  const uint64_t total = in.U64();
  const std::string_view checksum = in.Raw(kChecksumSize);
  if (!in.ok() || total != bytes.size()) {
    return DataLoss("%d bytes where the block says %d", bytes.size(), total);
  }
  const std::string_view body = bytes.substr(kPreambleSize);
  if (checksum != Checksum(body)) return DataLoss("checksum mismatch");
  return body;
}

absl::StatusOr<Parsed> ParseBody(std::string_view body, const model::KvShape& shape) {
  ByteReader in(body);
  Parsed parsed;
  parsed.identity.tenant_id = in.String();
  parsed.identity.memory_id = in.String();
  parsed.identity.content_hash = in.String();
  parsed.identity.model_fingerprint = in.String();
  parsed.identity.chain_hash = in.String();
  const uint32_t wanted = in.U32();
  parsed.chain_memory_ids = in.Strings();
  const uint32_t format = in.U32();
  if (in.ok() && (wanted > kLastFormat || format > kLastFormat)) {
    return DataLoss("number format %d or %d is not known", wanted, format);
  }
  parsed.identity.format = static_cast<KvFormat>(wanted);
  parsed.format = static_cast<KvFormat>(format);
  parsed.drift.kl = std::bit_cast<float>(in.U32());
  parsed.drift.logit_change = std::bit_cast<float>(in.U32());
  const uint32_t n_layers = in.U32(), n_kv_heads = in.U32(), head_dim = in.U32();
  if (in.ok() && (std::cmp_not_equal(n_layers, shape.n_layers) ||
                  std::cmp_not_equal(n_kv_heads, shape.n_kv_heads) ||
                  std::cmp_not_equal(head_dim, shape.head_dim))) {
    return DataLoss("shape [%d, %d, %d], not [%d, %d, %d]", n_layers, n_kv_heads, head_dim,
                    shape.n_layers, shape.n_kv_heads, shape.head_dim);
  }
  const size_t n_tokens = in.U32();
  const std::string_view ids = in.Raw(n_tokens * sizeof(int32_t));
  if (!in.ok()) return DataLoss("the header is cut off");
  parsed.planes = in.rest();
  if (parsed.planes.size() !=
      PlaneCodec::SizeBytes(parsed.format, shape, static_cast<int>(n_tokens))) {
    return DataLoss("planes of %d bytes for %d tokens in %s", parsed.planes.size(), n_tokens,
                    kernels::Name(parsed.format));
  }
  parsed.tokens.resize(n_tokens);
  if (n_tokens > 0) std::memcpy(parsed.tokens.data(), ids.data(), ids.size());
  return parsed;
}

absl::StatusOr<Parsed> Parse(std::string_view bytes, const BlockIdentity& expected,
                             const model::KvShape& shape) {
  DKI_ASSIGN_OR_RETURN(const std::string_view body, CheckPreamble(bytes));
  DKI_ASSIGN_OR_RETURN(Parsed parsed, ParseBody(body, shape));
  if (parsed.identity != expected) return DataLoss("the block is another one's");
  if (ContentHash(parsed.tokens) != expected.content_hash) {
    return DataLoss("the tokens are not those of the content hash");
  }
  return parsed;
}

}  // namespace

std::string TokenBytes(std::span<const int32_t> tokens) {
  return std::string(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
}

std::string ContentHash(std::span<const int32_t> tokens) {
  return Sha256Hex(TokenBytes(tokens));
}

std::string BlockKey(const BlockIdentity& identity) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U32(kLayoutVersion);
  AppendIdentity(identity, &out);
  return Sha256Hex(bytes);
}

std::string EncodeBlock(const Block& block, const PlaneCodec& codec) {
  DKI_CHECK(block.kv.size() == static_cast<int>(block.tokens.size()));
  DKI_CHECK(block.as_computed);
  const std::string header = EncodeHeader(block);
  const size_t total = kPreambleSize + header.size() +
                       PlaneCodec::SizeBytes(block.format, codec.shape(), block.kv.size());
  std::string bytes;
  bytes.reserve(total);
  ByteWriter out(&bytes);
  out.Raw(kMagic);
  out.U32(kLayoutVersion);
  out.U64(total);
  bytes.append(kChecksumSize, '\0');
  out.Raw(header);
  codec.Encode(block.format, block.kv, &bytes);
  const std::string checksum = Checksum(std::string_view(bytes).substr(kPreambleSize));
  bytes.replace(kPreambleSize - kChecksumSize, kChecksumSize, checksum);
  return bytes;
}

absl::Status VerifyBlock(std::string_view bytes, const BlockIdentity& expected,
                         const model::KvShape& shape) {
  return Parse(bytes, expected, shape).status();
}

absl::StatusOr<Block> DecodeBlock(std::string_view bytes, const BlockIdentity& expected,
                                  const PlaneCodec& codec) {
  DKI_ASSIGN_OR_RETURN(Parsed parsed, Parse(bytes, expected, codec.shape()));
  const int n_tokens = static_cast<int>(parsed.tokens.size());
  Block block{.identity = std::move(parsed.identity),
              .chain_memory_ids = std::move(parsed.chain_memory_ids),
              .tokens = std::move(parsed.tokens),
              .kv = model::KvBuffer(codec.shape(), n_tokens),
              .format = parsed.format,
              .drift = parsed.drift,
              .as_computed = parsed.format == KvFormat::kF32};
  block.kv.Resize(n_tokens);
  codec.Decode(parsed.format, parsed.planes, &block.kv);
  return block;
}

}  // namespace dki::kvcache
