// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/control/operations.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "control/await.h"
#include "control/cache_operations.h"
#include "control/fetch_operations.h"
#include "control/import_operation.h"
#include "control/resolve.h"
#include "control/status_messages.h"

namespace tciafs::control {
namespace {

using Operation = Status (*)(const Mounted& mounted, const Message& request, Answers& answers);

Status TellStatus(const Mounted& mounted, const Message&, Answers& answers) {
  for (const Message& message : StatusMessages(mounted.filesystem.Report()))
    TCIAFS_TRY(answers.Send(message));
  return {};
}

Status TellStatusJson(const Mounted& mounted, const Message&, Answers& answers) {
  return answers.Send(Message("json").Add("text", mounted.filesystem.StatusJson()));
}

std::set<std::string> NamesIn(const catalog::Listing& listing) {
  std::set<std::string> names;
  for (const catalog::Entry& entry : listing.entries) names.insert(entry.name);
  return names;
}

int64_t CountMissing(const std::set<std::string>& from, const std::set<std::string>& in) {
  return std::count_if(from.begin(), from.end(),
                       [&in](const std::string& name) { return !in.contains(name); });
}

Status RefreshOne(const Mounted& mounted, const std::string& path, Answers& answers) {
  catalog::Catalog& catalog = mounted.catalog;
  TCIAFS_ASSIGN(const auto object, Resolve(catalog, path, answers.stop()));
  // What is told of an instance is in the list of its series.
  const auto directory = object.At(catalog::Level::kSeries);
  TCIAFS_ASSIGN(const auto before, ListAwait(catalog, directory, answers.stop()));
  TCIAFS_TRY(Await<void>(
      [&](Callback<void> done) { catalog.Refresh(directory, answers.stop(), std::move(done)); }));
  TCIAFS_ASSIGN(const auto after, ListAwait(catalog, directory, answers.stop()));
  const auto names_before = NamesIn(*before.listing);
  const auto names_after = NamesIn(*after.listing);
  return answers.Send(Message("refreshed")
                          .Add("path", directory.Text())
                          .Add("entries", static_cast<int64_t>(names_after.size()))
                          .Add("added", CountMissing(names_after, names_before))
                          .Add("removed", CountMissing(names_before, names_after)));
}

Status Refresh(const Mounted& mounted, const Message& request, Answers& answers) {
  Status first_failure;
  for (const std::string& path : request.All("path")) {
    Status refreshed = RefreshOne(mounted, path, answers);
    if (answers.stop().stop_requested()) return refreshed;
    if (first_failure && !refreshed) first_failure = std::move(refreshed);
  }
  return first_failure;
}

const std::map<std::string, Operation, std::less<>> kOperations = {
    {"status", TellStatus},
    {"status_json", TellStatusJson},
    {"refresh", Refresh},
    {"fetch", FetchPaths},
    {"pin", PinPaths},
    {"unpin", UnpinPaths},
    {"cache_info", TellCache},
    {"cache_list", ListCache},
    {"cache_verify", VerifyCache},
    {"cache_evict", EvictFromCache},
    {"cache_clear", ClearCache},
    {"cache_import", ImportSeries},
};

}  // namespace

Handler Operations(const Mounted& mounted) {
  return [mounted](const Message& request, Answers& answers) -> Status {
    const auto operation = kOperations.find(request.kind());
    if (operation == kOperations.end())
      return Fail(Errc::kUnsupported, "this mount knows no request '" + request.kind() +
                                          "'; it was started by another version");
    return operation->second(mounted, request, answers);
  };
}

}  // namespace tciafs::control
