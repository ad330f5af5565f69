// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/metrics_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "vfs/json_writer.h"
#include "vfs/status_report.h"

namespace tciafs::vfs {
namespace {

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<Label>;

// "not found" → "not_found"
std::string OutcomeName(std::optional<Errc> failure) {
  std::string name(failure ? ErrcName(*failure) : "ok");
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
  return name;
}

class MetricsWriter {
 public:
  void Counter(std::string_view name, std::string_view help) { Begin(name, "counter", help); }
  void Gauge(std::string_view name, std::string_view help) { Begin(name, "gauge", help); }
  // Of the metric begun last.
  void Sample(Labels labels, int64_t value) { Put(labels, std::to_string(value)); }
  void Seconds(int64_t ms) { Put({}, fmt::format("{:.3f}", static_cast<double>(ms) / 1e3)); }

  void Gauge(std::string_view name, std::string_view help, int64_t value) {
    Gauge(name, help);
    Sample({}, value);
  }
  void Counter(std::string_view name, std::string_view help, int64_t value) {
    Counter(name, help);
    Sample({}, value);
  }
  std::string Take() { return std::move(out_); }

 private:
  void Begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += fmt::format("# HELP tciafs_{0} {1}\n# TYPE tciafs_{0} {2}\n", name, help, type);
  }
  void Put(Labels labels, const std::string& value) {
    out_ += fmt::format("tciafs_{}", name_);
    for (const Label& label : labels) {
      out_ += &label == labels.begin() ? '{' : ',';
      out_.append(label.first).append("=\"");
      AppendLabel(label.second);
      out_ += '"';
    }
    if (labels.size() > 0) out_ += '}';
    out_.append(" ").append(value).append("\n");
  }
  void AppendLabel(std::string_view value) {
    for (size_t from = 0; from < value.size();) {
      const size_t special = std::min(value.find_first_of("\\\"\n", from), value.size());
      AppendUtf8(out_, value.substr(from, special - from));
      if (special < value.size()) out_ += value[special] == '\n' ? "\\n" : "\\";
      if (special < value.size() && value[special] != '\n') out_ += value[special];
      from = special + 1;
    }
  }

  std::string out_;
  std::string_view name_;
};

void WriteMount(MetricsWriter& out, const MountStatus& status) {
  out.Gauge("build_info", "Of the program that serves the mount.");
  out.Sample({{"version", status.version}}, 1);
  out.Gauge("uptime_seconds", "Since the mount began.");
  out.Seconds(status.uptime_ms);
  out.Gauge("offline", "1 if the mount may not use the network.", status.offline ? 1 : 0);
}

void WriteOperations(MetricsWriter& out, const Context& context) {
  out.Counter("operations_total", "Requests of the kernel, by operation and outcome.");
  context.operations.ForEach([&](size_t kind, std::optional<Errc> failure, int64_t count) {
    out.Sample({{"operation", kOperationNames[kind]}, {"outcome", OutcomeName(failure)}}, count);
  });
  out.Gauge("open_files", "Instances that programs hold open.",
            static_cast<int64_t>(context.files.size()));
  out.Gauge("open_directories", "Directories that programs hold open.",
            static_cast<int64_t>(context.directories.size()));
  out.Gauge("nodes", "Objects of the file system that the kernel knows.",
            static_cast<int64_t>(context.nodes.size() + context.virtual_nodes.size()));
}

void WriteServers(MetricsWriter& out, const MountStatus& status) {
  out.Gauge("server_up", "0 while a server does not answer, or may not be asked.");
  for (const auto& server : status.servers)
    out.Sample({{"server", server.name}},
               server.status.state == source::ServerStatus::State::kOffline ? 0 : 1);
  out.Counter("requests_total", "Questions to servers, by kind and outcome.");
  for (const auto& server : status.servers)
    for (const auto& request : server.status.requests)
      out.Sample({{"server", server.name},
                  {"request", source::RequestName(request.kind)},
                  {"outcome", OutcomeName(request.failure)}},
                 request.count);
  out.Counter("image_bytes_total", "Bytes of instances that servers delivered, inflated.");
  for (const auto& server : status.servers)
    out.Sample({{"server", server.name}}, server.status.image_bytes);
}

void WriteCache(MetricsWriter& out, const MountStatus& status) {
  const cache::Usage& cache = status.cache;
  out.Gauge("cache_used_bytes", "On disk, the index included.", cache.used_bytes);
  out.Gauge("cache_reserved_bytes", "Promised to downloads under way.", cache.reserved_bytes);
  out.Gauge("cache_cap_bytes", "What the cache may take.", cache.cap_bytes);
  out.Gauge("cache_free_floor_bytes", "What it leaves free on its disk.", cache.free_floor_bytes);
  out.Gauge("cache_disk_free_bytes", "Free on its disk.", cache.disk_free_bytes);
  out.Gauge("cache_series", "Series of which instances are here.", cache.series);
  out.Gauge("cache_pinned_series", "Series that are never evicted.", cache.series_pinned);
  out.Gauge("cache_instances", "Instances that are here.", cache.instances);
  out.Gauge("cache_degraded", "1 once the cache's disk has failed.", cache.degraded ? 1 : 0);
  out.Counter("cache_evictions_total", "Series evicted for space.", cache.evictions);
  out.Counter("cache_hits_total", "Openings of instances that were here.", status.cache_hits);
  out.Counter("cache_misses_total", "Openings of instances that were not.", status.cache_misses);
  out.Counter("instance_reads_total", "Reads of instances that the kernel asked for.",
              status.reads);
}

void WriteDownloads(MetricsWriter& out, const MountStatus& status) {
  const auto started = std::count_if(status.downloads.begin(), status.downloads.end(),
                                     [](const auto& download) { return download.started; });
  const auto all = static_cast<int64_t>(status.downloads.size());
  out.Gauge("downloads", "Series being downloaded, or waiting for their turn.");
  out.Sample({{"state", "started"}}, started);
  out.Sample({{"state", "queued"}}, all - started);
}

void WriteErrors(MetricsWriter& out, const Context& context) {
  out.Counter("errors_total", "Failures that the archive or this machine is the reason of.");
  context.recent_errors.counters().ForEach([&](size_t, std::optional<Errc> failure, int64_t count) {
    out.Sample({{"error", OutcomeName(failure)}}, count);
  });
}

}  // namespace

std::string MetricsReport(const Context& context) {
  const MountStatus status = TakeStatus(context);
  MetricsWriter out;
  WriteMount(out, status);
  WriteOperations(out, context);
  WriteServers(out, status);
  WriteCache(out, status);
  WriteDownloads(out, status);
  WriteErrors(out, context);
  return out.Take();
}

}  // namespace tciafs::vfs
