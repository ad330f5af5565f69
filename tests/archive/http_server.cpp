// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http_server.h"

#include <httplib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <utility>

#include "connection.h"
#include "replies.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::archive {
namespace {

constexpr size_t kThreadsMax = 600;  // stalled connections hold one each
constexpr int kBacklog = 512;        // the library's own is 5
constexpr int64_t kIdleConnectionMs = 60'000;
constexpr size_t kRequestsPerConnection = 1'000'000;
constexpr size_t kRequestBodyMax = 10 << 20;  // as the nginx before the real archive
constexpr int64_t kPiecesPerSecond = 10;      // of a slow line
constexpr int64_t kPieceMax = 64 * 1024;

// A line of limited width. Each piece books its time on the line and is sent when that begins.
class Line {
 public:
  Line(int64_t bytes_per_s, const Clock& clock) : bytes_per_s_(bytes_per_s), clock_(clock) {}

  bool limited() const { return bytes_per_s_ > 0; }
  int64_t piece_bytes() const {
    return limited() ? std::clamp<int64_t>(bytes_per_s_ / kPiecesPerSecond, 1, kPieceMax)
                     : INT64_MAX;
  }
  // How long to wait before sending so many bytes.
  int64_t BookMs(size_t bytes) {
    if (!limited()) return 0;
    const auto now_ms = static_cast<double>(clock_.MonotonicMs());
    MutexLock lock(mutex_);
    const double start_ms = std::max(now_ms, free_from_ms_);
    free_from_ms_ =
        start_ms + 1000.0 * static_cast<double>(bytes) / static_cast<double>(bytes_per_s_);
    return static_cast<int64_t>(start_ms - now_ms);
  }

 private:
  const int64_t bytes_per_s_;
  const Clock& clock_;
  Mutex mutex_;
  double free_from_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

// The library's view of a connection. Nothing is marked `override`: each version of the library
// asks for some of these.
class ConnectionStream final : public httplib::Stream {
 public:
  explicit ConnectionStream(Connection& connection) : connection_(connection) {}
  bool is_readable() const { return !connection_.broken(); }
  bool is_writable() const { return !connection_.broken(); }
  bool wait_readable() const { return !connection_.broken(); }
  bool wait_writable() const { return !connection_.broken(); }
  ssize_t read(char* buffer, size_t size) { return connection_.Read(buffer, size); }
  ssize_t write(const char* bytes, size_t size) { return connection_.Write(bytes, size); }
  void get_remote_ip_and_port(std::string& ip, int& port) const {
    ip = "127.0.0.1";
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const {
    ip = "127.0.0.1";
    port = 0;
  }
  socket_t socket() const { return connection_.fd(); }
  time_t duration() const { return 0; }

 private:
  Connection& connection_;
};

// Threads as they are needed: a connection holds one for as long as it is open.
class GrowingPool final : public httplib::TaskQueue {
 public:
  // Nothing, or whether there was room.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(nullptr));
  Enqueued enqueue(std::function<void()> task) override {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(task));
    if (idle_ < queue_.size() && threads_.size() < kThreadsMax)
      threads_.emplace_back([this] { Run(); });
    wake_.NotifyOne();
    return Enqueued(true);
  }
  void shutdown() override {
    std::vector<std::thread> threads;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      threads.swap(threads_);
    }
    wake_.NotifyAll();
    for (std::thread& thread : threads) thread.join();
  }

 private:
  void Run() {
    for (;;) {
      std::function<void()> task;
      {
        MutexLock lock(mutex_);
        ++idle_;
        while (queue_.empty() && !stopping_) wake_.Wait(mutex_);
        --idle_;
        if (queue_.empty()) return;
        task = std::move(queue_.front());
        queue_.pop_front();
      }
      task();
    }
  }

  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ TCIAFS_GUARDED_BY(mutex_);
  size_t idle_ TCIAFS_GUARDED_BY(mutex_) = 0;
  bool stopping_ TCIAFS_GUARDED_BY(mutex_) = false;
};

// The body on its way out, with what the delivery does to it.
class DeliverySink final : public BodySink {
 public:
  DeliverySink(Connection& connection, const Reply& reply, Line& shared_line, const Clock& clock,
               httplib::DataSink& out)
      : connection_(connection),
        reply_(reply),
        shared_line_(shared_line),
        own_line_(reply.delivery.bytes_per_s, clock),
        out_(out) {}

  bool Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      if (!ActAtOffset()) return false;
      const std::string_view piece = bytes.substr(0, NextPiece(bytes.size()));
      if (!connection_.Sleep(own_line_.BookMs(piece.size()))) return false;
      if (!connection_.Sleep(shared_line_.BookMs(piece.size()))) return false;
      if (!out_.write(piece.data(), piece.size())) return false;
      sent_ += static_cast<int64_t>(piece.size());
      if (reply_.on_sent) reply_.on_sent(static_cast<int64_t>(piece.size()));
      bytes.remove_prefix(piece.size());
    }
    return true;
  }
  // To be called at the end too: a fault may lie exactly there.
  bool ActAtOffset() {
    const Delivery& delivery = reply_.delivery;
    if (sent_ == delivery.stall_after_bytes) {
      connection_.WaitUntilGone();
      return false;
    }
    if (sent_ == delivery.reset_after_bytes) {
      connection_.ArmReset();
      return false;
    }
    if (sent_ == delivery.abort_after_bytes) return false;
    if (sent_ == delivery.cut_after_bytes) {
      cut_ = true;
      return false;
    }
    return true;
  }
  // The body ended before its end, but shall look whole.
  bool cut() const { return cut_; }

 private:
  size_t NextPiece(size_t available) const {
    const Delivery& delivery = reply_.delivery;
    int64_t piece = static_cast<int64_t>(available);
    for (const int64_t offset : {delivery.stall_after_bytes, delivery.reset_after_bytes,
                                 delivery.abort_after_bytes, delivery.cut_after_bytes})
      if (offset > sent_) piece = std::min(piece, offset - sent_);
    return static_cast<size_t>(
        std::min({piece, own_line_.piece_bytes(), shared_line_.piece_bytes()}));
  }

  Connection& connection_;
  const Reply& reply_;
  Line& shared_line_;
  Line own_line_;
  httplib::DataSink& out_;
  int64_t sent_ = 0;
  bool cut_ = false;
};

}  // namespace

class HttpServer::Listener final : public httplib::Server {
 public:
  Listener(const HttpServerOptions& options, Answerer answerer, const Clock& clock)
      : options_(options),
        answerer_(std::move(answerer)),
        clock_(clock),
        line_(options.bandwidth_bytes_per_s, clock),
        stop_fd_(::eventfd(0, EFD_CLOEXEC)) {
    set_keep_alive_max_count(kRequestsPerConnection);
    set_keep_alive_timeout(kIdleConnectionMs / 1000);
    set_payload_max_length(kRequestBodyMax);
    set_tcp_nodelay(true);
    set_socket_options([](socket_t fd) {
      const int on = 1;
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
    new_task_queue = [] { return new GrowingPool; };
    Get(".*", [this](const httplib::Request& in, httplib::Response& out) { Serve(in, {}, out); });
    // With a reader of our own: the library's limit for forms is 8 KiB.
    Post(".*", [this](const httplib::Request& in, httplib::Response& out,
                      const httplib::ContentReader& reader) {
      std::string body;
      const bool whole = reader([&](const char* bytes, size_t size) {
        body.append(bytes, size);
        return body.size() <= kRequestBodyMax;
      });
      if (!whole) return Refuse(HtmlErrorReply(413), out);
      Serve(in, std::move(body), out);
    });
    set_pre_routing_handler([](const httplib::Request& in, httplib::Response& out) {
      if (in.method == "GET" || in.method == "HEAD" || in.method == "POST")
        return HandlerResponse::Unhandled;
      Refuse(WrongMethodReply(), out);
      return HandlerResponse::Handled;
    });
  }

  // The port, or a negative number.
  int Listen() {
    const int port = options_.port == 0                         ? bind_to_any_port("127.0.0.1")
                     : bind_to_port("127.0.0.1", options_.port) ? options_.port
                                                                : -1;
    if (port < 0) return port;
    ::listen(svr_sock_, kBacklog);
    thread_ = std::thread([this] { listen_after_bind(); });
    while (!is_running()) std::this_thread::yield();  // before that, stop() has no effect
    return port;
  }

  void StopAll() {
    ::eventfd_write(stop_fd_.get(), 1);
    stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  bool process_and_close_socket(socket_t fd) override {
    UniqueFd owned(fd);
    Connection connection(fd, stop_fd_.get());
    ConnectionStream stream(connection);
    current_ = &connection;
    bool closed = false;
    for (size_t left = kRequestsPerConnection; left > 0 && !closed && !connection.ending();
         --left) {
      if (!connection.WaitReadable(kIdleConnectionMs)) break;
      if (!Process(stream, left == 1, closed)) break;
    }
    current_ = nullptr;
    if (!connection.broken()) ::shutdown(fd, SHUT_RDWR);
    return true;
  }

  // A template, since newer versions of the library want the addresses too.
  template <typename Stream>
  bool Process(Stream& stream, bool last, bool& closed) {
    // Neither ranges nor compression: the archive knows neither.
    const auto forget = [](httplib::Request& request) {
      request.ranges.clear();
      request.headers.erase("Accept-Encoding");
    };
    if constexpr (requires { this->process_request(stream, last, closed, forget); })
      return this->process_request(stream, last, closed, forget);
    else
      return this->process_request(stream, "127.0.0.1", 0, "127.0.0.1", 0, last, closed, forget);
  }

  // Without reading what is left of the request, so nothing can follow it.
  static void Refuse(const Reply& refusal, httplib::Response& out) {
    current_->EndAfterReply();
    out.status = refusal.status;
    out.set_header("Connection", "close");
    out.set_content(refusal.body, refusal.content_type);
  }

  static Request Translate(const httplib::Request& in, std::string body) {
    Request request;
    request.method = in.method;
    request.path = in.path;
    request.query.insert(in.params.begin(), in.params.end());
    const std::string type = in.get_header_value("Content-Type");
    if (type.starts_with("application/x-www-form-urlencoded")) request.form = ParseForm(body);
    request.body = std::move(body);
    if (in.has_header("Authorization"))
      request.authorization = in.get_header_value("Authorization");
    request.api_key = in.get_header_value("api_key");
    return request;
  }

  void Serve(const httplib::Request& in, std::string body, httplib::Response& out) {
    const auto reply = std::make_shared<const Reply>(answerer_(Translate(in, std::move(body))));
    Connection& connection = *current_;
    if (!connection.Sleep(options_.latency_ms + reply->delivery.latency_ms)) {
      connection.ArmReset();
      return;
    }
    if (reply->delivery.stall_before_head) {
      connection.WaitUntilGone();
      connection.ArmReset();
      return;
    }
    if (reply->raw) return SendRaw(connection, *reply);
    out.status = reply->status;
    for (const auto& [name, value] : reply->headers) out.set_header(name, value);
    if (in.method == "HEAD") out.set_header("Accept-Ranges", "none");
    SetBody(connection, reply, out);
  }

  // Past the library, which would make a proper answer of it.
  void SendRaw(Connection& connection, const Reply& reply) {
    httplib::DataSink out;
    out.write = [&connection](const char* bytes, size_t size) {
      while (size > 0) {
        const ssize_t sent = connection.Write(bytes, size);
        if (sent <= 0) return false;
        bytes += sent;
        size -= static_cast<size_t>(sent);
      }
      return true;
    };
    DeliverySink sink(connection, reply, line_, clock_, out);
    const bool sent = reply.writer ? reply.writer(sink) : sink.Write(reply.body);
    if (sent) sink.ActAtOffset();
    if (!connection.broken()) connection.HangUp();
  }

  void SetBody(Connection& connection, const std::shared_ptr<const Reply>& reply,
               httplib::Response& out) {
    if (reply->writer) {
      out.set_chunked_content_provider(
          reply->content_type, [this, &connection, reply](size_t, httplib::DataSink& data) {
            DeliverySink sink(connection, *reply, line_, clock_, data);
            if (!(reply->writer(sink) && sink.ActAtOffset()) && !sink.cut()) return false;
            data.done();
            return true;
          });
      return;
    }
    const int64_t cut = reply->delivery.cut_after_bytes;
    const size_t size =
        cut < 0 ? reply->body.size() : std::min(reply->body.size(), static_cast<size_t>(cut));
    if (size == 0) return SetEmptyBody(connection, *reply, out);
    out.set_content_provider(
        size, reply->content_type,
        [this, &connection, reply](size_t, size_t length, httplib::DataSink& data) {
          DeliverySink sink(connection, *reply, line_, clock_, data);
          return sink.Write(std::string_view(reply->body).substr(0, length)) && sink.ActAtOffset();
        },
        [reply](bool) {});
  }

  // Nothing will be written, so what is to happen at offset 0 happens now.
  static void SetEmptyBody(Connection& connection, const Reply& reply, httplib::Response& out) {
    const Delivery& delivery = reply.delivery;
    if (delivery.stall_after_bytes == 0) connection.WaitUntilGone();
    if (delivery.stall_after_bytes == 0 || delivery.reset_after_bytes == 0 ||
        delivery.abort_after_bytes == 0)
      connection.ArmReset();
    if (reply.status == 204) return;
    out.set_header("Content-Length", "0");
  }

  const HttpServerOptions options_;
  const Answerer answerer_;
  const Clock& clock_;
  Line line_;
  const UniqueFd stop_fd_;
  std::thread thread_;
  // The connection this thread serves: the library hands its handlers no way to it.
  static thread_local Connection* current_;
};

thread_local Connection* HttpServer::Listener::current_ = nullptr;

HttpServer::HttpServer(std::unique_ptr<Listener> listener, int port)
    : listener_(std::move(listener)), port_(port) {}

HttpServer::~HttpServer() { Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                      Answerer answerer, const Clock& clock) {
  auto listener = std::make_unique<Listener>(options, std::move(answerer), clock);
  const int port = listener->Listen();
  if (port < 0) return Fail(Errc::kBusy, "cannot listen on port " + std::to_string(options.port));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(listener), port));
}

void HttpServer::Stop() { listener_->StopAll(); }

}  // namespace tciafs::archive
