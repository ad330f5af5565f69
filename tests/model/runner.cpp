// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/runner.h"

#include <rapidcheck.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <sstream>

#include "tciafs/util/log.h"

namespace tciafs::model {
namespace {

using Clock = std::chrono::steady_clock;
// A failure is shrunk for so long; the default run and this together stay below ctest's time-out.
constexpr std::chrono::seconds kShrinkMax(60);

// The default run is the same each time: a failure is of the change at hand.
constexpr uint64_t kFirstSeed = 1000;
// Under a sanitizer an operation takes so many times longer.
#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kSlowness = 10;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr int64_t kSlowness = 10;
#else
constexpr int64_t kSlowness = 1;
#endif
#else
constexpr int64_t kSlowness = 1;
#endif

const ModelSpec* shown_spec = nullptr;  // for printing operations by their names

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::strtoll(text, nullptr, 10) : otherwise;
}

std::vector<uint64_t> KeptSeeds(const std::string& model) {
  std::vector<uint64_t> seeds;
  std::ifstream file(TCIAFS_MODEL_SEEDS);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line.substr(0, line.find('#')));
    std::string name;
    uint64_t seed = 0;
    if (fields >> name >> seed && name == model) seeds.push_back(seed);
  }
  return seeds;
}

rc::Gen<std::vector<Op>> Sequences(const ModelSpec& spec, int length) {
  std::vector<int> weighted;  // kinds as often as they weigh; shrinks towards the first
  for (size_t kind = 0; kind < spec.kinds.size(); ++kind)
    weighted.insert(weighted.end(), static_cast<size_t>(spec.kinds[kind].weight),
                    static_cast<int>(kind));
  const auto operand = rc::gen::inRange(0, kOperandEnd);
  const auto op = rc::gen::resize(rc::kNominalSize,
                                  rc::gen::apply(
                                      [](int kind, int a, int b, int c) {
                                        return Op{kind, a, b, c};
                                      },
                                      rc::gen::elementOf(weighted), operand, operand, operand));
  return rc::gen::resize(length, rc::gen::container<std::vector<Op>>(op));
}

std::string Replay(uint64_t seed, int length) {
  return "To run it again:\n  TCIAFS_MODEL_SEED=" + std::to_string(seed) +
         " TCIAFS_MODEL_LENGTH=" + std::to_string(length) + " " + TCIAFS_MODEL_PROGRAM;
}

bool RunCase(const ModelSpec& spec, uint64_t seed, int length) {
  const auto sequences = Sequences(spec, length);
  rc::detail::TestParams params;
  params.seed = seed;
  params.maxSuccess = 1;
  std::optional<Clock::time_point> give_up;  // set by the first failure
  const auto result = rc::detail::checkTestable(
      [&] {
        const auto ops = *sequences;
        if (give_up && Clock::now() > *give_up) return;  // the shortest so far is the answer
        const std::string wrong = spec.run(ops);
        if (wrong.empty()) return;
        if (!give_up) {  // told at once: whoever called this may not wait for the shrinking
          std::cerr << "seed " << seed << " fails: " << wrong << "\n"
                    << Replay(seed, length) << "\nshrinking for at most " << kShrinkMax.count()
                    << " s" << std::endl;
          give_up = Clock::now() + kShrinkMax;
        }
        RC_FAIL(wrong);
      },
      rc::detail::TestMetadata{spec.name, spec.name}, params);
  if (result.is<rc::detail::SuccessResult>()) return true;
  rc::detail::printResultMessage(result, std::cerr);
  std::cerr << "\n"
            << Replay(seed, length) << "\nTo keep it, add to tests/model/seeds.txt:\n  "
            << spec.name << " " << seed << std::endl;
  return false;
}

}  // namespace

void showValue(const Op& op, std::ostream& os) {
  os << "\n  " << shown_spec->kinds[static_cast<size_t>(op.kind)].name << " " << op.a << " " << op.b
     << " " << op.c;
}

int RunModel(const ModelSpec& spec) {
  shown_spec = &spec;
  LogOptions quiet;  // faults are what a model is made of
  quiet.target = LogOptions::Target::kFile;
  quiet.file_path = "/dev/null";
  (void)ConfigureLog(quiet);
  const char* const wanted = std::getenv("TCIAFS_MODEL_SEED");
  const bool random = wanted != nullptr && std::string(wanted) == "random";
  const int64_t one = random ? -1 : FromEnvironment("TCIAFS_MODEL_SEED", -1);
  const auto length = static_cast<int>(FromEnvironment("TCIAFS_MODEL_LENGTH", spec.length));
  if (one >= 0) return RunCase(spec, static_cast<uint64_t>(one), length) ? 0 : 1;
  const auto kept = KeptSeeds(spec.name);
  for (const uint64_t seed : kept)
    if (!RunCase(spec, seed, spec.length)) return 1;
  const int64_t more = FromEnvironment("TCIAFS_MODEL_RUNS", 0);
  const int64_t runs = more > 0 ? more : spec.runs / kSlowness;
  const uint64_t first = random || more > 0 ? std::random_device()() / 2 : kFirstSeed;
  std::cerr << spec.name << " model: " << kept.size() << " kept seeds, then " << runs
            << " from seed " << first << " on, up to " << length << " operations each" << std::endl;
  for (int64_t i = 0; i < runs; ++i)
    if (!RunCase(spec, first + static_cast<uint64_t>(i), length)) return 1;
  return 0;
}

}  // namespace tciafs::model
