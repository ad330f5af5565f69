// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Does, on request, one thing that a sanitizer has to report: what is silent here is silent
// everywhere.
#include <cstdio>
#include <limits>
#include <string_view>
#include <thread>

namespace {

int ReadFreed() {
  int* volatile number = new int(1);
  delete number;
  return *number;
}

// Nested, so that no copy of the pointers is left on the stack.
struct Link {
  Link* next = nullptr;
};
__attribute__((noinline)) Link* Chain(int links) {
  auto* link = new Link;
  if (links > 1) link->next = Chain(links - 1);
  return link;
}
int Leak() {
  static Link* volatile kept = nullptr;
  kept = Chain(100);
  kept = nullptr;
  return kept != nullptr;
}

int Overflow(int arguments) { return std::numeric_limits<int>::max() + arguments; }

int Race() {
  int shared = 0;
  std::thread other([&shared] { ++shared; });
  ++shared;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view deed = argc == 2 ? argv[1] : "";
  if (deed == "freed") return ReadFreed() == 42;
  if (deed == "leak") return Leak();
  if (deed == "overflow") return Overflow(argc) == 42;
  if (deed == "race") return Race() == 42;
  std::fputs("usage: canary freed|leak|overflow|race\n", stderr);
  return 2;
}
