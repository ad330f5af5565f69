// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/vfs_world.h"

#include <algorithm>

#include "tciafs/catalog/names.h"

namespace tciafs::model {
namespace {

constexpr size_t kFilesMax = 4;
constexpr size_t kDirectoriesMax = 4;
constexpr int64_t kLongMs = 601'000;  // more than a listing's time to live

enum Kind {
  kWalkTo,
  kLookUp,
  kForget,
  kReadDirectory,
  kGetAttributes,
  kOpen,
  kRead,
  kRelease,
  kXattrs,
  kReadOffline,
  kPass,
  kMood,
  kHold,
  kReleaseAnswer,
  kCancel,
  kChange,
  kEvict,
  kRemount,
  kHurt,
};

}  // namespace

// In the order of the enumeration.
std::vector<OpKind> VfsWorld::Kinds() {
  return {{"walk-to", 12}, {"look-up", 8}, {"forget", 6},  {"read-dir", 14}, {"getattr", 8},
          {"open", 12},    {"read", 16},   {"release", 5}, {"xattrs", 4},    {"offline", 3},
          {"pass", 8},     {"mood", 5},    {"hold", 3},    {"answer", 6},    {"cancel", 2},
          {"change", 6},   {"evict", 3},   {"remount", 2}, {"hurt", 4}};
}

std::string VfsWorld::Run(const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    Do(op);
    for (auto& source : sources_) source->ReleaseStopped();
    Drain();
    if (!failure_.empty()) break;
  }
  if (failure_.empty()) Calm();
  return failure_;
}

void VfsWorld::Do(const Op& op) {
  ModelSource& source = *sources_[static_cast<size_t>(op.a % kServers)];
  switch (static_cast<Kind>(op.kind)) {
    case kWalkTo:
      return WalkTo(op);
    case kLookUp:
      return LookUp(op);
    case kForget:
      return Forget(op);
    case kReadDirectory:
      return ReadDirectory(op);
    case kGetAttributes:
      return GetAttributes(op);
    case kOpen:
      return OpenNode(op);
    case kRead:
      return ReadFile(op);
    case kRelease:
      return ReleaseFile(op);
    case kXattrs:
      return ReadXattrs(op);
    case kReadOffline:
      return ReadOffline(op);
    case kPass:
      return Pass(op.a % 4 == 0 ? kLongMs : op.a % 4 == 1 ? 31'000 : 600);
    case kMood:
      source.mood = op.b % 2 == 0 ? Mood::kWell : static_cast<Mood>(op.c % kMoods);
      source.sizes_drift = op.b % 5 == 4;
      disturbed_ = disturbed_ || source.mood != Mood::kWell || source.sizes_drift;
      return;
    case kHold:
      source.holding = op.b % 2 == 0;
      disturbed_ = disturbed_ || source.holding;  // the root does not wait long for one server
      if (!source.holding) source.ReleaseAll();
      return;
    case kReleaseAnswer:
      return source.Release(static_cast<size_t>(op.b));
    case kCancel:
      return Cancel(op);
    case kChange:
      return ChangeArchive(op);
    case kEvict:
      return EvictSeries(op);
    case kRemount:
      return Remount();
    case kHurt:
      return HurtOpen(op);
  }
}

// Down to a file the archive has, as far as that goes at once.
void VfsWorld::WalkTo(const Op& op) {
  const Slot& slot = archive_.slot(op.a % kSlots);
  Path path = slot.path();
  if (op.b % 4 != 0)
    path = path.Child(slot.sop(op.b % slot.instances(slot.version)).text(), slot.server());
  (void)NodeOf(path);
}

void VfsWorld::LookUp(const Op& op) {
  const vfs::NodeId parent = PickNode(op.a, -1);
  const Path& directory = inodes_.at(parent).path;
  const auto& names = archive_.NamesEver(directory);
  std::string name = op.c % 3 == 0 ? "none" : op.c % 3 == 1 ? ".hidden" : "1.99999";
  if (op.b % 8 != 0 && !names.empty())
    name = *std::next(names.begin(),
                      static_cast<std::ptrdiff_t>(static_cast<size_t>(op.b) % names.size()));
  StartLookup(parent, name);
}

void VfsWorld::Forget(const Op& op) {
  const vfs::NodeId node = PickNode(op.a, -1);
  Inode& inode = inodes_.at(node);
  if (node == vfs::kRootNode || inode.busy > 0) return;
  const uint64_t lookups = op.b % 2 == 0 ? inode.lookups : 1;
  fs_->Forget(node, lookups);
  inode.lookups -= lookups;
  if (inode.lookups == 0) inodes_.erase(node);
}

void VfsWorld::ReadDirectory(const Op& op) {
  if (directories_.empty() || (op.b % 2 == 0 && directories_.size() < kDirectoriesMax)) {
    StartOpenDirectory(PickNode(op.a, -1));
    Drain();
    if (op.b % 4 == 0 || directories_.empty()) return;
  }
  auto at = directories_.begin();
  std::advance(at, op.a % static_cast<int>(directories_.size()));
  const uint64_t handle = at->first;
  const size_t entries = 1 + static_cast<size_t>(op.c % 8);
  bool more = ReadOn(handle, entries, op.c % 2 == 0);
  while (more && op.c > 8) more = ReadOn(handle, entries, op.c % 3 == 0);
}

// Of an offset the low 40 bits count entries; above them is what tells the listing.
static uint64_t Place(uint64_t offset) { return offset & ((uint64_t{1} << 40) - 1); }

bool VfsWorld::ReadOn(uint64_t handle, size_t entries, bool with_attributes) {
  OpenDirectory& directory = directories_.at(handle);
  const Path path = inodes_.at(directory.node).path;
  size_t taken = 0;
  const auto emit = [&](const vfs::DirectoryEntry& entry) {
    if (taken == entries) return false;
    ++taken;
    const std::string name(entry.name);
    Expect(Place(entry.next_offset) == Place(directory.offset) + 1,
           path.Text() + ": an offset is skipped");
    directory.offset = entry.next_offset;
    directory.names.push_back(name);
    if (entry.entry.node != 0)
      OnEntry(directory.node, path, name, entry.entry);
    else if (Place(directory.offset) > 2)
      CheckInode(path.Child(path.level == catalog::Level::kSeries
                                ? catalog::DecodeInstanceName(name).value_or("?")
                                : catalog::DecodeName(name).value_or("?"),
                            path.server),
                 entry.entry.attributes.inode);
    return true;
  };
  const Status status = fs_->ReadDirectory(handle, directory.offset, with_attributes, emit);
  Expect(status.has_value(), path.Text() + ": an open directory cannot be read");
  if (taken == entries && status) return true;
  CheckListing(path, directory);
  fs_->ReleaseDirectory(handle);
  --inodes_.at(directory.node).busy;
  directories_.erase(handle);
  return false;
}

void VfsWorld::GetAttributes(const Op& op) {
  if (op.b % 2 == 0 && !files_.empty()) {
    auto at = files_.begin();
    std::advance(at, op.a % static_cast<int>(files_.size()));
    const auto [node, versions, size_bytes] = at->second;
    std::stop_token stop;
    auto done = Awaited<vfs::AttributesReply>(
        "getattr", node, stop, [this, node = node, size = size_bytes](auto reply) {
          if (!reply) return CheckError("getattr of an open file", reply.error());
          Expect(reply->attributes.size_bytes == size, "an open file has another size");
          OnAttributes(node, reply->attributes, reply->valid_for_ms);
        });
    return fs_->GetAttributes(node, at->first, stop, std::move(done));
  }
  const vfs::NodeId node = PickNode(op.a, -1);
  std::stop_token stop;
  auto done = Awaited<vfs::AttributesReply>("getattr", node, stop, [this, node](auto reply) {
    if (!reply) return CheckError("getattr", reply.error());
    OnAttributes(node, reply->attributes, reply->valid_for_ms);
  });
  fs_->GetAttributes(node, 0, stop, std::move(done));
}

void VfsWorld::OpenNode(const Op& op) {
  const vfs::NodeId node = PickNode(op.a, 5);
  if (node != 0 && files_.size() < kFilesMax) StartOpen(node);
}

void VfsWorld::ReadFile(const Op& op) {
  if (files_.empty()) return OpenNode(op);
  auto at = files_.begin();
  std::advance(at, op.a % static_cast<int>(files_.size()));
  const int64_t size = at->second.size_bytes;
  StartRead(at->first, op.b % 4 == 0 ? 0 : size * op.b / (kOperandEnd - 4),
            op.c % 4 == 0 ? size : int64_t{1} << (op.c % 18));
}

void VfsWorld::ReleaseFile(const Op& op) {
  if (files_.empty()) return;
  auto at = files_.begin();
  std::advance(at, op.a % static_cast<int>(files_.size()));
  if (inodes_.at(at->second.node).busy > 1) return;  // a read of it may be under way
  fs_->Release(at->first);
  --inodes_.at(at->second.node).busy;
  files_.erase(at);
}

void VfsWorld::ReadXattrs(const Op& op) {
  const vfs::NodeId node = PickNode(op.a, op.b % 2 == 0 ? -1 : 5);
  if (node == 0) return;
  const Path& path = inodes_.at(node).path;
  const auto names = fs_->ListXattr(node);
  Expect(names.has_value(), path.Text() + ": no list of attributes");
  if (!names) return;
  for (const std::string& name : *names)
    Expect(fs_->GetXattr(node, name).has_value(), path.Text() + " lists " + name + " in vain");
  Expect(fs_->GetXattr(node, "security.selinux").error().code == Errc::kUnsupported, "labels");
  if (path.level != catalog::Level::kInstance) return;
  const auto size = fs_->GetXattr(node, "user.tcia.size");
  Expect(size && (*size == "exact" || *size == "advertised" || *size == "estimated"),
         path.Text() + ": an origin of the size nobody knows");
  const vfs::SpaceReply space = fs_->Space();
  Expect(space.free_bytes >= 0 && space.free_bytes <= space.total_bytes, "more free than there is");
}

// What is said to be here can be read whatever the servers do.
void VfsWorld::ReadOffline(const Op& op) {
  const vfs::NodeId node = PickNode(op.a, 5);
  if (node == 0 || files_.size() >= kFilesMax || MayPart(inodes_.at(node))) return;
  const auto cached = fs_->GetXattr(node, "user.tcia.cached");
  if (!cached || *cached != "1") return;
  std::vector<Mood> moods;
  for (auto& source : sources_) moods.push_back(std::exchange(source->mood, Mood::kFails));
  const size_t open = files_.size();
  StartOpen(node);
  Drain();
  Expect(files_.size() == open + 1,
         inodes_.at(node).path.Text() + " is said to be cached and cannot be opened offline");
  if (files_.size() == open + 1) StartRead(files_.rbegin()->first, 0, int64_t{1} << 20);
  for (size_t i = 0; i < moods.size(); ++i) sources_[i]->mood = moods[i];
}

void VfsWorld::Cancel(const Op& op) {
  std::vector<std::shared_ptr<Pending>> waiting;
  for (const auto& pending : pending_)
    if (!pending->answered) waiting.push_back(pending);
  if (waiting.empty()) return;
  const auto& chosen = waiting[static_cast<size_t>(op.a) % waiting.size()];
  chosen->cancelled = true;
  chosen->stop.request_stop();
  Drain();
  Expect(chosen->answered, chosen->what + " goes on though it was interrupted");
}

// What is open is replaced, and it is opened once more beside.
void VfsWorld::ReplaceOpen(const Op& op) {
  auto at = files_.begin();
  std::advance(at, op.a % static_cast<int>(files_.size()));
  const vfs::NodeId node = at->second.node;
  const Path path = inodes_.at(node).path;
  Slot& slot = archive_.slot(archive_.Find(path).first);
  if (slot.version + 1 >= kVersionsMax) return;
  slot.versions.insert(++slot.version);
  slot.present = true;
  archive_.NoteNames();
  StopOwing();
  for (int round = 0; round < 2; ++round) {
    Pass(kLongMs);
    (void)NodeOf(slot.path());
  }
  if (files_.size() < kFilesMax) StartOpen(node);
  Pass(600);
  for (const auto& [handle, file] : std::map(files_))
    if (file.node == node) StartRead(handle, 0, file.size_bytes);
}

// The file behind a handle is cut short by somebody else, often after the archive has replaced it
// by one as long: the handle gives the bytes it gave before, or none.
void VfsWorld::HurtOpen(const Op& op) {
  if (files_.empty()) return OpenNode(op);
  disturbed_ = true;
  auto at = files_.begin();
  std::advance(at, op.a % static_cast<int>(files_.size()));
  const auto [handle, file] = *at;
  Slot& slot = archive_.slot(archive_.Find(inodes_.at(file.node).path).first);
  hurt_handle_ = handle;
  hurt_size_ = op.b % 4 == 0 ? 0 : file.size_bytes * op.b / kOperandEnd;
  StartRead(handle, 0, file.size_bytes);
  Drain();
  if (std::exchange(hurt_size_, -1) >= 0) return;  // it could not be read
  if (op.c % 4 != 0 && slot.version + 1 < kVersionsMax) {
    slot.versions.insert(++slot.version);
    slot.present = true;
    archive_.NoteNames();
    StopOwing();
  }
  StartRead(handle, 0, file.size_bytes);
  Pass(600);  // an instance that arrives last is held back for a while
}

void VfsWorld::ChangeArchive(const Op& op) {
  disturbed_ = true;
  if (op.c % 4 == 1 && !files_.empty()) return ReplaceOpen(op);
  Slot& slot = archive_.slot(op.a % kSlots);
  switch (op.b % 4) {
    case 0:
    case 1:  // replaced under the same UID
      if (slot.version + 1 < kVersionsMax) slot.versions.insert(++slot.version);
      slot.present = true;
      break;
    case 2:
      slot.present = !slot.present;
      break;
    default:  // a whole collection goes, or comes back
      for (int i = 0; i < 4; ++i) archive_.slot(slot.number / 4 * 4 + i).present = op.c % 2 == 0;
      break;
  }
  archive_.NoteNames();
  StopOwing();
}

void VfsWorld::EvictSeries(const Op& op) {
  const Slot& slot = archive_.slot(op.a % kSlots);
  (void)cache_->Evict({sources_[slot.server()]->scope(), slot.series()});
}

void VfsWorld::StartLookup(vfs::NodeId parent, const std::string& name) {
  const Path directory = inodes_.at(parent).path;
  std::stop_token stop;
  auto done = Awaited<vfs::EntryReply>("lookup of " + name, parent, stop,
                                       [this, parent, directory, name](auto reply) {
                                         if (!reply)
                                           return CheckError("lookup of " + name, reply.error());
                                         OnEntry(parent, directory, name, *reply);
                                       });
  fs_->Lookup(parent, name, stop, std::move(done));
}

void VfsWorld::StartOpenDirectory(vfs::NodeId node) {
  std::stop_token stop;
  auto done = Awaited<vfs::OpenReply>("opendir", node, stop, [this, node](auto reply) {
    if (!reply) return CheckError("opendir", reply.error());
    OpenDirectory& opened = directories_[reply->handle];
    opened.node = node;
    opened.owed = owed_[inodes_.at(node).path.Text()];
    ++inodes_.at(node).busy;
  });
  fs_->OpenDirectory(node, stop, std::move(done));
}

void VfsWorld::StartOpen(vfs::NodeId node) {
  std::stop_token stop;
  auto done = Awaited<vfs::OpenReply>("open", node, stop, [this, node](auto reply) {
    if (!reply) return CheckError("open", reply.error());
    OnOpened(node, *reply);
  });
  fs_->Open(node, false, stop, std::move(done));
}

void VfsWorld::StartRead(uint64_t handle, int64_t offset, int64_t size_bytes) {
  const vfs::NodeId node = files_.at(handle).node;
  std::stop_token stop;
  auto done =
      Awaited<vfs::ReadReply>("read", node, stop, [this, handle, offset, size_bytes](auto reply) {
        if (!reply) return CheckError("read", reply.error());
        OnRead(handle, offset, size_bytes, *reply);
      });
  fs_->Read(node, handle, offset, size_bytes, stop, std::move(done));
}

}  // namespace tciafs::model

int main() {
  tciafs::model::ModelSpec spec;
  spec.name = "vfs";
  spec.kinds = tciafs::model::VfsWorld::Kinds();
  spec.runs = 200;
  spec.length = 150;
  spec.run = [](const std::vector<tciafs::model::Op>& ops) {
    return tciafs::model::VfsWorld().Run(ops);
  };
  return tciafs::model::RunModel(spec);
}
