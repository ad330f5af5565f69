// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The listing of a whole collection, from the body of the answer to the rows the catalog stores:
// every name can be a file name and leads back to its id, every row reads back, nothing of another
// collection gets in; and the pieces the body comes in, and the batches it is handed on in, change
// nothing.
#include <string>
#include <utility>
#include <vector>

#include "catalog/row_tree.h"
#include "fuzz/fuzz.h"
#include "nbia/json_rows.h"
#include "nbia/row_mapping.h"
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

const source::CollectionId kCollection("C");

using Stored = std::map<std::string, std::string>;  // path and name → row

DirectoryKey Root() { return RootKey("https://archive.example/nbia-api|guest"); }

void CheckRow(const DirectoryRows& directory, const std::string& name, const std::string& row,
              const SharedTexts& shared) {
  FUZZ_REQUIRE(!name.empty() && name.size() <= kNameBytesMax);
  const auto id = DecodeName(name);
  FUZZ_REQUIRE(id && EncodeName(*id) == name);
  std::string_view encoded;
  FUZZ_REQUIRE(DecodeRow(row, &encoded));
  const ObjectPath object = directory.path.Child(*id, 0);
  FUZZ_REQUIRE(DecodeAttributes(encoded, object, [&](std::string_view key) {
    const auto text = shared.find(std::string(key));
    return text == shared.end() ? std::nullopt : std::optional(text->second);
  }));
}

// The rows of a tree, as a transaction would add them to a store.
void Flush(RowTree& tree, Stored& stored) {
  for (const auto& [key, directory] : tree.directories()) {
    FUZZ_REQUIRE(directory.path.collection == kCollection);
    FUZZ_REQUIRE(KeyOf(Root(), directory.path) == key);
    for (const auto& [name, row] : directory.rows) {
      CheckRow(directory, name, row, tree.shared_texts());
      // Above the series, what is newest counts, in whichever batch it came: not compared.
      stored[directory.path.Text() + '/' + name] = directory.path.level == Level::kStudy ? row : "";
    }
  }
  tree.Clear();
}

Stored Read(const std::vector<std::string_view>& pieces, size_t rows_per_batch, bool& whole) {
  OddIds odd_ids;
  RowTree tree(Root(), 0, odd_ids);
  Stored stored;
  size_t rows = 0;
  nbia::RowCutter cutter("", {}, [&](std::string_view text) -> Status {
    TCIAFS_ASSIGN(source::Attributes row, nbia::ParseRow(text));
    const auto record = nbia::ToSeries(std::move(row), kCollection, source::PatientId());
    if (!record) return {};
    if (!tree.Add(*record, kCollection, source::PatientId())) return {};
    if (++rows % rows_per_batch == 0) Flush(tree, stored);
    return {};
  });
  Status status;
  for (const std::string_view piece : pieces)
    if (status = cutter.Push(piece); !status) break;
  whole = cutter.Finish().has_value();
  Flush(tree, stored);
  return stored;
}

}  // namespace
}  // namespace tciafs::catalog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto body = tciafs::fuzz::TextOf(data, size);
  const uint64_t seed = tciafs::fuzz::SeedOf(body);
  bool one_whole = false;
  bool other_whole = false;
  const auto one = tciafs::catalog::Read({body}, 1'000, one_whole);
  const auto other =
      tciafs::catalog::Read(tciafs::fuzz::Pieces(body, seed), 1 + seed % 3, other_whole);
  FUZZ_REQUIRE(one_whole == other_whole);
  FUZZ_REQUIRE(one == other);
  return 0;
}
