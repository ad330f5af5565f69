// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One line per event that matters, to stderr, a file, syslog or the journal. Thread-safe. Secrets
// never come here: callers log URLs without their query where a query could carry one, and no
// headers.
//
//   LogWarning("server {}: {}", name, error.message);
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogOptions {
  enum class Target { kStderr, kFile, kSyslog, kJournal };  // kJournal: stderr, as it reads it
  Target target = Target::kStderr;
  std::string file_path;  // for kFile; appended to
  LogLevel level = LogLevel::kInfo;
};

Status ConfigureLog(const LogOptions& options);
// Opens the log's file anew, by its name, after somebody renamed it; the old one stays in use if
// that fails. Nothing happens where the log goes elsewhere.
Status ReopenLog();
// To debug, and from debug back to the level configured (to info, if that is debug). Logs which.
void CycleLogLevel();
Result<LogLevel> ParseLogLevel(std::string_view text);  // debug, info, warning, error
std::string_view ToString(LogLevel level);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view line);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kDebug))
    LogLine(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kInfo))
    LogLine(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tciafs
