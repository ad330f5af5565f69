// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What is asked of a kernel that offers everything.
#include "fuse/ops.h"

#include <gtest/gtest.h>

#include <memory>

#include "support/fake_block_cache.h"
#include "support/fake_catalog.h"
#include "support/fake_fetcher.h"
#include "support/fakes.h"

namespace tciafs::fuse {
namespace {

class Negotiation : public ::testing::Test {
 protected:
  // libfuse comes with its own idea of what is wanted, and some of it from the environment.
  fuse_conn_info Negotiate(AskOpen ask_open) {
    SessionOptions options;
    options.ask_open = ask_open;
    Dispatcher dispatcher(*filesystem_, options);
    fuse_conn_info connection{};
    connection.capable = ~0u;
    connection.want = ~0u;
    Operations().init(&dispatcher, &connection);
    return connection;
  }

 private:
  testing::FakeCatalog catalog_;
  testing::FakeFetcher fetcher_;
  testing::FakeBlockCache cache_;
  testing::ManualExecutor executor_;
  std::unique_ptr<vfs::Filesystem> filesystem_ =
      vfs::CreateFilesystem({}, catalog_, fetcher_, cache_, executor_);
};

TEST_F(Negotiation, ManyReadsAtATimeAndNamesWithTheirAttributes) {
  for (const AskOpen ask_open : {AskOpen::kAll, AskOpen::kFiles, AskOpen::kNone}) {
    const unsigned want = Negotiate(ask_open).want;
    EXPECT_TRUE(want & FUSE_CAP_ASYNC_READ);
    EXPECT_TRUE(want & FUSE_CAP_READDIRPLUS);
    EXPECT_FALSE(want & FUSE_CAP_READDIRPLUS_AUTO);
  }
}

TEST_F(Negotiation, DirectoriesThatAreNotOpenedAreLookedAtForChanges) {
  EXPECT_FALSE(Negotiate(AskOpen::kAll).want & FUSE_CAP_AUTO_INVAL_DATA);
  EXPECT_TRUE(Negotiate(AskOpen::kAll).want & FUSE_CAP_EXPLICIT_INVAL_DATA);
  EXPECT_TRUE(Negotiate(AskOpen::kFiles).want & FUSE_CAP_AUTO_INVAL_DATA);
  EXPECT_FALSE(Negotiate(AskOpen::kFiles).want & FUSE_CAP_EXPLICIT_INVAL_DATA);
}

// A reader that waits must be interruptible, which it is not behind a ring.
TEST_F(Negotiation, NeverOverIoUring) {
#ifdef FUSE_CAP_OVER_IO_URING
  for (const AskOpen ask_open : {AskOpen::kAll, AskOpen::kFiles, AskOpen::kNone})
    EXPECT_FALSE(Negotiate(ask_open).want & FUSE_CAP_OVER_IO_URING);
#else
  GTEST_SKIP() << "this libfuse has no io_uring";
#endif
}

}  // namespace
}  // namespace tciafs::fuse
