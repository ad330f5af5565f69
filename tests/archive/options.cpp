// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <utility>

#include "dicom_directory.h"
#include "file_bytes.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

constexpr const char* kAbout =
    "Serves an archive of DICOM images on the loopback interface, in the way of an NBIA server:\n"
    "API families v1, v2 and v4, the drill-down calls, tokens, zips. For tests and demonstrations.";

constexpr const char* kControlHelp =
    "\nControl, under /_test/ (never counted, never faulted):\n"
    "  GET  counters            requests, bytes, active and max_active by endpoint; totals\n"
    "  POST reset               counters to zero, no fault plan\n"
    "  POST plan JSON           replaces the fault plan\n"
    "  GET  hits                how many requests the present plan has hit\n"
    "  POST mutate JSON         hide_series, show_series, replace_series (with other_size),\n"
    "                           drop_collection, restore_collection, add_patients\n"
    "  GET  truth?collection=N  \"md5 size path\" of every instance\n"
    "  GET  instance?sop=UID    the file\n"
    "\nA fault plan is a JSON array of {\"endpoint\": glob, \"match\": {parameter: value}, "
    "\"skip\": 0,\n"
    "\"times\": 1 (-1: for ever), \"action\": ..., \"n\": number, \"k\": positions}:\n";

Result<unsigned> ParseFamilies(const std::string& text) {
  unsigned families = 0;
  for (const std::string_view name : SplitText(text, ',')) {
    if (name == "v1")
      families |= static_cast<unsigned>(Family::kV1);
    else if (name == "v2")
      families |= static_cast<unsigned>(Family::kV2);
    else if (name == "v4")
      families |= static_cast<unsigned>(Family::kV4);
    else
      return Fail(Errc::kInvalidArgument, fmt::format("'{}' is none of v1, v2, v4", name));
  }
  return families;
}

// Splits at the last separator. The second part is "" where there is none.
std::pair<std::string, std::string> SplitLast(const std::string& text, char separator) {
  const size_t at = text.rfind(separator);
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

// What the command line gives as text.
struct RawOptions {
  std::vector<std::string> synthetic;
  std::vector<std::string> users;
  std::string families = "v4,v2,v1";
  bool no_drill_down = false;
};

void Declare(CLI::App& app, Options& options, RawOptions& raw) {
  app.add_option("--dicom", options.dicom_directories, "DICOM files under DIR[=COLLECTION]");
  app.add_option("--synthetic", raw.synthetic,
                 "made-up collection NAME:patients=10,studies=1,series=1,images=10,size=64x64,"
                 "seed=1,modality=CT");
  app.add_flag("--odd-names", options.odd_names, "collections with awkward names");
  app.add_option("--restricted", options.restricted, "COLLECTION=USER: only that user sees it");
  app.add_option("--port", options.server.port, "port to listen on; 0: any free one")
      ->check(CLI::Range(0, 65535));
  app.add_option("--ready-file", options.ready_file, "write the root URL there when listening");
  app.add_option("--plan", options.plan_file, "fault plan to begin with");
  app.add_option("--families", raw.families, "API families to serve")->capture_default_str();
  app.add_flag("--no-drill-down", raw.no_drill_down, "no drill-down calls");
  app.add_flag("--v4-drill-down-broken", options.service.v4_drill_down_broken,
               "v4's drill-down calls fail");
  app.add_flag("--old-schema", options.service.old_schema, "series rows end at TimeStamp");
  app.add_flag("--shuffle", options.service.shuffle, "other order of rows on each request");
  app.add_option("--require-api-key", options.service.api_key, "v1 wants this api_key header");
  app.add_option("--zip-level", options.service.zip_level, "of compression")
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
  app.add_option("--user", raw.users, "account NAME:PASSWORD beside the guest");
  app.add_option("--client-id", options.tokens.client_id, "the only one the refresh grant takes");
  app.add_option("--token-life-s", options.tokens.life_s, "of access tokens")
      ->capture_default_str();
  app.add_option("--refresh-life-s", options.tokens.refresh_life_s, "of refresh tokens")
      ->capture_default_str();
  app.add_flag("--keep-replies", options.service.keep_replies,
               "make each reply once and keep it in memory; changes of the archive do not show");
  app.add_option("--latency-ms", options.server.latency_ms, "before every answer");
  app.add_option("--bandwidth", options.server.bandwidth_bytes_per_s,
                 "bytes per second, of all connections together");
  app.add_flag("--exit-with-parent", options.exit_with_parent, "end when the parent process ends");
  app.footer(std::string(kControlHelp) + kActionsHelp);
}

Status Digest(const RawOptions& raw, Options& options) {
  for (const std::string& text : raw.synthetic) {
    TCIAFS_ASSIGN(SyntheticSpec spec, ParseSyntheticSpec(text));
    options.synthetic.push_back(std::move(spec));
  }
  for (const std::string& user : raw.users) {
    const size_t colon = user.find(':');
    if (colon == std::string::npos || colon == 0)
      return Fail(Errc::kInvalidArgument, "--user wants NAME:PASSWORD");
    options.tokens.passwords[user.substr(0, colon)] = user.substr(colon + 1);
  }
  TCIAFS_ASSIGN(options.service.families, ParseFamilies(raw.families));
  options.service.drill_down = !raw.no_drill_down;
  return {};
}

Status AddDirectory(const std::string& text, Holdings& holdings) {
  auto [directory, name] = SplitLast(text, '=');
  if (name.empty())
    name = std::filesystem::absolute(directory + "/").parent_path().filename().string();
  TCIAFS_ASSIGN(auto collection, DicomDirectory::Open(directory, name));
  if (collection->files_left_out() > 0)
    LogInfo("{}: {} files left out", directory, collection->files_left_out());
  return holdings.Add(std::move(collection));
}

}  // namespace

bool ParseCommandLine(int argc, const char* const* argv, Options& options, int& exit_code) {
  CLI::App app(kAbout, "tciafs-test-archive");
  RawOptions raw;
  Declare(app, options, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error);
    return false;
  }
  if (const Status digested = Digest(raw, options); !digested) {
    fmt::print(stderr, "tciafs-test-archive: {}\n", digested.error().message);
    exit_code = 2;
    return false;
  }
  return true;
}

Result<std::unique_ptr<Service>> BuildService(const Options& options, const Clock& clock) {
  auto holdings = std::make_unique<Holdings>(clock);
  for (const std::string& directory : options.dicom_directories)
    TCIAFS_TRY(AddDirectory(directory, *holdings));
  std::vector<SyntheticSpec> specs = options.synthetic;
  if (options.odd_names) {
    for (SyntheticSpec& spec : OddCollections()) specs.push_back(std::move(spec));
  }
  for (SyntheticSpec& spec : specs)
    TCIAFS_TRY(holdings->Add(std::make_unique<SyntheticCollection>(std::move(spec))));
  for (const std::string& restricted : options.restricted) {
    const auto [collection, user] = SplitLast(restricted, '=');
    TCIAFS_TRY(holdings->Restrict(collection, user));
  }
  auto service =
      std::make_unique<Service>(std::move(holdings), options.service, options.tokens, clock);
  if (!options.plan_file.empty()) {
    TCIAFS_ASSIGN(const std::string plan, ReadFile(options.plan_file));
    TCIAFS_TRY(service->plan().Load(plan));
  }
  return service;
}

}  // namespace tciafs::archive
