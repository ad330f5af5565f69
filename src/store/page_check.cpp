// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "store/page_check.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "store/lmdb_errors.h"
#include "store/lmdb_pages.h"
#include "tciafs/store/store.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::store {
namespace {

constexpr int kDepthMax = 32;  // LMDB's cursors go no deeper
// Pages at the end that were taken and given back in one transaction are never written, so the
// last page number may lie behind the end of the file. 256 MiB of them are beyond any transaction.
constexpr uint64_t kUnwrittenPagesMax = 65536;

template <typename... Args>
tl::unexpected<Error> Damaged(fmt::format_string<Args...> format, Args&&... args) {
  return Fail(Errc::kCorrupt, fmt::format(format, std::forward<Args>(args)...));
}

enum class TreeKind { kFreeList, kTables, kTable };

struct Tree {
  TreeKind kind = TreeKind::kTable;
  Database recorded;
  Database found;  // the sums, so far
};

// The keys a page may hold: from `low` on, below `high`.
struct KeyRange {
  std::string_view low;
  std::optional<std::string_view> high;
};

class PageCheck {
 public:
  PageCheck(int fd, const std::vector<std::string>& tables) : fd_(fd), tables_(tables) {}

  Status Run(int64_t file_bytes) {
    TCIAFS_ASSIGN(const Meta meta, NewestMeta());
    file_pages_ = static_cast<uint64_t>(file_bytes) / page_bytes_;
    if (meta.last_page > file_pages_ + kUnwrittenPagesMax || meta.last_page < 1)
      return Damaged("its last page is said to be number {}", meta.last_page);
    use_.assign(meta.last_page + 1, Use::kNone);
    use_[0] = use_[1] = Use::kTree;
    transaction_ = meta.transaction;
    if (meta.tables.flags != 0) return Damaged("the tree of tables has flags");
    TCIAFS_TRY(CheckTree(TreeKind::kFreeList, meta.free_list));
    TCIAFS_TRY(CheckTree(TreeKind::kTables, meta.tables));
    for (const Database& table : found_tables_) {
      if (table.flags != 0) return Damaged("a table has flags");
      TCIAFS_TRY(CheckTree(TreeKind::kTable, table));
    }
    return {};
  }

 private:
  enum class Use : uint8_t { kNone, kTree, kFree };
  using Page = std::vector<char>;

  Status Read(uint64_t offset, Page& into) const {
    size_t done = 0;
    while (done < into.size()) {
      const ssize_t got =
          ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Damaged("it cannot be read: {}", SystemErrorText(errno));
      if (got == 0) return Damaged("it is cut short");
      done += static_cast<size_t>(got);
    }
    return {};
  }

  // Both are looked at, since LMDB does.
  Result<Meta> NewestMeta() {
    Page page(kPageHeaderBytes + kMetaBytes);
    TCIAFS_TRY(Read(0, page));
    const Meta first = ReadMeta(page.data());
    const uint64_t size = first.free_list.pad;
    if (!IsMeta(page.data()) || size < 512 || size > 65536 || (size & (size - 1)) != 0)
      return Damaged("its first page is none of LMDB's");
    page_bytes_ = size;
    TCIAFS_TRY(Read(page_bytes_, page));
    const Meta second = ReadMeta(page.data());
    if (!IsMeta(page.data()) || second.free_list.pad != size)
      return Damaged("its second page is none of LMDB's");
    const bool takes_second = second.transaction > first.transaction;
    const Meta& newest = takes_second ? second : first;
    if ((newest.transaction & 1) != (takes_second ? 1u : 0u))
      return Damaged("transaction {} stands on the wrong page", newest.transaction);
    if (newest.free_list.flags != kIntegerKeys) return Damaged("the free list has other flags");
    return newest;
  }

  // Gives `count` pages from `page` on their one use.
  Status Take(uint64_t page, uint64_t count, Use use) {
    if (page < 2 || count > use_.size() || page > use_.size() - count)
      return Damaged("page {} (and {} more) does not exist", page, count - 1);
    for (uint64_t i = page; i < page + count; ++i)
      if (std::exchange(use_[i], use) != Use::kNone) return Damaged("page {} is used twice", i);
    return {};
  }

  Status CheckTree(TreeKind kind, const Database& recorded) {
    Tree tree{kind, recorded, {}};
    const Database& found = tree.found;
    if (recorded.root == kNoPage) {
      if (recorded.depth != 0 || recorded.entries != 0)
        return Damaged("an empty tree is not empty");
      return {};
    }
    if (recorded.depth < 1 || recorded.depth > kDepthMax)
      return Damaged("a tree is {} levels deep", recorded.depth);
    TCIAFS_TRY(CheckPage(tree, recorded.root, 1, {}));
    if (found.branch_pages != recorded.branch_pages || found.leaf_pages != recorded.leaf_pages ||
        found.overflow_pages != recorded.overflow_pages || found.entries != recorded.entries)
      return Damaged("a tree has other sums than those recorded");
    return {};
  }

  Status CheckPage(Tree& tree, uint64_t number, int level, const KeyRange& range) {
    TCIAFS_TRY(Take(number, 1, Use::kTree));
    Page page(page_bytes_);
    TCIAFS_TRY(Read(number * page_bytes_, page));
    const bool leaf = level == tree.recorded.depth;
    const PageHeader header = ReadPageHeader(page.data());
    if (header.number != number || header.flags != (leaf ? kLeafPage : kBranchPage))
      return Damaged("page {} is not what it should be", number);
    TCIAFS_ASSIGN(const auto nodes, Nodes(page, header, leaf));
    const size_t nodes_min = leaf || tree.kind == TreeKind::kFreeList ? 1 : 2;
    if (nodes.size() < nodes_min) return Damaged("page {} is nearly empty", number);
    TCIAFS_TRY(leaf ? CheckLeaf(tree, nodes, range) : CheckBranch(tree, nodes, level, range));
    ++(leaf ? tree.found.leaf_pages : tree.found.branch_pages);
    return {};
  }

  // Those of a page, in the order of their keys. Together they must fill its end without a gap.
  Result<std::vector<Node>> Nodes(const Page& page, const PageHeader& header, bool leaf) const {
    const size_t lower = header.lower;
    const size_t upper = header.upper;
    if (lower < kPageHeaderBytes || lower % 2 != 0 || lower > upper || upper > page.size())
      return Damaged("page {} has no sensible bounds", header.number);
    std::vector<Node> nodes;
    std::vector<std::pair<size_t, size_t>> extents;
    for (size_t at = kPageHeaderBytes; at < lower; at += 2) {
      const size_t offset = ReadNumber<uint16_t>(page.data() + at);
      if (offset < upper || offset % 2 != 0 || offset + kNodeHeaderBytes > page.size())
        return Damaged("page {} points beside its records", header.number);
      nodes.push_back(ReadNode(page.data() + offset, leaf));
      const size_t bytes = nodes.back().PageBytes(leaf);
      if (bytes > page.size() - offset)
        return Damaged("page {} has a record that is too long", header.number);
      extents.emplace_back(offset, offset + bytes);
    }
    std::sort(extents.begin(), extents.end());
    size_t end = upper;
    for (const auto& [from, to] : extents)
      if (std::exchange(end, to) != from)
        return Damaged("page {} has records that overlap", header.number);
    if (end != page.size()) return Damaged("page {} has a hole", header.number);
    return nodes;
  }

  // As text that sorts as LMDB sorts it: those of the free list are numbers.
  static std::string SortKey(const Tree& tree, const Node& node) {
    std::string key(node.key);
    if (tree.kind == TreeKind::kFreeList) std::reverse(key.begin(), key.end());
    return key;
  }

  // `first` keys are not looked at.
  static Result<std::vector<std::string>> Keys(const Tree& tree, const std::vector<Node>& nodes,
                                               const KeyRange& range, size_t first) {
    std::vector<std::string> keys(first);
    for (size_t i = first; i < nodes.size(); ++i) {
      const size_t size = nodes[i].key.size();
      const bool numbers = tree.kind == TreeKind::kFreeList;
      if (size == 0 || size > kKeyBytesMax || (numbers && size != sizeof(uint64_t)))
        return Damaged("a key has {} bytes", size);
      keys.push_back(SortKey(tree, nodes[i]));
      const bool ordered = i == first ? keys[i] >= range.low : keys[i] > keys[i - 1];
      if (!ordered || (range.high && keys[i] >= *range.high))
        return Damaged("keys are out of order");
    }
    return keys;
  }

  Status CheckBranch(Tree& tree, const std::vector<Node>& nodes, int level, const KeyRange& range) {
    TCIAFS_ASSIGN(const auto keys, Keys(tree, nodes, range, 1));  // the first says nothing
    for (size_t i = 0; i < nodes.size(); ++i) {
      KeyRange below;
      below.low = i == 0 ? range.low : std::string_view(keys[i]);
      below.high = i + 1 < nodes.size() ? std::optional<std::string_view>(keys[i + 1]) : range.high;
      TCIAFS_TRY(CheckPage(tree, nodes[i].child, level + 1, below));
    }
    return {};
  }

  Status CheckLeaf(Tree& tree, const std::vector<Node>& nodes, const KeyRange& range) {
    TCIAFS_ASSIGN(const auto keys, Keys(tree, nodes, range, 0));
    for (const Node& node : nodes) {
      const unsigned allowed = tree.kind == TreeKind::kTables ? kNodeIsTable : kNodeIsLarge;
      if ((node.flags & ~allowed) != 0) return Damaged("a record has other flags");
      if (tree.kind == TreeKind::kTables) TCIAFS_TRY(NoteTable(node));
      Page large;
      if (node.flags == kNodeIsLarge) TCIAFS_TRY(CheckLarge(tree, node, large));
      if (tree.kind == TreeKind::kFreeList)
        TCIAFS_TRY(CheckFreed(node, node.flags == kNodeIsLarge ? large.data() : node.data));
      ++tree.found.entries;
    }
    return {};
  }

  Status NoteTable(const Node& node) {
    const bool known = std::find(tables_.begin(), tables_.end(), node.key) != tables_.end();
    if (node.flags != kNodeIsTable || node.data_bytes != kDatabaseBytes || !known)
      return Damaged("there is a table that is none of ours");
    found_tables_.push_back(ReadDatabase(node.data));
    return {};
  }

  // A value that has pages of its own; read only where it matters what it says.
  Status CheckLarge(Tree& tree, const Node& node, Page& value) {
    const uint64_t first = ReadNumber<uint64_t>(node.data);
    if (first >= file_pages_) return Damaged("a large value lies behind the end");
    Page head(kPageHeaderBytes);
    TCIAFS_TRY(Read(first * page_bytes_, head));
    const PageHeader header = ReadPageHeader(head.data());
    const uint64_t count = header.overflow_pages;
    if (header.number != first || header.flags != kOverflowPage || count == 0 ||
        count > file_pages_ - first ||
        uint64_t{node.data_bytes} + kPageHeaderBytes > count * page_bytes_)
      return Damaged("page {} is not what it should be", first);
    TCIAFS_TRY(Take(first, count, Use::kTree));
    tree.found.overflow_pages += count;
    if (tree.kind != TreeKind::kFreeList) return {};
    value.resize(node.data_bytes);
    return Read(first * page_bytes_ + kPageHeaderBytes, value);
  }

  // How many pages a transaction freed, and which, the highest first.
  Status CheckFreed(const Node& node, const char* value) {
    constexpr size_t kBytes = sizeof(uint64_t);
    if (ReadNumber<uint64_t>(node.key.data()) > transaction_)
      return Damaged("pages were freed by a transaction to come");
    const uint64_t room = node.data_bytes / kBytes;
    const uint64_t count = room == 0 ? 0 : ReadNumber<uint64_t>(value);
    if (room == 0 || count >= room) return Damaged("a list of free pages is cut short");
    uint64_t before = kNoPage;
    for (uint64_t i = 1; i <= count; ++i) {
      const uint64_t page = ReadNumber<uint64_t>(value + i * kBytes);
      if (page >= before) return Damaged("a list of free pages is out of order");
      TCIAFS_TRY(Take(page, 1, Use::kFree));
      before = page;
    }
    return {};
  }

  const int fd_;
  const std::vector<std::string>& tables_;
  uint64_t page_bytes_ = 0;
  uint64_t file_pages_ = 0;
  uint64_t transaction_ = 0;
  std::vector<Use> use_;
  std::vector<Database> found_tables_;
};

}  // namespace

Status CheckPages(const std::string& data_file, const std::vector<std::string>& tables) {
  const UniqueFd fd(::open(data_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return {};
  struct stat file {};
  if (!fd.valid() || ::fstat(fd.get(), &file) != 0)
    return Fail(LmdbError(errno, data_file));
  if (file.st_size == 0) return {};
  const Status checked = PageCheck(fd.get(), tables).Run(file.st_size);
  if (!checked) return Fail(checked.error().Within(data_file));
  return {};
}

}  // namespace tciafs::store
