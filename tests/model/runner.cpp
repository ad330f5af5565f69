// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/runner.h"

#include <rapidcheck.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <sstream>
#include <utility>

#include "tciafs/util/log.h"

namespace tciafs::model {
namespace {

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

bool RunCase(const ModelSpec& spec, uint64_t seed, int length) {
  const auto sequences = Sequences(spec, length);
  rc::detail::TestParams params;
  params.seed = seed;
  params.maxSuccess = 1;
  bool told = false;
  const auto result = rc::detail::checkTestable(
      [&] {
        const std::string wrong = spec.run(*sequences);
        if (wrong.empty()) return;
        if (!std::exchange(told, true))  // shrinking may take longer than a caller's patience
          std::cerr << "seed " << seed << " fails: " << wrong << "\nshrinking" << std::endl;
        RC_FAIL(wrong);
      },
      rc::detail::TestMetadata{spec.name, spec.name}, params);
  if (result.is<rc::detail::SuccessResult>()) return true;
  rc::detail::printResultMessage(result, std::cerr);
  std::cerr << "\nTo run it again:\n  TCIAFS_MODEL_SEED=" << seed
            << " TCIAFS_MODEL_LENGTH=" << length << " " << TCIAFS_MODEL_PROGRAM
            << "\nTo keep it, add to tests/model/seeds.txt:\n  " << spec.name << " " << seed
            << std::endl;
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
  const int64_t one = FromEnvironment("TCIAFS_MODEL_SEED", -1);
  const auto length = static_cast<int>(FromEnvironment("TCIAFS_MODEL_LENGTH", spec.length));
  if (one >= 0) return RunCase(spec, static_cast<uint64_t>(one), length) ? 0 : 1;
  const auto kept = KeptSeeds(spec.name);
  for (const uint64_t seed : kept)
    if (!RunCase(spec, seed, spec.length)) return 1;
  const int64_t runs = FromEnvironment("TCIAFS_MODEL_RUNS", spec.runs);
  const uint64_t first = std::random_device()() / 2;  // the seed of the first fresh case
  std::cerr << spec.name << " model: " << kept.size() << " kept seeds, then " << runs
            << " from seed " << first << " on, up to " << length << " operations each" << std::endl;
  for (int64_t i = 0; i < runs; ++i)
    if (!RunCase(spec, first + static_cast<uint64_t>(i), length)) return 1;
  return 0;
}

}  // namespace tciafs::model
