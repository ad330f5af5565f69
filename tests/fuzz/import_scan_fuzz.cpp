// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A file somebody wants imported: a zip, a DICOM file, a list of sums, or anything. Whatever it is,
// the scan ends, every instance it finds is named by UIDs that can name one and comes from the
// file, and reading it again gives as many bytes as it was said to have, or an error.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "cli/import_scan.h"
#include "fuzz/fuzz.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kReadMax = int64_t{16} << 20;  // of a zip that says it is larger, no more

class ScratchFile {
 public:
  ScratchFile() : fd_(::mkstemp(path_.data())) {
    if (fd_ < 0) std::abort();
  }
  ~ScratchFile() {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  void Hold(std::string_view bytes) const {
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, bytes.data(), bytes.size(), 0) < 0) std::abort();
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ =
      ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/tciafs-fuzz-XXXXXX" : "/tmp/tciafs-fuzz-XXXXXX";
  const int fd_;
};

void Check(bool holds) {
  if (!holds) std::abort();
}

void ReadAgain(const std::string& path, const FoundInstance& instance) {
  Check(instance.path == path && instance.size_bytes >= 0);
  InstanceBytes bytes;
  int64_t got = 0;
  const Status read = bytes.Read(instance, [&got](ByteView piece) -> Status {
    got += static_cast<int64_t>(piece.size());
    if (got > kReadMax) return Fail(Errc::kCancelled, "enough");
    return {};
  });
  Check(!read || got == instance.size_bytes);
}

}  // namespace
}  // namespace tciafs::cli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tciafs::cli;
  static const ScratchFile file;
  file.Hold({reinterpret_cast<const char*>(data), size});
  ImportScan scan([] { return true; });
  scan.Add(file.path());
  const FoundFiles found = scan.Take();
  int64_t instances = 0;
  for (const auto& [uid, series] : found.series) {
    Check(!uid.empty());
    for (const auto& [sop, instance] : series.instances) {
      Check(!sop.empty() && sop.find('/') == std::string::npos);
      ReadAgain(file.path(), instance);
      ++instances;
    }
  }
  Check(instances + found.repeated == found.dicom_files);
  return 0;
}
