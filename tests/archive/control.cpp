// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "images.h"

namespace tciafs::archive {
namespace {

using Json = nlohmann::json;

Reply Outcome(const Status& status) {
  if (!status) return TextReply(400, "text/plain", status.error().message + "\n");
  return TextReply(200, "text/plain", "ok\n");
}

Status AddPatients(Holdings& holdings, const Json& value) {
  if (!value.is_object() || !value.contains("collection") || !value["collection"].is_string() ||
      !value.contains("count") || !value["count"].is_number_integer())
    return Fail(Errc::kInvalidArgument, "add_patients wants a collection and a count");
  return holdings.AddPatients(value["collection"].get<std::string>(),
                              value["count"].get<int64_t>());
}

Status Mutate(Holdings& holdings, const std::string& body) {
  const Json changes = Json::parse(body, nullptr, false);
  if (!changes.is_object()) return Fail(Errc::kInvalidArgument, "a change is a JSON object");
  const auto other_size = changes.find("other_size");
  if (other_size != changes.end() && !other_size->is_boolean())
    return Fail(Errc::kInvalidArgument, "other_size is true or false");
  for (const auto& [change, value] : changes.items()) {
    if (change == "other_size") continue;
    if (change == "add_patients") {
      TCIAFS_TRY(AddPatients(holdings, value));
      continue;
    }
    if (!value.is_string()) return Fail(Errc::kInvalidArgument, change + " wants a text");
    const auto name = value.get<std::string>();
    Status status = Fail(Errc::kInvalidArgument, "there is no change " + change);
    if (change == "hide_series") status = holdings.HideSeries(name, true);
    if (change == "show_series") status = holdings.HideSeries(name, false);
    if (change == "replace_series")
      status = holdings.ReplaceSeries(name, other_size != changes.end() && other_size->get<bool>());
    if (change == "drop_collection") status = holdings.DropCollection(name, true);
    if (change == "restore_collection") status = holdings.DropCollection(name, false);
    TCIAFS_TRY(status);
  }
  return {};
}

bool WriteSeriesTruth(const SeriesHandle& series, BodySink& sink) {
  const Series& row = series.row;
  const std::string directory =
      fmt::format("{}/{}/{}/{}/", EncodePathPart(row.collection), EncodePathPart(row.patient_id),
                  EncodePathPart(row.study_uid), EncodePathPart(row.series_uid));
  std::string lines;
  for (int64_t i = 0; i < row.image_count; ++i) {
    const auto bytes = series.Bytes(i);
    if (!bytes) return false;
    lines += fmt::format("{} {} {}{}.dcm\n", Md5Hex(*bytes), bytes->size(), directory,
                         EncodePathPart(series.InstanceAt(i).sop_uid));
  }
  return sink.Write(lines);
}

Reply TruthReply(const Holdings& holdings, std::optional<std::string> collection) {
  Reply reply;
  reply.content_type = "text/plain";
  reply.writer = [&holdings, collection = std::move(collection)](BodySink& sink) {
    Scope scope;
    scope.viewer = kAnyViewer;
    scope.collection = collection;
    bool whole = true;
    holdings.VisitSeries(scope, [&](const Series& row) {
      if (collection && row.collection != *collection) return true;
      const auto series = holdings.FindSeries(kAnyViewer, row.series_uid);
      return whole = series && WriteSeriesTruth(*series, sink);
    });
    return whole;
  };
  return reply;
}

Reply InstanceReply(const Holdings& holdings, const std::string& sop_uid) {
  const auto found = holdings.FindInstance(kAnyViewer, sop_uid);
  auto bytes = found ? found->series.Bytes(found->instance)
                     : Result<std::string>(Fail(Errc::kNotFound, "no instance " + sop_uid));
  if (!bytes) return TextReply(400, "text/plain", bytes.error().message + "\n");
  return TextReply(200, "application/dicom", std::move(*bytes));
}

}  // namespace

std::string EncodePathPart(std::string_view id) {
  std::string part;
  for (size_t i = 0; i < id.size(); ++i) {
    const auto c = static_cast<unsigned char>(id[i]);
    const bool encoded = c == '/' || c == '%' || c < 0x20 || c == 0x7f || (c == '.' && i == 0);
    if (encoded)
      part += fmt::format("%{:02X}", c);
    else
      part += id[i];
  }
  return part;
}

Reply HandleControl(const Request& request, const Controlled& controlled) {
  const std::string command = request.path.substr(kControlPrefix.size());
  const bool post = request.method == "POST";
  if (post && command == "reset") {
    controlled.counters.Reset();
    controlled.plan.Clear();
    return Outcome({});
  }
  if (post && command == "plan") return Outcome(controlled.plan.Load(request.body));
  if (post && command == "mutate") return Outcome(Mutate(controlled.holdings, request.body));
  if (!post && command == "counters")
    return TextReply(200, "application/json", controlled.counters.ToJson());
  if (!post && command == "hits")
    return TextReply(200, "text/plain", std::to_string(controlled.plan.hits()));
  if (!post && command == "truth")
    return TruthReply(controlled.holdings, request.Parameter("collection"));
  if (!post && command == "instance")
    return InstanceReply(controlled.holdings, request.Parameter("sop").value_or(""));
  return TextReply(400, "text/plain", "there is no " + request.method + " " + request.path + "\n");
}

}  // namespace tciafs::archive
