// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/zip/zip_archive.h"

#include <errno.h>
#include <fmt/core.h>
#include <zip.h>

#include <algorithm>
#include <memory>
#include <span>

#include "zip/crc32.h"
#include "zip/entry_label.h"

namespace tciafs::zip {
namespace {

constexpr size_t kReadBytesMax = size_t{256} << 10;  // of what the handler gets at once

struct ArchiveCloser {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct FileCloser {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Archive = std::unique_ptr<zip_t, ArchiveCloser>;
using OpenEntry = std::unique_ptr<zip_file_t, FileCloser>;

// The one place where libzip's errors become ours: what the local system failed at is not the
// archive's fault, all the rest is.
Errc CodeOf(const zip_error_t& error) {
  const bool from_system = zip_error_system_type(&error) == ZIP_ET_SYS;
  const int system_error = from_system ? zip_error_code_system(&error) : 0;
  switch (zip_error_code_zip(&error)) {
    case ZIP_ER_NOENT:
      return Errc::kNotFound;
    case ZIP_ER_MEMORY:
      return Errc::kInternal;
    case ZIP_ER_OPEN:
    case ZIP_ER_READ:
    case ZIP_ER_SEEK:
    case ZIP_ER_TELL:
      if (system_error == EACCES || system_error == EPERM) return Errc::kPermission;
      if (system_error == EISDIR) return Errc::kIsDirectory;
      if (system_error == EINVAL) return Errc::kCorrupt;  // an offset in it led nowhere
      return Errc::kInternal;
    default:
      return Errc::kCorrupt;
  }
}

tl::unexpected<Error> FailWith(zip_error_t* error, std::string_view context) {
  return Fail(CodeOf(*error), fmt::format("{}: {}", context, zip_error_strerror(error)));
}

Result<Archive> OpenArchive(const std::string& path) {
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);  // takes errno along
  auto failure = FailWith(&error, path);
  zip_error_fini(&error);
  return failure;
}

class ArchiveReading {
 public:
  ArchiveReading(zip_t* archive, const ZipLimits& limits, ZipHandler& handler)
      : archive_(archive),
        limits_(limits),
        handler_(handler),
        piece_(std::make_unique_for_overwrite<std::byte[]>(kReadBytesMax)) {}

  Status ReadEntry(uint64_t index);

 private:
  Status CheckReadable(const zip_stat_t& stat) const;
  Status ReadData(zip_file_t* file, const zip_stat_t& stat);
  tl::unexpected<Error> Damaged(std::string_view what) const {
    return Fail(Errc::kCorrupt, fmt::format("{}: {}", label_, what));
  }

  zip_t* const archive_;
  const ZipLimits& limits_;
  ZipHandler& handler_;
  const std::unique_ptr<std::byte[]> piece_;
  std::string label_;
  uint64_t total_bytes_ = 0;
};

Status ArchiveReading::ReadEntry(uint64_t index) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  label_ = EntryLabel(index + 1, "");
  if (zip_stat_index(archive_, index, ZIP_FL_ENC_RAW, &stat) != 0)
    return FailWith(zip_get_error(archive_), label_);
  if ((stat.valid & ZIP_STAT_NAME) == 0 || (stat.valid & ZIP_STAT_SIZE) == 0)
    return Damaged("has no name or no size in the directory");
  const std::string name = stat.name;
  label_ = EntryLabel(index + 1, name);
  TCIAFS_TRY(CheckReadable(stat));
  const OpenEntry file(zip_fopen_index(archive_, index, 0));
  if (!file) return FailWith(zip_get_error(archive_), label_);
  TCIAFS_TRY(handler_.OnEntryBegin(name));
  return ReadData(file.get(), stat);
}

Status ArchiveReading::CheckReadable(const zip_stat_t& stat) const {
  if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE)
    return Damaged("is encrypted");
  if (std::string_view(stat.name).size() > limits_.name_bytes_max)
    return Damaged(fmt::format("has a name of more than {} bytes", limits_.name_bytes_max));
  if (stat.size > limits_.entry_bytes_max)
    return Damaged(fmt::format("is larger than {} bytes", limits_.entry_bytes_max));
  if (stat.size > limits_.total_bytes_max - total_bytes_)
    return Damaged(fmt::format("takes the zip beyond {} bytes", limits_.total_bytes_max));
  return {};
}

Status ArchiveReading::ReadData(zip_file_t* file, const zip_stat_t& stat) {
  EntryEnd end;
  for (;;) {
    const int64_t count = zip_fread(file, piece_.get(), kReadBytesMax);
    if (count < 0) return FailWith(zip_file_get_error(file), label_);
    if (count == 0) break;
    const ByteView piece(piece_.get(), static_cast<size_t>(count));
    if (piece.size() > stat.size - end.size_bytes)
      return Damaged(fmt::format("is longer than the {} bytes of its header", stat.size));
    end.size_bytes += piece.size();
    end.crc32 = Crc32(end.crc32, piece);
    TCIAFS_TRY(handler_.OnEntryData(piece));
  }
  if (end.size_bytes != stat.size)
    return Damaged(fmt::format("is {} bytes long, its header says {}", end.size_bytes, stat.size));
  // libzip compares it only where it thinks it can.
  if ((stat.valid & ZIP_STAT_CRC) == 0 || end.crc32 != stat.crc) return Damaged("its CRC is wrong");
  total_bytes_ += end.size_bytes;
  return handler_.OnEntryEnd(end);
}

class OpenZipFile final : public ZipFile {
 public:
  OpenZipFile(Archive archive, const ZipLimits& limits)
      : archive_(std::move(archive)), limits_(limits) {}

  uint64_t entries() const override {
    return static_cast<uint64_t>(std::max<int64_t>(zip_get_num_entries(archive_.get(), 0), 0));
  }
  Status ReadEntry(uint64_t index, ZipHandler& handler) override {
    return ArchiveReading(archive_.get(), limits_, handler).ReadEntry(index);
  }
  Result<int64_t> SizeOf(uint64_t index) const override {
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(archive_.get(), index, 0, &stat) != 0)
      return FailWith(zip_get_error(archive_.get()), EntryLabel(index + 1, ""));
    if ((stat.valid & ZIP_STAT_SIZE) == 0 || stat.size > limits_.entry_bytes_max)
      return Fail(Errc::kCorrupt, EntryLabel(index + 1, "") + ": has no sensible size");
    return static_cast<int64_t>(stat.size);
  }

 private:
  const Archive archive_;
  const ZipLimits limits_;
};

}  // namespace

Result<std::unique_ptr<ZipFile>> ZipFile::Open(const std::string& path, const ZipLimits& limits) {
  TCIAFS_ASSIGN(Archive archive, OpenArchive(path));
  auto file = std::make_unique<OpenZipFile>(std::move(archive), limits);
  if (file->entries() > limits.entries_max)
    return Fail(Errc::kCorrupt, fmt::format("{}: more than {} entries", path, limits.entries_max));
  return file;
}

Status ReadZipFile(const std::string& path, const ZipLimits& limits, ZipHandler& handler) {
  TCIAFS_ASSIGN(const Archive archive, OpenArchive(path));
  const auto entries =
      static_cast<uint64_t>(std::max<int64_t>(zip_get_num_entries(archive.get(), 0), 0));
  if (entries > limits.entries_max)
    return Fail(Errc::kCorrupt, fmt::format("{}: more than {} entries", path, limits.entries_max));
  ArchiveReading reading(archive.get(), limits, handler);
  for (uint64_t index = 0; index < entries; ++index) TCIAFS_TRY(reading.ReadEntry(index));
  return {};
}

}  // namespace tciafs::zip
