// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Runs a model: random sequences of operations on something real, with its reference model beside
// it. A sequence is a list of small numbers; each number is read as "the n-th of those there are
// now", so that any part of a sequence is a sequence too, and rapidcheck can shrink it well.
//
// Kept seeds (seeds.txt) run first, then fresh ones; a failure prints the shortest sequence found
// and the one line that runs it again. Environment:
//   TCIAFS_MODEL_SEED    runs this one case only
//   TCIAFS_MODEL_RUNS    how many fresh cases instead of the short default
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
  int runs = 100;
  int length = 100;
  // Runs one sequence. What is wrong, "" if nothing.
  std::function<std::string(const std::vector<Op>&)> run;
};

// The exit status of the program.
int RunModel(const ModelSpec& spec);

}  // namespace tciafs::model
