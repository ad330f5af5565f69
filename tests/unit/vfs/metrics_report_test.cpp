// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/metrics_report.h"

#include <gmock/gmock.h>

#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Metrics : public VfsTest {
 protected:
  std::string Report() {
    const auto file = Lookup(Lookup(vfs::kRootNode, ".tcia").node, "metrics");
    Waiting<vfs::OpenReply> opened;
    fs->Open(file.node, false, {}, opened.callback());
    Waiting<vfs::ReadReply> read;
    fs->Read(file.node, Value(opened).handle, 0, 1 << 20, {}, read.callback());
    return std::string(Value(read).bytes);
  }
};

TEST_F(Metrics, TellOperationsByOutcome) {
  EXPECT_THAT(Report(), Not(HasSubstr("tciafs_operations_total{")));
  fs->operations().Note(vfs::Operation::kLookup);
  fs->operations().Note(vfs::Operation::kLookup);
  fs->operations().Note(vfs::Operation::kListxattr, Errc::kInternal);
  fs->operations().Note(vfs::Operation::kOpen, Errc::kNotFound);
  const std::string report = Report();
  EXPECT_THAT(report,
              HasSubstr("\ntciafs_operations_total{operation=\"lookup\",outcome=\"ok\"} 2\n"));
  EXPECT_THAT(report,
              HasSubstr("\ntciafs_operations_total{operation=\"open\",outcome=\"not_found\"} 1\n"));
  EXPECT_THAT(report, HasSubstr("{operation=\"listxattr\",outcome=\"internal\"} 1\n"));
}

TEST_F(Metrics, TellServersWhateverTheyAreCalled) {
  source::ServerStatus down;
  down.state = source::ServerStatus::State::kOffline;
  down.requests = {{source::RequestKind::kPatients, Errc::kTimedOut, 3}};
  down.image_bytes = 12;
  catalog.health = {{"a\"b\\c\nd", "archive|guest", true, "", down}, {"up", "", true, "", {}}};
  const std::string report = Report();
  EXPECT_THAT(report, HasSubstr("\ntciafs_server_up{server=\"a\\\"b\\\\c\\nd\"} 0\n"));
  EXPECT_THAT(report, HasSubstr("\ntciafs_server_up{server=\"up\"} 1\n"));
  EXPECT_THAT(report, HasSubstr("\",request=\"patients\",outcome=\"timed_out\"} 3\n"));
  EXPECT_THAT(report, HasSubstr("\"} 12\n"));
}

TEST_F(Metrics, TellWhatIsOpenAndWhatFailed) {
  AddInstance("1.2.3.4");
  SetBytes("1.2.3.4", "bytes");
  const auto node = LookupInstance("1.2.3.4");
  const auto opened = Open(node);
  catalog.SetFailure(collection, {Errc::kUnavailable, "it burns"});
  EXPECT_FALSE(LookupAsync(Lookup(vfs::kRootNode, "Lung").node, "x").ok());
  const std::string report = Report();
  EXPECT_THAT(report, HasSubstr("\ntciafs_open_files 1\n"));
  EXPECT_THAT(report, HasSubstr("\ntciafs_cache_misses_total 1\n"));
  EXPECT_THAT(report, HasSubstr("\ntciafs_errors_total{error=\"unavailable\"} 1\n"));
  fs->Release(opened.handle);
  EXPECT_THAT(Report(), HasSubstr("\ntciafs_open_files 0\n"));
}

}  // namespace
}  // namespace tciafs::testing
