// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The command line of the test archive, and the archive it describes. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http_server.h"
#include "service.h"
#include "synthetic.h"
#include "tciafs/util/clock.h"

namespace tciafs::archive {

struct Options {
  std::vector<std::string> dicom_directories;  // DIR or DIR=COLLECTION
  std::vector<SyntheticSpec> synthetic;
  bool odd_names = false;
  std::vector<std::string> restricted;  // COLLECTION=USER
  ServiceOptions service;
  TokenOptions tokens;
  HttpServerOptions server;
  std::string plan_file;
  std::string ready_file;
  bool exit_with_parent = false;
};

// True: run with these options. False: help or an error has been printed, exit with `exit_code`.
bool ParseCommandLine(int argc, const char* const* argv, Options& options, int& exit_code);

// Reads the directories and the plan. Says on the log what was left out.
Result<std::unique_ptr<Service>> BuildService(const Options& options, const Clock& clock);

}  // namespace tciafs::archive
