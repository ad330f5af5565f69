// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The program as a function of its arguments: `tciafs SUBCOMMAND ...`, or, called by the name
// mount.tciafs, the helper of mount(8). Prints to standard output and standard error; returns the
// exit code (man/tciafs.1, EXIT STATUS). To be called once per process, before any thread is
// started.
#pragma once

namespace tciafs::cli {

int Main(int argc, char** argv);

}  // namespace tciafs::cli
