// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// As little file system as FUSE allows: names and sizes in memory, bytes out of one file that is in
// the page cache. No mount can be faster without leaving FUSE's ordinary ways, so scripts/bench
// measures it beside tciafs. Not for untrusted input.
//   tciafs-perf-floor TREE PACK MOUNTPOINT [ask-open]
// TREE has lines "path<TAB>size<TAB>offset in PACK". With ask-open the kernel asks OPEN and
// OPENDIR, as it does of a file system that must know who reads. Serves until SIGTERM.
#define FUSE_USE_VERSION 312
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>


namespace {

constexpr double kValidSeconds = 86400;

struct Node {
  std::string name;
  size_t parent = 0;
  bool directory = true;
  uint64_t size = 0;
  uint64_t offset = 0;
  std::map<std::string, size_t> children;
  std::vector<size_t> listing;
};

std::vector<Node> g_nodes(1);  // a node's inode number is its index plus 1
int g_pack = -1;
bool g_ask_open = false;

Node& NodeOf(fuse_ino_t inode) { return g_nodes[inode - 1]; }

size_t ChildOf(size_t parent, const std::string& name) {
  const auto found = g_nodes[parent].children.find(name);
  if (found != g_nodes[parent].children.end()) return found->second;
  const size_t child = g_nodes.size();
  g_nodes.emplace_back();
  g_nodes[child].name = name;
  g_nodes[child].parent = parent;
  g_nodes[parent].children[name] = child;
  return child;
}

void AddFile(const std::string& line) {
  const size_t size_at = line.find('\t');
  const size_t offset_at = line.find('\t', size_at + 1);
  size_t node = 0;
  for (size_t begin = 0; begin < size_at;) {
    const size_t end = std::min(line.find('/', begin), size_at);
    node = ChildOf(node, line.substr(begin, end - begin));
    begin = end + 1;
  }
  g_nodes[node].directory = false;
  g_nodes[node].size = std::stoull(line.substr(size_at + 1));
  g_nodes[node].offset = std::stoull(line.substr(offset_at + 1));
}

struct stat AttributesOf(size_t index) {
  const Node& node = g_nodes[index];
  struct stat attributes {};
  attributes.st_ino = index + 1;
  attributes.st_mode = node.directory ? S_IFDIR | 0555 : S_IFREG | 0444;
  attributes.st_nlink = node.directory ? 2 : 1;
  attributes.st_size = static_cast<off_t>(node.size);
  attributes.st_blocks = static_cast<blkcnt_t>((node.size + 511) / 512);
  attributes.st_uid = getuid();
  attributes.st_gid = getgid();
  return attributes;
}

fuse_entry_param EntryOf(size_t index) {
  fuse_entry_param entry{};
  entry.ino = index + 1;
  entry.attr = AttributesOf(index);
  entry.attr_timeout = kValidSeconds;
  entry.entry_timeout = kValidSeconds;
  return entry;
}

void Init(void*, fuse_conn_info* connection) {
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                             FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
  connection->max_background = 64;
  connection->congestion_threshold = 48;
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Node& node = NodeOf(parent);
  const auto found = node.children.find(name);
  if (found == node.children.end()) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const fuse_entry_param entry = EntryOf(found->second);
  fuse_reply_entry(request, &entry);
}

void Forget(fuse_req_t request, fuse_ino_t, uint64_t) { fuse_reply_none(request); }

void GetAttributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  const struct stat attributes = AttributesOf(inode - 1);
  fuse_reply_attr(request, &attributes, kValidSeconds);
}

void Open(fuse_req_t request, fuse_ino_t, fuse_file_info* opened) {
  if (!g_ask_open) {  // the kernel takes it as leave never to ask again
    fuse_reply_err(request, ENOSYS);
    return;
  }
  opened->keep_cache = 1;
  opened->cache_readdir = 1;
  opened->noflush = 1;
  fuse_reply_open(request, opened);
}

void Read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  const Node& node = NodeOf(inode);
  const auto begin = static_cast<uint64_t>(offset);
  size = begin >= node.size ? 0 : std::min<uint64_t>(size, node.size - begin);
  static thread_local std::vector<char> buffer(1 << 20);
  size = std::min(size, buffer.size());
  const ssize_t got = pread(g_pack, buffer.data(), size, static_cast<off_t>(node.offset + begin));
  if (got < 0)
    fuse_reply_err(request, errno);
  else
    fuse_reply_buf(request, buffer.data(), static_cast<size_t>(got));
}

void Release(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

void List(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  const Node& node = NodeOf(inode);
  static thread_local std::vector<char> buffer;
  buffer.resize(std::max(buffer.size(), size));
  size_t used = 0;
  for (auto at = static_cast<size_t>(offset); at < node.listing.size() + 2; ++at) {
    const size_t child = at == 0 ? inode - 1 : at == 1 ? node.parent : node.listing[at - 2];
    fuse_entry_param entry = EntryOf(child);
    if (at < 2) entry.ino = 0;  // "." and ".." are not looked up
    const char* name = at == 0 ? "." : at == 1 ? ".." : g_nodes[child].name.c_str();
    const size_t bytes = fuse_add_direntry_plus(request, &buffer[used], size - used, name, &entry,
                                                static_cast<off_t>(at + 1));
    if (bytes > size - used) break;
    used += bytes;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations{};
  operations.init = Init;
  operations.lookup = Lookup;
  operations.forget = Forget;
  operations.getattr = GetAttributes;
  operations.open = Open;
  operations.read = Read;
  operations.release = Release;
  operations.opendir = Open;
  operations.readdirplus = List;
  operations.releasedir = Release;
  return operations;
}

int Serve(const char* mountpoint) {
  char program[] = "floor";
  char flag[] = "-o";
  char options[] = "ro,nosuid,nodev,noexec,default_permissions,fsname=floor";
  char* words[] = {program, flag, options, nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(3, words);
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, nullptr);
  if (session == nullptr || fuse_set_signal_handlers(session) != 0 ||
      fuse_session_mount(session, mountpoint) != 0)
    return 1;
  fuse_loop_config* config = fuse_loop_cfg_create();
  const int outcome = fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  fuse_session_unmount(session);
  fuse_remove_signal_handlers(session);
  fuse_session_destroy(session);
  return outcome < 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  g_ask_open = argc > 4 && std::strcmp(argv[4], "ask-open") == 0;
  std::ifstream tree(argv[1]);
  for (std::string line; std::getline(tree, line);) AddFile(line);
  for (Node& node : g_nodes)
    for (const auto& [name, child] : node.children) node.listing.push_back(child);
  g_pack = open(argv[2], O_RDONLY | O_CLOEXEC);
  if (g_pack < 0) return 1;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  return Serve(argv[3]);
}
