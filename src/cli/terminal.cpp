// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/terminal.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "tciafs/util/clock.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr int64_t kMinuteMs = 60 * kSecondMs;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDayMs = 24 * kHourMs;

std::atomic<bool> interrupted = false;
std::atomic<int> connection = -1;
struct sigaction before_interrupt;
struct sigaction before_terminate;

void OnSignal(int) {
  interrupted = true;
  if (connection >= 0) ::shutdown(connection, SHUT_RDWR);
}

bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

size_t Columns(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), BeginsCharacter));
}

// The first or last `columns` characters.
std::string Head(const std::string& text, size_t columns) {
  size_t at = 0;
  for (size_t seen = 0; at < text.size(); ++at)
    if (BeginsCharacter(text[at]) && seen++ == columns) break;
  return text.substr(0, at);
}
std::string Tail(const std::string& text, size_t columns) {
  size_t at = text.size();
  for (size_t seen = 0; at > 0 && seen < columns;)
    if (BeginsCharacter(text[--at])) ++seen;
  return text.substr(at);
}

void WriteAll(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t more = ::write(fd, text.data() + done, text.size() - done);
    if (more <= 0) return;
    done += static_cast<size_t>(more);
  }
}

}  // namespace

TerminalSize SizeOfTerminal(int fd) {
  TerminalSize size;
  winsize told{};
  if (::ioctl(fd, TIOCGWINSZ, &told) == 0 && told.ws_col > 0) {
    size.columns = told.ws_col;
    if (told.ws_row > 0) size.rows = told.ws_row;
  }
  return size;
}

bool CanPaint(int fd) {
  const char* terminal = std::getenv("TERM");
  return ::isatty(fd) != 0 && (terminal == nullptr || std::string_view(terminal) != "dumb");
}

std::string Bar(double part, int width) {
  const int inside = std::max(width - 2, 1);
  const int filled = static_cast<int>(std::floor(std::clamp(part, 0.0, 1.0) * inside));
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < inside) bar += filled > 0 ? ">" : " ";
  bar.resize(static_cast<size_t>(inside), ' ');
  return "[" + bar + "]";
}

std::string DurationText(int64_t duration_ms) {
  if (duration_ms < kMinuteMs)
    return fmt::format("{} s", std::max<int64_t>(duration_ms, 0) / kSecondMs);
  if (duration_ms < kHourMs)
    return fmt::format("{} min {:02} s", duration_ms / kMinuteMs,
                       duration_ms % kMinuteMs / kSecondMs);
  if (duration_ms < kDayMs)
    return fmt::format("{} h {:02} min", duration_ms / kHourMs, duration_ms % kHourMs / kMinuteMs);
  return fmt::format("{} d {} h", duration_ms / kDayMs, duration_ms % kDayMs / kHourMs);
}

std::string ClockText(int64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / kSecondMs);
  const auto now = static_cast<time_t>(SystemClock().UnixMs() / kSecondMs);
  tm then{};
  tm today{};
  ::localtime_r(&seconds, &then);
  ::localtime_r(&now, &today);
  const std::string clock =
      fmt::format("{:02}:{:02}:{:02}", then.tm_hour, then.tm_min, then.tm_sec);
  if (then.tm_yday == today.tm_yday && then.tm_year == today.tm_year) return clock;
  return fmt::format("{}-{:02}-{:02} {}", then.tm_year + 1900, then.tm_mon + 1, then.tm_mday,
                     clock);
}

std::string CountText(int64_t count) {
  std::string digits = std::to_string(count);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string Shortened(const std::string& text, int width) {
  constexpr std::string_view kGap = "...";
  const auto columns = static_cast<size_t>(std::max(width, 0));
  if (Columns(text) <= columns) return text;
  if (columns <= kGap.size()) return Head(text, columns);
  const size_t kept = columns - kGap.size();
  return Head(text, kept - kept / 2) + std::string(kGap) + Tail(text, kept / 2);
}

std::string Printable(const std::string& text) {
  std::string printable = text;
  for (char& c : printable)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return printable;
}

void Repainter::Show(const std::vector<std::string>& lines) {
  const TerminalSize size = SizeOfTerminal(fd_);
  std::string text = TakenAway(size.columns);
  const size_t count = std::min(lines.size(), static_cast<size_t>(std::max(size.rows - 1, 1)));
  for (size_t i = lines.size() - count; i < lines.size(); ++i) {
    const std::string line = Shortened(lines[i], size.columns - 1);
    shown_.push_back(Columns(line));
    text += line + "\n";
  }
  WriteAll(fd_, text);
}

void Repainter::Clear() { WriteAll(fd_, TakenAway(SizeOfTerminal(fd_).columns)); }

std::string Repainter::TakenAway(int columns) {
  size_t rows = 0;
  const auto width = static_cast<size_t>(std::max(columns, 1));
  for (const size_t length : shown_) rows += std::max<size_t>(1, (length + width - 1) / width);
  shown_.clear();
  return rows > 0 ? fmt::format("\x1b[{}F\x1b[J", rows) : "";
}

Interruptible::Interruptible(int connection_fd) {
  interrupted = false;
  connection = connection_fd;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGINT, &action, &before_interrupt);
  ::sigaction(SIGTERM, &action, &before_terminate);
}

Interruptible::~Interruptible() {
  ::sigaction(SIGINT, &before_interrupt, nullptr);
  ::sigaction(SIGTERM, &before_terminate, nullptr);
  connection = -1;
}

bool Interruptible::Interrupted() { return interrupted; }

}  // namespace tciafs::cli
