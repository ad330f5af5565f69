// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The timed loops of scripts/bench. The clock runs over the operations alone: lists are read and
// threads started before. Prints one JSON object.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>
#ifdef TCIAFS_HAVE_ISAL
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#endif

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kHeadBytes = 4096;
constexpr size_t kRandomBytes = 64 * 1024;
constexpr int kRandomReads = 2000;

const char* const kUsage =
    "tciafs-perf-loops MODE THREADS SECONDS_MIN ROOT LIST\n"
    "  read     open, read to the end, close each file of the list\n"
    "  head     open, read 4 KiB, close\n"
    "  map      open, map, add up, unmap, close\n"
    "  random   2,000 preads of 64 KiB at random places of the first file\n"
    "tciafs-perf-loops lines THREADS SECONDS_MIN COMMAND...\n"
    "  runs the command and counts its lines\n"
    "tciafs-perf-loops inflate THREADS SECONDS_MIN ZIP OFFSETS\n"
    "  inflates and checks the members whose data begin at these offsets\n"
    "Whole passes are repeated until that many seconds have gone by.\n";

struct Tally {
  std::atomic<int64_t> operations{0};
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> failures{0};
};

double NowSeconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double CpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

std::vector<std::string> ReadLines(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

using FileWork = std::function<int64_t(int fd, char* buffer)>;  // bytes, or -1

int64_t ReadWhole(int fd, char* buffer) {
  int64_t total = 0;
  for (;;) {
    const ssize_t got = read(fd, buffer, kReadBytes);
    if (got < 0) return -1;
    if (got == 0) return total;
    total += got;
  }
}

int64_t ReadHead(int fd, char* buffer) { return read(fd, buffer, kHeadBytes); }

int64_t AddUp(int fd, char*) {
  struct stat attributes {};
  if (fstat(fd, &attributes) != 0) return -1;
  const auto size = static_cast<size_t>(attributes.st_size);
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return -1;
  static std::atomic<uint64_t> sink;
  const auto* words = static_cast<const uint64_t*>(mapped);
  uint64_t sum = 0;
  for (size_t i = 0; i < size / sizeof *words; ++i) sum += words[i];
  sink += sum;
  munmap(mapped, size);
  return attributes.st_size;
}

int64_t ReadAtRandom(int fd, char* buffer) {
  struct stat attributes {};
  if (fstat(fd, &attributes) != 0) return -1;
  const auto places = static_cast<uint64_t>(attributes.st_size) / kHeadBytes;
  const uint64_t last = places - kRandomBytes / kHeadBytes + 1;
  uint64_t random = 88172645463325252U;  // xorshift: the same places in every pass
  int64_t total = 0;
  for (int i = 0; i < kRandomReads; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const auto offset = static_cast<off_t>(random % last * kHeadBytes);
    const ssize_t got = pread(fd, buffer, kRandomBytes, offset);
    if (got < 0) return -1;
    total += got;
  }
  return total;
}

void WorkOnFiles(const std::vector<std::string>& paths, int threads, const FileWork& work,
                 Tally& tally) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    char* buffer = static_cast<char*>(std::aligned_alloc(4096, kReadBytes));
    std::memset(buffer, 0, kReadBytes);
    for (size_t i = next++; i < paths.size(); i = next++) {
      const int fd = open(paths[i].c_str(), O_RDONLY | O_CLOEXEC);
      const int64_t bytes = fd < 0 ? -1 : work(fd, buffer);
      if (fd >= 0) close(fd);
      if (bytes < 0) ++tally.failures;
      tally.bytes += std::max<int64_t>(bytes, 0);
      ++tally.operations;
    }
    std::free(buffer);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
}

void CountLines(char** command, Tally& tally) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execvp(command[0], command);
    _exit(127);
  }
  close(ends[1]);
  static char buffer[1 << 16];
  ssize_t got = 0;
  while ((got = read(ends[0], buffer, sizeof buffer)) > 0)
    tally.operations += std::count(buffer, buffer + got, '\n');
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) ++tally.failures;
}

// One member's data; returns how many bytes come out, -1 if they are damaged.
#ifdef TCIAFS_HAVE_ISAL
int64_t InflateOne(char* data, size_t size, std::vector<uint8_t>& out) {
  static thread_local inflate_state state;
  isal_inflate_init(&state);
  state.next_in = reinterpret_cast<uint8_t*>(data);
  state.avail_in = static_cast<uint32_t>(std::min<size_t>(size, 1U << 30));
  int64_t total = 0;
  uint32_t crc = 0;
  do {
    state.next_out = out.data();
    state.avail_out = static_cast<uint32_t>(out.size());
    if (isal_inflate(&state) != ISAL_DECOMP_OK) return -1;
    const size_t produced = out.size() - state.avail_out;
    crc = crc32_gzip_refl(crc, out.data(), produced);
    total += static_cast<int64_t>(produced);
  } while (state.block_state != ISAL_BLOCK_FINISH);
  static std::atomic<uint32_t> sink;
  sink += crc;
  return total;
}
#else
int64_t InflateOne(char* data, size_t size, std::vector<uint8_t>& out) {
  z_stream stream{};
  inflateInit2(&stream, -MAX_WBITS);
  stream.next_in = reinterpret_cast<Bytef*>(data);
  stream.avail_in = static_cast<uInt>(std::min<size_t>(size, 1U << 30));
  int64_t total = 0;
  uLong crc = crc32(0, nullptr, 0);
  int code = Z_OK;
  while (code == Z_OK) {
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    code = inflate(&stream, Z_NO_FLUSH);
    const size_t produced = out.size() - stream.avail_out;
    crc = crc32_z(crc, out.data(), produced);
    total += static_cast<int64_t>(produced);
  }
  inflateEnd(&stream);
  static std::atomic<uLong> sink;
  sink += crc;
  return code == Z_STREAM_END ? total : -1;
}
#endif

void InflateMembers(const std::vector<char>& zip, const std::vector<std::string>& offsets,
                    Tally& tally) {
  std::vector<uint8_t> out(256 * 1024);
  for (const std::string& text : offsets) {
    const size_t offset = std::stoull(text);
    const int64_t bytes =
        InflateOne(const_cast<char*>(zip.data()) + offset, zip.size() - offset, out);
    if (bytes < 0) ++tally.failures;
    tally.bytes += std::max<int64_t>(bytes, 0);
    ++tally.operations;
  }
}

std::vector<char> ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Repeat(double seconds_min, const std::function<void()>& pass, const Tally& tally) {
  const double begin = NowSeconds();
  int passes = 0;
  do {
    pass();
    ++passes;
  } while (NowSeconds() - begin < seconds_min);
  const double seconds = NowSeconds() - begin;
  std::printf(
      "{\"operations\": %lld, \"bytes\": %lld, \"failures\": %lld, \"passes\": %d, "
      "\"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
      static_cast<long long>(tally.operations), static_cast<long long>(tally.bytes),
      static_cast<long long>(tally.failures), passes, seconds, CpuSeconds());
}

FileWork WorkOf(const std::string& mode) {
  if (mode == "read") return ReadWhole;
  if (mode == "head") return ReadHead;
  if (mode == "map") return AddUp;
  if (mode == "random") return ReadAtRandom;
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::string mode = argv[1];
  const int threads = std::atoi(argv[2]);
  const double seconds_min = std::atof(argv[3]);
  Tally tally;
  if (mode == "lines") {
    Repeat(seconds_min, [&] { CountLines(argv + 4, tally); }, tally);
    return 0;
  }
  if (argc < 6) return 2;
  std::vector<std::string> lines = ReadLines(argv[5]);
  if (mode == "inflate") {
    const std::vector<char> zip = ReadFile(argv[4]);
    Repeat(seconds_min, [&] { InflateMembers(zip, lines, tally); }, tally);
    return 0;
  }
  const FileWork work = WorkOf(mode);
  if (!work || lines.empty()) return 2;
  for (std::string& line : lines) line = std::string(argv[4]) + '/' + line;
  if (mode == "random") lines.resize(1);
  Repeat(seconds_min, [&] { WorkOnFiles(lines, threads, work, tally); }, tally);
  return 0;
}
