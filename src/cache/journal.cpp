// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/journal.h"

#include <utility>

#include "cache/disk_errors.h"

namespace tciafs::cache {
namespace {

constexpr size_t kSizeBytes = 4;

void AppendSize(std::string& out, size_t size) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(size >> shift & 0xff);
}

size_t TakeSize(std::string_view& rest) {
  size_t size = 0;
  for (size_t i = 0; i < kSizeBytes; ++i) size |= size_t{static_cast<uint8_t>(rest[i])} << (8 * i);
  rest.remove_prefix(kSizeBytes);
  return size;
}

}  // namespace

Journal::Journal(Disk& disk, std::string path, SeriesId series, UniqueFd fd)
    : disk_(&disk), path_(std::move(path)), series_(std::move(series)), fd_(std::move(fd)) {}

Result<Journal> Journal::Create(Disk& disk, std::string path, SeriesId series) {
  TCIAFS_ASSIGN(UniqueFd fd, disk.Create(path));
  return Journal(disk, std::move(path), std::move(series), std::move(fd));
}

std::string Journal::Record(const SeriesId& series, const source::SopUid& sop,
                            const InstanceEntry& entry) {
  const std::string value = EncodeInstance(InstanceKey(series, sop), entry);
  std::string record;
  AppendSize(record, sop.text().size());
  AppendSize(record, value.size());
  return record + sop.text() + value;
}

Status Journal::Append(std::string_view record) {
  TCIAFS_TRY(disk_->Write(fd_.get(), size_bytes_, AsBytes(record)));
  size_bytes_ += static_cast<int64_t>(record.size());
  return {};
}

Status Journal::Clear() {
  TCIAFS_TRY(disk_->Truncate(fd_.get(), 0));
  size_bytes_ = 0;
  return {};
}

Status Journal::Remove() {
  TCIAFS_TRY(disk_->Remove(path_));
  size_bytes_ = 0;
  return {};
}

Result<InstanceList> Journal::Replay(Disk& disk, const std::string& path, const SeriesId& series,
                                     int64_t bytes_max) {
  InstanceList list;
  const auto fd = disk.Open(path);
  if (!fd && fd.error().code == Errc::kNotFound) return list;
  if (!fd) return Fail(fd.error());
  TCIAFS_ASSIGN(const int64_t size_bytes, disk.Size(fd->get()));
  if (size_bytes > bytes_max) return list;
  std::string text(static_cast<size_t>(size_bytes), '\0');
  TCIAFS_ASSIGN(const size_t got, disk.Read(fd->get(), 0, std::as_writable_bytes(std::span(text))));
  std::string_view rest(text.data(), got);
  while (rest.size() >= 2 * kSizeBytes) {
    const size_t sop_size = TakeSize(rest);
    const size_t value_size = TakeSize(rest);
    if (sop_size == 0 || sop_size > kUidBytesMax || sop_size + value_size > rest.size()) break;
    const source::SopUid sop{std::string(rest.substr(0, sop_size))};
    auto entry = DecodeInstance(InstanceKey(series, sop), rest.substr(sop_size, value_size));
    if (!entry) break;
    list.emplace_back(sop, std::move(*entry));
    rest.remove_prefix(sop_size + value_size);
  }
  return list;
}

}  // namespace tciafs::cache
