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

namespace tciafs::cache {
namespace {

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
    return Opened(path, O_RDWR | O_CREAT | O_TRUNC);
  }
  Result<UniqueFd> Open(const std::string& path) override { return Opened(path, O_RDONLY); }

  Status Write(int fd, int64_t offset, ByteView bytes) override {
    return WriteFully(fd, offset, bytes);
  }

  Result<size_t> Read(int fd, int64_t offset, std::span<std::byte> into) override {
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
    struct stat info {};
    if (::fstat(fd, &info) != 0) return Fail(DiskError(errno, "stat"));
    return info.st_size;
  }

  Status Truncate(int fd, int64_t size_bytes) override {
    return Outcome(::ftruncate(fd, size_bytes), "truncate");
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return Outcome(std::rename(from.c_str(), to.c_str()), to);
  }
  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Fail(DiskError(errno, path));
    return {};
  }
  Result<bool> MakeDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0) return true;
    if (errno == EEXIST) return false;
    return Fail(DiskError(errno, path));
  }
  Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return Fail(DiskError(errno, path));
    return {};
  }

  Result<std::vector<DiskEntry>> List(const std::string& path) override {
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
