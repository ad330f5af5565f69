// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Looks a cache directory over that no process uses: every file is one the index knows, every
// instance the index counts as present has its file with the bytes its checksums tell, and the sums
// add up. Works on a copy of the index, so that looking changes nothing.
//
//   tciafs-cache-audit DIR
//
// One line per problem; ends with 1 if there was any.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "cache/disk.h"
#include "cache/index.h"
#include "cache/layout.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/hash.h"

namespace tciafs::cache {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMapBytes = int64_t{1} << 30;

class Audit {
 public:
  explicit Audit(std::string root) : layout_(std::move(root)) {}

  bool Run() {
    const fs::path copy = layout_.root() + ".audit";
    fs::remove_all(copy);
    fs::copy(layout_.index_directory(), copy);
    Look(copy.string());
    fs::remove_all(copy);
    fmt::print("{} series, {} instances\n", series_.size(), instances_);
    return problems_ == 0;
  }

 private:
  template <typename... Args>
  void Problem(fmt::format_string<Args...> format, Args&&... args) {
    fmt::print("{}\n", fmt::format(format, std::forward<Args>(args)...));
    ++problems_;
  }

  void Look(const std::string& index_directory) {
    auto index = Index::Open(index_directory, kMapBytes);
    if (!index) return Problem("the index cannot be opened: {}", index.error().message);
    const Status visited =
        (*index)->VisitSeries([&](const SeriesId& id, std::optional<SeriesEntry> entry) {
          if (!entry) return Problem("the record of a series is damaged");
          series_.emplace(id, std::move(*entry));
        });
    if (!visited) return Problem("the index cannot be read: {}", visited.error().message);
    for (const auto& [id, entry] : series_) LookAtSeries(**index, id, entry);
    LookForStrangers();
  }

  void LookAtSeries(const Index& index, const SeriesId& id, const SeriesEntry& entry) {
    const std::string& name = entry.key.series.text();
    const auto instances = index.Instances(id);
    if (!instances) return Problem("{}: {}", name, instances.error().message);
    if (entry.unsettled) Problem("{}: unsettled", name);
    if (entry.known != static_cast<int64_t>(instances->size()))
      Problem("{}: {} known, {} recorded", name, entry.known, instances->size());
    int64_t present = 0;
    int64_t bytes = 0;
    for (const auto& [sop, instance] : *instances) {
      if (!instance.present) continue;
      ++present;
      ++instances_;
      bytes += OnDiskBytes(instance.size_bytes);
      const std::string path = layout_.SeriesDirectory(id) + "/" + InstanceFileName(sop);
      expected_.insert(path);
      LookAtFile(path, instance);
    }
    if (entry.present != present)
      Problem("{}: {} present, {} recorded", name, entry.present, present);
    if (present > 0) bytes += DirectoryBytes(present);
    if (entry.disk_bytes != bytes)
      Problem("{}: charged {}, takes {}", name, entry.disk_bytes, bytes);
    if (present > 0) expected_directories_.insert(layout_.SeriesDirectory(id));
  }

  void LookAtFile(const std::string& path, const InstanceEntry& instance) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Problem("{}: is missing", path);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (static_cast<int64_t>(bytes.size()) != instance.size_bytes)
      return Problem("{}: {} bytes, {} recorded", path, bytes.size(), instance.size_bytes);
    for (size_t block = 0; block < instance.checksums.size(); ++block) {
      const auto number = static_cast<int64_t>(block);
      const std::string_view part = std::string_view(bytes).substr(
          static_cast<size_t>(BlockBegin(number)), static_cast<size_t>(BlockSize(number)));
      if (Xxh3(AsBytes(part)) != instance.checksums[block])
        Problem("{}: block {} has another checksum", path, block);
    }
  }

  void LookForStrangers() {
    const std::set<std::string> known = {"FORMAT", "lock", "index", "index.damaged", "series"};
    for (const auto& entry : fs::directory_iterator(layout_.root()))
      if (known.count(entry.path().filename().string()) == 0)
        Problem("{}: does not belong there", entry.path().string());
    for (const auto& shelf : fs::directory_iterator(layout_.series_root())) {
      if (!shelf.is_directory() || shelf.path().filename().string().size() != 2) {
        Problem("{}: does not belong there", shelf.path().string());
        continue;
      }
      for (const auto& directory : fs::directory_iterator(shelf)) {
        if (expected_directories_.count(directory.path().string()) == 0)
          Problem("{}: belongs to no series", directory.path().string());
        for (const auto& file : fs::directory_iterator(directory))
          if (expected_.count(file.path().string()) == 0)
            Problem("{}: the index does not know it", file.path().string());
      }
    }
  }

  const Layout layout_;
  std::map<SeriesId, SeriesEntry> series_;
  std::set<std::string> expected_;
  std::set<std::string> expected_directories_;
  int64_t instances_ = 0;
  int problems_ = 0;
};

}  // namespace
}  // namespace tciafs::cache

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  return tciafs::cache::Audit(argv[1]).Run() ? 0 : 1;
}
