// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/directory_key.h"

#include <string>

#include "tciafs/catalog/names.h"
#include "tciafs/util/hash.h"

namespace tciafs::catalog {
namespace {

DirectoryKey HashedKey(std::string_view text) {
  const Hash128 hash = Xxh3Wide(AsBytes(text));
  DirectoryKey key;
  for (size_t i = 0; i < 8; ++i) {
    key.bytes[i] = static_cast<char>(hash.high >> (56 - 8 * i) & 0xff);
    key.bytes[8 + i] = static_cast<char>(hash.low >> (56 - 8 * i) & 0xff);
  }
  return key;
}

}  // namespace

DirectoryKey RootKey(std::string_view scope) { return HashedKey(scope); }

DirectoryKey ChildKey(const DirectoryKey& parent, std::string_view id) {
  std::string text(parent.view());
  text += id;
  return HashedKey(text);
}

DirectoryKey KeyOf(const DirectoryKey& root, const ObjectPath& path) {
  DirectoryKey key = root;
  if (path.level >= Level::kCollection) key = ChildKey(key, path.collection.text());
  if (path.level >= Level::kPatient) key = ChildKey(key, path.patient.text());
  if (path.level >= Level::kStudy) key = ChildKey(key, path.study.text());
  if (path.level >= Level::kSeries) key = ChildKey(key, path.series.text());
  if (path.level >= Level::kInstance) key = ChildKey(key, path.sop.text());
  return key;
}

ObjectPath ParentOf(const ObjectPath& path) {
  if (path.level == Level::kRoot) return path;
  return path.At(static_cast<Level>(static_cast<int>(path.level) - 1));
}

std::string NameOf(const ObjectPath& path) {
  switch (path.level) {
    case Level::kRoot:
      return {};
    case Level::kCollection:
      return EncodeName(path.collection.text());
    case Level::kPatient:
      return EncodeName(path.patient.text());
    case Level::kStudy:
      return EncodeName(path.study.text());
    case Level::kSeries:
      return EncodeName(path.series.text());
    case Level::kInstance:
      return InstanceName(path.sop.text());
  }
  return {};
}

}  // namespace tciafs::catalog
