// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Stands in for libFuzzer where there is none: gives the target every file of a corpus as it is,
// then a fixed number of seeded mutations of them. The same corpus gives the same inputs. When the
// target crashes, the input is written to ./crash-<program>, to be kept in the corpus once the
// cause is mended.
//
//   tciafs_fuzz_NAME DIRECTORY|FILE... [--mutations=N]
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"

namespace tciafs::fuzz {
namespace {

constexpr size_t kMutationsDefault = 10'000;
constexpr size_t kInputBytesMax = 64 << 10;

struct Input {
  std::string name;
  std::string bytes;
};

// What the signal handler may touch: set before, not while, the target runs.
std::string crash_path;
std::string current_name;
std::string current_bytes;

void WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

void KeepInput() {
  const int fd = ::open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd >= 0) WriteAll(fd, current_bytes);
  WriteAll(STDERR_FILENO, "crashed on " + current_name + ", kept as " + crash_path + "\n");
}

void OnSignal(int signal_number) {
  KeepInput();
  ::signal(signal_number, SIG_DFL);
  ::raise(signal_number);
}

void Run(const std::string& name, const std::string& bytes) {
  current_name = name;
  current_bytes = bytes;
  // A copy of its own, so that a sanitizer sees the first byte read beyond it.
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::string Mutated(const std::vector<Input>& corpus, size_t index, Dice& dice) {
  constexpr unsigned char kTelling[] = {0,   1,   0x7f, 0x80, 0xff, '"', '{', '}', '[', ']',
                                        '%', '/', '\\', '\n', ' ',  ',', ':', '=', '.', '-'};
  std::string bytes = corpus[index].bytes;
  const size_t changes = 1 + dice.Below(4);
  for (size_t i = 0; i < changes; ++i) {
    const size_t at = dice.Below(bytes.size() + 1);
    const size_t length = std::min(1 + dice.Below(16), bytes.size() - at);
    const std::string& other = corpus[dice.Below(corpus.size())].bytes;
    const size_t from = dice.Below(other.size() + 1);
    switch (dice.Below(8)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ 1 << dice.Below(8));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(dice.Next());
        break;
      case 2:
        if (at < bytes.size())
          bytes[at] = static_cast<char>(kTelling[dice.Below(std::size(kTelling))]);
        break;
      case 3:
        bytes.insert(at, 1, static_cast<char>(kTelling[dice.Below(std::size(kTelling))]));
        break;
      case 4:
        bytes.erase(at, length);
        break;
      case 5:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 6:
        bytes.resize(at);
        break;
      default:
        bytes.insert(at, other.substr(from, 1 + dice.Below(64)));
        break;
    }
  }
  bytes.resize(std::min(bytes.size(), kInputBytesMax));
  return bytes;
}

void Collect(const std::filesystem::path& path, std::vector<Input>& corpus) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path))
    for (const auto& entry : std::filesystem::directory_iterator(path))
      files.push_back(entry.path());
  else
    files.push_back(path);
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
      std::fprintf(stderr, "cannot read %s\n", file.c_str());
      std::exit(2);
    }
    corpus.push_back({file.filename().string(), {std::istreambuf_iterator<char>(stream), {}}});
  }
}

int Main(int argc, char** argv) {
  std::vector<Input> corpus;
  size_t mutations = kMutationsDefault;
  const std::string option = "--mutations=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with(option))
      mutations = std::strtoul(argument.c_str() + option.size(), nullptr, 10);
    else
      Collect(argument, corpus);
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus: a test of nothing\n");
    return 2;
  }
  crash_path = "crash-" + std::filesystem::path(argv[0]).filename().string();
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::signal(number, OnSignal);
  LLVMFuzzerInitialize(&argc, &argv);
  Run("the empty input", "");
  for (const Input& input : corpus) Run(input.name, input.bytes);
  for (size_t i = 0; i < mutations; ++i) {
    const size_t index = i % corpus.size();
    Dice dice(SeedOf(corpus[index].bytes) + i);
    Run("mutation " + std::to_string(i) + " of " + corpus[index].name,
        Mutated(corpus, index, dice));
  }
  std::printf("%zu files, %zu mutations: all well\n", corpus.size(), mutations);
  return 0;
}

}  // namespace
}  // namespace tciafs::fuzz

int main(int argc, char** argv) { return tciafs::fuzz::Main(argc, argv); }
