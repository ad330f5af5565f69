// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// `tciafs cache import`: this process reads the user's files, the one that has the cache open
// decides what it believes (src/control/import_operation.h).
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <utility>

#include "cli/cache_access.h"
#include "cli/cache_command.h"
#include "cli/daemon_link.h"
#include "cli/import_scan.h"
#include "cli/limits.h"
#include "cli/status_view.h"
#include "cli/terminal.h"
#include "tciafs/control/limits.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

using control::Message;

class Importing {
 public:
  Importing(const CacheAccess& access, const FoundFiles& found)
      : access_(access), found_(found), paint_(CanPaint(STDOUT_FILENO)) {
    for (const auto& [uid, series] : found.series) whole_bytes_ += series.size_bytes();
  }

  ExitCode Run() {
    for (const auto& [uid, series] : found_.series) {
      const Status outcome = Import(uid, series);
      if (Interruptible::Interrupted()) {
        painter_.Clear();
        return ExitCode::kInterrupted;
      }
      if (!outcome) NoteFailure(uid, outcome.error());
      if (stopped_) break;
    }
    painter_.Clear();
    std::printf("imported %s images of %s series, %s", CountText(instances_).c_str(),
                CountText(imported_).c_str(), FormatSize(bytes_).c_str());
    if (here_ > 0) std::printf("; %s series were there already", CountText(here_).c_str());
    std::printf("\n");
    return code_;
  }
  int64_t left_out() const { return left_out_; }

 private:
  void Say(const std::string& line) {
    painter_.Clear();
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  void NoteFailure(const std::string& uid, const Error& error) {
    ++left_out_;
    Say(uid + ": left out: " + Printable(error.message));
    const ExitCode code =
        error.code == Errc::kNotFound ? ExitCode::kUnverified : ExitCodeOf(error.code);
    if (code_ == ExitCode::kDone || code_ == ExitCode::kUnverified) code_ = code;
  }

  Status Import(const std::string& uid, const FoundSeries& series) {
    auto connected = access_.Connect();
    if (!connected) {
      stopped_ = true;
      return Fail(Errc::kInternal, connected.error().message);
    }
    const Interruptible interruptible(connected->fd());
    Status sent = Offer(*connected, uid, series);
    // What it was answered with says more than that nobody listens any more.
    for (bool over = false; !over;) {
      auto answer = connected->Receive(kAnswerWaitMaxMs);
      if (!answer) return Fail(std::move(answer).error());
      if (!*answer) return sent ? Fail(Errc::kCancelled, "the mount has ended") : sent;
      const Message& message = **answer;
      if (message.kind() == "failed") return Fail(Unreadable(control::ErrorIn(message)));
      over = message.kind() == "done";
      if (message.kind() == "sums_wanted") sent = SendSums(*connected, uid, series);
      if (message.kind() == "accepted") sent = SendAll(*connected, series, message.Text("path"));
      if (message.kind() == "here") {
        ++here_;
        whole_bytes_ -= series.size_bytes();
        Say(Printable(message.Text("path")) + ": is there already");
      }
      if (message.kind() == "imported") NoteImported(message);
    }
    return {};
  }

  void NoteImported(const Message& message) {
    ++imported_;
    instances_ += message.Number("instances", 0);
    bytes_ += message.Number("size_bytes", 0);
    Say(fmt::format("{}: {} images, {}", Printable(message.Text("path")),
                    CountText(message.Number("instances", 0)),
                    FormatSize(message.Number("size_bytes", 0))));
  }

  static Status Offer(control::Connection& connection, const std::string& uid,
                      const FoundSeries& series) {
    Message request("cache_import");
    request.Add("series", uid).Add("study", series.study).Add("patient", series.patient);
    for (const std::string& collection : series.collections) request.Add("collection", collection);
    TCIAFS_TRY(connection.Send(request));
    for (const auto& [sop, instance] : series.instances) {
      Message offer("offer");
      offer.Add("sop", sop).Add("size_bytes", instance.size_bytes);
      if (!instance.md5_hex.empty()) offer.Add("md5", instance.md5_hex);
      TCIAFS_TRY(connection.Send(offer));
    }
    return connection.Send(Message("offered"));
  }

  // Of what no list came with; the bytes are read again when they are wanted.
  Status SendSums(control::Connection& connection, const std::string& uid,
                  const FoundSeries& series) {
    for (const auto& [sop, instance] : series.instances) {
      if (!instance.md5_hex.empty()) continue;
      Md5 md5;
      const Status read = files_.Read(instance, [&](ByteView bytes) -> Status {
        md5.Update(bytes);
        Paint("summing up " + uid);
        return {};
      });
      if (!read) return GiveUp(connection, instance, read.error());
      TCIAFS_TRY(connection.Send(Message("sum").Add("sop", sop).Add("md5", md5.FinishHex())));
    }
    return {};
  }

  // A file that fails us ends the connection: what was promised cannot be sent.
  tl::unexpected<Error> GiveUp(const control::Connection& connection, const FoundInstance& instance,
                               Error error) {
    unreadable_ = Error{Errc::kCorrupt, instance.path + ": " + error.message};
    ::shutdown(connection.fd(), SHUT_WR);
    return Fail(std::move(error));
  }

  Status SendAll(control::Connection& connection, const FoundSeries& series,
                 const std::string& path) {
    for (const auto& [sop, instance] : series.instances) {
      TCIAFS_TRY(connection.Send(
          Message("instance").Add("sop", sop).Add("size_bytes", instance.size_bytes)));
      Status broken;
      const Status read = files_.Read(instance, [&](ByteView bytes) -> Status {
        if (broken = connection.SendBytes(bytes); !broken) return broken;
        done_bytes_ += static_cast<int64_t>(bytes.size());
        Paint(path);
        return {};
      });
      if (read) continue;
      if (broken) return GiveUp(connection, instance, read.error());
      ::shutdown(connection.fd(), SHUT_WR);
      return read;
    }
    return connection.Send(Message("end"));
  }

  Error Unreadable(Error answered) {
    if (!unreadable_) return answered;
    return *std::exchange(unreadable_, std::nullopt);
  }

  void Paint(const std::string& path) {
    const int64_t now_ms = clock_.MonotonicMs();
    if (!paint_ || now_ms - painted_ms_ < control::kProgressPauseMs) return;
    painted_ms_ = now_ms;
    painter_.Show(
        {WorkLine(done_bytes_, whole_bytes_, path, SizeOfTerminal(STDOUT_FILENO).columns)});
  }

  const CacheAccess& access_;
  const FoundFiles& found_;
  const bool paint_;
  const SystemClock clock_;
  Repainter painter_{STDOUT_FILENO};
  InstanceBytes files_;
  std::optional<Error> unreadable_;
  int64_t painted_ms_ = 0;
  int64_t whole_bytes_ = 0;
  int64_t done_bytes_ = 0;
  int64_t imported_ = 0;
  int64_t instances_ = 0;
  int64_t bytes_ = 0;
  int64_t here_ = 0;
  int64_t left_out_ = 0;
  bool stopped_ = false;
  ExitCode code_ = ExitCode::kDone;
};

Outcome<FoundFiles> Scan(const CacheArguments& arguments) {
  for (const std::string& path : arguments.what)
    if (FindMountedPath(path))
      return FailWith(ExitCode::kUsage,
                      path + ": is in a mounted tciafs; name what lies elsewhere");
  const Interruptible interruptible(-1);
  ImportScan scan([] { return !Interruptible::Interrupted(); });
  for (const std::string& path : arguments.what) scan.Add(path);
  if (Interruptible::Interrupted()) return FailWith(ExitCode::kInterrupted, "interrupted");
  FoundFiles found = scan.Take();
  if (!arguments.collection.empty())
    for (auto& [uid, series] : found.series) series.collections = {arguments.collection};
  return found;
}

std::string FoundText(const FoundFiles& found) {
  int64_t bytes = 0;
  for (const auto& [uid, series] : found.series) bytes += series.size_bytes();
  std::string text =
      fmt::format("found {} images of {} series, {}", CountText(found.dicom_files),
                  CountText(static_cast<int64_t>(found.series.size())), FormatSize(bytes));
  if (found.repeated > 0) text += "; " + CountText(found.repeated) + " more than once";
  if (found.other_files > 0)
    text += "; " + CountText(found.other_files) + " other files passed over";
  return text;
}

// Series that push each other out would be reported as imported. What is pinned there, or there
// already, is not looked at: the cache itself refuses what finds no room.
Outcome<void> CheckRoom(const CacheAccess& access, const FoundFiles& found) {
  int64_t needed_bytes = 0;
  for (const auto& [uid, series] : found.series) needed_bytes += series.size_bytes();
  int64_t room_bytes = 0;
  auto asked = access.Ask(Message("cache_info"), [&room_bytes](const Message& cache) {
    const int64_t disk_bytes = cache.Number("used_bytes", 0) + cache.Number("disk_free_bytes", 0) -
                               cache.Number("free_floor_bytes", 0);
    room_bytes = std::min(cache.Number("cap_bytes", 0), disk_bytes);
  });
  if (!asked) return asked;
  if (needed_bytes <= room_bytes) return {};
  return FailWith(
      ExitCode::kFailed,
      fmt::format("does not fit: {} were found, and the cache has room for {}; name less, "
                  "or see --cache-size and --min-free",
                  FormatSize(needed_bytes), FormatSize(std::max<int64_t>(room_bytes, 0))));
}

}  // namespace

ExitCode RunCacheImport(const CacheArguments& arguments, const Caller& caller) {
  const auto found = Scan(arguments);
  if (!found && found.error().code == ExitCode::kInterrupted) return ExitCode::kInterrupted;
  if (!found) return Complain(found.error());
  ExitCode code = ExitCode::kDone;
  for (const Error& failure : found->failures)
    code = Complain({ExitCodeOf(failure.code) == ExitCode::kUnverified ? ExitCode::kUnverified
                                                                       : ExitCode::kFailed,
                     failure.message});
  if (found->series.empty()) {
    if (code != ExitCode::kDone) return code;
    return Complain({ExitCode::kFailed, "there are no DICOM files in " + arguments.what.front()});
  }
  std::printf("%s\n", FoundText(*found).c_str());
  std::fflush(stdout);
  auto access = CacheAccess::Open(arguments.cache_dir, caller, CacheAccess::Purpose::kFill);
  if (!access) return Complain(access.error());
  if (auto room = CheckRoom(*access, *found); !room) return Complain(room.error());
  Importing importing(*access, *found);
  const ExitCode imported = importing.Run();
  if (imported == ExitCode::kInterrupted || imported == ExitCode::kDone)
    return imported == ExitCode::kDone ? code : imported;
  return Complain({imported, CountText(importing.left_out()) + " series were left out"});
}

}  // namespace tciafs::cli
