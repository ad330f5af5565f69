// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/import_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include "cli/limits.h"
#include "nbia/md5_list.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMd5ListName = "md5hashes.csv";
constexpr size_t kPieceBytes = size_t{256} << 10;

struct OpenFile {
  UniqueFd fd;
  int64_t size_bytes = 0;
};

Result<OpenFile> OpenRegular(const std::string& path) {
  OpenFile file;
  file.fd.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!file.fd.valid() || ::fstat(file.fd.get(), &info) != 0)
    return Fail(errno == EACCES ? Errc::kPermission : Errc::kNotFound, SystemErrorText(errno));
  if (!S_ISREG(info.st_mode)) return Fail(Errc::kInvalidArgument, "not a file");
  file.size_bytes = info.st_size;
  return file;
}

Result<size_t> ReadAt(int fd, int64_t offset, std::span<std::byte> into) {
  for (;;) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), offset);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return Fail(Errc::kInternal, SystemErrorText(errno));
  }
}

Result<std::vector<std::byte>> ReadHead(const OpenFile& file, size_t bytes_max) {
  std::vector<std::byte> head(
      static_cast<size_t>(std::min<int64_t>(file.size_bytes, static_cast<int64_t>(bytes_max))));
  size_t done = 0;
  while (done < head.size()) {
    TCIAFS_ASSIGN(const size_t got,
                  ReadAt(file.fd.get(), static_cast<int64_t>(done), std::span(head).subspan(done)));
    if (got == 0) break;
    done += got;
  }
  head.resize(done);
  return head;
}

// Ends an entry once its head is there.
class HeadCollector final : public zip::ZipHandler {
 public:
  // With a name: of no entry but that.
  explicit HeadCollector(size_t bytes_max, std::string_view only = {})
      : bytes_max_(bytes_max), only_(only) {}
  Status OnEntryBegin(const std::string& name) override {
    name_ = name;
    const bool wanted = only_.empty() || fs::path(name).filename() == only_;
    return wanted ? Status() : Status(Fail(Errc::kCancelled, "not that one"));
  }
  Status OnEntryData(ByteView bytes) override {
    const size_t taken = std::min(bytes.size(), bytes_max_ - head_.size());
    head_.insert(head_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    enough_ = head_.size() == bytes_max_;
    return enough_ ? Status(Fail(Errc::kCancelled, "enough")) : Status();
  }
  Status OnEntryEnd(const zip::EntryEnd&) override { return {}; }
  const std::string& name() const { return name_; }
  ByteView head() const { return head_; }
  bool enough() const { return enough_; }

 private:
  const size_t bytes_max_;
  const std::string_view only_;
  std::string name_;
  std::vector<std::byte> head_;
  bool enough_ = false;
};

class PassingOn final : public zip::ZipHandler {
 public:
  explicit PassingOn(const std::function<Status(ByteView)>& take) : take_(take) {}
  Status OnEntryBegin(const std::string&) override { return {}; }
  Status OnEntryData(ByteView bytes) override { return take_(bytes); }
  Status OnEntryEnd(const zip::EntryEnd&) override { return {}; }

 private:
  const std::function<Status(ByteView)>& take_;
};

std::unordered_map<std::string, std::string> ParseSums(ByteView text) {
  nbia::Md5List list;
  if (!list.Append(AsText(text))) return {};
  return list.Parse();
}

bool IsZip(ByteView head) { return AsText(head).starts_with("PK\3\4"); }

}  // namespace

int64_t FoundSeries::size_bytes() const {
  int64_t bytes = 0;
  for (const auto& [sop, instance] : instances) bytes += instance.size_bytes;
  return bytes;
}

void ImportScan::NoteFailure(const std::string& path, const Error& error) {
  if (found_.failures.size() < kImportFailuresToldMax)
    found_.failures.push_back({error.code, path + ": " + error.message});
}

void ImportScan::AddHead(ByteView head, FoundInstance instance) {
  const auto identity = dicom::ReadIdentity(head);
  if (!identity) {
    ++found_.other_files;
    return;
  }
  ++found_.dicom_files;
  FoundSeries& series = found_.series[identity->series];
  if (series.study.empty()) series.study = identity->study;
  if (series.patient.empty()) series.patient = identity->patient;
  if (!identity->collection.empty() && series.collections.size() < kImportHintsMax)
    series.collections.insert(identity->collection);
  for (const std::string& hint : hints_)
    if (series.collections.size() < kImportHintsMax) series.collections.insert(hint);
  if (!series.instances.emplace(identity->sop, std::move(instance)).second) ++found_.repeated;
}

void ImportScan::Add(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return NoteFailure(
        path, {errno == EACCES ? Errc::kPermission : Errc::kNotFound, SystemErrorText(errno)});
  hints_.clear();
  std::error_code failed;
  const fs::path absolute = fs::absolute(path, failed).lexically_normal();
  for (const fs::path& name : absolute) hints_.insert(name.string());
  if (!S_ISDIR(info.st_mode)) return AddFile(path, {});
  const auto above = hints_;
  AddDirectory(path);
  hints_ = above;
}

// Links to directories are not followed: they may lead in circles.
void ImportScan::AddDirectory(const std::string& path) {
  std::vector<std::string> files;
  std::vector<std::string> directories;
  std::error_code failed;
  for (fs::directory_iterator at(path, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored))
      directories.push_back(at->path().string());
    else if (at->is_regular_file(ignored))
      files.push_back(at->path().string());
  }
  if (failed)
    NoteFailure(path, {failed == std::errc::permission_denied ? Errc::kPermission : Errc::kInternal,
                       failed.message()});
  std::sort(files.begin(), files.end());
  std::sort(directories.begin(), directories.end());
  Sums sums;
  if (const auto list = OpenRegular(path + "/" + std::string(kMd5ListName)))
    if (const auto text = ReadHead(*list, kImportMd5ListBytesMax)) sums = ParseSums(*text);
  for (const std::string& file : files) {
    if (!keep_on_()) return;
    AddFile(file, sums);
  }
  for (const std::string& directory : directories) {
    if (!keep_on_()) return;
    if (hints_.size() > kImportDepthMax) {
      NoteFailure(directory, {Errc::kInvalidArgument, "too deep"});
      continue;
    }
    const auto added = hints_.insert(fs::path(directory).filename().string());
    AddDirectory(directory);
    if (added.second) hints_.erase(added.first);
  }
}

void ImportScan::AddFile(const std::string& path, const Sums& sums) {
  const auto file = OpenRegular(path);
  if (!file) return NoteFailure(path, file.error());
  const auto head = ReadHead(*file, dicom::kHeadBytesMax);
  if (!head) return NoteFailure(path, head.error());
  if (IsZip(*head) || path.ends_with(".zip")) return AddZip(path);
  const auto sum = sums.find(fs::path(path).filename().string());
  AddHead(*head, {path, -1, file->size_bytes, sum != sums.end() ? sum->second : ""});
}

void ImportScan::AddZip(const std::string& path) {
  const auto zip = zip::ZipFile::Open(path, {});
  if (!zip || (*zip)->entries() == 0)
    return NoteFailure(path,
                       {zip ? Errc::kCorrupt : zip.error().code, "not a zip that can be read"});
  Sums sums;
  if (const uint64_t entries = (*zip)->entries(); entries > 0) {  // archives write it last
    HeadCollector list(kImportMd5ListBytesMax, kMd5ListName);
    if ((*zip)->ReadEntry(entries - 1, list)) sums = ParseSums(list.head());
  }
  for (uint64_t index = 0; index < (*zip)->entries() && keep_on_(); ++index) {
    HeadCollector head(dicom::kHeadBytesMax);
    const Status read = (*zip)->ReadEntry(index, head);
    const auto size_bytes = (*zip)->SizeOf(index);
    if (!size_bytes || (!read && !head.enough())) {
      NoteFailure(path, size_bytes ? read.error() : size_bytes.error());
      continue;
    }
    const auto sum = sums.find(head.name());
    AddHead(head.head(),
            {path, static_cast<int64_t>(index), *size_bytes, sum != sums.end() ? sum->second : ""});
  }
}

Status InstanceBytes::Read(const FoundInstance& instance,
                           const std::function<Status(ByteView)>& take) {
  if (instance.entry >= 0) {
    if (zip_ == nullptr || zip_path_ != instance.path) {
      TCIAFS_ASSIGN(zip_, zip::ZipFile::Open(instance.path, {}));
      zip_path_ = instance.path;
    }
    const auto index = static_cast<uint64_t>(instance.entry);
    if (index >= zip_->entries()) return Fail(Errc::kCorrupt, "it has changed meanwhile");
    TCIAFS_ASSIGN(const int64_t size_bytes, zip_->SizeOf(index));
    if (size_bytes != instance.size_bytes) return Fail(Errc::kCorrupt, "it has changed meanwhile");
    PassingOn handler(take);
    return zip_->ReadEntry(index, handler);
  }
  TCIAFS_ASSIGN(const OpenFile file, OpenRegular(instance.path));
  const auto piece = std::make_unique_for_overwrite<std::byte[]>(kPieceBytes);
  for (int64_t done = 0; done < instance.size_bytes;) {
    const auto wanted = std::min<int64_t>(instance.size_bytes - done, int64_t{kPieceBytes});
    TCIAFS_ASSIGN(const size_t got,
                  ReadAt(file.fd.get(), done, {piece.get(), static_cast<size_t>(wanted)}));
    if (got == 0) return Fail(Errc::kCorrupt, "it has become shorter meanwhile");
    TCIAFS_TRY(take({piece.get(), got}));
    done += static_cast<int64_t>(got);
  }
  return {};
}

}  // namespace tciafs::cli
