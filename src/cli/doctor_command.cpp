// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/doctor_command.h"

#include <cstdio>

#include "cli/daemon_link.h"
#include "cli/doctor_checks.h"
#include "cli/runtime_state.h"
#include "cli/terminal.h"
#include "tciafs/util/log.h"

namespace tciafs::cli {
namespace {

// Prints as it goes: what comes later may take seconds.
class Diagnosis {
 public:
  void Tell(const Findings& findings) {
    for (const Finding& finding : findings) {
      const char* grade = finding.grade == Finding::Grade::kOk     ? "ok"
                          : finding.grade == Finding::Grade::kWarn ? "warn"
                                                                   : "FAIL";
      std::printf("%-4s  %s\n", grade, Printable(finding.text).c_str());
      std::fflush(stdout);
      if (finding.grade == Finding::Grade::kFail && code_ == ExitCode::kDone) code_ = finding.code;
    }
  }
  ExitCode code() const { return code_; }

 private:
  ExitCode code_ = ExitCode::kDone;
};

// What a mount needs of the machine, wherever it is to be.
void TellOfMachine(Diagnosis& report, const Machine& machine, const std::string& mountpoint) {
  report.Tell(CheckFuse(machine));
  report.Tell(CheckDescriptors());
  report.Tell(CheckCrawlers(machine, mountpoint));
  report.Tell(CheckDeadMounts(machine.caller, mountpoint));
}

void TellOfNewMount(Diagnosis& report, const Machine& machine, const MountSettings& settings) {
  const std::string& mountpoint = settings.mountpoint;
  if (settings.allow_other) report.Tell(CheckAllowOther(machine));
  if (!mountpoint.empty()) {
    report.Tell(CheckMountDirectory(machine, mountpoint, settings.nonempty));
    report.Tell(CheckAppArmor(machine, mountpoint));
    if (const auto places = CheckPlaces(settings); !places)
      report.Tell({{Finding::Grade::kFail, places.error().message, places.error().code}});
  }
  report.Tell(CheckSecrets(settings, machine.caller));
  report.Tell(CheckCache(settings, mountpoint, machine.caller));
  report.Tell(CheckServers(settings, machine.caller));
}

// Its servers are its process's to tell of, its cache is the one it has.
void TellOfRunningMount(Diagnosis& report, const MountEntry& mount,
                        const Outcome<MountSettings>& like, const Caller& caller) {
  report.Tell(CheckRunningMount(mount, caller));
  const auto record = FindRecord(mount.mountpoint, mount.owner_uid, caller);
  if (!record || mount.owner_uid != caller.uid) return;
  MountSettings settings = like.value_or(MountSettings());
  settings.cache_dir = record->cache_dir;
  report.Tell(CheckCache(settings, mount.mountpoint, caller));
}

}  // namespace

ExitCode RunDoctor(const DoctorArguments& arguments, const Caller& caller) {
  LogOptions log;  // what goes wrong is told as a finding
  log.level = LogLevel::kError;
  if (auto configured = ConfigureLog(log); !configured)
    return Complain({ExitCode::kFailed, configured.error().message});
  auto settings = GatherSettings(arguments.given, arguments.words, false, caller);
  const std::string mountpoint =
      arguments.mountpoint.empty() ? "" : ResolveMountpoint(arguments.mountpoint);
  const auto mount = mountpoint.empty() ? std::nullopt : FindMount(mountpoint);

  const Machine machine{caller, ""};
  Diagnosis report;
  TellOfMachine(report, machine, mountpoint);
  const Findings configuration = CheckConfiguration(caller);
  report.Tell(configuration);
  bool told = false;
  for (const Finding& finding : configuration)
    told = told || finding.grade == Finding::Grade::kFail;
  if (!settings && !told)
    report.Tell({{Finding::Grade::kFail, settings.error().message, settings.error().code}});
  if (mount) {
    TellOfRunningMount(report, *mount, settings, caller);
  } else if (settings) {
    settings->mountpoint = mountpoint;
    TellOfNewMount(report, machine, *settings);
  }
  return report.code();
}

}  // namespace tciafs::cli
