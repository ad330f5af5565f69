// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "control/socket_address.h"
#include "tciafs/control/channel.h"
#include "tciafs/control/limits.h"
#include "tciafs/util/log.h"

namespace tciafs::control {
namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

// A connection and the thread that answers it.
struct Guest {
  explicit Guest(UniqueFd socket) : connection(std::move(socket)) {}
  Connection connection;
  std::stop_source stop;
  std::atomic<bool> ended = false;
  std::thread thread;
};

class GuestAnswers final : public Answers {
 public:
  explicit GuestAnswers(Guest& guest) : guest_(guest) {}
  Status Send(const Message& message) override { return guest_.connection.Send(message); }
  std::stop_token stop() const override { return guest_.stop.get_token(); }
  Result<std::optional<Message>> Receive(int64_t timeout_ms) override {
    return guest_.connection.Receive(timeout_ms);
  }
  Status ReceiveBytes(std::span<std::byte> into, int64_t timeout_ms) override {
    return guest_.connection.ReceiveBytes(into, timeout_ms);
  }

 private:
  Guest& guest_;
};

// The name of a socket, removed unless another process has taken it over since.
class SocketName {
 public:
  explicit SocketName(std::string path) : path_(std::move(path)), inode_(InodeThere()) {}
  ~SocketName() {
    if (InodeThere() == inode_) ::unlink(path_.c_str());
  }
  SocketName(const SocketName&) = delete;
  SocketName& operator=(const SocketName&) = delete;

 private:
  ino_t InodeThere() const {
    struct stat st {};
    return ::lstat(path_.c_str(), &st) == 0 ? st.st_ino : 0;
  }

  const std::string path_;
  const ino_t inode_;
};

class SocketServer final : public Server {
 public:
  SocketServer(std::string path, UniqueFd listening, UniqueFd wake, uint32_t owner_uid,
               Handler handler)
      : name_(std::in_place, std::move(path)),
        listening_(std::move(listening)),
        wake_(std::move(wake)),
        owner_uid_(owner_uid),
        handler_(std::move(handler)),
        thread_([this] { Loop(); }) {}

  ~SocketServer() override {
    name_.reset();
    ending_ = true;
    Wake();
    thread_.join();
  }

 private:
  void Wake() const {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  // Watches who connects and who hangs up; handlers are told to stop through their tokens.
  void Loop() {
    while (!ending_) {
      std::vector<pollfd> watched{{wake_.get(), POLLIN, 0}, {listening_.get(), POLLIN, 0}};
      for (const Guest& guest : guests_) {
        const bool watch = !guest.stop.stop_requested();
        watched.push_back({watch ? guest.connection.fd() : -1, POLLRDHUP, 0});
      }
      if (::poll(watched.data(), watched.size(), -1) < 0) continue;
      uint64_t wakes = 0;
      if (watched[0].revents != 0) (void)!::read(wake_.get(), &wakes, sizeof wakes);
      size_t at = 2;
      for (Guest& guest : guests_)
        if (watched[at++].revents != 0) guest.stop.request_stop();
      ReapEnded();
      if (watched[1].revents != 0) Accept();
    }
    for (Guest& guest : guests_) {
      guest.stop.request_stop();
      ::shutdown(guest.connection.fd(), SHUT_RDWR);  // whoever waits for the client
    }
    for (Guest& guest : guests_) guest.thread.join();
  }

  void ReapEnded() {
    for (auto guest = guests_.begin(); guest != guests_.end();) {
      if (!guest->ended) {
        ++guest;
        continue;
      }
      guest->thread.join();
      guest = guests_.erase(guest);
    }
  }

  void Accept() {
    UniqueFd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) {  // out of descriptors: it stays readable
      if (errno != EAGAIN) std::this_thread::sleep_for(kAcceptPause);
      return;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        (peer.uid != owner_uid_ && peer.uid != 0))
      return Refuse(std::move(socket), {Errc::kPermission, "only its owner is answered"});
    if (guests_.size() >= kRequestsMax)
      return Refuse(std::move(socket), {Errc::kBusy, "too many requests at once"});
    Guest& guest = guests_.emplace_back(std::move(socket));
    guest.thread = std::thread([this, &guest] {
      Answer(guest);
      guest.ended = true;
      Wake();
    });
  }

  static void Refuse(UniqueFd socket, const Error& why) {
    (void)Connection(std::move(socket)).Send(FailedMessage(why));
  }

  void Answer(Guest& guest) const {
    const auto request = guest.connection.Receive(kRequestWaitMaxMs);
    if (request && !*request) return;  // somebody who only looked whether we are there
    Status outcome;
    if (!request) {
      outcome = Fail(request.error());
    } else {
      GuestAnswers answers(guest);
      outcome = handler_(**request, answers);
    }
    if (!outcome && outcome.error().code == Errc::kCancelled && ending_)
      outcome = Fail(Errc::kCancelled, "the mount has ended");
    if (!outcome) LogDebug("control: {}", outcome.error().message);
    (void)guest.connection.Send(outcome ? DoneMessage() : FailedMessage(outcome.error()));
    ::shutdown(guest.connection.fd(), SHUT_RDWR);
  }

  std::optional<SocketName> name_;
  const UniqueFd listening_;
  const UniqueFd wake_;
  const uint32_t owner_uid_;
  const Handler handler_;
  std::atomic<bool> ending_ = false;
  std::list<Guest> guests_;  // of the loop's thread
  std::thread thread_;
};

tl::unexpected<Error> SystemFailure(const std::string& path) {
  return Fail(Errc::kInternal, path + ": " + SystemErrorText(errno));
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const std::string& socket_path, uint32_t owner_uid,
                                              Handler handler) {
  TCIAFS_ASSIGN(const SocketAddress address, SocketAddress::Of(socket_path));
  UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listening.valid()) return SystemFailure(socket_path);
  ::unlink(socket_path.c_str());  // of a process that was killed
  if (::bind(listening.get(), address.get(), address.size()) != 0)
    return SystemFailure(socket_path);
  if (::chmod(socket_path.c_str(), 0600) != 0 ||
      ::listen(listening.get(), static_cast<int>(kRequestsMax)) != 0)
    return SystemFailure(socket_path);
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return SystemFailure(socket_path);
  return std::make_unique<SocketServer>(socket_path, std::move(listening), std::move(wake),
                                        owner_uid, std::move(handler));
}

}  // namespace tciafs::control
