// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/options_eval.h"

#include "tools/dki/calibrate_command.h"
#include "tools/dki/eval_command.h"
#include "tools/dki/eval_make_command.h"
#include "tools/dki/eval_report_command.h"
#include "tools/dki/eval_retrieve_command.h"
#include "tools/dki/eval_seed_command.h"

namespace dki::cli {
namespace {

class Declaration : public CommandBuilder {
 public:
  explicit Declaration(const CommandBuilder& builder) : CommandBuilder(builder) {}

  void Evaluation() {
    CLI::App* group = Group(app(), "eval", "Measure answers on labelled suites");
    auto o = Own<EvalOptions>();
    CLI::App* command = Command(
        group, "run", "Run arms over suites", [o](Context& c) { return RunEval(c, *o); },
        /*json_is_a_flag=*/false);
    command->add_option("--suite", o->suite, "A suite's file, or a folder of them")->required();
    command->add_option("--arms", o->arms,
                        "Comma-separated: vanilla, prompt_late, prompt_system, prompt_user, "
                        "injected, default, injected:alpha=2,...");
    command->add_option("--n", o->n, "First so many items of each suite (0: all)");
    command->add_option("--skip", o->skip, "Leave out the first so many items of each suite")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--local", o->local, "In this process, without a cluster");
    command->add_option("--json", o->json_file,
                        "Write the report there as JSON, and the raw items beside it");
    command->add_option("--models", o->models, "Folder of the models ($DKI_MODELS), with --local");
    command->add_option("--model", o->model, "Another model file or folder, with --local");
    command->add_flag("--kl", o->kl, "Measure KL(vanilla || arm) over 16 tokens, with --local");
    command->add_flag("--resume", o->resume, "Keep the raw items that lie beside the JSON already");
    Retrieval(group);
    MadeSuites(group);
    Report(group);
    Seeds(group);
  }

  void Seeds(CLI::App* group) {
    auto o = Own<EvalSeedOptions>();
    CLI::App* command = Command(
        group, "seed", "An experiment of the seeds by name, with their measures",
        [o](Context& c) { return RunEvalSeed(c, *o); }, /*json_is_a_flag=*/false);
    command->add_option("name", o->name, "comparison or alpha_sensitivity")->required();
    command->add_option("--seed", o->seed, "The same seed makes the same items (default 1)");
    command->add_option("--items", o->items, "Items of each data set (default 100)");
    command->add_flag("--local", o->local, "In this process, without a cluster");
    command->add_option("--models", o->models, "Folder of the models ($DKI_MODELS), with --local");
    command->add_option("--model", o->model, "Another model file or folder, with --local");
    command->add_option("--json", o->json_file, "Write the scores there");
  }

  void Report(CLI::App* group) {
    auto o = Own<EvalReportOptions>();
    CLI::App* command =
        Command(group, "report", "A report from raw items: Markdown, JSON and one HTML page",
                [o](Context& c) { return RunEvalReport(c, *o); });
    command->add_option("--items", o->items, "FILE.items.jsonl of `dki eval run`; several")
        ->required();
    command->add_option("--out", o->prefix, "PREFIX of .md, .json, .goals.json and .html")
        ->required();
    command->add_option("--title", o->title, "The report's title");
    command->add_option("--against", o->against,
                        "Arms that all others are compared with (default: prompt_late, default)");
    command->add_flag("--by-suite", o->by_suite, "Compare them on each suite by itself, too");
  }

  void MadeSuites(CLI::App* group) {
    auto o = Own<EvalMakeOptions>();
    CLI::App* command = Command(
        group, "make",
        "Make suites from a seed, in the project's own words or out of texts with questions",
        [o](Context& c) { return RunEvalMake(c, *o); });
    command->add_option("--seed", o->seed, "The same seed makes the same bytes (default 1)");
    command->add_option("--out", o->folder, "The folder to write to")->required();
    command->add_option("--items", o->items, "Items of each suite (default 200)");
    CLI::Option* from = command->add_option(
        "--from", o->from, "Texts with questions: stores (*.jsonl), SQuAD's *.json, bAbI's *.txt");
    command
        ->add_option("--memories", o->memories,
                     "Memories of an item (default 8; of a bAbI story at most 16)")
        ->needs(from);
    command->add_option("--name", o->name, "Name of the suites, in place of the file's")
        ->needs(from);
    command
        ->add_option("--category", o->category,
                     "Only questions of this category, such as \"4 single-hop\" (LoCoMo)")
        ->needs(from);
    command
        ->add_option("--without", o->without,
                     "Item suites, or folders of them, whose questions are left out; several")
        ->needs(from);
  }

  void Retrieval(CLI::App* group) {
    auto o = Own<EvalRetrieveOptions>();
    CLI::App* command = Command(
        group, "retrieve", "How well memories are found, by words, by meaning and by both",
        [o](Context& c) { return RunEvalRetrieve(c, *o); }, /*json_is_a_flag=*/false);
    command
        ->add_option("--suite", o->suites,
                     "Stores with questions: *.jsonl, SQuAD's *.json or a BEIR folder; several")
        ->required();
    command->add_flag("--cross-validate", o->cross_validate,
                      "Choose the options of each store on the others alone");
    command->add_flag("--turns", o->turns,
                      "Also questions that lean on the turn before, and behind other topics");
    command->add_option("--json", o->json_file, "Write the report there as JSON");
    command->add_option("--markdown", o->markdown_file, "Write the report there as Markdown");
    command->add_option("--models", o->models, "Folder of the models ($DKI_MODELS)");
  }

  void Calibration() {
    auto o = Own<CalibrateOptions>();
    CLI::App* command =
        Command(app(), "calibrate", "Find out from labelled suites how a model uses memory well",
                [o](Context& c) { return RunCalibrate(c, *o); });
    command->add_option("--suite", o->suite, "A folder of item suites")->required();
    command->add_option("--out", o->out, "The calibration's file, for gate.calibration_file")
        ->required();
    command->add_option("--n", o->n, "First so many items of each suite (0: all; default 100)");
    command->add_option("--replies", o->n_replies,
                        "Of those, so many with replies (default 40; 0: none, strengths stay those "
                        "that come with the product, or 1)");
    command
        ->add_option("--test", o->n_test,
                     "Make no calibration: say what each input of the gate brings, by so many "
                     "items behind the first --n, and write that to --out")
        ->check(CLI::Range(1, 100'000));
    command->add_option("--heads", o->heads, "Retrieval heads at most (default 4)")
        ->check(CLI::Range(1, 64));
    command->add_option("--probe", o->probe,
                        "Composition of the memories that are probed (default independent)");
    command->add_option("--models", o->models, "Folder of the models ($DKI_MODELS)");
    command->add_option("--model", o->model, "Another model file or folder");
  }
};

}  // namespace

void DeclareEvaluation(const CommandBuilder& builder) {
  Declaration declaration(builder);
  declaration.Evaluation();
  declaration.Calibration();
}

}  // namespace dki::cli
