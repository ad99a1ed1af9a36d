// SPDX-License-Identifier: Apache-2.0
// Purpose: where a local cluster keeps its things, and which parts it has.
#pragma once

#include <string>
#include <vector>

#include "libs/base/status.h"

namespace dki::cluster {

// The data folder where none is named: $DKI_HOME, else /var/lib/dki for root (PostgreSQL runs as a
// user of its own and must be able to enter it), else $XDG_DATA_HOME or ~/.local/share + /dki.
std::string DefaultDataFolder();

// The models' folder where none is named: $DKI_MODELS, else $XDG_CACHE_HOME or ~/.cache +
// /dki/models.
std::string DefaultModelFolder();

struct Layout {
  std::string data;  // absolute

  std::string postgres() const { return data + "/postgres"; }
  std::string config(const std::string& part) const { return data + "/config/" + part + ".yaml"; }
  std::string log(const std::string& part) const { return data + "/log/" + part + ".log"; }
  std::string run() const { return data + "/run"; }
  std::string cluster_key() const { return data + "/cluster.key"; }
  // Blocks that leave kv's memory are encrypted under it.
  std::string encryption_key() const { return data + "/encryption.key"; }
  // Signs what a service erased.
  std::string signing_key(const std::string& service) const {
    return data + "/signing/" + service + ".key";
  }
  // The public halves of all of them.
  std::string keyring() const { return data + "/signing/keyring.json"; }
  std::string client_settings() const { return data + "/client.json"; }
  std::string up_lock() const { return run() + "/up.lock"; }
  std::string supervisor_pid() const { return run() + "/supervisor.pid"; }
  std::string status() const { return run() + "/status.json"; }
  // Folder of PostgreSQL's socket: run()/postgres, or a short one elsewhere when the path would not
  // fit a socket's name.
  std::string postgres_socket() const;
  // kv's side socket: below run(), or in /run when that path would not fit a socket's name; empty:
  // there is no place for one.
  std::string handoff_socket() const;
};

// `data` as an absolute path.
absl::StatusOr<Layout> MakeLayout(const std::string& data);

// The services in the order of starting; PostgreSQL comes before them.
inline constexpr const char* kPostgres = "postgres";
const std::vector<std::string>& ServiceNames();

// Port of a service: the cluster's port base plus its place in ServiceNames().
int ServicePort(int port_base, const std::string& service);

}  // namespace dki::cluster
