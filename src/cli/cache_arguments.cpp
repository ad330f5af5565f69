// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/cache_arguments.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/cache_command.h"

namespace tciafs::cli {
namespace {

using Arguments = std::shared_ptr<CacheArguments>;
using Run = ExitCode (*)(const CacheArguments&, const Caller&);

class Commands {
 public:
  Commands(CLI::App& cache, Arguments arguments)
      : cache_(cache), arguments_(std::move(arguments)) {}

  CLI::App& Add(const char* name, const char* meaning, Run run) {
    CLI::App& command = *cache_.add_subcommand(name, meaning);
    command
        .add_option("--cache-dir", arguments_->cache_dir, "where it is [where your mount has it]")
        ->option_text("DIR");
    commands_.emplace_back(&command, run);
    return command;
  }
  ExitCode RunParsed(const Caller& caller) const {
    for (const auto& [command, run] : commands_)
      if (command->parsed()) return run(*arguments_, caller);
    return ExitCode::kUsage;
  }

 private:
  CLI::App& cache_;
  const Arguments arguments_;
  std::vector<std::pair<CLI::App*, Run>> commands_;
};

void AddWhat(CLI::App& command, CacheArguments& arguments, const char* meaning) {
  command.add_option("PATH", arguments.what, meaning)->option_text("...");
}

}  // namespace

std::function<ExitCode(const Caller&)> AddCacheCommands(CLI::App& app, CLI::App*& cache) {
  cache = app.add_subcommand("cache", "Look after the cache, with or without a mount");
  cache->require_subcommand(1);
  const auto arguments = std::make_shared<CacheArguments>();
  const auto commands = std::make_shared<Commands>(*cache, arguments);

  CLI::App& info = commands->Add("info", "What it has and who uses it", RunCacheInfo);
  info.add_flag("--json", arguments->json, "as one JSON object");

  CLI::App& list = commands->Add("list", "Its series, least recently used first", RunCacheList);
  list.add_flag("--json", arguments->json, "as one JSON array");
  list.add_flag("--pinned", arguments->pinned, "only those that are pinned");

  CLI::App& verify =
      commands->Add("verify", "Read all again and compare it with its checksums", RunCacheVerify);
  AddWhat(verify, *arguments, "paths in a mount, or UIDs of series; or all [all]");

  CLI::App& evict = commands->Add("evict", "Remove images that are not needed", RunCacheEvict);
  AddWhat(evict, *arguments, "paths in a mount, or UIDs of series");
  evict.add_option("--older-than", arguments->older_than, "only what was not used for so long")
      ->option_text("DURATION");
  evict.add_option("--to", arguments->to, "no more than to get the cache down to this")
      ->option_text("SIZE");
  evict.add_flag("--pinned", arguments->pinned, "what is pinned, too; it stays pinned");

  CLI::App& clear = commands->Add("clear", "Remove all images", RunCacheClear);
  clear.add_flag("--yes", arguments->yes, "without asking");
  clear.add_flag("--keep-pinned", arguments->keep_pinned, "but those of pinned series");

  CLI::App& import =
      commands->Add("import", "Take in what was downloaded with other tools", RunCacheImport);
  import.add_option("FILE", arguments->what, "zips, directories, DICOM files")
      ->required()
      ->option_text("...");
  import.add_option("--collection", arguments->collection, "of which collection it is")
      ->option_text("NAME");

  return [commands](const Caller& caller) { return commands->RunParsed(caller); };
}

}  // namespace tciafs::cli
