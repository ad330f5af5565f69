// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Does, on request, one thing that a sanitizer has to report: what is silent here is silent
// everywhere.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <thread>

namespace {

int ReadFreed() {
  int* volatile number = new int(1);
  delete number;
  return *number;
}

int Leak() {
  void* volatile lost = std::malloc(100);
  lost = nullptr;
  return lost != nullptr;
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
