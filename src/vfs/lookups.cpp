// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/lookups.h"

#include <optional>
#include <utility>

#include "tciafs/catalog/names.h"
#include "vfs/directories.h"
#include "vfs/entries.h"
#include "vfs/instances.h"
#include "vfs/virtual_files.h"

namespace tciafs::vfs {
namespace {

// The answer of the catalog to one name, with all that stat needs.
struct FoundName {
  catalog::LookupAnswer answer;
  int64_t modified_s = 0;
  std::optional<InstanceSize> size;  // files

  NodeFacts facts() const {
    return {answer.entry.name, answer.entry.server, modified_s, answer.entry.size_bytes, size};
  }
};

// Fetches the instance for its size.
void FindSize(const ContextRef& context, const SeriesAccess& series, const source::SopUid& sop,
              FoundName found, Asker asker, Callback<FoundName> done) {
  using Acquired = std::shared_ptr<cache::InstanceFile>;
  AcquireInstance(
      *context, series, sop, std::move(asker),
      Continue<Acquired, FoundName>(context, std::move(done),
                                    [found = std::move(found)](const ContextRef&, Acquired file,
                                                               const Callback<FoundName>& answer) {
                                      FoundName exact = found;
                                      exact.size = {file->size_bytes(), SizeOrigin::kExact};
                                      answer(std::move(exact));
                                    }));
}

void Describe(const ContextRef& context, const catalog::ObjectPath& directory, int64_t exact_bytes,
              catalog::LookupAnswer answer, Asker asker, Callback<FoundName> done) {
  const auto path = PathOf(directory, answer.entry);
  if (!path) return done(Fail(Errc::kNotFound, answer.entry.name + " is no name"));
  FoundName found{std::move(answer), 0, std::nullopt};
  found.modified_s = found.answer.entry.modified_s;
  if (path->level != catalog::Level::kInstance) return done(std::move(found));
  if (exact_bytes >= 0 && found.modified_s != 0) {
    found.size = {exact_bytes, SizeOrigin::kExact};
    return done(std::move(found));
  }

  const SeriesSnapshot series = SeriesRecordOf(*context, directory);
  found.modified_s = ModifiedOf(found.answer.entry, series);
  if (exact_bytes < 0) exact_bytes = KnownBytes(*context, series, path->sop);
  found.size = SizeOf(*context, found.answer.entry, series, exact_bytes);
  if (MustFetch(*context, found.size) && series.access)
    return FindSize(context, *series.access, path->sop, std::move(found), std::move(asker),
                    std::move(done));
  done(std::move(found));
}

void FindName(const ContextRef& context, const catalog::ObjectPath& directory, std::string name,
              int64_t exact_bytes, Asker asker, Callback<FoundName> done) {
  context->catalog.Lookup(
      directory, std::move(name), asker.stop,
      Continue<catalog::LookupAnswer, FoundName>(
          context, std::move(done),
          [directory, exact_bytes, asker](const ContextRef& alive, catalog::LookupAnswer answer,
                                          const Callback<FoundName>& found) {
            Describe(alive, directory, exact_bytes, std::move(answer), asker, found);
          }));
}

// The attributes of a directory have been asked for: where the kernel was given its listing without
// opening it, this is how it learns that the listing has become old.
void RenewIfOld(const ContextRef& context, NodeId node, const catalog::ObjectPath& directory,
                const ListedState& listed) {
  if (listed.until_ms < 0 || context->clock.MonotonicMs() < listed.until_ms) return;
  context->catalog.List(directory, {},
                        [weak = std::weak_ptr<Context>(context), node](const auto& list) {
                          const ContextRef alive = weak.lock();
                          if (alive != nullptr && list) ListingGiven(*alive, node, *list);
                        });
}

AttributesReply RootAttributes(const ContextRef& context) {
  const int64_t fresh_for_ms = context->options.kernel_validity_max_ms;
  const ListedState listed =
      context->nodes.TellDirectory(kRootNode, ToldUntil(*context, fresh_for_ms));
  RenewIfOld(context, kRootNode, {}, listed);
  return DirectoryReply(*context, kRootNode, 0, listed, fresh_for_ms);
}

EntryReply RootEntry(const ContextRef& context) {
  const AttributesReply root = RootAttributes(context);
  return {kRootNode, root.attributes, root.valid_for_ms, root.valid_for_ms};
}

// A child's name under its parent's node, asked for by a kernel that exports the mount.
void LookupSelf(const ContextRef& context, const NodeCopy& node, Asker asker,
                Callback<EntryReply> done) {
  if (node.id == kRootNode) return done(RootEntry(context));
  LookupName(context, node.parent, node.name, std::move(asker), std::move(done));
}

EntryReply Absence(const Context& context) {
  EntryReply reply;
  reply.entry_valid_for_ms = KernelValidity(context.options, kAbsenceValidMs);
  return reply;
}

}  // namespace

void LookupName(const ContextRef& context, NodeId parent, std::string_view name, Asker asker,
                Callback<EntryReply> done) {
  const auto directory = context->nodes.Find(parent);
  if (!directory) return done(Fail(GoneError()));
  if (directory->is_file())
    return done(Fail(Errc::kNotDirectory, directory->path.Text() + " is a file"));
  if (name.size() > catalog::kNameBytesMax)
    return done(Fail(Errc::kNameTooLong, "a name has at most 255 bytes"));
  if (name == ".") return LookupSelf(context, *directory, std::move(asker), std::move(done));
  if (name == "..") {
    const auto above = context->nodes.Find(directory->parent);
    if (!above) return done(Fail(GoneError()));
    return LookupSelf(context, *above, std::move(asker), std::move(done));
  }
  if (name == kVirtualDirectoryName) return done(LookupVirtualDirectory(*context, *directory));
  FindName(context, directory->path, std::string(name), -1, std::move(asker),
           [weak = std::weak_ptr<Context>(context), parent,
            done = std::move(done)](Result<FoundName> found) {
             const ContextRef alive = weak.lock();
             if (alive == nullptr) return done(Fail(UnmountedError()));
             if (!found && found.error().code == Errc::kNotFound)
               return done(Absence(*alive));
             if (!found) return done(Fail(std::move(found).error()));
             auto reply = EnterEntry(*alive, parent, found->facts(), found->answer.fresh_for_ms);
             if (!reply) return done(Fail(GoneError()));
             done(std::move(*reply));
           });
}

void GetNodeAttributes(const ContextRef& context, NodeId node, Asker asker,
                       Callback<AttributesReply> done) {
  if (node == kRootNode) return done(RootAttributes(context));
  const auto self = context->nodes.Find(node);
  if (!self) return done(Fail(GoneError()));
  const auto parent = context->nodes.Find(self->parent);
  if (!parent) return done(Fail(GoneError()));
  FindName(context, parent->path, self->name, self->exact_bytes, std::move(asker),
           Continue<FoundName, AttributesReply>(
               context, std::move(done),
               [self = *self](const ContextRef& alive, const FoundName& found,
                              const Callback<AttributesReply>& answer) {
                 const int64_t fresh_for_ms = found.answer.fresh_for_ms;
                 if (found.size)
                   return answer(FileReply(*alive, self.inode, found.modified_s,
                                           alive->nodes.Tell(self.id, *found.size), fresh_for_ms));
                 const ListedState listed =
                     alive->nodes.TellDirectory(self.id, ToldUntil(*alive, fresh_for_ms));
                 RenewIfOld(alive, self.id, self.path, listed);
                 answer(DirectoryReply(*alive, self.inode, found.modified_s, listed, fresh_for_ms));
               }));
}

}  // namespace tciafs::vfs
