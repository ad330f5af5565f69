// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cache/disk_errors.h"
#include "tciafs/util/fault_point.h"

namespace tciafs::cache {
namespace {

// What a fault point says instead of the call.
#define TCIAFS_DISK_FAULT(name, context) \
  if (const int fault = FaultPoint(name); fault != 0) return Fail(DiskError(fault, context))

Status Outcome(int result, std::string_view context) {
  if (result == 0) return {};
  return Fail(DiskError(errno, context));
}

struct DirCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

class RealDisk final : public Disk {
 public:
  Result<UniqueFd> Create(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.create", path);
    return Opened(path, O_RDWR | O_CREAT | O_TRUNC);
  }
  Result<UniqueFd> Open(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.open", path);
    return Opened(path, O_RDONLY);
  }

  Status Write(int fd, int64_t offset, ByteView bytes) override {
    const int fault = FaultPoint("cache.disk.write");
    if (fault == kFaultShort) TCIAFS_TRY(WriteFully(fd, offset, bytes.first(bytes.size() / 2)));
    if (fault != 0) return Fail(DiskError(fault == kFaultShort ? EDQUOT : fault, "write"));
    return WriteFully(fd, offset, bytes);
  }

  Result<size_t> Read(int fd, int64_t offset, std::span<std::byte> into) override {
    const int fault = FaultPoint("cache.disk.read");
    if (fault == kFaultShort) into = into.first(into.size() / 2);
    if (fault > 0) return Fail(DiskError(fault, "read"));
    size_t done = 0;
    while (done < into.size()) {
      const ssize_t got =
          ::pread(fd, into.data() + done, into.size() - done, offset + static_cast<int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(DiskError(errno, "read"));
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Result<int64_t> Size(int fd) override {
    TCIAFS_DISK_FAULT("cache.disk.size", "stat");
    struct stat info {};
    if (::fstat(fd, &info) != 0) return Fail(DiskError(errno, "stat"));
    return info.st_size;
  }

  Status Truncate(int fd, int64_t size_bytes) override {
    TCIAFS_DISK_FAULT("cache.disk.truncate", "truncate");
    return Outcome(::ftruncate(fd, size_bytes), "truncate");
  }
  Status Rename(const std::string& from, const std::string& to) override {
    TCIAFS_DISK_FAULT("cache.disk.rename", to);
    return Outcome(std::rename(from.c_str(), to.c_str()), to);
  }
  Status Remove(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.remove", path);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Fail(DiskError(errno, path));
    return {};
  }
  Result<bool> MakeDirectory(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.make_directory", path);
    if (::mkdir(path.c_str(), 0700) == 0) return true;
    if (errno == EEXIST) return false;
    return Fail(DiskError(errno, path));
  }
  Status RemoveDirectory(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.remove_directory", path);
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return Fail(DiskError(errno, path));
    return {};
  }

  Status SyncDirectory(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.sync_directory", path);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() && errno == ENOENT) return {};
    return Outcome(fd.valid() ? ::fsync(fd.get()) : -1, path);
  }

  Result<std::vector<DiskEntry>> List(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.list", path);
    std::vector<DiskEntry> entries;
    const std::unique_ptr<DIR, DirCloser> directory(::opendir(path.c_str()));
    if (!directory && errno == ENOENT) return entries;
    if (!directory) return Fail(DiskError(errno, path));
    for (errno = 0; const dirent* entry = ::readdir(directory.get()); errno = 0) {
      const std::string name = entry->d_name;
      struct stat info {};
      if (name == "." || name == "..") continue;
      if (::fstatat(::dirfd(directory.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        continue;  // gone meanwhile
      entries.push_back({name, info.st_size, S_ISDIR(info.st_mode)});
    }
    if (errno != 0) return Fail(DiskError(errno, path));
    return entries;
  }

  Result<DiskSpace> Space(const std::string& path) override {
    TCIAFS_DISK_FAULT("cache.disk.space", path);
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return Fail(DiskError(errno, path));
    const auto unit = static_cast<int64_t>(info.f_frsize);
    return DiskSpace{static_cast<int64_t>(info.f_bavail) * unit,
                     static_cast<int64_t>(info.f_blocks) * unit};
  }

 private:
  static Result<UniqueFd> Opened(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return Fail(DiskError(errno, path));
    return fd;
  }
};

#undef TCIAFS_DISK_FAULT

}  // namespace

Status WriteFully(int fd, int64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail(DiskError(errno, "write"));
    offset += written;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

std::unique_ptr<Disk> PosixDisk() { return std::make_unique<RealDisk>(); }

}  // namespace tciafs::cache
