// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/service_manager.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>

#include "support/fakes.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

Environment With(const std::string& name, const std::string& value) {
  return [name, value](const char* asked) { return name == asked ? value.c_str() : nullptr; };
}

// The manager's side.
class Listener {
 public:
  explicit Listener(std::string name) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path);
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    bound_ = ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0;
  }
  bool bound() const { return bound_; }
  std::string Next() {
    char text[512];
    const ssize_t got = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
    return got < 0 ? "nothing" : std::string(text, static_cast<size_t>(got));
  }

 private:
  UniqueFd socket_;
  bool bound_ = false;
};

TEST(ServiceManager, IsToldThroughASocketOfEitherKind) {
  const testing::TempDirectory directory;
  for (const std::string& name :
       {directory.path() + "/notify", fmt::format("@tciafs-unit-test-{}", ::getpid())}) {
    Listener listener(name);
    ASSERT_TRUE(listener.bound()) << name;
    const ServiceManager manager(With("NOTIFY_SOCKET", name));
    EXPECT_EQ(listener.Next(), "nothing");
    manager.Ready("mounted\non /x");
    EXPECT_EQ(listener.Next(), "READY=1\nSTATUS=mounted on /x");
    manager.Tell("as before");
    EXPECT_EQ(listener.Next(), "STATUS=as before");
    manager.Stopping("unmounting");
    EXPECT_EQ(listener.Next(), "STOPPING=1\nSTATUS=unmounting");
  }
}

TEST(ServiceManager, ThatIsNotThereIsNoTrouble) {
  ServiceManager().Ready("x");
  ServiceManager(With("OTHER", "/x")).Ready("x");
  ServiceManager(With("NOTIFY_SOCKET", "")).Ready("x");
  for (const std::string& name : {std::string("vsock:2:1234"), std::string("/nonexistent/notify"),
                                  "/" + std::string(200, 'x')}) {
    ::testing::internal::CaptureStderr();
    ServiceManager(With("NOTIFY_SOCKET", name)).Ready("x");
    EXPECT_NE(::testing::internal::GetCapturedStderr().find(name), std::string::npos);
  }
}

TEST(Journal, IsKnownByItsDeviceAndInode) {
  struct stat st {};
  ASSERT_EQ(::fstat(STDERR_FILENO, &st), 0);
  EXPECT_TRUE(
      StandardErrorIsJournal(With("JOURNAL_STREAM", fmt::format("{}:{}", st.st_dev, st.st_ino))));
  EXPECT_FALSE(StandardErrorIsJournal(
      With("JOURNAL_STREAM", fmt::format("{}:{}", st.st_dev, st.st_ino + 1))));
  EXPECT_FALSE(StandardErrorIsJournal(With("OTHER", "x")));
}

}  // namespace
}  // namespace tciafs::cli
