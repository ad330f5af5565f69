// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What commands show to people: sizes of terminals, bars, times in words, and lines that replace
// the ones shown before. Plain ASCII but for what the caller's texts have. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tciafs::cli {

inline constexpr int kPlainWidth = 80;  // where there is no terminal

struct TerminalSize {
  int columns = kPlainWidth;
  int rows = 24;
};
TerminalSize SizeOfTerminal(int fd);
// A terminal on which lines can be drawn over.
bool CanPaint(int fd);

// "[====>     ]", `width` columns in all; a part below 0 or above 1 is taken for that.
std::string Bar(double part, int width);
std::string DurationText(int64_t duration_ms);  // "45 s", "3 min 05 s", "2 h 10 min", "4 d 3 h"
std::string ClockText(int64_t unix_ms);         // local: "12:01:03", with the date if not today's
std::string CountText(int64_t count);           // "91,234"
// Not more than `width` columns: the middle is left out. Columns are counted as UTF-8 characters.
std::string Shortened(const std::string& text, int width);

// Control characters would do things to the terminal: shown as '?'.
std::string Printable(const std::string& text);

// A block of lines that is drawn over itself on a terminal. Lines are cut to its size; where that
// has become narrower since, what was shown has been broken into more lines.
class Repainter {
 public:
  explicit Repainter(int fd) : fd_(fd) {}
  void Show(const std::vector<std::string>& lines);
  // What is shown is taken away, for lines that stay.
  void Clear();

 private:
  std::string TakenAway(int columns);

  int fd_;
  std::vector<size_t> shown_;  // the columns of each line
};

// While it lives SIGINT and SIGTERM do not end the process: they shut the connection down (-1:
// none), so that whoever waits for an answer goes on, and are remembered. One at a time.
class Interruptible {
 public:
  explicit Interruptible(int connection_fd);
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  static bool Interrupted();
};

}  // namespace tciafs::cli
