// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/import_operation.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "control/await.h"
#include "control/resolve.h"
#include "tciafs/catalog/names.h"
#include "tciafs/control/limits.h"
#include "tciafs/fetch/series_import.h"
#include "tciafs/util/text.h"

namespace tciafs::control {
namespace {

using Offers = std::vector<fetch::OfferedInstance>;

Result<Message> Next(Answers& answers) {
  TCIAFS_ASSIGN(auto message, answers.Receive(kImportWaitMaxMs));
  if (!message) return Fail(Errc::kCancelled, "the importing command has gone");
  return *std::move(message);
}

Result<Offers> ReceiveOffers(Answers& answers) {
  Offers offers;
  std::set<source::SopUid> seen;
  for (;;) {
    TCIAFS_ASSIGN(const Message message, Next(answers));
    if (message.kind() == "offered") return offers;
    fetch::OfferedInstance offer;
    offer.sop = source::SopUid(message.Text("sop"));
    offer.size_bytes = message.Number("size_bytes");
    offer.md5_hex = message.Text("md5");
    if (message.kind() != "offer" || offer.sop.empty() || offer.size_bytes < 0 ||
        offer.size_bytes > kOfferBytesMax || offers.size() == kOffersMax ||
        !seen.insert(offer.sop).second)
      return Fail(Errc::kInvalidArgument, "not an offer");
    offers.push_back(std::move(offer));
  }
}

// What is stored already is looked at first: most people import what they have listed.
std::optional<catalog::ObjectPath> FindStored(const Mounted& mounted, const catalog::Listing& root,
                                              const source::SeriesUid& series) {
  std::optional<catalog::ObjectPath> found;
  for (const catalog::Entry& entry : root.entries) {
    const auto collection = PathOf({}, entry);
    if (!collection) continue;
    const auto rows = mounted.catalog.Rows(*collection, catalog::Level::kSeries);
    if (!rows) continue;
    (void)(*rows)->ForEach([&](const catalog::Row& row) {
      if (row.path.series == series) found = row.path;
      return !found;
    });
    if (found) break;
  }
  return found;
}

Result<catalog::ObjectPath> FindSeries(const Mounted& mounted, const Message& request,
                                       const std::stop_token& stop) {
  const source::SeriesUid series(request.Text("series"));
  TCIAFS_ASSIGN(const auto root, ListAwait(mounted.catalog, {}, stop));
  if (auto stored = FindStored(mounted, *root.listing, series)) return *std::move(stored);
  for (const std::string& collection : request.All("collection")) {
    if (root.listing->Find(catalog::EncodeName(collection)) == nullptr) continue;
    std::string path;
    for (const std::string& id :
         {collection, request.Text("patient"), request.Text("study"), series.text()})
      path += "/" + catalog::EncodeName(id);
    auto found = Resolve(mounted.catalog, path, stop);
    if (found || found.error().code != Errc::kNotFound) return found;
  }
  return Fail(Errc::kNotFound,
              "the lists that were looked into do not have it; name its collection");
}

Result<std::vector<source::InstanceRecord>> ListInstances(const Mounted& mounted,
                                                          const catalog::ObjectPath& series,
                                                          const std::stop_token& stop) {
  TCIAFS_ASSIGN(const auto answer, ListAwait(mounted.catalog, series, stop));
  std::vector<source::InstanceRecord> listed;
  for (const catalog::Entry& entry : answer.listing->entries) {
    TCIAFS_ASSIGN(const auto path, PathOf(series, entry));
    listed.push_back({path.sop, entry.size_bytes});
  }
  return listed;
}

// Every offer with its sum: the client sums up what no list came with.
Status ReceiveSums(Offers& offers, Answers& answers) {
  TCIAFS_TRY(answers.Send(Message("sums_wanted")));
  for (fetch::OfferedInstance& offer : offers) {
    if (!offer.md5_hex.empty()) continue;
    TCIAFS_ASSIGN(const Message message, Next(answers));
    offer.md5_hex = message.Text("md5");
    if (message.kind() != "sum" || message.Text("sop") != offer.sop.text() || offer.md5_hex.empty())
      return Fail(Errc::kInvalidArgument, "not a sum");
  }
  return {};
}

// Those offered, if together they are what the archive tells of the series; none otherwise.
Result<fetch::Md5Sums> SumsOfSeries(source::Source& source, const source::SeriesUid& series,
                                    Offers& offers, Answers& answers) {
  Awaited<std::string> asked([&](Callback<std::string> done) {
    source.AskSeriesMd5(series, answers.stop(), std::move(done));
  });
  const auto told = asked.Get();
  if (!told && told.error().code == Errc::kCancelled) return Fail(told.error());
  if (!told || told->empty()) return fetch::Md5Sums();
  TCIAFS_TRY(ReceiveSums(offers, answers));
  std::vector<std::string> offered;
  for (const fetch::OfferedInstance& offer : offers) offered.push_back(LowerCase(offer.md5_hex));
  fetch::Md5Sums sums;
  if (source::SeriesMd5(offered) != *told) return sums;
  for (size_t i = 0; i < offers.size(); ++i) sums[offers[i].sop] = offered[i];
  return sums;
}

// Those the archive tells, image by image.
Result<fetch::Md5Sums> SumsOfImages(source::Source& source, const Offers& offers,
                                    const std::stop_token& stop) {
  fetch::Md5Sums sums;
  for (size_t next = 0; next < offers.size();) {
    const size_t end = std::min(next + kMd5AtOnce, offers.size());
    std::vector<std::unique_ptr<Awaited<std::string>>> asked;
    for (size_t i = next; i < end; ++i)
      asked.push_back(std::make_unique<Awaited<std::string>>([&](Callback<std::string> done) {
        source.AskMd5(offers[i].sop, stop, std::move(done));
      }));
    for (const auto& one : asked) {
      auto sum = one->Get();
      if (!sum) return Fail(std::move(sum).error());
      if (!sum->empty()) sums[offers[next].sop] = *std::move(sum);
      ++next;
    }
  }
  return sums;
}

Result<fetch::Md5Sums> AskSums(source::Source& source, const source::SeriesUid& series,
                               Offers& offers, Answers& answers) {
  auto sums = SumsOfSeries(source, series, offers, answers);
  if (!sums || !sums->empty()) return sums;
  return SumsOfImages(source, offers, answers.stop());
}

Status ReceiveInstance(const Message& message, fetch::SeriesImport& import, Answers& answers) {
  TCIAFS_TRY(import.BeginInstance(source::SopUid(message.Text("sop"))));
  const auto piece = std::make_unique_for_overwrite<std::byte[]>(kImportPieceBytes);
  int64_t left = message.Number("size_bytes");
  while (left > 0) {
    const auto size = static_cast<size_t>(std::min<int64_t>(left, int64_t{kImportPieceBytes}));
    TCIAFS_TRY(answers.ReceiveBytes({piece.get(), size}, kImportWaitMaxMs));
    TCIAFS_TRY(import.Data({piece.get(), size}));
    left -= static_cast<int64_t>(size);
  }
  return import.EndInstance();
}

Status ReceiveAll(fetch::SeriesImport& import, Answers& answers) {
  for (;;) {
    TCIAFS_ASSIGN(const Message message, Next(answers));
    if (message.kind() == "end") return import.Finish();
    if (message.kind() != "instance") return Fail(Errc::kInvalidArgument, "not an instance");
    TCIAFS_TRY(ReceiveInstance(message, import, answers));
  }
}

}  // namespace

Status ImportSeries(const Mounted& mounted, const Message& request, Answers& answers) {
  TCIAFS_ASSIGN(Offers offers, ReceiveOffers(answers));
  TCIAFS_ASSIGN(const auto path, FindSeries(mounted, request, answers.stop()));
  if (path.server >= mounted.sources.size()) return Fail(Errc::kInternal, "no such server");
  source::Source& source = *mounted.sources[path.server];
  TCIAFS_ASSIGN(const auto record, mounted.catalog.Series(path));
  const cache::SeriesPlan plan{{source.scope(), record.series}, record.version};
  if (mounted.cache.Verified(plan.key, plan.version))
    return answers.Send(Message("here").Add("path", path.Text()));
  TCIAFS_ASSIGN(const auto listed, ListInstances(mounted, path, answers.stop()));
  TCIAFS_TRY(fetch::CompareOffer(record.version, listed, offers));
  TCIAFS_ASSIGN(const auto sums, AskSums(source, record.series, offers, answers));
  TCIAFS_ASSIGN(const auto import, fetch::SeriesImport::Begin(mounted.cache, plan, offers, sums));
  TCIAFS_TRY(answers.Send(Message("accepted").Add("path", path.Text())));
  TCIAFS_TRY(ReceiveAll(*import, answers));
  return answers.Send(Message("imported")
                          .Add("path", path.Text())
                          .Add("instances", static_cast<int64_t>(offers.size()))
                          .Add("size_bytes", record.version.total_bytes)
                          .Add("sums", static_cast<int64_t>(sums.size())));
}

}  // namespace tciafs::control
