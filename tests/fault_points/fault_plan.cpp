// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fault_plan.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include "tciafs/util/fault_point.h"
#include "tciafs/util/text.h"

namespace tciafs::testing {
namespace {

constexpr struct {
  std::string_view name;
  int number;
} kErrors[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EROFS", EROFS},   {"EACCES", EACCES},
    {"ENOENT", ENOENT}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"ENOMEM", ENOMEM},
    {"EDQUOT", EDQUOT}, {"EINTR", EINTR},   {"EPERM", EPERM},   {"SHORT", kFaultShort},
};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

[[noreturn]] void Refuse(std::string_view what) {
  std::fprintf(stderr, "fault plan: '%s' is not understood\n", std::string(what).c_str());
  std::_Exit(99);
}

int64_t Number(std::string_view text, std::string_view whole) {
  int64_t number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) Refuse(whole);
  return number;
}

bool Fits(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return pattern == name;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

FaultPlan& FaultPlan::OfProcess() {
  static FaultPlan plan;
  return plan;
}

FaultPlan::FaultPlan() : path_(FromEnvironment("TCIAFS_FAULT_POINTS_FILE")) {
  const std::string log = FromEnvironment("TCIAFS_FAULT_POINTS_LOG");
  if (!log.empty()) {
    log_.Reset(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!log_.valid()) Refuse(log);
  }
  MutexLock lock(mutex_);
  Read(FromEnvironment("TCIAFS_FAULT_POINTS"));
}

FaultPlan::Rule FaultPlan::ParseRule(std::string_view text) {
  Rule rule;
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) Refuse(text);
  rule.name = text.substr(0, equals);
  std::string_view action = text.substr(equals + 1);
  if (const size_t at = action.find('@'); at != std::string_view::npos) {
    std::string_view hits = action.substr(at + 1);
    action = action.substr(0, at);
    const bool onwards = hits.ends_with('+');
    if (onwards) hits.remove_suffix(1);
    rule.first = Number(hits, text);
    if (!onwards) rule.last = rule.first;
  }
  if (action == "KILL") {
    rule.action = Rule::Action::kKill;
  } else if (action == "STOP") {
    rule.action = Rule::Action::kStop;
  } else if (action.starts_with("SLEEP:")) {
    rule.action = Rule::Action::kSleep;
    rule.argument = Number(action.substr(6), text);
  } else {
    for (const auto& error : kErrors)
      if (error.name == action) rule.argument = error.number;
    if (rule.argument == 0) Refuse(text);
  }
  return rule;
}

void FaultPlan::Read(std::string_view plan) {
  rules_.clear();
  clock_offset_ms_ = 0;
  for (const std::string_view line : SplitText(plan, '\n')) {
    for (const std::string_view part : SplitText(line, ';')) {
      const std::string_view text = TrimBlanks(part);
      if (text.empty()) continue;
      if (text.starts_with("clock=")) {
        clock_offset_ms_ = Number(text.substr(6), text);
      } else {
        rules_.push_back(ParseRule(text));
      }
    }
  }
}

void FaultPlan::ReadAgainIfReplaced() {
  struct stat file {};
  if (path_.empty() || ::stat(path_.c_str(), &file) != 0) return;
  const std::string seen = fmt::format("{} {} {} {}", file.st_ino, file.st_mtim.tv_sec,
                                       file.st_mtim.tv_nsec, file.st_size);
  if (seen == seen_) return;
  seen_ = seen;
  std::ifstream stream(path_);
  Read(std::string{std::istreambuf_iterator<char>(stream), {}});
}

FaultPlan::Rule* FaultPlan::Due(std::string_view name) {
  Rule* due = nullptr;
  for (Rule& rule : rules_) {
    if (!Fits(rule.name, name)) continue;
    ++rule.hits;
    if (due == nullptr && rule.hits >= rule.first && rule.hits <= rule.last) due = &rule;
  }
  return due;
}

int FaultPlan::Hit(std::string_view name) {
  const int errno_before = errno;
  if (log_.valid()) {
    const std::string line = std::string(name) + "\n";
    if (::write(log_.get(), line.data(), line.size()) < 0) Refuse("the log");
  }
  std::optional<Rule> due;
  {
    MutexLock lock(mutex_);
    ReadAgainIfReplaced();
    if (const Rule* rule = Due(name)) due = *rule;
  }
  int answer = 0;
  if (due && due->action == Rule::Action::kError) answer = static_cast<int>(due->argument);
  if (due && due->action == Rule::Action::kKill) ::kill(::getpid(), SIGKILL);
  if (due && due->action == Rule::Action::kStop) ::raise(SIGSTOP);
  if (due && due->action == Rule::Action::kSleep)
    std::this_thread::sleep_for(std::chrono::milliseconds(due->argument));
  errno = errno_before;
  return answer;
}

int64_t FaultPlan::ClockOffsetMs() {
  MutexLock lock(mutex_);
  ReadAgainIfReplaced();
  return clock_offset_ms_;
}

}  // namespace tciafs::testing
