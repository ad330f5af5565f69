// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Runs a model: random sequences of operations on something real, with its reference model beside
// it. A sequence is a list of small numbers; each number is read as "the n-th of those there are
// now", so that any part of a sequence is a sequence too, and rapidcheck can shrink it well.
//
// By default kept seeds (seeds.txt) run first, then a fixed block of seeds (kFirstSeed in
// runner.cpp): the same each time, so that a failure is of the change at hand. New faults are found
// by fresh seeds; one that fails is kept in seeds.txt. A failure prints the line that runs it
// again, is shrunk for a minute at most, and prints the shortest sequence found. Environment:
//   TCIAFS_MODEL_SEED    runs this one case only; "random": fresh seeds in place of the fixed ones
//   TCIAFS_MODEL_RUNS    so many fresh seeds
//   TCIAFS_MODEL_LENGTH  the longest sequence
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace tciafs::model {

struct Op {
  int kind = 0;
  int a = 0;  // each below kOperandEnd
  int b = 0;
  int c = 0;
};
inline constexpr int kOperandEnd = 64;

// How an operation is called, and how often it comes, as a weight.
struct OpKind {
  const char* name;
  int weight;
};

struct ModelSpec {
  std::string name;  // as in seeds.txt
  std::vector<OpKind> kinds;
  int runs = 100;  // of the default; fewer under a sanitizer
  int length = 100;
  // Runs one sequence. What is wrong, "" if nothing.
  std::function<std::string(const std::vector<Op>&)> run;
};

// The exit status of the program.
int RunModel(const ModelSpec& spec);

}  // namespace tciafs::model
