// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What `tciafs fetch` and `tciafs pin` show while series come: the state of it, made of what the
// mount tells (src/control/fetch_job.h), and the texts that follow from it. No input or output
// here. Not thread-safe. Times are monotonic milliseconds.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit_code.h"
#include "tciafs/control/message.h"

namespace tciafs::cli {

class FetchProgress {
 public:
  struct Underway {
    std::string path;
    int64_t received_bytes = 0;
    int64_t expected_bytes = -1;
    bool started = false;
  };

  void Take(const control::Message& told, int64_t now_ms);

  // Bars: one for each series under way, and the total at last.
  std::vector<std::string> Bars(int columns) const;
  // Of what was found: how much it is, how much of that is here, for how much there is room.
  std::string PlanText() const;
  // The last line; `elapsed_ms` since the beginning.
  std::string SummaryText(int64_t elapsed_ms) const;
  // kDone only if everything is verified; else that of the worst that was told: what is wrong on
  // this side, then with the account, with the archive, with the data.
  ExitCode code() const;
  // What a failure is called in one line, "" where nothing failed.
  std::string FailureText() const;

 private:
  int64_t ToComeBytes() const;
  int64_t ArrivedBytes() const;
  int64_t RateBytes() const;  // per second, lately
  void NoteFailure(ExitCode code);

  // Of the plan.
  int64_t series_ = 0;
  int64_t images_ = 0;
  int64_t size_bytes_ = 0;
  int64_t of_unknown_size_ = 0;
  int64_t here_series_ = 0;
  int64_t here_bytes_ = 0;
  int64_t needed_bytes_ = 0;
  int64_t room_bytes_ = 0;

  std::vector<Underway> underway_;
  std::vector<Underway> next_underway_;  // told so far of the next state
  int64_t ended_series_ = 0;
  int64_t ended_bytes_ = 0;
  std::deque<std::pair<int64_t, int64_t>> lately_;  // when, and how much had arrived

  // Of the summary.
  int64_t verified_ = 0;
  int64_t left_ = 0;
  int64_t verified_bytes_ = 0;  // that came now
  ExitCode code_ = ExitCode::kDone;
};

// "done  PATH  12 images  6.3 MiB", or why not.
std::string SeriesText(const control::Message& series);

}  // namespace tciafs::cli
