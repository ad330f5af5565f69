// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/progress.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/daemon_link.h"
#include "cli/status_view.h"
#include "cli/terminal.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

using control::Message;

constexpr int64_t kRateWindowMs = 10'000;
constexpr int64_t kRateAfterMs = 1'000;  // less is no measurement
constexpr int kBarWidthLeast = 8;
constexpr int kBarWidthMost = 26;
constexpr int kPathWidthLeast = 12;

int BarWidth(int columns) { return std::clamp(columns / 4, kBarWidthLeast, kBarWidthMost); }

double Part(int64_t done, int64_t whole) {
  return whole > 0 ? static_cast<double>(done) / static_cast<double>(whole) : 0;
}

std::string Counted(int64_t count, const char* one, const char* many) {
  return CountText(count) + " " + (count == 1 ? one : many);
}
std::string Images(int64_t count) { return Counted(count, "image", "images"); }

// How bad it is to end so: what the user can mend first.
int Rank(ExitCode code) {
  switch (code) {
    case ExitCode::kDone:
      return 0;
    case ExitCode::kUnverified:
      return 1;
    case ExitCode::kArchive:
      return 2;
    case ExitCode::kCredentials:
      return 3;
    default:
      return 4;
  }
}

}  // namespace

void FetchProgress::Take(const Message& told, int64_t now_ms) {
  const std::string& kind = told.kind();
  if (kind == "plan") {
    series_ = told.Number("series", 0);
    images_ = told.Number("images", 0);
    size_bytes_ = told.Number("bytes", 0);
    of_unknown_size_ = told.Number("of_unknown_size", 0);
    here_series_ = told.Number("here_series", 0);
    here_bytes_ = told.Number("here_bytes", 0);
    needed_bytes_ = told.Number("needed_bytes", 0);
    room_bytes_ = told.Number("room_bytes", 0);
  } else if (kind == "active") {
    next_underway_.push_back({told.Text("path"), told.Number("received_bytes", 0),
                              told.Number("expected_bytes"), told.Number("started") == 1});
  } else if (kind == "progress") {
    underway_ = std::exchange(next_underway_, {});
    ended_series_ = told.Number("ended", 0);
    ended_bytes_ = told.Number("ended_bytes", 0);
    lately_.emplace_back(now_ms, ArrivedBytes());
    while (now_ms - lately_.front().first > kRateWindowMs) lately_.pop_front();
  } else if (kind == "series") {
    if (told.Text("state") == "verified") {
      verified_bytes_ += told.Number("bytes", 0);
    } else if (told.Text("state") == "unverified") {
      NoteFailure(ExitCode::kUnverified);
    } else {
      const Errc failure = control::ErrorIn(told).code;
      // It lists what it says it does not have.
      NoteFailure(failure == Errc::kNotFound ? ExitCode::kArchive : ExitCodeOf(failure));
    }
  } else if (kind == "summary") {
    verified_ = told.Number("verified", 0);
    left_ = told.Number("left", 0);
    if (left_ > 0) NoteFailure(ExitCode::kArchive);
  }
}

void FetchProgress::NoteFailure(ExitCode code) {
  if (Rank(code) > Rank(code_)) code_ = code;
}

int64_t FetchProgress::ToComeBytes() const { return size_bytes_ - here_bytes_; }

// An archive may send more than it announced.
int64_t FetchProgress::ArrivedBytes() const {
  int64_t bytes = ended_bytes_;
  for (const Underway& one : underway_)
    bytes += one.expected_bytes < 0 ? one.received_bytes
                                    : std::min(one.received_bytes, one.expected_bytes);
  return bytes;
}

int64_t FetchProgress::RateBytes() const {
  if (lately_.size() < 2) return 0;
  const int64_t ms = lately_.back().first - lately_.front().first;
  if (ms < kRateAfterMs) return 0;
  return std::max<int64_t>(0, (lately_.back().second - lately_.front().second) * 1000 / ms);
}

std::vector<std::string> FetchProgress::Bars(int columns) const {
  const int bar = BarWidth(columns);
  std::vector<std::string> lines;
  size_t widest = 0;
  for (const Underway& one : underway_) {
    const std::string figures =
        one.started ? ProgressText(one.received_bytes, one.expected_bytes) : "queued";
    lines.push_back(Bar(Part(one.received_bytes, one.expected_bytes), bar) + "  " + figures);
    widest = std::max(widest, lines.back().size());
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    lines[i].resize(widest, ' ');
    const int room = columns - static_cast<int>(widest) - 2;
    if (room >= kPathWidthLeast) lines[i] += "  " + Shortened(Printable(underway_[i].path), room);
  }
  const int64_t to_come_series = series_ - here_series_;
  const int64_t to_come = ToComeBytes();
  const int64_t arrived = ArrivedBytes();
  const bool sizes_known = of_unknown_size_ == 0;
  std::string total =
      Bar(sizes_known ? Part(arrived, to_come) : Part(ended_series_, to_come_series), bar);
  const auto add = [&total, columns](const std::string& figure) {  // unless it is too much
    if (static_cast<int>(total.size() + 2 + figure.size()) <= columns) total += "  " + figure;
  };
  add(ProgressText(arrived, sizes_known ? to_come : -1));
  add(fmt::format("{} of {} series", CountText(ended_series_), CountText(to_come_series)));
  if (const int64_t rate = RateBytes(); rate > 0) {
    add(FormatSize(rate) + "/s");
    if (sizes_known && to_come > arrived)
      add(DurationText((to_come - arrived) * 1000 / rate + 999) + " left");
  }
  lines.push_back(std::move(total));
  return lines;
}

std::string FetchProgress::PlanText() const {
  std::string text =
      CountText(series_) + " series, " + Images(images_) + ", " + FormatSize(size_bytes_);
  if (of_unknown_size_ > 0)
    text += fmt::format(" and {} of unknown size", CountText(of_unknown_size_));
  if (series_ == 0) return text + ": there is nothing to fetch";
  if (here_series_ == series_) return text + "; all of it is here already";
  if (here_series_ > 0)
    text += fmt::format("; {} series ({}) are here already", CountText(here_series_),
                        FormatSize(here_bytes_));
  return text + fmt::format("; takes {} of the cache, which has room for {}",
                            FormatSize(needed_bytes_), FormatSize(room_bytes_));
}

std::string FetchProgress::SummaryText(int64_t elapsed_ms) const {
  std::string text =
      fmt::format("{} of {} series verified", CountText(verified_), CountText(series_));
  if (verified_bytes_ > 0)
    text += fmt::format("; {} came in {}", FormatSize(verified_bytes_), DurationText(elapsed_ms));
  return text;
}

std::string FetchProgress::FailureText() const {
  if (code_ == ExitCode::kDone) return "";
  std::string text = fmt::format("{} of {} series could not be brought here and verified",
                                 CountText(series_ - verified_), CountText(series_));
  if (left_ > 0)
    text += fmt::format(", {} of them were not asked for after that", CountText(left_));
  return text;
}

ExitCode FetchProgress::code() const { return code_; }

std::string SeriesText(const Message& series) {
  const std::string path = Printable(series.Text("path"));
  if (series.Text("state") != "verified") return path + ": " + Printable(series.Text("reason"));
  return fmt::format("done  {}  {}  {}", path, Images(series.Number("images", 0)),
                     FormatSize(series.Number("bytes", 0)));
}

}  // namespace tciafs::cli
