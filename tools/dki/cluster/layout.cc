// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/layout.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "libs/base/sha256.h"
#include "libs/transfer/message_socket.h"

namespace dki::cluster {
namespace {

// A socket's path has 107 bytes; PostgreSQL adds "/.s.PGSQL.5432.lock".
constexpr size_t kLongestSocketFolder = 85;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string UnderHome(const char* xdg, const char* fallback, const char* rest) {
  std::string base = Environment(xdg);
  if (base.empty()) base = Environment("HOME") + fallback;
  return base + rest;
}

}  // namespace

std::string DefaultDataFolder() {
  if (const std::string home = Environment("DKI_HOME"); !home.empty()) return home;
  if (::geteuid() == 0) return "/var/lib/dki";
  return UnderHome("XDG_DATA_HOME", "/.local/share", "/dki");
}

std::string DefaultModelFolder() {
  if (const std::string models = Environment("DKI_MODELS"); !models.empty()) return models;
  return UnderHome("XDG_CACHE_HOME", "/.cache", "/dki/models");
}

absl::StatusOr<Layout> MakeLayout(const std::string& data) {
  if (data.empty()) return InvalidArgument("the data folder's name is empty");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(data, error);
  if (error) return InvalidArgument("data folder %s: %s", data, error.message());
  return Layout{absolute.lexically_normal().string()};
}

std::string Layout::postgres_socket() const {
  std::string folder = run() + "/postgres";
  if (folder.size() <= kLongestSocketFolder) return folder;
  // Not by the environment: every command must find it. postgres.cc checks whose it is.
  const std::string name = "/dki-" + Sha256Hex(data).substr(0, 16);
  if (::geteuid() == 0) return "/run" + name;
  const std::string own = absl::StrFormat("/run/user/%d", ::geteuid());
  return (std::filesystem::exists(own) ? own : "/tmp") + name;
}

std::string Layout::handoff_socket() const {
  const std::string below = run() + "/kv.sock";
  if (below.size() <= transfer::kMaxSocketPath) return below;
  const std::string own = ::geteuid() == 0 ? "/run" : absl::StrFormat("/run/user/%d", ::geteuid());
  if (!std::filesystem::exists(own)) return "";
  return own + "/dki-" + Sha256Hex(data).substr(0, 16) + "-kv.sock";
}

const std::vector<std::string>& ServiceNames() {
  static const std::vector<std::string> names = {"memory_store", "retrieval", "kv", "generation",
                                                 "orchestrator"};
  return names;
}

int ServicePort(int port_base, const std::string& service) {
  const auto& names = ServiceNames();
  return port_base +
         static_cast<int>(std::find(names.begin(), names.end(), service) - names.begin());
}

}  // namespace dki::cluster
