// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include <memory>

#include "tciafs/util/mutex.h"

namespace tciafs {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("tciafs", std::move(sink));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

constexpr const char* kLinePattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";

// Swapped as a whole, so that a line is never written to a half-configured logger.
class CurrentLogger {
 public:
  CurrentLogger() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("tciafs: %l: %v");
    logger_ = MakeLogger(std::move(sink));
    logger_->set_level(spdlog::level::info);
  }
  std::shared_ptr<spdlog::logger> get() const {
    MutexLock lock(mutex_);
    return logger_;
  }
  void Swap(std::shared_ptr<spdlog::logger>& logger) {
    MutexLock lock(mutex_);
    logger_.swap(logger);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<spdlog::logger> logger_ TCIAFS_GUARDED_BY(mutex_);
};

CurrentLogger& Logger() {
  static CurrentLogger logger;
  return logger;
}

}  // namespace

Status ConfigureLog(const LogOptions& options) {
  try {
    spdlog::sink_ptr sink;
    switch (options.target) {
      case LogOptions::Target::kStderr:
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        sink->set_pattern(kLinePattern);
        break;
      case LogOptions::Target::kFile:
        sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file_path);
        sink->set_pattern(kLinePattern);
        break;
      case LogOptions::Target::kSyslog:
        sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("tciafs", LOG_PID, LOG_DAEMON, true);
        sink->set_pattern("%v");
        break;
    }
    auto logger = MakeLogger(std::move(sink));
    logger->set_level(ToSpdlog(options.level));
    Logger().Swap(logger);
  } catch (const spdlog::spdlog_ex& failure) {
    return Fail(Errc::kInvalidArgument, failure.what());
  }
  return {};
}

Result<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  return Fail(Errc::kInvalidArgument,
              fmt::format("log level '{}' is none of debug, info, warning, error", text));
}

bool LogEnabled(LogLevel level) { return Logger().get()->should_log(ToSpdlog(level)); }

void LogLine(LogLevel level, std::string_view line) {
  Logger().get()->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace tciafs
