// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/redis_kv_tier.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "libs/base/strings.h"
#include "libs/kvcache/byte_codec.h"
#include "libs/kvcache/checksum.h"

namespace dki::kvcache {
namespace {

// Of one call of kErase: a server does nothing else meanwhile.
constexpr int kEraseBatch = 500;

// KEYS: the index to erase, the tenant's index. ARGV: the beginning of a block's key, how many at
// once. Takes the first ones and their entries in both indexes; gives the number of those left.
// Entries in the indexes of other memories of their chains stay until they expire; they lead
// nowhere.
constexpr std::string_view kErase = R"(
local keys = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
for _, key in ipairs(keys) do
  redis.call('UNLINK', ARGV[1] .. key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
return redis.call('ZCARD', KEYS[1]))";

// KEYS: the block, then the indexes that it goes into. ARGV: block key, value, time to live in ms,
// now and when it expires (ms since 1970). One script, so that no block is ever without its index.
// The block comes first: a full server refuses a script's first write alone.
constexpr std::string_view kPut = R"(
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[4])
  redis.call('ZADD', KEYS[i], ARGV[5], ARGV[1])
end
return 1)";

// In front of a block's bytes: what erases it, and what losing it costs. Checksummed by itself; the
// bytes have their own.
struct RemoteHead {
  double recompute_seconds = 0;
  int n_tokens = 0;
  BlockAttributes attributes = {};
  std::vector<std::string> chain_memory_ids = {};
};
constexpr uint32_t kVersion = 2;

std::string EncodeHead(const RemoteHead& head) {
  std::string body;
  ByteWriter out(&body);
  out.U32(kVersion);
  out.U64(std::bit_cast<uint64_t>(head.recompute_seconds));
  out.U32(static_cast<uint32_t>(head.n_tokens));
  out.String(head.attributes.user_id);
  out.U32(head.attributes.pinned ? 1 : 0);
  out.U32(static_cast<uint32_t>(head.attributes.priority));
  out.U64(static_cast<uint64_t>(absl::ToUnixMicros(head.attributes.expire_time)));
  out.Strings(head.chain_memory_ids);
  std::string bytes;
  ByteWriter framed(&bytes);
  framed.Raw(Checksum(body));
  framed.String(body);
  return bytes;
}

// Leaves the block's bytes in `rest`.
std::optional<RemoteHead> DecodeHead(std::string_view bytes, std::string_view* rest) {
  ByteReader framed(bytes);
  const std::string_view checksum = framed.Raw(kChecksumSize);
  const std::string_view body = framed.String();
  if (!framed.ok() || checksum != Checksum(body)) return std::nullopt;
  *rest = framed.rest();
  ByteReader in(body);
  RemoteHead head;
  const uint32_t version = in.U32();
  head.recompute_seconds = std::bit_cast<double>(in.U64());
  head.n_tokens = static_cast<int>(in.U32());
  head.attributes.user_id = in.String();
  head.attributes.pinned = in.U32() != 0;
  head.attributes.priority = static_cast<int>(in.U32());
  const auto expire_us = static_cast<int64_t>(in.U64());
  head.attributes.expire_time = expire_us == std::numeric_limits<int64_t>::max()
                                    ? absl::InfiniteFuture()
                                    : absl::FromUnixMicros(expire_us);
  head.chain_memory_ids = in.Strings();
  if (version != kVersion || !in.ok() || !in.rest().empty()) return std::nullopt;
  return head;
}

// Replies to INFO memory, INFO persistence, CONFIG GET save.
absl::Status CheckSettings(const std::vector<RedisPool::Reply>& replies) {
  if (const std::string& memory = replies[0].text;
      memory.find("maxmemory_policy:allkeys") != std::string::npos) {
    return FailedPrecondition(
        "remote tier: maxmemory-policy of the server must be noeviction or volatile-*: with "
        "allkeys-* it evicts what erasures are found by");
  }
  const std::vector<RedisPool::Reply>& save = replies[2].elements;
  if (replies[1].text.find("aof_enabled:1") != std::string::npos ||
      (save.size() == 2 && !save[1].text.empty())) {
    return FailedPrecondition(
        "remote tier: the server must not persist (save \"\", appendonly no): a restart would "
        "bring erased blocks back");
  }
  return absl::OkStatus();
}

}  // namespace

RedisKvTier::RedisKvTier(RedisPool* pool, Options options, const Clock* clock)
    : pool_(pool), options_(std::move(options)), clock_(clock) {}

std::string RedisKvTier::Key(const std::string& tenant_id, const std::string& kind,
                             const std::string& name) const {
  return options_.prefix + "{" + HexEncode(tenant_id) + "}:" + kind + ":" + name;
}

std::optional<TierHit> RedisKvTier::Get(const BlockIdentity& identity) {
  const std::string block_key = BlockKey(identity);
  const std::string key = Key(identity.tenant_id, "b", block_key);
  absl::StatusOr<std::vector<RedisPool::Reply>> replies = Unavailable("remote tier: not usable");
  if (IsUsable()) replies = pool_->Run({{"GET", key}});
  if (!replies.ok()) {
    MutexLock lock(&mutex_);
    ++stats_.misses;
    ++stats_.failures;
    return std::nullopt;
  }
  const RedisPool::Reply& reply = replies->front();
  if (reply.is_nil) {
    MutexLock lock(&mutex_);
    ++stats_.misses;
    return std::nullopt;
  }
  std::string_view rest;
  std::optional<RemoteHead> head = DecodeHead(reply.text, &rest);
  if (head && options_.verify(rest, identity).ok()) {
    MutexLock lock(&mutex_);
    ++stats_.hits;
    return TierHit{{.identity = identity,
                    .chain_memory_ids = std::move(head->chain_memory_ids),
                    .bytes = std::string(rest),
                    .recompute_seconds = head->recompute_seconds,
                    .n_tokens = head->n_tokens,
                    .attributes = std::move(head->attributes)},
                   TierName::kRemote};
  }
  // Its entries in the indexes stay until they expire or the memory is erased.
  const bool dropped = pool_->Run({{"UNLINK", key}}).ok();
  MutexLock lock(&mutex_);
  ++stats_.misses;
  ++stats_.corrupt;
  if (!dropped) ++stats_.failures;
  return std::nullopt;
}

std::vector<std::optional<TierPlace>> RedisKvTier::Locate(
    std::span<const BlockIdentity> identities) const {
  std::vector<std::optional<TierPlace>> places(identities.size());
  std::vector<std::string> keys;
  std::vector<RedisPool::Command> commands;
  for (const BlockIdentity& identity : identities) {
    keys.push_back(Key(identity.tenant_id, "b", BlockKey(identity)));
  }
  for (const std::string& key : keys) commands.push_back({"STRLEN", key});
  // Get checks the server; one that has not been checked yet tells nothing here.
  if (!WasChecked()) return places;
  const auto replies = pool_->Run(commands);
  if (!replies.ok()) return places;
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t bytes = (*replies)[i].integer;
    if (bytes > 0) places[i] = TierPlace{TierName::kRemote, bytes};
  }
  return places;
}

void RedisKvTier::Put(const StoredBlock& block) {
  const std::string& tenant = block.identity.tenant_id;
  const std::string block_key = BlockKey(block.identity);
  std::string value = EncodeHead({.recompute_seconds = block.recompute_seconds,
                                  .n_tokens = block.n_tokens,
                                  .attributes = block.attributes,
                                  .chain_memory_ids = block.chain_memory_ids});
  value += *block.bytes;
  std::vector<std::string> keys = {Key(tenant, "b", block_key), Key(tenant, "m", "")};
  for (const std::string& id : block.chain_memory_ids) keys.push_back(Key(tenant, "m", id));
  const std::string n_keys = std::to_string(keys.size());
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  // No longer than the memories of its chain: the server lets it go by itself.
  const int64_t ttl_ms = absl::ToInt64Milliseconds(
      std::min(options_.ttl, block.attributes.expire_time - clock_->Now()));
  if (ttl_ms <= 0) return;
  const std::string ttl = std::to_string(ttl_ms), now = std::to_string(now_ms),
                    expires = std::to_string(now_ms + ttl_ms);
  RedisPool::Command command = {"EVAL", kPut, n_keys};
  command.insert(command.end(), keys.begin(), keys.end());
  for (const std::string_view word :
       {std::string_view(block_key), std::string_view(value), std::string_view(ttl),
        std::string_view(now), std::string_view(expires)}) {
    command.push_back(word);
  }
  if (IsUsable() && pool_->Run({command}).ok()) return;
  MutexLock lock(&mutex_);
  ++stats_.failures;
}

absl::Status RedisKvTier::Erase(const std::string& tenant_id, const std::string& memory_id) {
  const std::string index = Key(tenant_id, "m", memory_id), all = Key(tenant_id, "m", ""),
                    blocks = Key(tenant_id, "b", ""), batch = std::to_string(kEraseBatch);
  if (!IsUsable()) {
    MutexLock lock(&mutex_);
    ++stats_.failures;
    return Unavailable("remote tier: not usable");
  }
  while (true) {
    const absl::StatusOr<std::vector<RedisPool::Reply>> replies =
        pool_->Run({{"ZCARD", index}, {"EVAL", kErase, "2", index, all, blocks, batch}});
    MutexLock lock(&mutex_);
    if (!replies.ok()) {
      ++stats_.failures;
      return Unavailable("%s", ToString(replies.status()));
    }
    stats_.erased += replies->front().integer - replies->back().integer;
    if (replies->back().integer == 0) return absl::OkStatus();
  }
}

bool RedisKvTier::WasChecked() const {
  MutexLock lock(&mutex_);
  return is_checked_;
}

bool RedisKvTier::IsUsable() {
  return WasChecked() || CheckServer().ok();
}

TierStats RedisKvTier::Stats() const {
  MutexLock lock(&mutex_);
  return stats_;
}

absl::Status RedisKvTier::CheckServer() {
  const absl::StatusOr<std::vector<RedisPool::Reply>> replies =
      pool_->Run({{"INFO", "memory"}, {"INFO", "persistence"}, {"CONFIG", "GET", "save"}});
  if (absl::IsUnavailable(replies.status())) return replies.status();
  // One that does not tell passes.
  if (replies.ok()) DKI_RETURN_IF_ERROR(CheckSettings(*replies));
  MutexLock lock(&mutex_);
  is_checked_ = true;
  return absl::OkStatus();
}

}  // namespace dki::kvcache
