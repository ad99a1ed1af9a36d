// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/redis_pool.h"

#include <hiredis/hiredis.h>
#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

namespace dki::kvcache {
namespace {

using Reply = RedisPool::Reply;

timeval ToTimeval(std::chrono::milliseconds time) {
  return {.tv_sec = time.count() / 1000, .tv_usec = (time.count() % 1000) * 1000};
}

bool TimedOut(const redisContext& context) {
  return context.err == REDIS_ERR_IO && std::string_view(context.errstr) == std::strerror(EAGAIN);
}

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

Reply ToReply(const redisReply& from) {
  Reply reply;
  reply.is_nil = from.type == REDIS_REPLY_NIL;
  reply.integer = from.integer;
  if (from.str != nullptr) reply.text.assign(from.str, from.len);
  for (size_t i = 0; i < from.elements; ++i) reply.elements.push_back(ToReply(*from.element[i]));
  return reply;
}

absl::Status ToStatus(const redisReply& error) {
  const std::string_view text(error.str, error.len);
  if (text.starts_with("OOM")) return ResourceExhausted("remote tier: %s", text);
  // It is there, but cannot serve: loading its data, a replica, no password given.
  for (const char* kind : {"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOAUTH"}) {
    if (text.starts_with(kind)) return Unavailable("remote tier: %s", text);
  }
  return Internal("remote tier: %s", text);
}

// UNAVAILABLE when the connection broke: it is then of no use.
absl::StatusOr<std::vector<Reply>> Exchange(redisContext* context,
                                            const std::vector<RedisPool::Command>& commands) {
  for (const RedisPool::Command& command : commands) {
    std::vector<const char*> words;
    std::vector<size_t> sizes;
    for (const std::string_view word : command) {
      words.push_back(word.data());
      sizes.push_back(word.size());
    }
    if (redisAppendCommandArgv(context, static_cast<int>(words.size()), words.data(),
                               sizes.data()) != REDIS_OK) {
      return Unavailable("remote tier: %s", context->errstr);
    }
  }
  std::vector<Reply> replies;
  std::optional<absl::Status> refused;
  for (size_t i = 0; i < commands.size(); ++i) {
    void* raw = nullptr;
    if (redisGetReply(context, &raw) != REDIS_OK) {
      return Unavailable("remote tier: %s", context->errstr);
    }
    const std::unique_ptr<redisReply, FreeReply> reply(static_cast<redisReply*>(raw));
    if (reply->type == REDIS_REPLY_ERROR && !refused) refused = ToStatus(*reply);
    replies.push_back(ToReply(*reply));
  }
  if (refused) return *refused;
  return replies;
}

}  // namespace

void RedisPool::Close::operator()(redisContext* context) const {
  redisFree(context);
}

RedisPool::RedisPool(Options options) : options_(std::move(options)) {
  // hiredis writes without MSG_NOSIGNAL: a server that hangs up would end the process.
  struct sigaction action = {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    signal(SIGPIPE, SIG_IGN);
  }
}

RedisPool::~RedisPool() = default;

absl::StatusOr<RedisPool::Connection> RedisPool::Connect() const {
  const timeval timeout = ToTimeval(options_.timeout);
  Connection connection;
  if (options_.address.starts_with("unix:")) {
    connection.reset(redisConnectUnixWithTimeout(options_.address.c_str() + 5, timeout));
  } else {
    const size_t colon = options_.address.rfind(':');
    if (colon == std::string::npos) return Internal("remote tier: %s", options_.address);
    const std::string host = options_.address.substr(0, colon);
    const int port = std::atoi(options_.address.c_str() + colon + 1);
    connection.reset(redisConnectWithTimeout(host.c_str(), port, timeout));
  }
  if (connection == nullptr || connection->err != 0) {
    return Unavailable("remote tier: cannot connect to %s: %s", options_.address,
                       connection == nullptr ? "out of memory" : connection->errstr);
  }
  redisSetTimeout(connection.get(), timeout);
  connection->reader->maxbuf = 0;  // blocks are large: keep the buffer between reads
  if (!options_.password.empty()) {
    DKI_RETURN_IF_ERROR(Exchange(connection.get(), {{"AUTH", options_.password}}).status());
  }
  return connection;
}

absl::StatusOr<RedisPool::Connection> RedisPool::TakeIdle() {
  MutexLock lock(&mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (away_) {
    if (now < rest_until_) return Unavailable("remote tier: away, not asked for a while");
    rest_until_ = now + options_.rest;  // this caller tries, the others go on resting
  }
  if (idle_.empty()) return Connection();
  Connection connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void RedisPool::GiveBack(Connection connection) {
  MutexLock lock(&mutex_);
  away_ = false;
  if (idle_.size() < options_.max_idle) idle_.push_back(std::move(connection));
}

void RedisPool::Rest() {
  MutexLock lock(&mutex_);
  away_ = true;
  rest_until_ = std::chrono::steady_clock::now() + options_.rest;
  idle_.clear();
}

bool RedisPool::IsUp() const {
  MutexLock lock(&mutex_);
  return !away_;
}

absl::StatusOr<std::vector<Reply>> RedisPool::Run(const std::vector<Command>& commands) {
  DKI_ASSIGN_OR_RETURN(Connection connection, TakeIdle());
  const bool was_idle = connection != nullptr;
  absl::StatusOr<std::vector<Reply>> replies = Unavailable("remote tier: not asked yet");
  if (was_idle) replies = Exchange(connection.get(), commands);
  // What was kept may have been closed meanwhile; then a new one is tried. A time-out is not.
  const bool is_stale = was_idle && connection->err != 0 && !TimedOut(*connection);
  if (!was_idle || is_stale) {
    absl::StatusOr<Connection> made = Connect();
    if (!made.ok()) {
      Rest();
      return made.status();
    }
    connection = *std::move(made);
    replies = Exchange(connection.get(), commands);
  }
  if (absl::IsUnavailable(replies.status())) {
    Rest();
  } else {
    GiveBack(std::move(connection));
  }
  return replies;
}

}  // namespace dki::kvcache
