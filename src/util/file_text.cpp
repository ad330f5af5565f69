// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/file_text.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "tciafs/util/fault_point.h"
#include "tciafs/util/limits.h"
#include "tciafs/util/text.h"

namespace tciafs {
namespace {

Error WriteError(int error_number) {
  const Errc code =
      error_number == ENOSPC || error_number == EDQUOT ? Errc::kNoSpace : Errc::kInternal;
  return {code, "a long text could not be kept on the disk: " + SystemErrorText(error_number)};
}

Status WriteAll(int fd, std::string_view bytes) {
  if (const int fault = FaultPoint("text.write"); fault != 0)
    return Fail(WriteError(fault > 0 ? fault : EIO));
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Fail(WriteError(written < 0 ? errno : EIO));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace

Status FileTextWriter::Settle() {
  return pending_.size() >= kTextInMemoryBytesMax ? Flush() : Status();
}

Status FileTextWriter::Flush() {
  const auto bytes = static_cast<int64_t>(pending_.size());
  if (written_bytes_ + bytes > kTextBytesMax)
    return Fail(Errc::kNoSpace, "the text would be longer than any may be");
  if (directory_.empty()) return {};  // grows where it is
  if (room_bytes_ && room_bytes_() < bytes)
    return Fail(Errc::kNoSpace,
                "the text does not fit on the disk of the cache above its free floor");
  if (!file_.valid()) TCIAFS_TRY(Open());
  TCIAFS_TRY(WriteAll(file_.get(), pending_));
  written_bytes_ += bytes;
  pending_.clear();
  return {};
}

Status FileTextWriter::Open() {
  file_.Reset(::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file_.valid()) return {};
  std::string name = directory_ + "/text-XXXXXX";  // some file systems have no files without names
  file_.Reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!file_.valid()) return Fail(WriteError(errno));
  ::unlink(name.c_str());
  return {};
}

Result<FileTextPtr> FileTextWriter::Finish() {
  if (!file_.valid()) return std::make_shared<const FileText>(std::exchange(pending_, {}));
  if (!pending_.empty()) TCIAFS_TRY(Flush());
  return std::make_shared<const FileText>(std::move(file_), written_bytes_);
}

}  // namespace tciafs
