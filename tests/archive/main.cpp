// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// tciafs-test-archive: serves until SIGTERM or SIGINT.
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "options.h"
#include "tciafs/util/log.h"

namespace {

using tciafs::archive::HttpServer;
using tciafs::archive::Options;

// Whoever waits for the file finds it whole or not at all.
bool WriteReadyFile(const std::string& path, const std::string& url) {
  const std::string unfinished = path + ".part";
  std::ofstream file(unfinished, std::ios::binary);
  file << url << '\n';
  file.close();
  std::error_code error;
  std::filesystem::rename(unfinished, path, error);
  return file.good() && !error;
}

int Serve(const Options& options, const sigset_t& ending) {
  const tciafs::SystemClock clock;
  auto service = tciafs::archive::BuildService(options, clock);
  if (!service) {
    tciafs::LogError("{}", service.error().message);
    return 1;
  }
  auto server = HttpServer::Start(
      options.server,
      [&service](const tciafs::archive::Request& request) { return (*service)->Handle(request); },
      clock);
  if (!server) {
    tciafs::LogError("{}", server.error().message);
    return 1;
  }
  const std::string url = fmt::format("http://127.0.0.1:{}/nbia-api", (*server)->port());
  fmt::print("{}\n", url);
  std::fflush(stdout);
  if (!options.ready_file.empty() && !WriteReadyFile(options.ready_file, url)) {
    tciafs::LogError("{}: cannot be written", options.ready_file);
    return 1;
  }
  int signal_number = 0;
  sigwait(&ending, &signal_number);
  (*server)->Stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int exit_code = 0;
  if (!tciafs::archive::ParseCommandLine(argc, argv, options, exit_code)) return exit_code;
  // Blocked before there is any thread, so that only sigwait gets them.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  if (options.exit_with_parent) {
    const pid_t parent = ::getppid();
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (parent == 1 || ::getppid() != parent) return 0;
  }
  return Serve(options, ending);
}
