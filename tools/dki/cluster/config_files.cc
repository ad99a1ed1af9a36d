// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/config_files.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "libs/base/ed25519.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/strings.h"
#include "libs/erasure/receipt.h"
#include "tools/dki/cluster/postgres.h"

namespace dki::cluster {
namespace {

std::string SettingsPath(const Layout& layout) {
  return layout.data + "/config/cluster.json";
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump();
}  // JSON strings are YAML

std::string Upstream(const ClusterSettings& settings, const std::string& service) {
  return absl::StrFormat("%s:\n  address: 127.0.0.1:%d\n", service,
                         ServicePort(settings.port_base, service));
}

std::string Runtime(const ClusterSettings& settings) {
  return "runtime:\n  model: " + Quoted(settings.models + "/" + settings.model) + "\n";
}

std::string HandoffSocket(const Layout& layout) {
  return "handoff_socket: " + Quoted(layout.handoff_socket()) + "\n";
}

std::string ServiceConfig(const Layout& layout, const ClusterSettings& settings,
                          const std::string& service) {
  const int port = ServicePort(settings.port_base, service);
  std::string text = absl::StrFormat(
      "# What is not here keeps its default: dki_%s --config THIS_FILE --dump_config prints all.\n"
      "server:\n  listen: 127.0.0.1:%d\n  metrics_listen: 127.0.0.1:%d\n  cluster_key_file: %s\n"
      "  signing_key_file: %s\n",
      service, port, port + 100, Quoted(layout.cluster_key()), Quoted(layout.signing_key(service)));
  if (service == "memory_store") {
    text += "database: " + Quoted(ConnectionString(layout)) + "\n";
  } else if (service == "retrieval") {
    text += Upstream(settings, "memory_store") +
            "embedding_model: " + Quoted(settings.models + "/all-MiniLM-L6-v2") + "\n";
  } else if (service == "kv") {
    text += Upstream(settings, "memory_store") + Runtime(settings) +
            "disk_path: " + Quoted(layout.data + "/kv") + "\n" +
            "encryption_key_file: " + Quoted(layout.encryption_key()) + "\n" +
            HandoffSocket(layout);
  } else if (service == "generation") {
    text += Upstream(settings, "memory_store") + Upstream(settings, "kv") + Runtime(settings) +
            HandoffSocket(layout);
  } else {
    for (const char* upstream : {"memory_store", "retrieval", "kv", "generation"})
      text += Upstream(settings, upstream);
    text +=
        "audit:\n  policy: required\n  spool_path: " + Quoted(layout.data + "/audit-spool") + "\n";
  }
  return text;
}

// Names in front of a colon, at any depth. Comments name nothing.
std::set<std::string> SettingsNamed(const std::string& yaml) {
  std::set<std::string> names;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(' ');
    const size_t colon = line.find(':');
    if (first == std::string::npos || line[first] == '#' || colon == std::string::npos) continue;
    names.insert(line.substr(first, colon - first));
  }
  return names;
}

absl::Status WriteIfMissing(const std::string& path, const std::string& contents, int mode) {
  if (std::filesystem::exists(path)) return absl::OkStatus();
  return WriteFileAtomically(path, contents, mode);
}

// A key for each service that has none, and the keyring of all.
absl::Status WriteSigningKeys(const Layout& layout) {
  erasure::Keyring keys;
  for (const std::string& service : ServiceNames()) {
    const std::string path = layout.signing_key(service);
    DKI_RETURN_IF_ERROR(WriteIfMissing(path, SigningKey::Generate().ToHex() + "\n", 0600));
    DKI_ASSIGN_OR_RETURN(const SigningKey key, SigningKey::Load(path));
    keys.emplace_back().set_service(service);
    keys.back().set_key(key.public_key());
  }
  return WriteFileAtomically(layout.keyring(), erasure::RenderKeyring(keys), 0644);
}

}  // namespace

absl::Status WriteConfigFiles(const Layout& layout, const ClusterSettings& settings) {
  for (const char* folder : {"", "/config", "/log", "/run", "/signing"}) {
    std::error_code error;
    std::filesystem::create_directories(layout.data + folder, error);
    if (error) return Unavailable("cannot make %s%s: %s", layout.data, folder, error.message());
  }
  DKI_RETURN_IF_ERROR(
      WriteIfMissing(layout.cluster_key(), HexEncode(RandomBytes(32)) + "\n", 0600));
  DKI_RETURN_IF_ERROR(
      WriteIfMissing(layout.encryption_key(), HexEncode(RandomBytes(32)) + "\n", 0600));
  DKI_RETURN_IF_ERROR(WriteSigningKeys(layout));
  const nlohmann::json json = {
      {"port_base", settings.port_base}, {"models", settings.models}, {"model", settings.model}};
  DKI_RETURN_IF_ERROR(WriteIfMissing(SettingsPath(layout), json.dump(1) + "\n", 0644));
  DKI_ASSIGN_OR_RETURN(const ClusterSettings kept, ReadSettings(layout));
  for (const std::string& service : ServiceNames()) {
    DKI_RETURN_IF_ERROR(
        WriteIfMissing(layout.config(service), ServiceConfig(layout, kept, service), 0644));
  }
  return absl::OkStatus();
}

std::vector<std::string> MissingSettings(const Layout& layout, const ClusterSettings& settings) {
  std::vector<std::string> missing;
  for (const std::string& service : ServiceNames()) {
    const absl::StatusOr<std::string> file = ReadFile(layout.config(service));
    if (!file.ok()) continue;
    const std::set<std::string> named = SettingsNamed(*file);
    for (const std::string& name : SettingsNamed(ServiceConfig(layout, settings, service))) {
      if (!named.contains(name)) missing.push_back(service + ".yaml: " + name);
    }
  }
  return missing;
}

absl::StatusOr<ClusterSettings> ReadSettings(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(SettingsPath(layout)));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("port_base") || !json["port_base"].is_number_integer() ||
      !json.contains("models") || !json["models"].is_string() ||
      (json.contains("model") && !json["model"].is_string())) {
    return DataLoss("%s is damaged: remove it and the other files of config/",
                    SettingsPath(layout));
  }
  return ClusterSettings{json["port_base"].get<int>(), json["models"].get<std::string>(),
                         json.value("model", kDefaultModel)};
}

}  // namespace dki::cluster
