// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/doctor_checks.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/apparmor.h"
#include "cli/credentials.h"
#include "cli/daemon_link.h"
#include "cli/limits.h"
#include "cli/runtime_state.h"
#include "tciafs/util/result.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

constexpr rlim_t kDescriptorsEnough = 4096;
constexpr int kCapabilitySysAdmin = 21;

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

// The value of a line "Name:\tvalue" of /proc/self/status.
std::string StatusField(const Machine& machine, std::string_view name) {
  const std::string content = ContentOf(machine.Path("/proc/self/status"));
  for (const std::string_view line : SplitText(content, '\n'))
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':'))
      return std::string(TrimBlanks(line.substr(name.size() + 1)));
  return "";
}

bool MayMount(const Machine& machine) {
  const std::string text = StatusField(machine, "CapEff");
  uint64_t capabilities = 0;
  std::from_chars(text.data(), text.data() + text.size(), capabilities, 16);
  return (capabilities >> kCapabilitySysAdmin & 1) != 0;
}

bool InContainer(const Machine& machine) {
  return Exists(machine.Path("/.dockerenv")) || Exists(machine.Path("/run/.containerenv")) ||
         machine.caller.environment("container") != nullptr;
}

bool KernelKnowsFuse(const Machine& machine) {
  const std::string content = ContentOf(machine.Path("/proc/filesystems"));
  for (const std::string_view line : SplitText(content, '\n'))
    if (TrimBlanks(line.substr(std::min(line.size(), line.find('\t') + 1))) == "fuse") return true;
  return false;
}

constexpr const char* kContainerRemedy =
    "start the container with --device /dev/fuse --cap-add SYS_ADMIN";

std::string RemedyForDevice(const Machine& machine, const std::string& path, int error) {
  if (InContainer(machine) && error != EACCES) return kContainerRemedy;
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    return KernelKnowsFuse(machine) ? "run as root: mknod /dev/fuse c 10 229; chmod 666 /dev/fuse"
                                    : "load the kernel's module as root: modprobe fuse";
  struct stat st {};
  const bool group_may = ::stat(path.c_str(), &st) == 0 && (st.st_mode & 060) == 060;
  const struct group* group = group_may && st.st_gid != 0 ? ::getgrgid(st.st_gid) : nullptr;
  if (group != nullptr)
    return fmt::format("join its group as root, then log in anew: usermod -aG {} USER",
                       group->gr_name);
  return "run as root: chmod 666 /dev/fuse";
}

Finding CheckDevice(const Machine& machine) {
  const std::string path = machine.Path("/dev/fuse");
  const UniqueFd device(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (device.valid()) return Finding::Ok("/dev/fuse can be opened");
  const int error = errno;
  return Finding::Fail(ExitCode::kCannotMount, "/dev/fuse: " + SystemErrorText(error),
                       RemedyForDevice(machine, path, error));
}

// Where libfuse and the shell would find it; "" if nowhere.
std::string FindHelper(const Machine& machine) {
  const char* search = machine.caller.environment("PATH");
  const std::string directories =
      std::string(search != nullptr ? search : "") + ":/usr/bin:/bin:/usr/local/bin";
  for (const std::string_view directory : SplitText(directories, ':')) {
    const std::string path = std::string(directory) + "/fusermount3";
    if (directory.starts_with('/') && Exists(machine.Path(path))) return path;
  }
  return "";
}

Finding CheckHelper(const Machine& machine) {
  const std::string path = FindHelper(machine);
  if (path.empty())
    return Finding::Fail(ExitCode::kCannotMount, "fusermount3, which mounts for you, is missing",
                         "install the package fuse3");
  const auto refuse = [&path](const std::string& why, const std::string& remedy) {
    return Finding::Fail(ExitCode::kCannotMount, path + why, remedy);
  };
  struct stat st {};
  if (::stat(machine.Path(path).c_str(), &st) != 0)
    return refuse(": " + SystemErrorText(errno), "install the package fuse3 anew");
  if (st.st_uid != 0 || (st.st_mode & S_ISUID) == 0)
    return refuse(" is not setuid root, so it may not mount for you",
                  fmt::format("run as root: chown root {0}; chmod u+s {0}", path));
  struct statvfs file_system {};
  if (::statvfs(machine.Path(path).c_str(), &file_system) == 0 &&
      (file_system.f_flag & ST_NOSUID) != 0)
    return refuse(" is on a file system mounted nosuid, so it may not mount for you",
                  "install it elsewhere, or mount as root");
  if (StatusField(machine, "NoNewPrivs") == "1")
    return refuse(" gets no privileges here (no_new_privs)",
                  "start this without NoNewPrivileges or no-new-privileges, or mount as root");
  return Finding::Ok(path + " may mount for you");
}

// The words of NAME="..." in updatedb.conf.
std::vector<std::string> ConfWords(const std::string& content, std::string_view name) {
  std::vector<std::string> words;
  for (std::string_view line : SplitText(content, '\n')) {
    line = TrimBlanks(line);
    if (!line.starts_with(name)) continue;
    const std::string_view rest = TrimBlanks(line.substr(name.size()));
    if (!rest.starts_with('=')) continue;
    std::string value(TrimBlanks(rest.substr(1)));
    std::erase(value, '"');
    for (const std::string_view word : SplitText(value, ' '))
      if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/") || directory == "/";
}

// What the package puts beside the unit of plocate.
bool HasCrawlerDropIn(const Machine& machine) {
  for (const char* units : {"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system",
                            "/usr/local/lib/systemd/system", "/lib/systemd/system"}) {
    const std::string directory = machine.Path(std::string(units) + "/plocate-updatedb.service.d");
    std::error_code failed;
    for (const auto& file : std::filesystem::directory_iterator(directory, failed))
      if (ContentOf(file.path()).find("fuse.tciafs") != std::string::npos) return true;
  }
  return false;
}

// A mount whose process is known to live is not touched.
bool IsDead(const MountEntry& mount, const Caller& caller) {
  return !FindRecord(mount.mountpoint, mount.owner_uid, caller) && IsDeadMount(mount.mountpoint);
}

Finding DescribeRunningServer(const control::Message& server) {
  const std::string& name = server.Text("name");
  const std::string& state = server.Text("state");
  const std::string& trouble = server.Text("trouble");
  const std::string look = "see what is wrong with: tciafs doctor --server " + server.Text("url");
  if (state != "ok")
    return Finding::Fail(ExitCode::kArchive,
                         name + ": " + state + " (" + server.Text("reason") + ")", look);
  if (server.Text("code") == ErrcName(Errc::kUnauthenticated))
    return Finding::Fail(
        ExitCode::kCredentials, trouble.starts_with(name) ? trouble : name + ": " + trouble,
        trouble.find("tciafs login") != std::string::npos ? "" : "see CREDENTIALS in man tciafs");
  const std::string api = server.Text("api").empty() ? "" : ", API " + server.Text("api");
  if (!trouble.empty()) return Finding::Warn(name + ": answers" + api + ", but " + trouble, look);
  if (server.Number("answered") == 0)
    return Finding::Warn(name + ": nothing has come from it since the mount began", look);
  return Finding::Ok(name + ": answers" + api);
}

}  // namespace

Findings CheckFuse(const Machine& machine) {
  Findings findings{CheckDevice(machine)};
  if (machine.caller.uid != 0)
    findings.push_back(CheckHelper(machine));
  else if (MayMount(machine))
    findings.push_back(Finding::Ok("root may mount"));
  else
    findings.push_back(
        Finding::Fail(ExitCode::kCannotMount, "root may not mount here",
                      InContainer(machine) ? kContainerRemedy : "give this process CAP_SYS_ADMIN"));
  return findings;
}

Findings CheckAllowOther(const Machine& machine) {
  if (machine.caller.uid == 0) return {};
  const std::string content = ContentOf(machine.Path("/etc/fuse.conf"));
  for (const std::string_view line : SplitText(content, '\n'))
    if (TrimBlanks(line) == "user_allow_other")
      return {Finding::Ok("/etc/fuse.conf allows --allow-other")};
  return {Finding::Fail(ExitCode::kCannotMount, "/etc/fuse.conf does not allow --allow-other",
                        "write there as root a line: user_allow_other")};
}

Findings CheckAppArmor(const Machine& machine, const std::string& mountpoint) {
  if (machine.caller.uid == 0 || HandedOverDevice(mountpoint)) return {};
  const auto profile = ReadFusermountProfile(machine.root);
  if (!profile) return {};
  for (const std::string& glob : profile->mountpoints)
    if (MatchesAppArmorGlob(glob, mountpoint + "/"))
      return {Finding::Ok("AppArmor lets fusermount3 mount on " + mountpoint)};
  const std::filesystem::path path(mountpoint);
  return {Finding::Fail(
      ExitCode::kCannotMount, "AppArmor does not let fusermount3 mount on " + mountpoint,
      fmt::format("mount below your home directory or /mnt; or allow it as the comment in "
                  "share/doc/tciafs/examples/apparmor-fusermount3 says, for {}",
                  path.parent_path() == "/" ? mountpoint : path.parent_path().string()))};
}

Findings CheckMountDirectory(const Machine& machine, const std::string& mountpoint,
                             bool allow_nonempty) {
  const auto checked = CheckMountpoint(mountpoint, allow_nonempty);
  if (!checked) return {{Finding::Grade::kFail, checked.error().message, checked.error().code}};
  if (HandedOverDevice(mountpoint)) return {Finding::Ok(mountpoint + " is a device handed over")};
  Findings findings;
  struct stat st {};
  const bool found = ::stat(checked->c_str(), &st) == 0;
  const uint32_t uid = machine.caller.uid;
  if (uid != 0 && (::access(checked->c_str(), W_OK) != 0 ||
                   (found && (st.st_mode & S_ISVTX) != 0 && st.st_uid != uid)))
    findings.push_back(Finding::Fail(
        ExitCode::kCannotMount, "mountpoint " + *checked + " is not yours",
        "fusermount3 mounts only on directories that you may write; take one of your own"));
  const std::string network = NetworkFileSystemAt(*checked);
  if (uid != 0 && !network.empty())
    findings.push_back(Finding::Warn(
        "mountpoint " + *checked + " is on " + network,
        "its server may keep root out, and with it fusermount3; if the mount fails, take a "
        "directory on a local disk"));
  if (findings.empty()) findings.push_back(Finding::Ok("mountpoint " + *checked + " can be used"));
  return findings;
}

Findings CheckCrawlers(const Machine& machine, const std::string& mountpoint) {
  const std::string path = machine.Path("/etc/updatedb.conf");
  if (!Exists(path)) return {};
  const std::string content = ContentOf(path);
  for (const std::string& word : ConfWords(content, "PRUNEFS"))
    if (EqualsIgnoringCase(word, "fuse.tciafs"))
      return {Finding::Ok("updatedb keeps out of mounts (/etc/updatedb.conf)")};
  if (HasCrawlerDropIn(machine)) return {Finding::Ok("updatedb keeps out of mounts (its unit)")};
  if (!mountpoint.empty())
    for (const std::string& word : ConfWords(content, "PRUNEPATHS"))
      if (IsBelow(mountpoint, word)) return {Finding::Ok("updatedb keeps out of " + word)};
  return {Finding::Warn("updatedb would walk through mounts that it can see",
                        "add fuse.tciafs to PRUNEFS in /etc/updatedb.conf")};
}

Findings CheckDescriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  const std::string what = fmt::format("a process may have {} open files", limit.rlim_max);
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= kDescriptorsEnough)
    return {Finding::Ok(limit.rlim_max == RLIM_INFINITY ? "open files are not limited" : what)};
  return {Finding::Warn(what,
                        "each instance that is open takes one; raise the hard limit (ulimit -Hn, "
                        "LimitNOFILE= in a unit)")};
}

Findings CheckDeadMounts(const Caller& caller, const std::string& except) {
  Findings findings;
  for (const MountEntry& mount : ReadMountTable())
    if (mount.type == "fuse.tciafs" && mount.mountpoint != except &&
        (caller.uid == 0 || mount.owner_uid == caller.uid) && IsDead(mount, caller))
      findings.push_back(Finding::Warn(mount.mountpoint + ": the process that served it died",
                                       "clean it up with: tciafs umount " + mount.mountpoint));
  return findings;
}

Findings CheckRunningMount(const MountEntry& mount, const Caller& caller) {
  if (IsDead(mount, caller))
    return {Finding::Fail(ExitCode::kCannotMount,
                          mount.mountpoint + ": the process that served it died",
                          "clean it up with: tciafs umount " + mount.mountpoint)};
  auto connection = ConnectTo(mount, caller);
  if (!connection)
    return {{Finding::Grade::kFail, connection.error().message, connection.error().code}};
  Findings findings;
  const auto asked = AskMount(
      *connection, control::Message("status"),
      [&](const control::Message& answer) {
        if (answer.kind() == "mount")
          findings.push_back(Finding::Ok(mount.mountpoint + ": mounted, and its process answers"));
        else if (answer.kind() == "server")
          findings.push_back(DescribeRunningServer(answer));
        else if (answer.kind() == "cache" && answer.Number("degraded") == 1)
          findings.push_back(Finding::Fail(ExitCode::kCache,
                                           "the disk of the cache fails; new data is only held in "
                                           "memory",
                                           "make space, or see what the system's log says of the "
                                           "disk"));
      },
      kStatusWaitMaxMs);
  if (!asked) {
    const std::string& reason = asked.error().message;
    const bool named = reason.starts_with(mount.mountpoint + ": ");
    findings.push_back(Finding::Fail(ExitCode::kFailed,
                                     named ? reason : mount.mountpoint + ": " + reason,
                                     "end it with: tciafs umount " + mount.mountpoint));
  }
  return findings;
}

Findings CheckConfiguration(const Caller& caller) {
  Findings findings;
  for (const std::string& path : ConfigFilePaths(caller)) {
    if (!Exists(path)) continue;
    std::vector<Failure> problems;
    ReadConfigLines(path, problems);
    if (problems.empty()) findings.push_back(Finding::Ok("settings in " + path));
    for (const Failure& problem : problems)
      findings.push_back(Finding::Fail(problem.code, problem.message,
                                       "mend or remove it (the settings: man tciafs)"));
  }
  return findings;
}

Findings CheckSecrets(const MountSettings& settings, const Caller& caller) {
  Findings findings;
  const auto add = [&findings](const Failure& failure) {
    for (const Finding& known : findings)
      if (known.text == failure.message) return;
    findings.push_back({Finding::Grade::kFail, failure.message, failure.code});
  };
  if (const auto key = FindApiKey(settings, caller); !key) add(key.error());
  for (const std::string& server : settings.servers)
    if (const auto found = FindCredentials(settings, server, caller); !found) add(found.error());
  const char* named = caller.environment("NETRC");
  const char* home = caller.environment("HOME");
  const std::string netrc = named != nullptr  ? named
                            : home != nullptr ? std::string(home) + "/.netrc"
                                              : "";
  struct stat st {};
  if (!netrc.empty() && ::stat(netrc.c_str(), &st) == 0 && S_ISREG(st.st_mode) &&
      (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    findings.push_back(Finding::Warn(netrc + " is not used, since others can read it",
                                     "protect it with: chmod 600 " + netrc));
  return findings;
}

}  // namespace tciafs::cli
