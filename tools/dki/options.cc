// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/options.h"

#include <CLI/CLI.hpp>

#include "tools/dki/audit_commands.h"
#include "tools/dki/chat_command.h"
#include "tools/dki/cluster/layout.h"
#include "tools/dki/cluster_commands.h"
#include "tools/dki/command_builder.h"
#include "tools/dki/erase_commands.h"
#include "tools/dki/kv_commands.h"
#include "tools/dki/memory_commands.h"
#include "tools/dki/options_eval.h"
#include "tools/dki/tenant_commands.h"

namespace dki::cli {
namespace {

class Declaration : public CommandBuilder {
 public:
  using CommandBuilder::CommandBuilder;

  void All() {
    Cluster();
    Memory();
    Erasure();
    Chat();
    Audit();
    Kv();
    Tenants();
    Keys();
    DeclareEvaluation(*this);
    Completion();
  }

 private:
  void Cluster() {
    auto up = Own<cluster::UpOptions>();
    CLI::App* command = Command(app(), "up", "Start the local cluster and wait until it is ready",
                                [up](Context& c) { return UpCommand(c, *up); });
    command->add_option("--port-base", up->port_base, "First of five ports (default 7101)");
    command->add_option("--models", up->models, "Folder of the models ($DKI_MODELS)");
    command->add_option("--model", up->model, "The model, a GGUF file or a folder in there");
    command->add_flag("--foreground", up->foreground, "Stay, and stop the cluster on Ctrl-C");
    Command(app(), "down", "Stop the local cluster", DownCommand);
    Command(app(), "status", "The parts of the local cluster", StatusCommand);
    struct Logs {
      std::string service;
      int lines = 50;
      bool follow = false;
    };
    auto logs = Own<Logs>();
    command = Command(app(), "logs", "What the parts logged", [logs](Context& c) {
      return LogsCommand(c, logs->service, logs->lines, logs->follow);
    });
    command->add_option(
        "service", logs->service,
        "memory_store, retrieval, kv, generation, orchestrator, postgres or supervisor");
    command->add_option("-n,--lines", logs->lines, "How many lines of each");
    command->add_flag("-f,--follow", logs->follow, "Go on with what comes");
    Command(app(), "doctor", "Check the machine and the cluster", DoctorCommand);
    Command(app(), "supervise", "Keep the parts running (what `up` starts)", SuperviseCommand)
        ->group("");
  }

  void Memory() {
    CLI::App* group =
        Group(app(), "memory", "Memories: add, list, show, edit, history, rm, search, import");
    auto o = Own<MemoryOptions>();
    const auto with_scope = [&](CLI::App* command) {
      Scope(command, &o->scope);
      return command;
    };
    const auto with_fields = [&](CLI::App* command) {
      command->add_option("--tag", o->tags, "A tag; may be repeated");
      command->add_option("--metadata", o->metadata_json, "A JSON object");
      command->add_option("--expires", o->expires, "A time (RFC 3339) or a duration such as 30d");
      command->add_option("--priority", o->priority, "-100 to 100");
      command->add_flag("--pin", o->pin, "Keep it in the caches");
    };
    CLI::App* command = with_scope(
        Command(group, "add", "Remember a text", [o](Context& c) { return AddMemory(c, *o); }));
    command->add_option("text", o->text, "The text")->required();
    with_fields(command);
    command = with_scope(Command(group, "list", "Memories visible to a scope",
                                 [o](Context& c) { return ListMemories(c, *o); }));
    command->add_option("--tag", o->tags, "Only with this tag");
    command->add_option("--limit", o->limit, "At most so many")->check(CLI::Range(1, 1000000));
    command->add_flag("--all", o->all, "Every memory of the tenant (admin)");
    command = with_scope(
        Command(group, "show", "One memory", [o](Context& c) { return ShowMemory(c, *o); }));
    command->add_option("id", o->id, "mem_...")->required();
    command = with_scope(Command(group, "edit", "Give a memory a new text",
                                 [o](Context& c) { return EditMemory(c, *o); }));
    command->add_option("id", o->id, "mem_...")->required();
    command->add_option("text", o->text, "The new text")->required();
    command = with_scope(Command(group, "history", "A memory's versions",
                                 [o](Context& c) { return ShowHistory(c, *o); }));
    command->add_option("id", o->id, "mem_...")->required();
    command = with_scope(
        Command(group, "rm", "Forget a memory", [o](Context& c) { return RemoveMemory(c, *o); }));
    command->add_option("id", o->id, "mem_...")->required();
    command = with_scope(Command(group, "search", "Find by meaning",
                                 [o](Context& c) { return SearchMemories(c, *o); }));
    command->add_option("query", o->text, "What to look for")->required();
    command->add_option("-k,--k", o->k, "At most so many");
    command->add_option("--threshold", o->threshold, "Lowest cosine");
    command->add_option("--tag", o->tags, "Only with this tag");
    command =
        with_scope(Command(group, "import", "Many from a file: JSON Lines, or one text per line",
                           [o](Context& c) { return ImportMemories(c, *o); }));
    command->add_option("file", o->file, "The file; - for stdin")->required();
    command->add_option("--tag", o->tags, "A tag for all; may be repeated");
  }

  void Erasure() {
    CLI::App* group =
        Group(app(), "erase",
              "Erase with a receipt: memory, user, session, agent, tenant; status, verify, scrub");
    auto o = Own<EraseOptions>();
    const auto target = [&](const char* name, const char* help, EraseTarget kind) {
      CLI::App* command = Command(group, name, help, [o, kind](Context& c) {
        o->kind = kind;
        return cli::Erase(c, *o);
      });
      command->add_option("id", o->id, "Which one")->required();
      command->add_option("--receipt", o->receipt, "Wait, and write the receipt there");
      command->add_flag("--wait", o->wait, "Wait until every service has erased it");
      command->add_option("--timeout", o->timeout_seconds, "Seconds to wait (default 120)")
          ->check(CLI::Range(1, 86400));
      return command;
    };
    const auto with_conversations = [&](CLI::App* command) {
      command->add_flag("--with-conversations", o->with_conversations,
                        "Also the messages of conversations that attended to it, and the texts of "
                        "those decisions");
      return command;
    };
    Scope(with_conversations(target("memory", "A memory", EraseTarget::kMemory)), &o->viewer);
    with_conversations(target("user", "All of a user", EraseTarget::kUser));
    with_conversations(target("session", "All of a session", EraseTarget::kSession));
    with_conversations(target("agent", "All of an agent", EraseTarget::kAgent));
    target("tenant", "A tenant (on the cluster's machine)", EraseTarget::kTenant);
    Command(group, "status", "Who has erased it and who has not",
            [o](Context& c) { return EraseStatus(c, *o); })
        ->add_option("erasure", o->id, "era_...")
        ->required();
    CLI::App* command = Command(group, "receipt", "Wait for an erasure's receipt",
                                [o](Context& c) { return EraseReceipt(c, *o); });
    command->add_option("erasure", o->id, "era_...")->required();
    command->add_option("file", o->receipt, "Where to write it")->required();
    command->add_option("--timeout", o->timeout_seconds, "Seconds to wait (default 120)")
        ->check(CLI::Range(1, 86400));
    command = Command(group, "verify", "Check a receipt, offline",
                      [o](Context& c) { return EraseVerify(c, *o); });
    command->add_option("file", o->receipt, "The receipt")->required();
    command->add_option("--keyring", o->keyring,
                        "The services' public keys (default: the local cluster's)");
    Command(group, "keys", "The services' public keys, as a keyring", EraseKeys);
    Command(group, "scrub",
            "Write the database anew, so that no deleted text is left in it (on the cluster's "
            "machine)",
            EraseScrub);
    Command(group, "forget-service",
            "Expect no report any more from a service that is gone (on the cluster's machine)",
            [o](Context& c) { return EraseForgetService(c, *o); })
        ->add_option("service", o->id, "Its name, as `dki erase status` shows it")
        ->required();
  }

  void Chat() {
    auto o = Own<ChatOptions>();
    CLI::App* command = Command(app(), "chat", "Ask a question, or talk (no question)",
                                [o](Context& c) { return cli::Chat(c, *o); });
    command->add_option("question", o->question, "The question; none: a conversation from stdin");
    Scope(command, &o->scope);
    command->add_option("--mode", o->mode, "vanilla, prompt or injected (default)");
    command->add_option("--place", o->place,
                        "Where prompt mode puts the memories: late, system or user");
    command->add_option("--alpha", o->alpha,
                        "Weight of every memory, 0 to 16, instead of the policy's");
    command->add_option("-k,--k", o->k, "Memories to retrieve");
    command->add_option("--threshold", o->threshold, "Lowest cosine that passes the gate");
    command->add_flag("--no-gate", o->no_gate, "Inject whatever was retrieved");
    command->add_option("--composition", o->composition,
                        "Behind what memories are computed: pack, independent, repair(N), auto");
    command->add_option("--tag", o->tag, "Only memories with this tag");
    command->add_flag("--explain", o->explain, "Show what the answer attended to");
    command->add_option("--system", o->system, "System prompt");
    command->add_option("--max-tokens", o->max_tokens, "Longest answer");
    command->add_option("--temperature", o->temperature, "0 is greedy");
    command->add_option("--top-k", o->top_k, "Sample from so many");
    command->add_option("--top-p", o->top_p, "Sample from this mass");
    command->add_option("--min-p", o->min_p, "Least share of the best token's probability");
    command->add_option("--repetition-penalty", o->repetition_penalty, "1 is none");
    command->add_option("--seed", o->seed, "Of sampling");
    command->add_option("--stop", o->stop, "End before this text; may be repeated");
  }

  void Audit() {
    auto id = Own<std::string>();
    auto without = Own<std::string>();
    CLI::App* explain = Command(app(), "explain", "Why an answer is what it is",
                                [id, without](Context& c) { return Explain(c, *id, *without); });
    explain->add_option("decision", *id, "dec_...")->required();
    explain->add_option(
        "--without", *without,
        "Ask again without this memory: mem_..., top (the one most attended to), all");
    CLI::App* group = Group(app(), "audit", "Decisions: list, show, verify");
    struct List {
      int limit = 20;
      std::string user;
    };
    auto list = Own<List>();
    CLI::App* command = Command(group, "list", "The latest decisions", [list](Context& c) {
      return ListDecisions(c, list->limit, list->user);
    });
    command->add_option("--limit", list->limit, "At most so many")->check(CLI::Range(1, 1000));
    command->add_option("--user", list->user, "Only of this user");
    Command(group, "show", "One decision (as `dki explain`)",
            [id](Context& c) { return Explain(c, *id, ""); })
        ->add_option("decision", *id, "dec_...")
        ->required();
    Command(group, "verify", "Recompute the whole chain", VerifyAudit);
  }

  void Kv() {
    CLI::App* group =
        Group(app(), "kv", "K/V tiers of the tenant: stats, ls, verify, pin, unpin, evict (admin)");
    auto o = Own<KvOptions>();
    Command(group, "stats", "Sizes, hits and losses of each tier", KvStats);
    CLI::App* command = Command(group, "ls", "The blocks: memory, tokens, bytes, tier, age, hits",
                                [o](Context& c) { return ListKvBlocks(c, *o); });
    command->add_option("--memory", o->memory_id, "Only those that have seen this memory");
    command->add_option("--limit", o->limit, "At most so many")->check(CLI::Range(1, 1000000));
    Command(group, "verify", "Read every block and report damage", VerifyKvBlocks);
    Command(group, "pin", "Keep a memory's blocks",
            [o](Context& c) { return PinMemory(c, *o, true); })
        ->add_option("memory", o->memory_id, "mem_...")
        ->required();
    Command(group, "unpin", "Let a memory's blocks be evicted",
            [o](Context& c) { return PinMemory(c, *o, false); })
        ->add_option("memory", o->memory_id, "mem_...")
        ->required();
    command = Command(group, "evict", "Drop a memory's blocks, or all",
                      [o](Context& c) { return EvictKvBlocks(c, *o); });
    command->add_option("memory", o->memory_id, "mem_...");
    command->add_flag("--all", o->all, "Every block of the tenant");
  }

  void Tenants() {
    CLI::App* group = Group(app(), "tenant", "Tenants: add, list, rm (on the cluster's machine)");
    auto id = Own<std::string>();
    Command(group, "add", "A new tenant", [id](Context& c) { return AddTenant(c, *id); })
        ->add_option("id", *id, "1 to 64 of a-z, 0-9, _ and -")
        ->required();
    Command(group, "list", "All tenants", ListTenants);
    Command(group, "rm", "Remove a tenant and all that it owns",
            [id](Context& c) { return RemoveTenant(c, *id); })
        ->add_option("id", *id, "The tenant")
        ->required();
  }

  void Keys() {
    CLI::App* group = Group(app(), "key", "API keys: add, list, revoke (on the cluster's machine)");
    struct Key {
      std::string tenant = "default";
      std::string id, note;
      std::vector<std::string> scopes = {"chat", "memory:read", "memory:write"};
    };
    auto key = Own<Key>();
    CLI::App* command =
        Command(group, "add", "A new key; its secret is shown once",
                [key](Context& c) { return AddKey(c, key->tenant, key->scopes, key->note); });
    command->add_option("--tenant", key->tenant, "The tenant (default: default)");
    command->add_option(
        "--scope", key->scopes,
        "chat, memory:read, memory:write, admin; may be repeated (default: all but admin)");
    command->add_option("--note", key->note, "What it is for");
    command = Command(group, "list", "A tenant's keys",
                      [key](Context& c) { return ListKeys(c, key->tenant); });
    command->add_option("--tenant", key->tenant, "The tenant (default: default)");
    command = Command(group, "revoke", "Make a key useless",
                      [key](Context& c) { return RevokeKey(c, key->tenant, key->id); });
    command->add_option("id", key->id, "key_...")->required();
    command->add_option("--tenant", key->tenant, "The tenant (default: default)");
  }

  void Completion() {
    auto shell = Own<std::string>();
    CLI::App* root = app();
    Command(root, "completion", "Completion script for bash, zsh or fish",
            [shell, root](Context& c) -> absl::Status {
              DKI_ASSIGN_OR_RETURN(const std::string script, CompletionScript(*root, *shell));
              c.output().Write(script);
              return absl::OkStatus();
            })
        ->add_option("shell", *shell, "bash, zsh or fish")
        ->required();
  }
};

// "dki memory" -> "add list ...": the words that may follow a chain of commands.
void CollectWords(const CLI::App& app, const std::string& path,
                  std::vector<std::pair<std::string, std::string>>* out) {
  std::string words;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;
    words += (words.empty() ? "" : " ") + sub->get_name();
    CollectWords(*sub, path + " " + sub->get_name(), out);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      words += (words.empty() ? "--" : " --") + name;
  }
  out->emplace_back(path, words);
}

}  // namespace

void DeclareCommands(CLI::App* app, GlobalOptions* global, Action* action) {
  Declaration(app, global, action).All();
  app->require_subcommand(1);
}

int RunCommandLine(int argc, const char* const* argv) {
  CLI::App app("Memory for language models, at the attention.", "dki");
  app.set_version_flag("--version", "dki 0.1.0");
  GlobalOptions global;
  global.data = cluster::DefaultDataFolder();
  Action action;
  DeclareCommands(&app, &global, &action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  Context context(global);
  const absl::Status status = action(context);
  if (!status.ok()) context.output().Error(context.WithHint(status));
  return ExitCodeFor(status);
}

absl::StatusOr<std::string> CompletionScript(const CLI::App& app, const std::string& shell) {
  std::vector<std::pair<std::string, std::string>> words;
  CollectWords(app, "dki", &words);
  std::string script;
  if (shell == "bash" || shell == "zsh") {
    if (shell == "zsh") script += "autoload -U +X bashcompinit && bashcompinit\n";
    script +=
        "_dki() {\n  local path=dki word\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
        "    case $word in -*) ;; *) path=\"$path $word\" ;; esac\n  done\n  local words=\n  case "
        "$path in\n";
    // The longest chain first, so that positional arguments behind it still match it.
    std::sort(words.begin(), words.end(),
              [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    for (const auto& [path, after] : words)
      script += "    '" + path + "'*) words='" + after + "' ;;\n";
    script +=
        "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- "
        "\"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _dki dki\n";
    return script;
  }
  if (shell == "fish") {
    for (const auto& [path, after] : words) {
      std::string condition = "__fish_use_subcommand";
      if (path != "dki") {
        condition = "__fish_seen_subcommand_from " + path.substr(path.rfind(' ') + 1);
      }
      script += "complete -c dki -n '" + condition + "' -a '" + after + "'\n";
    }
    return script;
  }
  return InvalidArgument("shell is '%s', must be bash, zsh or fish", shell);
}

}  // namespace dki::cli
