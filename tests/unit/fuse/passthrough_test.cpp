// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Without a mount: a kernel that keeps to Linux's rules for backing files, and fails the test that
// breaks them.
#include "fuse/passthrough.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "unit/vfs/memory_cache.h"

namespace tciafs::fuse {
namespace {

using testing::MemoryFile;

class PassthroughTest : public ::testing::Test {
 protected:
  PassthroughTest()
      : file_(std::make_shared<MemoryFile>("bytes")), passthrough_(true, KernelCalls()) {
    passthrough_.Start();
  }

  Passthrough::Kernel KernelCalls() {
    return {[this](fuse_req_t request, int) {
              MutexLock lock(mutex_);
              EXPECT_NE(request, nullptr);
              if (refuses_) return 0;
              ids_.push_back(next_id_);
              return next_id_++;
            },
            [this](fuse_req_t request, int id) {
              MutexLock lock(mutex_);
              EXPECT_NE(request, nullptr);
              EXPECT_EQ(std::erase(ids_, id), 1u) << id;
            }};
  }
  static fuse_req_t Request() { return reinterpret_cast<fuse_req_t>(sizeof(void*)); }
  // An open; where the file may be handed out or not.
  int Enter(vfs::NodeId node, bool whole = true) {
    return passthrough_.Enter(Request(), node, [this, whole]() -> Result<vfs::BackingReply> {
      ++asked_;
      if (!whole) return Fail(Errc::kUnsupported, "not verified");
      return vfs::BackingReply{*file_->WholeFile(0), file_};
    });
  }
  void Leave(vfs::NodeId node) { passthrough_.Leave(Request(), node); }
  std::vector<int> ids() {
    MutexLock lock(mutex_);
    return ids_;
  }

  std::shared_ptr<MemoryFile> file_;
  Mutex mutex_;
  bool refuses_ TCIAFS_GUARDED_BY(mutex_) = false;
  int next_id_ TCIAFS_GUARDED_BY(mutex_) = 1;
  std::vector<int> ids_ TCIAFS_GUARDED_BY(mutex_);  // the kernel has
  std::atomic<int> asked_ = 0;
  Passthrough passthrough_;
};

TEST_F(PassthroughTest, DoesNothingUnlessNegotiated) {
  Passthrough idle(true, KernelCalls());
  EXPECT_EQ(idle.Enter(Request(), 2,
                       []() -> Result<vfs::BackingReply> {
                         ADD_FAILURE() << "nobody is to verify anything";
                         return Fail(Errc::kUnsupported, "");
                       }),
            0);
  idle.Leave(Request(), 2);
  EXPECT_TRUE(ids().empty());
}

TEST_F(PassthroughTest, TheHandlesOfANodeShareOneBackingFile) {
  const int id = Enter(2);
  EXPECT_GT(id, 0);
  EXPECT_EQ(Enter(2), id);
  EXPECT_EQ(Enter(2, /*whole=*/false), id) << "the kernel would fail any other answer";
  EXPECT_EQ(asked_, 1);
  const int other = Enter(3);
  EXPECT_GT(other, 0);
  EXPECT_NE(other, id);
  Leave(2);
  Leave(2);
  EXPECT_EQ(ids(), (std::vector<int>{id, other}));
  Leave(2);
  EXPECT_EQ(ids(), std::vector<int>{other});
  Leave(3);
  EXPECT_TRUE(ids().empty());
}

TEST_F(PassthroughTest, TheFirstHandleOfANodeDecides) {
  EXPECT_EQ(Enter(2, /*whole=*/false), 0);
  EXPECT_EQ(Enter(2), 0) << "cached and passed through do not go together";
  Leave(2);
  EXPECT_EQ(Enter(2), 0);
  Leave(2);
  Leave(2);
  EXPECT_GT(Enter(2), 0) << "decided anew when nobody had it open";
}

TEST_F(PassthroughTest, KeepsTheFileAsLongAsTheKernelMayReadIt) {
  const std::weak_ptr<MemoryFile> kept = file_;
  Enter(2);
  Enter(2);
  file_ = std::make_shared<MemoryFile>("bytes");
  Leave(2);
  EXPECT_FALSE(kept.expired());
  Leave(2);
  EXPECT_TRUE(kept.expired());
}

TEST_F(PassthroughTest, ARefusalIsForGood) {
  const int before = Enter(2);
  {
    MutexLock lock(mutex_);
    refuses_ = true;
  }
  EXPECT_EQ(Enter(3), 0);
  {
    MutexLock lock(mutex_);
    refuses_ = false;
  }
  EXPECT_EQ(Enter(4), 0);
  EXPECT_EQ(asked_, 2) << "nothing is verified for it any more";
  EXPECT_EQ(Enter(2), before) << "what is open stays as it is";
  for (const vfs::NodeId node : {2, 2, 3, 4}) Leave(node);
  EXPECT_TRUE(ids().empty());
  EXPECT_EQ(Enter(2), 0);
}

TEST_F(PassthroughTest, AnAnswerThatWasNotDeliveredIsTakenBack) {
  EXPECT_GT(Enter(2), 0);
  passthrough_.Leave(nullptr, 2);
  EXPECT_EQ(ids().size(), 1u) << "there is no request to tell the kernel with";
  Enter(3, /*whole=*/false);
  Leave(3);
  EXPECT_TRUE(ids().empty());
}

TEST_F(PassthroughTest, ManyOpenAndCloseTheSameNodes) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 3000;
  struct Seen {
    Mutex mutex;
    std::map<vfs::NodeId, std::pair<int, int>> open TCIAFS_GUARDED_BY(mutex);  // id, handles
  } seen;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const vfs::NodeId node = 2 + static_cast<vfs::NodeId>(round + thread) % 3;
        const int id = Enter(node, (round + thread) % 5 != 0);
        {
          MutexLock lock(seen.mutex);
          auto& [open_id, handles] = seen.open[node];
          if (handles++ > 0) {
            EXPECT_EQ(id, open_id);
          }
          open_id = id;
        }
        {
          MutexLock lock(seen.mutex);  // the kernel closes before it says so
          --seen.open[node].second;
        }
        Leave(node);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(ids().empty());
  EXPECT_EQ(file_.use_count(), 1);
}

TEST(PassthroughAnswer, GoesWithNoFlagThatTheKernelRefusesBesideIt) {
  for (const bool direct : {false, true}) {
    fuse_file_info opened{};
    opened.flags = O_RDONLY | (direct ? O_DIRECT : 0);
    opened.keep_cache = 1;
    SetBacking(7, opened);
    EXPECT_EQ(opened.keep_cache, 0);
    EXPECT_EQ(opened.direct_io, direct ? 1 : 0);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    EXPECT_EQ(opened.backing_id, 7);
#endif
  }
}

TEST(PassthroughNegotiation, NeedsAllOfLibraryKernelPrivilegeAndWill) {
  for (const bool allowed : {false, true}) {
    fuse_conn_info connection{};
    Passthrough passthrough(allowed);
    EXPECT_FALSE(passthrough.Negotiate(connection)) << "a kernel that does not offer it";
    EXPECT_EQ(connection.want, 0u);
    connection.capable = ~0u;
    const bool used = passthrough.Negotiate(connection);
    EXPECT_EQ(connection.want != 0, used);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    if (!allowed || ::geteuid() != 0) {
      EXPECT_FALSE(used);
    }
#else
    EXPECT_FALSE(used);
#endif
  }
}

}  // namespace
}  // namespace tciafs::fuse
