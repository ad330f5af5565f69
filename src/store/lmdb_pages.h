// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The parts of an LMDB 0.9 data file, as read from its bytes (numbers are those of the machine, a
// pointer has 8 bytes). The readers do not check: they may be pointed only at that many bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tciafs::store {

inline constexpr size_t kPageHeaderBytes = 16;
inline constexpr size_t kNodeHeaderBytes = 8;
inline constexpr size_t kDatabaseBytes = 48;
inline constexpr size_t kMetaBytes = 24 + 2 * kDatabaseBytes + 16;
inline constexpr uint32_t kMagic = 0xBEEFC0DE;
inline constexpr uint32_t kDataVersion = 1;
inline constexpr uint64_t kNoPage = ~uint64_t{0};

// Kinds of pages.
inline constexpr unsigned kBranchPage = 0x01;
inline constexpr unsigned kLeafPage = 0x02;
inline constexpr unsigned kOverflowPage = 0x04;
inline constexpr unsigned kMetaPage = 0x08;
// Flags of records, and of databases.
inline constexpr unsigned kNodeIsLarge = 0x01;
inline constexpr unsigned kNodeIsTable = 0x02;
inline constexpr unsigned kIntegerKeys = 0x08;

template <typename T>
T ReadNumber(const char* at) {
  T number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

struct PageHeader {
  uint64_t number = 0;
  unsigned flags = 0;
  uint16_t lower = 0;
  uint16_t upper = 0;
  uint32_t overflow_pages = 0;  // in place of the two above
};

inline PageHeader ReadPageHeader(const char* page) {
  return {ReadNumber<uint64_t>(page), ReadNumber<uint16_t>(page + 10),
          ReadNumber<uint16_t>(page + 12), ReadNumber<uint16_t>(page + 14),
          ReadNumber<uint32_t>(page + 12)};
}

struct Database {
  uint32_t pad = 0;  // of the free list: the page size
  unsigned flags = 0;
  int depth = 0;
  uint64_t branch_pages = 0;
  uint64_t leaf_pages = 0;
  uint64_t overflow_pages = 0;
  uint64_t entries = 0;
  uint64_t root = kNoPage;
};

inline Database ReadDatabase(const char* at) {
  return {ReadNumber<uint32_t>(at),      ReadNumber<uint16_t>(at + 4),
          ReadNumber<uint16_t>(at + 6),  ReadNumber<uint64_t>(at + 8),
          ReadNumber<uint64_t>(at + 16), ReadNumber<uint64_t>(at + 24),
          ReadNumber<uint64_t>(at + 32), ReadNumber<uint64_t>(at + 40)};
}

struct Meta {
  Database free_list;
  Database tables;
  uint64_t last_page = 0;
  uint64_t transaction = 0;
};

inline bool IsMeta(const char* page) {
  const char* meta = page + kPageHeaderBytes;
  return ReadPageHeader(page).flags == kMetaPage && ReadNumber<uint32_t>(meta) == kMagic &&
         ReadNumber<uint32_t>(meta + 4) == kDataVersion;
}

inline Meta ReadMeta(const char* page) {
  const char* meta = page + kPageHeaderBytes;
  return {ReadDatabase(meta + 24), ReadDatabase(meta + 72), ReadNumber<uint64_t>(meta + 120),
          ReadNumber<uint64_t>(meta + 128)};
}

struct Node {
  unsigned flags = 0;
  std::string_view key;  // may reach beyond the page
  uint32_t data_bytes = 0;
  const char* data = nullptr;  // of a large value: 8 bytes, its first page
  uint64_t child = 0;          // of a branch

  // What it takes of its page.
  size_t PageBytes(bool leaf) const {
    size_t bytes = kNodeHeaderBytes + key.size();
    if (leaf) bytes += (flags & kNodeIsLarge) != 0 ? sizeof(uint64_t) : data_bytes;
    return (bytes + 1) / 2 * 2;
  }
};

inline Node ReadNode(const char* at, bool leaf) {
  const uint64_t low = ReadNumber<uint16_t>(at);
  const uint64_t middle = ReadNumber<uint16_t>(at + 2);
  const unsigned flags = ReadNumber<uint16_t>(at + 4);
  const size_t key_bytes = ReadNumber<uint16_t>(at + 6);
  const char* key = at + kNodeHeaderBytes;
  Node node{flags, {key, key_bytes}, 0, key + key_bytes, 0};
  if (leaf) {
    node.data_bytes = static_cast<uint32_t>(low | middle << 16);
  } else {
    node.child = low | middle << 16 | uint64_t{flags} << 32;
  }
  return node;
}

}  // namespace tciafs::store
