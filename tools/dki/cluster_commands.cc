// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster_commands.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

namespace dki::cli {

absl::Status UpCommand(Context& context, const cluster::UpOptions& options) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  const Output& output = context.output();
  const absl::Status status =
      cluster::Up(layout, options, [&](const std::vector<std::string>& ready, size_t total) {
        std::string names;
        for (const std::string& name : ready) names += " " + name;
        output.Progress(absl::StrFormat("%d of %d parts ready:%s", ready.size(), total, names));
      });
  output.Progress("");
  DKI_RETURN_IF_ERROR(status);
  DKI_ASSIGN_OR_RETURN(const cluster::ClientSettings settings, cluster::ReadClientSettings(layout));
  if (output.json()) {
    output.Json(
        {{"address", settings.address}, {"tenant", settings.tenant}, {"data", layout.data}});
  } else {
    output.Line(output.Green("ready") + " at " + settings.address + ", data in " + layout.data);
    output.Line(
        "next: dki memory add --user ann \"Ann's bicycle is green.\"\n"
        "      dki chat --user ann \"What color is Ann's bicycle?\" --explain");
  }
  output.Write("");  // flushes: who waits for it reads it now
  return options.foreground ? cluster::StayInForeground(layout) : absl::OkStatus();
}

absl::Status DownCommand(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  DKI_RETURN_IF_ERROR(cluster::Down(layout));
  if (context.output().json()) {
    context.output().Json({{"stopped", true}});
  } else {
    context.output().Line("stopped");
  }
  return absl::OkStatus();
}

absl::Status StatusCommand(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  const auto status = cluster::GetStatus(layout);
  if (absl::IsNotFound(status.status()))
    return Unavailable("there is no cluster in %s: start one with `dki up`", layout.data);
  DKI_RETURN_IF_ERROR(status.status());
  const Output& output = context.output();
  if (output.json()) {
    nlohmann::json parts = nlohmann::json::array();
    for (const auto& part : status->parts) {
      parts.push_back({{"name", part.name},
                       {"pid", part.pid},
                       {"address", part.address},
                       {"restarts", part.restarts},
                       {"last_exit", part.last_exit},
                       {"health", cluster::ToString(part.health)}});
    }
    output.Json({{"running", status->running}, {"ready", status->ready}, {"parts", parts}});
  } else {
    std::vector<std::vector<std::string>> rows = {{"part", "health", "pid", "address", "restarts"}};
    for (const auto& part : status->parts) {
      const std::string health(cluster::ToString(part.health));
      rows.push_back(
          {part.name,
           part.health == cluster::Health::kServing ? output.Green(health) : output.Red(health),
           part.pid == 0 ? "-" : std::to_string(part.pid), part.address,
           std::to_string(part.restarts)});
    }
    output.Table(rows);
  }
  if (status->ready) return absl::OkStatus();
  if (!status->running) return Unavailable("the cluster is not running: start it with `dki up`");
  return Unavailable("not every part is ready: `dki logs PART` says why");
}

absl::Status LogsCommand(Context& context, const std::string& service, int lines, bool follow) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  std::vector<std::string> names = {service};
  if (service.empty()) {
    names = cluster::ServiceNames();
    names.insert(names.begin(), {"supervisor", cluster::kPostgres});
  } else if (service != "supervisor" && service != cluster::kPostgres &&
             std::count(cluster::ServiceNames().begin(), cluster::ServiceNames().end(), service) ==
                 0) {
    return InvalidArgument("there is no part '%s'", service);
  }
  // tail knows how to follow files that are rotated; it takes this process's place.
  std::vector<std::string> argv = {"tail", "-n", std::to_string(lines)};
  if (follow) argv.emplace_back("-F");
  for (const std::string& name : names) argv.push_back(layout.log(name));
  std::vector<char*> pointers;
  for (std::string& argument : argv) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  ::execvp("tail", pointers.data());
  return Internal("cannot run tail");
}

absl::Status SuperviseCommand(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  return cluster::RunSupervisor(layout);
}

}  // namespace dki::cli
