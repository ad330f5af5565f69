// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Names of the tree: every id has one name, every name at most one id, each leads back to the
// other, and no name holds what a file name may not.
#include <string>

#include "fuzz/fuzz.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

bool IsFileName(const std::string& name) {
  return name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\0') == name.npos && name.find('\n') == name.npos &&
         (name.empty() || name.front() != '.');
}

void CheckId(const std::string& id) {
  const std::string name = EncodeName(id);
  FUZZ_REQUIRE(IsFileName(name));
  FUZZ_REQUIRE(name.size() >= id.size() && name.size() <= 3 * id.size());
  const std::string instance = InstanceName(id);
  FUZZ_REQUIRE(IsFileName(instance) || id.empty());
  FUZZ_REQUIRE(instance.size() == name.size() + kInstanceSuffix.size());
  if (id.empty()) return;  // names nothing
  FUZZ_REQUIRE(DecodeName(name) == id);
  FUZZ_REQUIRE(DecodeInstanceName(instance) == id);
}

void CheckName(const std::string& name) {
  const auto id = DecodeName(name);
  FUZZ_REQUIRE(!id || EncodeName(*id) == name);
  const auto sop = DecodeInstanceName(name);
  FUZZ_REQUIRE(!sop || InstanceName(*sop) == name);
}

void CheckPath(const std::string& id, const std::string& other) {
  ObjectPath path;
  for (int level = 0; level < 5; ++level) path = path.Child(level % 2 == 0 ? id : other, 0);
  FUZZ_REQUIRE(path.level == Level::kInstance);
  const std::string text = path.Text();
  FUZZ_REQUIRE(std::count(text.begin(), text.end(), '/') == 5);
  FUZZ_REQUIRE(text.find('\0') == text.npos && text.find('\n') == text.npos);
}

}  // namespace
}  // namespace tciafs::catalog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tciafs::catalog::EncodeName;
  const std::string input(tciafs::fuzz::TextOf(data, size));
  tciafs::fuzz::Reader in(input);
  const std::string first = in.Text(), second = in.Text();
  for (const std::string& text : {input, first, second}) {
    tciafs::catalog::CheckId(text);
    tciafs::catalog::CheckName(text);
  }
  FUZZ_REQUIRE((first == second) == (EncodeName(first) == EncodeName(second)));
  tciafs::catalog::CheckPath(first, second);
  return 0;
}
