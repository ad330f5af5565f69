// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/ops.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "fuse/errno.h"
#include "fuse/invalidator.h"
#include "fuse/parallel_lookups.h"
#include "tciafs/util/log.h"

namespace tciafs::fuse {
namespace {

using vfs::Operation;

Dispatcher& Of(fuse_req_t request) { return *static_cast<Dispatcher*>(fuse_req_userdata(request)); }

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1e3; }

struct stat ToStat(const vfs::Attributes& attributes) {
  struct stat st {};
  const bool directory = attributes.type == vfs::NodeType::kDirectory;
  st.st_ino = attributes.inode;
  st.st_mode = (directory ? S_IFDIR : S_IFREG) | attributes.mode;
  st.st_nlink = directory ? 2 : 1;
  st.st_uid = attributes.uid;
  st.st_gid = attributes.gid;
  st.st_size = attributes.size_bytes;
  st.st_blocks = (attributes.size_bytes + 511) / 512;
  st.st_blksize = 128 * 1024;  // what one read request of the kernel's carries
  st.st_mtim = {attributes.modified_s, attributes.modified_ns};
  st.st_atim = st.st_ctim = st.st_mtim;
  return st;
}

fuse_entry_param ToEntry(const vfs::EntryReply& reply) {
  fuse_entry_param entry{};
  entry.ino = reply.node;
  entry.generation = 1;  // node ids are never reused
  entry.attr = ToStat(reply.attributes);
  entry.attr_timeout = Seconds(reply.attributes_valid_for_ms);
  entry.entry_timeout = Seconds(reply.entry_valid_for_ms);
  return entry;
}

void Note(fuse_req_t request, Operation operation, std::optional<Errc> failure = std::nullopt) {
  Of(request).filesystem.operations().Note(operation, failure);
}

// Failures that point at the archive or at this machine, not at the caller, are worth a line.
void LogFailure(Operation operation, fuse_ino_t node, const Error& error) {
  switch (error.code) {
    case Errc::kTimedOut:
    case Errc::kUnavailable:
    case Errc::kThrottled:
    case Errc::kCorrupt:
    case Errc::kNoSpace:
    case Errc::kInternal:
    case Errc::kUnauthenticated:
      LogWarning("{} of node {}: {} ({})", vfs::OperationName(operation), node, error.message,
                 ErrcName(error.code));
      return;
    default:
      LogDebug("{} of node {}: {} ({})", vfs::OperationName(operation), node, error.message,
               ErrcName(error.code));
  }
}

// Runs the body of an operation; the only place that catches, since C calls us.
template <typename Body, typename OnFailure>
void Catching(Operation operation, fuse_ino_t node, Body&& body, OnFailure&& on_failure) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    on_failure(ENOMEM);
  } catch (const std::exception& failure) {
    LogError("{} of node {}: {}", vfs::OperationName(operation), node, failure.what());
    on_failure(EIO);
  }
}

// An operation that answers through `pending`, now or later. Once it is pending, an interrupt or
// the end of the session may answer it at any moment, which frees the request: `body` gets all it
// needs and does not touch the request itself.
template <typename Body>
void Serve(Operation operation, fuse_req_t request, fuse_ino_t node, Body&& body) {
  Dispatcher& dispatcher = Of(request);
  std::shared_ptr<Pending> pending;
  Catching(
      operation, node,
      [&] {
        pending = dispatcher.pending.Add(request, fuse_req_ctx(request)->pid);
        if (!pending) return void(fuse_reply_err(request, EBUSY));
        body(dispatcher, pending);
      },
      [&](int error_number) {
        pending ? pending->Abort(error_number) : void(fuse_reply_err(request, error_number));
      });
}

// An operation that always has its answer at hand; `body` must answer last.
template <typename Body>
void ServeAtOnce(Operation operation, fuse_req_t request, fuse_ino_t node, Body&& body) {
  Catching(operation, node, body,
           [request](int error_number) { fuse_reply_err(request, error_number); });
}

// The callback of an operation: failure is answered here, success by `answer`, which gets null when
// an interrupt answered before it. Does nothing once the session is being taken down.
template <typename T, typename Answer>
Callback<T> Answering(Dispatcher& dispatcher, Operation operation, fuse_ino_t node,
                      std::shared_ptr<Pending> pending, Answer answer) {
  vfs::OperationCounters& counters = dispatcher.filesystem.operations();
  return dispatcher.gate.Guard(
      [&counters, operation, node, pending = std::move(pending), answer](Result<T> result) {
        if (!result) {
          counters.Note(operation, result.error().code);
          LogFailure(operation, node, result.error());
          pending->Fail(ToErrno(result.error().code));
          return;
        }
        fuse_req_t const waiting = pending->Claim();
        counters.Note(operation, waiting ? std::nullopt : std::optional(Errc::kCancelled));
        answer(waiting, *result);
      });
}

void Init(void* user_data, fuse_conn_info* connection) {
  auto& dispatcher = *static_cast<Dispatcher*>(user_data);
  const bool ask_opendir = dispatcher.ask_opendir =
      dispatcher.ask_opendir || (connection->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) == 0;
  const bool ask_open = dispatcher.ask_open =
      dispatcher.ask_open || (connection->capable & FUSE_CAP_NO_OPEN_SUPPORT) == 0;
  const auto want = [connection](unsigned capability, bool on) {
    if (on && (connection->capable & capability) != 0)
      connection->want |= capability;
    else
      connection->want &= ~capability;
  };
  want(FUSE_CAP_ASYNC_READ, true);
  want(FUSE_CAP_PARALLEL_DIROPS, true);
  want(FUSE_CAP_READDIRPLUS, true);
  want(FUSE_CAP_READDIRPLUS_AUTO, false);  // names and attributes come from one place: always both
  want(FUSE_CAP_SPLICE_WRITE, true);
  want(FUSE_CAP_SPLICE_MOVE, true);
  want(FUSE_CAP_SPLICE_READ, false);  // requests are small
#ifdef FUSE_CAP_OVER_IO_URING
  // A request that came through a ring cannot be interrupted, and holds its place in it until it is
  // answered. libfuse takes the environment's word for what is wanted (FUSE_URING_ENABLE).
  want(FUSE_CAP_OVER_IO_URING, false);
#endif
  // We say when pages are no longer good. Of a directory that it does not open, the kernel has to
  // look at the attributes for that: it does so only in the first of these two ways.
  want(FUSE_CAP_AUTO_INVAL_DATA, !ask_opendir);
  want(FUSE_CAP_EXPLICIT_INVAL_DATA, ask_opendir);
  // Read-ahead under way at a time. Instances that are not opened are downloaded by it: many that
  // wait must not keep those back that are here.
  connection->max_background = ask_open ? 64 : kBackgroundMax;
  if (ask_open) dispatcher.passthrough.Negotiate(*connection);  // it is set up in answers to OPEN
  if ((connection->want & FUSE_CAP_PARALLEL_DIROPS) != 0) ParallelLookupsWanted();
  connection->max_read = dispatcher.max_read_bytes;  // libfuse insists on hearing it twice
  dispatcher.handshake.Agreed();
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Serve(Operation::kLookup, request, parent, [&](Dispatcher& dispatcher, auto& pending) {
    vfs::Filesystem& filesystem = dispatcher.filesystem;
    filesystem.Lookup(
        parent, name, pending->asker(),
        Answering<vfs::EntryReply>(dispatcher, Operation::kLookup, parent, pending,
                                   [&filesystem](fuse_req_t waiting, const vfs::EntryReply& reply) {
                                     const fuse_entry_param entry = ToEntry(reply);
                                     const bool delivered = waiting != nullptr &&
                                                            fuse_reply_entry(waiting, &entry) == 0;
                                     if (!delivered && reply.node != 0)
                                       filesystem.Forget(reply.node, 1);
                                   }));
  });
}

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t lookups) {
  vfs::Filesystem& filesystem = Of(request).filesystem;
  Note(request, Operation::kForget);
  fuse_reply_none(request);
  filesystem.Forget(node, lookups);
}

void ForgetMulti(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  vfs::Filesystem& filesystem = Of(request).filesystem;
  for (size_t i = 0; i < count; ++i) filesystem.Forget(forgets[i].ino, forgets[i].nlookup);
  Note(request, Operation::kForget);
  fuse_reply_none(request);
}

void GetAttr(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  const vfs::HandleId handle = file != nullptr ? file->fh : 0;
  Serve(Operation::kGetattr, request, node, [&](Dispatcher& dispatcher, auto& pending) {
    vfs::Filesystem& filesystem = dispatcher.filesystem;
    filesystem.GetAttributes(node, handle, pending->asker(),
                             Answering<vfs::AttributesReply>(
                                 dispatcher, Operation::kGetattr, node, pending,
                                 [](fuse_req_t waiting, const vfs::AttributesReply& reply) {
                                   const struct stat st = ToStat(reply.attributes);
                                   if (waiting != nullptr)
                                     fuse_reply_attr(waiting, &st, Seconds(reply.valid_for_ms));
                                 }));
  });
}

void OpenDir(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  if (!Of(request).ask_opendir) {  // the kernel does not ask again, for any directory
    fuse_reply_err(request, ENOSYS);
    return;
  }
  Serve(Operation::kOpendir, request, node, [&](Dispatcher& dispatcher, auto& pending) {
    vfs::Filesystem& filesystem = dispatcher.filesystem;
    filesystem.OpenDirectory(
        node, pending->stop_token(),
        Answering<vfs::OpenReply>(
            dispatcher, Operation::kOpendir, node, pending,
            [&filesystem, asked = *file](fuse_req_t waiting, const vfs::OpenReply& reply) {
              fuse_file_info opened = asked;
              opened.fh = reply.handle;
              opened.keep_cache = reply.keep_cache;
              opened.cache_readdir = reply.cache_directory;
              if (waiting == nullptr || fuse_reply_open(waiting, &opened) != 0)
                filesystem.ReleaseDirectory(reply.handle);
            }));
  });
}

// One buffer's worth of entries. Never waits: the handle holds the listing.
void AnswerDirectory(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t offset,
                     vfs::HandleId handle, bool with_attributes) {
  std::vector<char> buffer(size_bytes);
  size_t used_bytes = 0;
  const Status read = Of(request).filesystem.ReadDirectory(
      handle, static_cast<uint64_t>(offset), with_attributes, [&](const vfs::DirectoryEntry& item) {
        const std::string name(item.name);  // libfuse wants it terminated
        const fuse_entry_param entry = ToEntry(item.entry);
        const auto next = static_cast<off_t>(item.next_offset);
        const size_t room = size_bytes - used_bytes;
        const size_t needed = with_attributes
                                  ? fuse_add_direntry_plus(request, buffer.data() + used_bytes,
                                                           room, name.c_str(), &entry, next)
                                  : fuse_add_direntry(request, buffer.data() + used_bytes, room,
                                                      name.c_str(), &entry.attr, next);
        if (needed > room) return false;
        used_bytes += needed;
        return true;
      });
  if (Of(request).ask_opendir)  // else it was counted with what it had to wait for
    Note(request, Operation::kReaddir, read ? std::nullopt : std::optional(read.error().code));
  if (!read) {
    LogFailure(Operation::kReaddir, node, read.error());
    fuse_reply_err(request, ToErrno(read.error().code));
    return;
  }
  fuse_reply_buf(request, buffer.data(), used_bytes);
}

void ServeDirectory(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t offset,
                    vfs::HandleId handle, bool with_attributes) {
  if (Of(request).ask_opendir)
    return ServeAtOnce(Operation::kReaddir, request, node, [&] {
      AnswerDirectory(request, node, size_bytes, offset, handle, with_attributes);
    });
  Serve(Operation::kReaddir, request, node, [&](Dispatcher& dispatcher, auto& pending) {
    vfs::Filesystem& filesystem = dispatcher.filesystem;
    filesystem.ResumeDirectory(
        node, static_cast<uint64_t>(offset), pending->stop_token(),
        Answering<vfs::OpenReply>(dispatcher, Operation::kReaddir, node, pending,
                                  [&filesystem, node, size_bytes, offset, with_attributes](
                                      fuse_req_t waiting, const vfs::OpenReply& reply) {
                                    if (waiting != nullptr)
                                      AnswerDirectory(waiting, node, size_bytes, offset,
                                                      reply.handle, with_attributes);
                                    filesystem.ReleaseDirectory(reply.handle);
                                  }));
  });
}

void ReadDir(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t offset,
             fuse_file_info* file) {
  ServeDirectory(request, node, size_bytes, offset, file->fh, false);
}

void ReadDirPlus(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t offset,
                 fuse_file_info* file) {
  ServeDirectory(request, node, size_bytes, offset, file->fh, true);
}

void ReleaseDir(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  Note(request, Operation::kReleasedir);
  Of(request).filesystem.ReleaseDirectory(file->fh);
  fuse_reply_err(request, 0);
}

// What nearly every program reads first is in the kernel before the file is open, and spares a
// request. To come from inside a request a notification must not wait for another one: here nobody
// has had the instance open, so nobody waits for a page of it.
bool GiveHead(Dispatcher& dispatcher, fuse_ino_t node, vfs::HandleId handle) {
  const auto head = dispatcher.filesystem.Head(handle);
  return head && head->range.size_bytes > 0 &&
         StorePages(dispatcher.session, node, 0, head->range) == 0;
}

// Which way the kernel reads: asking us, or a cache file by itself.
void AnswerOpen(Dispatcher& dispatcher, fuse_req_t waiting, fuse_ino_t node, fuse_file_info opened,
                const vfs::OpenReply& reply) {
  opened.fh = reply.handle;
  opened.keep_cache = reply.keep_cache;
  opened.noflush = 1;  // nothing is ever dirty
  const int backing_id = dispatcher.passthrough.Enter(
      waiting, node, [&] { return dispatcher.filesystem.Backing(reply.handle); });
  if (backing_id != 0)
    SetBacking(backing_id, opened);
  else if (reply.first && GiveHead(dispatcher, node, reply.handle))
    opened.keep_cache = 1;
  if (fuse_reply_open(waiting, &opened) == 0) return;
  dispatcher.passthrough.Leave(nullptr, node);
  dispatcher.filesystem.Release(reply.handle);
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  if (!Of(request).ask_open) {  // likewise
    fuse_reply_err(request, ENOSYS);
    return;
  }
  const bool for_writing = (file->flags & O_ACCMODE) != O_RDONLY;
  Serve(Operation::kOpen, request, node, [&](Dispatcher& dispatcher, auto& pending) {
    dispatcher.filesystem.Open(
        node, for_writing, pending->asker(),
        Answering<vfs::OpenReply>(
            dispatcher, Operation::kOpen, node, pending,
            [&dispatcher, node, asked = *file](fuse_req_t waiting, const vfs::OpenReply& reply) {
              if (waiting != nullptr)
                AnswerOpen(dispatcher, waiting, node, asked, reply);
              else
                dispatcher.filesystem.Release(reply.handle);
            }));
  });
}

void AnswerRead(fuse_req_t request, const vfs::ReadReply& reply) {
  if (reply.range.size_bytes == 0) {
    fuse_reply_buf(request, reply.bytes.data(), reply.bytes.size());
    return;
  }
  fuse_bufvec bytes = FUSE_BUFVEC_INIT(static_cast<size_t>(reply.range.size_bytes));
  bytes.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  bytes.buf[0].fd = reply.range.fd;
  bytes.buf[0].pos = reply.range.offset;
  fuse_reply_data(request, &bytes, FUSE_BUF_SPLICE_MOVE);
}

void Read(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t offset,
          fuse_file_info* file) {
  const vfs::HandleId handle = file != nullptr ? file->fh : 0;
  Serve(Operation::kRead, request, node, [&](Dispatcher& dispatcher, auto& pending) {
    vfs::Filesystem& filesystem = dispatcher.filesystem;
    filesystem.Read(node, handle, offset, static_cast<int64_t>(size_bytes), pending->asker(),
                    Answering<vfs::ReadReply>(dispatcher, Operation::kRead, node, pending,
                                              [](fuse_req_t waiting, const vfs::ReadReply& reply) {
                                                if (waiting != nullptr) AnswerRead(waiting, reply);
                                              }));
  });
}

void Release(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Of(request).passthrough.Leave(request, node);
  Note(request, Operation::kRelease);
  Of(request).filesystem.Release(file->fh);
  fuse_reply_err(request, 0);
}

void StatFs(fuse_req_t request, fuse_ino_t) {
  Note(request, Operation::kStatfs);
  const vfs::SpaceReply space = Of(request).filesystem.Space();
  struct statvfs st {};
  st.f_bsize = static_cast<unsigned long>(space.block_bytes);
  st.f_frsize = st.f_bsize;
  st.f_blocks = static_cast<fsblkcnt_t>(space.total_bytes / space.block_bytes);
  st.f_bfree = static_cast<fsblkcnt_t>(space.free_bytes / space.block_bytes);
  st.f_bavail = st.f_bfree;
  st.f_files = static_cast<fsfilcnt_t>(space.files);
  st.f_namemax = 255;
  fuse_reply_statfs(request, &st);
}

// The two-step answer of the xattr calls: the size if asked with none, else the bytes if they fit.
void AnswerXattr(fuse_req_t request, std::string_view bytes, size_t size_bytes) {
  if (size_bytes == 0)
    fuse_reply_xattr(request, bytes.size());
  else if (bytes.size() > size_bytes)
    fuse_reply_err(request, ERANGE);
  else
    fuse_reply_buf(request, bytes.data(), bytes.size());
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size_bytes) {
  ServeAtOnce(Operation::kGetxattr, request, node, [&] {
    const auto value = Of(request).filesystem.GetXattr(node, name);
    Note(request, Operation::kGetxattr, value ? std::nullopt : std::optional(value.error().code));
    if (!value)
      fuse_reply_err(request, ToErrno(value.error().code));
    else
      AnswerXattr(request, *value, size_bytes);
  });
}

void ListXattr(fuse_req_t request, fuse_ino_t node, size_t size_bytes) {
  ServeAtOnce(Operation::kListxattr, request, node, [&] {
    const auto names = Of(request).filesystem.ListXattr(node);
    Note(request, Operation::kListxattr, names ? std::nullopt : std::optional(names.error().code));
    if (!names) {
      fuse_reply_err(request, ToErrno(names.error().code));
      return;
    }
    std::string joined;
    for (const std::string& name : *names) joined.append(name).push_back('\0');
    AnswerXattr(request, joined, size_bytes);
  });
}

// A mount of ours is read-only, and the kernel asks for none of these. One that somebody else made
// (SessionOptions::mountpoint) need not be, nor one that was remounted.
template <typename... Arguments>
void RefuseToWrite(fuse_req_t request, Arguments...) {
  fuse_reply_err(request, ToErrno(Errc::kReadOnly));
}

}  // namespace

const fuse_lowlevel_ops& Operations() {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops ops{};
    ops.init = Init;
    ops.lookup = Lookup;
    ops.forget = Forget;
    ops.forget_multi = ForgetMulti;
    ops.getattr = GetAttr;
    ops.opendir = OpenDir;
    ops.readdir = ReadDir;
    ops.readdirplus = ReadDirPlus;
    ops.releasedir = ReleaseDir;
    ops.open = Open;
    ops.read = Read;
    ops.release = Release;
    ops.statfs = StatFs;
    ops.getxattr = GetXattr;
    ops.listxattr = ListXattr;
    ops.setattr = RefuseToWrite;
    ops.mknod = RefuseToWrite;
    ops.mkdir = RefuseToWrite;
    ops.unlink = RefuseToWrite;
    ops.rmdir = RefuseToWrite;
    ops.symlink = RefuseToWrite;
    ops.rename = RefuseToWrite;
    ops.link = RefuseToWrite;
    ops.create = RefuseToWrite;
    ops.setxattr = RefuseToWrite;
    ops.removexattr = RefuseToWrite;
    return ops;
  }();
  return operations;
}

}  // namespace tciafs::fuse
