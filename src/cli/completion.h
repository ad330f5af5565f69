// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a shell offers after TAB: the scripts in cmake/package ask the program itself
// (`tciafs __complete WORD...`), so that they know every subcommand and option there is. Looks at
// the command line's own description and the mount table, never at a mount or the network.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tciafs::cli {

inline constexpr const char* kCompleteCommand = "__complete";

// One offer per line for the last of `words`, which is what has been typed so far of a word: the
// word, a tab and what it means. Instead of words there may be ":files" or ":directories" (the
// shell knows them), and ":nospace" beside words that go on.
std::vector<std::string> Complete(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace tciafs::cli
