// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/cli/command_line.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cache_arguments.h"
#include "cli/completion.h"
#include "cli/daemon_link.h"
#include "cli/doctor_command.h"
#include "cli/fetch_command.h"
#include "cli/login_command.h"
#include "cli/mount_command.h"
#include "cli/mount_helper.h"
#include "cli/mount_queries.h"
#include "cli/option_table.h"
#include "tciafs/control/limits.h"
#include "tciafs/fuse/session.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/store/store.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

struct MountArguments {
  std::string mountpoint;
  std::vector<std::string> words;                          // after -o
  std::map<std::string, std::vector<std::string>> values;  // by option
  std::map<std::string, bool> flags;
};

std::string Description(const OptionSpec& option) {
  std::string text = option.help;
  if (*option.default_text != '\0') text += " [" + std::string(option.default_text) + "]";
  return text;
}

void AddMountOptions(CLI::App& mount, MountArguments& arguments) {
  for (const OptionSpec& option : MountOptionTable()) {
    std::string names = "--" + std::string(option.name);
    if (*option.short_flag != '\0') names = std::string(option.short_flag) + "," + names;
    if (*option.value == '\0') {
      mount.add_flag(names, arguments.flags[option.name], Description(option));
      continue;
    }
    auto* added = mount.add_option(names, arguments.values[option.name], Description(option));
    added->option_text(option.value)->expected(1)->allow_extra_args(false);
    added->multi_option_policy(option.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                                 : CLI::MultiOptionPolicy::TakeLast);
  }
  mount.add_option("-o", arguments.words, "any of the above, and the usual mount options")
      ->option_text("opt[,opt...]")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Settings ToSettings(const MountArguments& arguments) {
  Settings settings;
  for (const auto& [name, on] : arguments.flags)
    if (on) settings.Add(name, {FlagText(true), "--" + name});
  for (const auto& [name, values] : arguments.values)
    for (const std::string& value : values) settings.Add(name, {value, "--" + name});
  return settings;
}

// mount(8) on behalf of a user, and systemd for root, leave HOME out.
const char* HomeOfRecord() {
  static const std::string home = [] {
    const passwd* record = ::getpwuid(::getuid());
    return std::string(record == nullptr ? "" : record->pw_dir);
  }();
  return home.empty() ? nullptr : home.c_str();
}

Caller ThisProcess() {
  return {::getuid(), ::getgid(), [](const char* name) -> const char* {
            const char* value = std::getenv(name);
            return value == nullptr && std::string_view(name) == "HOME" ? HomeOfRecord() : value;
          }};
}

std::string VersionText() {
  return "tciafs " TCIAFS_VERSION "\nlibfuse " + fuse::FuseVersion() + "\n" + http::CurlVersion() +
         "\n" + store::LmdbVersion();
}

// What a subcommand does once the line is parsed.
using Command = std::function<ExitCode()>;

// Each adds its subcommand, with arguments that live as long as the command does.
struct Subcommand {
  CLI::App* app;
  Command run;
};

Subcommand AddMount(CLI::App& app) {
  auto* mount = app.add_subcommand("mount", "Mount the archive; returns when the mount answers");
  const auto arguments = std::make_shared<MountArguments>();
  mount
      ->add_option("MOUNTPOINT", arguments->mountpoint,
                   "an empty directory, or /dev/fd/N: a /dev/fuse already mounted with")
      ->required()
      ->option_text(" ");
  AddMountOptions(*mount, *arguments);
  return {mount, [arguments] {
            return MountWith(arguments->mountpoint, ToSettings(*arguments), arguments->words,
                             false);
          }};
}

Subcommand AddUmount(CLI::App& app) {
  auto* umount =
      app.add_subcommand("umount", "Unmount, wait for the end; cleans up dead mounts too");
  const auto request = std::make_shared<UmountRequest>();
  umount->add_option("MOUNTPOINT", request->mountpoint, "where it is mounted")
      ->required()
      ->option_text(" ");
  umount->add_flag("--dead", request->only_dead,
                   "only clean up after a process that died; leave a mount that works alone");
  return {umount, [request] { return RunUmount(*request, ThisProcess()); }};
}

Subcommand AddStatus(CLI::App& app) {
  auto* status =
      app.add_subcommand("status", "Servers, downloads under way, use of the cache, recent errors");
  const auto arguments = std::make_shared<StatusArguments>();
  status->add_option("MOUNTPOINT", arguments->path, "or any path in it [all your mounts]")
      ->option_text(" ");
  status->add_flag("--json", arguments->json, "what /.tcia/status.json has");
  status->add_flag("--watch", arguments->watch, "again every second, until interrupted");
  return {status, [arguments] { return RunStatus(*arguments, ThisProcess()); }};
}

Subcommand AddRefresh(CLI::App& app) {
  auto* refresh = app.add_subcommand("refresh", "Ask the archive again for these listings, now");
  const auto paths = std::make_shared<std::vector<std::string>>();
  refresh->add_option("PATH", *paths, "directories in a mount")->required()->option_text(" ...");
  return {refresh, [paths] { return RunRefresh(*paths, ThisProcess()); }};
}

void AddFetchArguments(CLI::App& command, FetchArguments& arguments, bool fetches) {
  command.add_option("PATH", arguments.paths, "collections, patients, studies, series, images")
      ->required()
      ->option_text(" ...");
  command.add_flag("--all", arguments.whole_archive, "the mountpoint may be one of them");
  if (!fetches) return;
  command.add_option("--jobs", arguments.jobs, "series at once [as --downloads of the mount]")
      ->option_text("N")
      ->check(CLI::Range(1, control::kJobsMax));
}

Subcommand AddFetch(CLI::App& app) {
  auto* fetch = app.add_subcommand("fetch", "Download all of what the paths hold, now, verified");
  const auto arguments = std::make_shared<FetchArguments>();
  AddFetchArguments(*fetch, *arguments, true);
  return {fetch, [arguments] { return RunFetch(*arguments, ThisProcess()); }};
}

Subcommand AddPin(CLI::App& app) {
  auto* pin = app.add_subcommand("pin", "Fetch what the paths hold, and never evict it");
  const auto arguments = std::make_shared<FetchArguments>();
  AddFetchArguments(*pin, *arguments, true);
  pin->add_flag("--no-fetch", arguments->only_mark, "keep what comes; download nothing now");
  return {pin, [arguments] { return RunPin(*arguments, ThisProcess()); }};
}

Subcommand AddUnpin(CLI::App& app) {
  auto* unpin = app.add_subcommand("unpin", "Let what the paths hold be evicted again");
  const auto arguments = std::make_shared<FetchArguments>();
  AddFetchArguments(*unpin, *arguments, false);
  unpin->get_option("PATH")->description("as of pin; or UIDs of series");
  return {unpin, [arguments] { return RunUnpin(*arguments, ThisProcess()); }};
}

Subcommand AddDoctor(CLI::App& app) {
  auto* doctor = app.add_subcommand(
      "doctor", "What is wrong with this machine or a mount, and what to do about it");
  const auto arguments = std::make_shared<MountArguments>();
  doctor->add_option("MOUNTPOINT", arguments->mountpoint, "a mount, or where one is meant to be")
      ->option_text(" ");
  AddMountOptions(*doctor, *arguments);
  return {doctor, [arguments] {
            return RunDoctor({arguments->mountpoint, ToSettings(*arguments), arguments->words},
                             ThisProcess());
          }};
}

Subcommand AddCache(CLI::App& app) {
  CLI::App* cache = nullptr;
  auto run = AddCacheCommands(app, cache);
  return {cache, [run = std::move(run)] { return run(ThisProcess()); }};
}

struct LoginValues {
  LoginArguments arguments;
  std::string proxy;
  std::string ca_file;

  LoginArguments Whole() const {
    LoginArguments whole = arguments;
    if (!proxy.empty()) whole.given.Add("proxy", {proxy, "--proxy"});
    if (!ca_file.empty()) whole.given.Add("cacert", {ca_file, "--cacert"});
    return whole;
  }
};

std::shared_ptr<LoginValues> AddLoginArguments(CLI::App& command, const char* whose) {
  const auto values = std::make_shared<LoginValues>();
  command.add_option("URL", values->arguments.url, "root of the archive, as for --server")
      ->required()
      ->option_text(" ");
  command.add_option("--username", values->arguments.username, whose)->option_text("NAME");
  for (const auto& [name, value] :
       {std::pair{"proxy", &values->proxy}, std::pair{"cacert", &values->ca_file}}) {
    const OptionSpec& option = *FindMountOption(name);
    command.add_option(std::string("--") + name, *value, Description(option))
        ->option_text(option.value);
  }
  return values;
}

Subcommand AddLogin(CLI::App& app) {
  auto* login = app.add_subcommand("login", "Get a token of a private server, for mounts to use");
  const auto values = AddLoginArguments(*login, "the account [asked for]");
  return {login, [values] { return RunLogin(values->Whole(), ThisProcess()); }};
}

Subcommand AddLogout(CLI::App& app) {
  auto* logout = app.add_subcommand("logout", "End and forget what login has got");
  const auto values = AddLoginArguments(*logout, "the account [all]");
  return {logout, [values] { return RunLogout(values->Whole(), ThisProcess()); }};
}

// What could not be written was not told. Who closes a pipe has seen enough.
ExitCode AfterOutput(ExitCode code) {
  errno = 0;
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (!failed || errno == EPIPE) return code;
  const std::string why = errno != 0 ? SystemErrorText(errno) : "not all of it could be written";
  const ExitCode told = Complain({ExitCode::kFailed, "standard output: " + why});
  return code == ExitCode::kDone ? told : code;
}

}  // namespace

ExitCode MountWith(const std::string& mountpoint, Settings settings,
                   const std::vector<std::string>& words, bool sloppy) {
  const Caller caller = ThisProcess();
  auto checked = GatherSettings(std::move(settings), words, sloppy, caller);
  if (!checked) return Complain(checked.error());
  checked->mountpoint = mountpoint;
  return RunMount(*std::move(checked), caller);
}

int Main(int argc, char** argv) {
  // A file opened in the place of a closed standard stream would get what is meant for the stream.
  while (::fcntl(STDERR_FILENO, F_GETFD) < 0 || ::fcntl(STDIN_FILENO, F_GETFD) < 0 ||
         ::fcntl(STDOUT_FILENO, F_GETFD) < 0)
    if (::open("/dev/null", O_RDWR) < 0) break;
  if (argc > 0 && std::filesystem::path(argv[0]).filename() == "mount.tciafs")
    return static_cast<int>(RunMountHelper({argv + 1, argv + argc}));

  CLI::App app{"The Cancer Imaging Archive as a file system"};
  app.name("tciafs");
  app.require_subcommand(1);
  app.set_version_flag("--version", VersionText);
  const Subcommand subcommands[] = {AddMount(app), AddUmount(app), AddStatus(app), AddRefresh(app),
                                    AddFetch(app), AddPin(app),    AddUnpin(app),  AddDoctor(app),
                                    AddCache(app), AddLogin(app),  AddLogout(app)};

  if (argc > 1 && std::string_view(argv[1]) == kCompleteCommand) {
    for (const std::string& offer : Complete(app, {argv + 2, argv + argc}))
      std::printf("%s\n", offer.c_str());
    return static_cast<int>(ExitCode::kDone);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    std::string what = wrong.what();
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty())
      what = "there is no subcommand '" + std::string(argv[1]) + "'";
    std::fprintf(stderr, "tciafs: %s\nTry 'tciafs --help'.\n", what.c_str());
    return static_cast<int>(ExitCode::kUsage);
  }
  for (const Subcommand& subcommand : subcommands)
    if (subcommand.app->parsed()) return static_cast<int>(AfterOutput(subcommand.run()));
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace tciafs::cli
