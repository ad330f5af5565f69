// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/status_view.h"

#include <fmt/core.h>

#include "cli/terminal.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

using control::Message;

constexpr int kBarWidth = 22;
constexpr int kWorkBarWidth = 30;

std::string MountLine(const Message& mount) {
  return fmt::format("{}  tciafs {}, mounted for {}{}", Printable(mount.Text("mountpoint")),
                     mount.Text("version"), DurationText(mount.Number("uptime_ms")),
                     mount.Number("offline") == 1 ? ", offline as asked" : "");
}

std::string ServerLine(const Message& server) {
  std::string line = "  " + Printable(server.Text("name")) + "  " + server.Text("state");
  if (!server.Text("api").empty()) line += " (" + server.Text("api") + ")";
  if (server.Text("state") == "ok") {
    const std::string& trouble = server.Text("trouble");
    const std::string named = server.Text("name") + ": ";
    if (!trouble.empty())
      line +=
          ", but " + Printable(trouble.starts_with(named) ? trouble.substr(named.size()) : trouble);
    else if (server.Number("answered") == 0)
      line += ", but nothing has come from it yet";
    return line;
  }
  if (server.Number("since_unix_ms") > 0)
    line += " since " + ClockText(server.Number("since_unix_ms"));
  if (!server.Text("reason").empty()) line += ": " + Printable(server.Text("reason"));
  if (server.Has("retry_in_ms"))
    line += "; asked again in " + DurationText(server.Number("retry_in_ms") + 999);
  return line;
}

std::string DownloadLine(const Message& download, int width) {
  const int64_t received = download.Number("received_bytes", 0);
  const int64_t expected = download.Number("expected_bytes");
  const int64_t streaming_ms = download.Number("streaming_ms", 0);
  std::string line = "  ";
  if (download.Text("state") != "started") {
    line += fmt::format("{:<{}}", "queued", kBarWidth);
    if (expected >= 0) line += "  " + FormatSize(expected);
  } else {
    const double part =
        expected > 0 ? static_cast<double>(received) / static_cast<double>(expected) : 0;
    line += Bar(part, kBarWidth) + "  " + ProgressText(received, expected);
    const int64_t rate = streaming_ms > 0 ? received * 1000 / streaming_ms : 0;
    if (rate > 0) line += "  " + FormatSize(rate) + "/s";
    if (rate > 0 && expected > received)
      line += "  " + DurationText((expected - received) * 1000 / rate + 999) + " left";
  }
  const int room = width - static_cast<int>(line.size()) - 2;
  return line + "  " + Shortened(Printable(download.Text("path")), std::max(room, 40));
}

std::vector<std::string> CacheLines(const Message& cache) {
  const int64_t used = cache.Number("used_bytes", 0);
  const int64_t cap = cache.Number("cap_bytes", 0);
  const int64_t hits = cache.Number("hits", 0);
  const int64_t openings = hits + cache.Number("misses", 0);
  const double part = cap > 0 ? static_cast<double>(used) / static_cast<double>(cap) : 0;
  std::vector<std::string> lines = {
      "  " + Bar(part, kBarWidth) + "  " + ProgressText(used, cap),
      fmt::format("  {} series ({} pinned), {} images", CountText(cache.Number("series", 0)),
                  CountText(cache.Number("series_pinned", 0)),
                  CountText(cache.Number("instances", 0)))};
  if (openings > 0)
    lines.back() += fmt::format("; {:.1f} % of {} openings served from here",
                                100.0 * static_cast<double>(hits) / static_cast<double>(openings),
                                CountText(openings));
  if (cache.Number("degraded") == 1)
    lines.push_back("  the disk fails: what is fetched now is kept in memory only");
  return lines;
}

std::string ErrorLine(const Message& error) {
  const int64_t count = error.Number("count", 1);
  return fmt::format("  {}  {}: {}{}", ClockText(error.Number("unix_ms", 0)),
                     Printable(error.Text("path")), Printable(error.Text("reason")),
                     count > 1 ? fmt::format(" ({} times)", count) : "");
}

}  // namespace

std::string ProgressText(int64_t done_bytes, int64_t whole_bytes) {
  if (whole_bytes < 0) return FormatSize(done_bytes);
  return FormatSize(done_bytes) + " of " + FormatSize(whole_bytes);
}

std::string WorkLine(int64_t done_bytes, int64_t whole_bytes, const std::string& path,
                     int columns) {
  const double part =
      whole_bytes > 0 ? static_cast<double>(done_bytes) / static_cast<double>(whole_bytes) : 0;
  const std::string line = Bar(part, kWorkBarWidth) + "  " + ProgressText(done_bytes, whole_bytes);
  const int room = columns - static_cast<int>(line.size()) - 3;
  return line + "  " + Shortened(Printable(path), room);
}

std::vector<std::string> StatusLines(const std::vector<Message>& answers, int width) {
  std::vector<std::string> lines;
  std::string section;
  const auto enter = [&](const std::string& title) {
    if (section != title) lines.push_back(title);
    section = title;
  };
  for (const Message& answer : answers) {
    if (answer.kind() == "mount") {
      lines.push_back(MountLine(answer));
    } else if (answer.kind() == "server") {
      enter("servers");
      lines.push_back(ServerLine(answer));
    } else if (answer.kind() == "download") {
      enter("downloads");
      lines.push_back(DownloadLine(answer, width));
    } else if (answer.kind() == "cache") {
      enter("cache");
      for (std::string& line : CacheLines(answer)) lines.push_back(std::move(line));
    } else if (answer.kind() == "error") {
      enter("recent errors");
      lines.push_back(ErrorLine(answer));
    }
  }
  return lines;
}

}  // namespace tciafs::cli
