// SPDX-License-Identifier: Apache-2.0
// `dki doctor`: what a person would check when something does not work, each with what to do about
// it.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/rpc/call.h"
#include "tools/dki/cluster/process.h"
#include "tools/dki/cluster_commands.h"

namespace dki::cli {
namespace {

namespace fs = std::filesystem;

enum class Finding { kOk, kWarning, kFailure };
struct Check {
  std::string name;
  Finding finding = Finding::kOk;
  std::string detail;
};

struct ModelFile {
  const char* name;
  const char* sha256;
};
constexpr ModelFile kModels[] = {
    {"SmolLM2-135M-Instruct.Q4_1.gguf",
     "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    {"all-MiniLM-L6-v2/model.safetensors",
     "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
};

Check CheckProgram(const std::string& path, const std::string& hint) {
  if (fs::exists(path)) return {path, Finding::kOk, "found"};
  return {path, Finding::kFailure, "missing: " + hint};
}

Check CheckModel(const std::string& folder, const ModelFile& model) {
  const std::string path = folder + "/" + model.name;
  const auto file = MappedFile::Open(path);
  if (!file.ok()) return {path, Finding::kFailure, "missing: run tools/setup"};
  if (Sha256Hex(file->bytes()) == model.sha256) return {path, Finding::kOk, "checksum right"};
  return {path, Finding::kWarning, "not the default model (another checksum)"};
}

void CheckSettings(const cluster::Layout& layout, const cluster::ClusterSettings& settings,
                   std::vector<Check>* checks) {
  for (const std::string& missing : cluster::MissingSettings(layout, settings)) {
    checks->push_back({"config/" + missing, Finding::kWarning,
                       "not set: remove the file, if nobody edited it, and dki up makes it anew"});
  }
}

Check CheckDisk(const std::string& folder) {
  std::string existing = folder;
  while (!fs::exists(existing) && existing.size() > 1)
    existing = fs::path(existing).parent_path().string();
  struct statvfs info;
  if (::statvfs(existing.c_str(), &info) != 0)
    return {"disk", Finding::kWarning, "cannot tell the free space of " + existing};
  const double free_gib = static_cast<double>(info.f_bavail) * info.f_frsize / (1 << 30);
  const std::string detail = absl::StrFormat("%.1f GiB free at %s", free_gib, existing);
  if (free_gib < 1) return {"disk", Finding::kFailure, detail + ": at least 1 GiB is needed"};
  return {"disk", free_gib < 5 ? Finding::kWarning : Finding::kOk, detail};
}

// Signatures between the services hold for minutes: a clock before the program's own time is wrong.
Check CheckClock() {
  struct stat info;
  const bool known = ::stat("/proc/self/exe", &info) == 0;
  if (known && ::time(nullptr) + 300 < info.st_mtime)
    return {"clock", Finding::kWarning, "earlier than this program was built: set it"};
  return {"clock", Finding::kOk, "plausible"};
}

void CheckCluster(Context& context, const cluster::Layout& layout, std::vector<Check>* checks) {
  const auto status = cluster::GetStatus(layout);
  if (!status.ok() || !status->running) {
    checks->push_back({"cluster", Finding::kFailure, "not running: dki up"});
    return;
  }
  for (const auto& part : status->parts) {
    const bool serves = part.health == cluster::Health::kServing;
    std::string detail(cluster::ToString(part.health));
    if (part.restarts > 0)
      detail += absl::StrFormat(", restarted %d times (last: %s)", part.restarts, part.last_exit);
    if (!serves) detail += ": dki logs " + part.name;
    checks->push_back({part.name,
                       !serves             ? Finding::kFailure
                       : part.restarts > 3 ? Finding::kWarning
                                           : Finding::kOk,
                       detail});
  }
  const auto stub = context.api();
  if (!stub.ok()) return;
  orchestrator::v1::GetClusterStatusResponse response;
  const auto call = context.NewCall(std::chrono::seconds(5));
  const absl::Status asked =
      rpc::FromGrpcStatus((*stub)->GetClusterStatus(call.get(), {}, &response));
  checks->push_back({"api key", asked.ok() ? Finding::kOk : Finding::kFailure,
                     asked.ok() ? "accepted for tenant " + response.tenant_id()
                                : std::string(ToStd(asked.message()))});
  if (asked.ok())
    checks->push_back({"runtime", Finding::kOk, response.model_name() + ", " + response.runtime()});
}

}  // namespace

absl::Status DoctorCommand(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  std::vector<Check> checks;
  for (const std::string& service : cluster::ServiceNames()) {
    checks.push_back(
        CheckProgram(cluster::OwnBinaryFolder() + "/dki_" + service, "run tools/build"));
  }
  if (::geteuid() == 0)
    checks.push_back(CheckProgram("/usr/bin/setpriv", "apt-get install util-linux"));
  checks.push_back(
      fs::exists("/usr/lib/postgresql")
          ? Check{"PostgreSQL", Finding::kOk, "installed"}
          : Check{"PostgreSQL", Finding::kFailure, "missing: apt-get install postgresql"});
  const auto settings = cluster::ReadSettings(layout);
  const std::string models = settings.ok() ? settings->models : cluster::DefaultModelFolder();
  for (const ModelFile& model : kModels) {
    const bool is_other = settings.ok() && settings->model != cluster::kDefaultModel &&
                          model.name == std::string_view(cluster::kDefaultModel);
    if (!is_other) checks.push_back(CheckModel(models, model));
  }
  if (settings.ok()) CheckSettings(layout, *settings, &checks);
  checks.push_back(CheckDisk(layout.data));
  checks.push_back(CheckClock());
  CheckCluster(context, layout, &checks);

  const Output& output = context.output();
  nlohmann::json json = nlohmann::json::array();
  int failures = 0;
  for (const Check& check : checks) {
    const char* word = check.finding == Finding::kOk        ? "ok"
                       : check.finding == Finding::kWarning ? "warn"
                                                            : "fail";
    failures += check.finding == Finding::kFailure ? 1 : 0;
    json.push_back({{"name", check.name}, {"finding", word}, {"detail", check.detail}});
    if (!output.json()) {
      const std::string mark = absl::StrFormat("%-4s", word);
      output.Line((check.finding == Finding::kOk ? output.Green(mark) : output.Red(mark)) + "  " +
                  check.name + ": " + check.detail);
    }
  }
  if (output.json()) output.Json({{"checks", json}, {"failures", failures}});
  return failures == 0 ? absl::OkStatus()
                       : FailedPrecondition("%d of %d checks failed", failures, checks.size());
}

}  // namespace dki::cli
