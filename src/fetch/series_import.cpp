// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/fetch/series_import.h"

#include <fmt/core.h>

#include <optional>
#include <utility>

#include "fetch/verification.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::fetch {
namespace {

class CacheImport final : public SeriesImport {
 public:
  CacheImport(cache::BlockCache& cache, const cache::SeriesPlan& plan,
              const std::vector<OfferedInstance>& offered, const Md5Sums& sums)
      : cache_(cache), plan_(plan), ledger_(plan.version) {
    for (const OfferedInstance& instance : offered) offered_.emplace(instance.sop, instance);
    for (const auto& [sop, sum] : sums) ledger_.ExpectMd5(sop, sum);
  }
  ~CacheImport() override {
    open_.reset();
    if (finished_ || !writer_) return;
    for (const source::SopUid& sop : published_) (void)writer_->Withdraw(sop);
  }

  Status Begin() {
    TCIAFS_ASSIGN(writer_, cache_.BeginSeries(plan_));
    return {};
  }

  Status BeginInstance(const source::SopUid& sop) override {
    const auto offered = offered_.find(sop);
    if (open_ || offered == offered_.end())
      return Fail(Errc::kInvalidArgument, sop.text() + ": was not offered");
    const auto known = cache_.Known(plan_.key, plan_.version, sop);
    Incoming incoming;
    incoming.offered = std::move(offered->second);
    incoming.is_here = known && known->cached;
    offered_.erase(offered);
    TCIAFS_ASSIGN(incoming.writer, writer_->BeginInstance(sop));
    open_ = std::move(incoming);
    return {};
  }

  Status Data(ByteView bytes) override {
    if (!open_) return Fail(Errc::kInvalidArgument, "bytes of no instance");
    open_->size_bytes += static_cast<int64_t>(bytes.size());
    if (open_->size_bytes > open_->offered.size_bytes) return Differs("is longer than it was");
    open_->md5.Update(bytes);
    return open_->writer->Append(bytes);
  }

  Status EndInstance() override {
    if (!open_) return Fail(Errc::kInvalidArgument, "the end of no instance");
    const source::SopUid& sop = open_->offered.sop;
    if (open_->size_bytes != open_->offered.size_bytes) return Differs("is shorter than it was");
    const std::string md5_hex = open_->md5.FinishHex();
    const std::string& told = open_->offered.md5_hex;
    if (ledger_.CheckMd5(sop, md5_hex) == Ledger::Md5Verdict::kDiffers)
      return Differs("has another MD5 sum than the archive tells");
    if (!told.empty() && !EqualsIgnoringCase(told, md5_hex))
      return Differs("has another MD5 sum than the list that came with it");
    TCIAFS_ASSIGN(const auto file, open_->writer->Publish(md5_hex));
    if (!open_->is_here) published_.push_back(sop);
    open_.reset();
    return {};
  }

  Status Finish() override {
    if (open_ || !offered_.empty())
      return Fail(Errc::kInvalidArgument, "not all that was offered has come");
    const auto findings = ledger_.Assess(cache_.Known(plan_.key, plan_.version));
    if (!findings.complete)
      return Fail(Errc::kCorrupt,
                  fmt::format("{} images of {} in the cache are not those announced",
                              findings.instances, FormatSize(findings.size_bytes)));
    TCIAFS_TRY(writer_->MarkVerified());
    if (!cache_.Verified(plan_.key, plan_.version))
      return Fail(Errc::kInternal, "the cache could not keep it; its disk may be failing");
    finished_ = true;
    writer_.reset();
    return {};
  }

 private:
  struct Incoming {
    OfferedInstance offered;
    std::unique_ptr<cache::InstanceWriter> writer;
    Md5 md5;
    int64_t size_bytes = 0;
    bool is_here = false;
  };
  tl::unexpected<Error> Differs(std::string_view how) const {
    return Fail(Errc::kCorrupt, fmt::format("image {} {}", open_->offered.sop.text(), how));
  }

  cache::BlockCache& cache_;
  const cache::SeriesPlan plan_;
  Ledger ledger_;
  std::unordered_map<source::SopUid, OfferedInstance> offered_;  // and still to come
  std::unique_ptr<cache::SeriesWriter> writer_;
  std::optional<Incoming> open_;
  std::vector<source::SopUid> published_;
  bool finished_ = false;
};

}  // namespace

Status CompareOffer(const source::SeriesVersion& announced,
                    const std::vector<source::InstanceRecord>& listed,
                    const std::vector<OfferedInstance>& offered) {
  const Ledger ledger(announced);
  if (!ledger.instances_announced() || !ledger.bytes_announced())
    return Fail(Errc::kCorrupt, "the archive does not tell how many images it has, or their size");
  int64_t bytes = 0;
  for (const OfferedInstance& instance : offered) bytes += instance.size_bytes;
  const auto count = static_cast<int64_t>(offered.size());
  if (count != announced.image_count)
    return Fail(Errc::kCorrupt,
                fmt::format("{} images where the archive has {}", count, announced.image_count));
  if (!ledger.AddsUp(count, bytes))
    return Fail(Errc::kCorrupt,
                fmt::format("{} bytes where the archive has {}", bytes, announced.total_bytes));
  std::unordered_map<source::SopUid, int64_t> sizes;
  for (const source::InstanceRecord& record : listed) sizes.emplace(record.sop, record.size_bytes);
  if (sizes.empty()) return {};
  for (const OfferedInstance& instance : offered) {
    const auto found = sizes.find(instance.sop);
    if (found == sizes.end())
      return Fail(Errc::kCorrupt, "the archive has no image " + instance.sop.text());
    if (found->second >= 0 && found->second != instance.size_bytes)
      return Fail(Errc::kCorrupt,
                  fmt::format("image {} has {} bytes where the archive has {}", instance.sop.text(),
                              instance.size_bytes, found->second));
  }
  return {};
}

Result<std::unique_ptr<SeriesImport>> SeriesImport::Begin(
    cache::BlockCache& cache, const cache::SeriesPlan& plan,
    const std::vector<OfferedInstance>& offered, const Md5Sums& sums) {
  auto made = std::make_unique<CacheImport>(cache, plan, offered, sums);
  TCIAFS_TRY(made->Begin());
  return made;
}

}  // namespace tciafs::fetch
