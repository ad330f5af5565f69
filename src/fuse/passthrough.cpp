// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/passthrough.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::fuse {
namespace {

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

constexpr unsigned kCapability = FUSE_CAP_PASSTHROUGH;
int OpenBacking(fuse_req_t request, int fd) { return fuse_passthrough_open(request, fd); }
void CloseBacking(fuse_req_t request, int id) { fuse_passthrough_close(request, id); }

#else

constexpr unsigned kCapability = 0;
int OpenBacking(fuse_req_t, int) { return 0; }
void CloseBacking(fuse_req_t, int) {}

#endif

// What the kernel wants of who gives it a backing file.
bool HasPrivilege() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

}  // namespace

Passthrough::Passthrough(bool allowed) : Passthrough(allowed, {OpenBacking, CloseBacking}) {}

bool Passthrough::Negotiate(fuse_conn_info& connection) {
  const bool offered = kCapability != 0 && (connection.capable & kCapability) != 0;
  const bool used = allowed_ && offered && HasPrivilege();
  if (!used) {
    connection.want &= ~kCapability;
    return false;
  }
  connection.want |= kCapability;
  LogInfo("the kernel reads cached files by itself (passthrough)");
  Start();
  return true;
}

int Passthrough::Enter(fuse_req_t request, vfs::NodeId node,
                       const std::function<Result<vfs::BackingReply>()>& backing) {
  if (!started_) return 0;
  Result<vfs::BackingReply> offer = Fail(Errc::kUnsupported, "refused before");
  {
    MutexLock lock(mutex_);
    const auto found = nodes_.find(node);
    if (found != nodes_.end()) {
      ++found->second.handles;
      return found->second.id;
    }
  }
  if (!refused_) offer = backing();  // without the lock: it may read the file
  MutexLock lock(mutex_);
  OpenNode& open_node = nodes_[node];
  if (open_node.handles++ > 0) return open_node.id;  // another open was faster
  return Decide(request, offer, open_node);
}

int Passthrough::Decide(fuse_req_t request, Result<vfs::BackingReply>& backing, OpenNode& node) {
  if (!backing || refused_) return 0;
  errno = 0;
  node.id = kernel_.open(request, backing->fd);
  if (node.id > 0) {
    node.file = std::move(backing->file);
    return node.id;
  }
  node.id = 0;
  refused_ = true;
  LogWarning("the kernel does not take cached files to read by itself ({}): it asks for every read",
             SystemErrorText(errno));
  return 0;
}

void Passthrough::Leave(fuse_req_t request, vfs::NodeId node) {
  if (!started_) return;
  std::vector<int> ids;
  std::shared_ptr<cache::InstanceFile> file;  // goes without the lock
  {
    MutexLock lock(mutex_);
    const auto found = nodes_.find(node);
    if (found == nodes_.end() || --found->second.handles > 0) return;
    if (found->second.id > 0) left_.push_back(found->second.id);
    file = std::move(found->second.file);
    nodes_.erase(found);
    if (request != nullptr) ids.swap(left_);
  }
  for (const int id : ids) kernel_.close(request, id);
}

void SetBacking([[maybe_unused]] int id, fuse_file_info& opened) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  opened.backing_id = id;
#endif
  opened.keep_cache = 0;  // the kernel fails an open that asks for both
  opened.direct_io = (opened.flags & O_DIRECT) != 0;
}

}  // namespace tciafs::fuse
