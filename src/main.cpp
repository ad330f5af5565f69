// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/cli/command_line.h"

int main(int argc, char** argv) { return tciafs::cli::Main(argc, argv); }
