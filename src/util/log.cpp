// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/log.h"

#include <spdlog/pattern_formatter.h>
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

// The number that syslog(3) gives a level; the journal reads it from the beginning of a line.
class PriorityFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const int priority = message.level >= spdlog::level::err    ? LOG_ERR
                         : message.level == spdlog::level::warn ? LOG_WARNING
                         : message.level == spdlog::level::info ? LOG_INFO
                                                                : LOG_DEBUG;
    out.push_back(static_cast<char>('0' + priority));
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<PriorityFlag>();
  }
};

std::unique_ptr<spdlog::formatter> JournalFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<PriorityFlag>('*').set_pattern("<%*>%v");
  return formatter;
}

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>("tciafs", std::move(sink));
  logger->flush_on(spdlog::level::debug);
  logger->set_level(ToSpdlog(level));
  return logger;
}

constexpr const char* kLinePattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";

// Throws what spdlog throws, for a file that cannot be opened.
spdlog::sink_ptr MakeSink(const LogOptions& options) {
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
    case LogOptions::Target::kJournal:
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
      sink->set_formatter(JournalFormatter());
      break;
  }
  return sink;
}

// Swapped as a whole, so that a line is never written to a half-configured logger.
class CurrentLogger {
 public:
  CurrentLogger() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("tciafs: %l: %v");
    logger_ = MakeLogger(std::move(sink), level_);
  }
  std::shared_ptr<spdlog::logger> get() const {
    MutexLock lock(mutex_);
    return logger_;
  }
  void Configure(const LogOptions& options) {
    auto logger = MakeLogger(MakeSink(options), options.level);
    MutexLock lock(mutex_);
    options_ = options;
    level_ = options.level;
    logger_.swap(logger);
  }
  void Reopen() {
    MutexLock lock(mutex_);
    if (options_.target == LogOptions::Target::kFile)
      logger_ = MakeLogger(MakeSink(options_), level_);
  }
  void CycleLevel() {
    MutexLock lock(mutex_);
    const LogLevel usual = options_.level == LogLevel::kDebug ? LogLevel::kInfo : options_.level;
    level_ = level_ == LogLevel::kDebug ? usual : LogLevel::kDebug;
    logger_->set_level(spdlog::level::info);  // so that this line is seen, wherever it goes
    logger_->info("the log's level is now {}", ToString(level_));
    logger_->set_level(ToSpdlog(level_));
  }

 private:
  mutable Mutex mutex_;
  LogOptions options_ TCIAFS_GUARDED_BY(mutex_);
  LogLevel level_ TCIAFS_GUARDED_BY(mutex_) = LogLevel::kInfo;
  std::shared_ptr<spdlog::logger> logger_ TCIAFS_GUARDED_BY(mutex_);
};

CurrentLogger& Logger() {
  static CurrentLogger logger;
  return logger;
}

template <typename Step>
Status WithoutExceptions(Step step) {
  try {
    step();
  } catch (const spdlog::spdlog_ex& failure) {
    return Fail(Errc::kInvalidArgument, failure.what());
  }
  return {};
}

}  // namespace

Status ConfigureLog(const LogOptions& options) {
  return WithoutExceptions([&options] { Logger().Configure(options); });
}

Status ReopenLog() {
  return WithoutExceptions([] { Logger().Reopen(); });
}

void CycleLogLevel() { Logger().CycleLevel(); }

std::string_view ToString(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "";
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
