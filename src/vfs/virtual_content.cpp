// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_content.h"

#include <algorithm>
#include <utility>

#include "vfs/attributes.h"
#include "vfs/entries.h"
#include "vfs/json_writer.h"
#include "vfs/metrics_report.h"
#include "vfs/status_report.h"
#include "vfs/tables.h"

namespace tciafs::vfs {
namespace {

using catalog::Level;
using Made = Result<FileTextPtr>;

Error InterruptedError() { return {Errc::kCancelled, "interrupted"}; }

FileTextWriter TextWriter(const Context& context) {
  return {context.options.scratch_directory, [&context] {
            const cache::Usage usage = context.cache.usage();
            return usage.disk_free_bytes - usage.free_floor_bytes;
          }};
}

// An object such as there are rows of: what every row has are columns also where there is none.
catalog::ObjectPath Like(const VirtualNode& node) {
  catalog::ObjectPath like = node.path;
  like.level = node.file->rows;
  return like;
}

// One pass over rows as they are told in a table, until `each` fails or the work is to end.
template <typename Each>
Status ForEachRow(const Context& context, const catalog::RowReader& rows,
                  const std::stop_token& stop, Each each) {
  Status status;
  TCIAFS_TRY(rows.ForEach([&](const catalog::Row& row) {
    if (stop.stop_requested() || context.ending)
      status = Fail(InterruptedError());
    else
      status = each(TableRow(row.path, row.attributes));
    return status.has_value();
  }));
  return status;
}

Made TableOfRows(const Context& context, const VirtualNode& node, const std::stop_token& stop) {
  TCIAFS_ASSIGN(const auto rows, context.catalog.Rows(node.path, node.file->rows));
  FileTextWriter text = TextWriter(context);
  TableWriter table(node.file->format, text);
  if (node.file->format == TableFormat::kCsv) {
    TCIAFS_TRY(table.NoteColumns(TableRow(Like(node), {})));
    TCIAFS_TRY(ForEachRow(context, *rows, stop,
                          [&](const source::Attributes& row) { return table.NoteColumns(row); }));
  }
  TCIAFS_TRY(table.Begin());
  TCIAFS_TRY(ForEachRow(context, *rows, stop,
                        [&](const source::Attributes& row) { return table.Append(row); }));
  TCIAFS_TRY(table.End());
  return text.Finish();
}

// Of a few rows, at hand.
Made TableOf(const Context& context, const VirtualNode& node,
             const std::vector<source::Attributes>& rows) {
  FileTextWriter text = TextWriter(context);
  TableWriter table(node.file->format, text);
  TCIAFS_TRY(table.NoteColumns(TableRow(Like(node), {})));
  for (const auto& row : rows) TCIAFS_TRY(table.NoteColumns(row));
  TCIAFS_TRY(table.Begin());
  for (const auto& row : rows) TCIAFS_TRY(table.Append(row));
  TCIAFS_TRY(table.End());
  return text.Finish();
}

Made CollectionsTable(const Context& context, const VirtualNode& node,
                      const catalog::Listing& listing) {
  const auto servers = context.catalog.Health();
  std::vector<source::Attributes> rows;
  for (const catalog::Entry& entry : listing.entries)
    if (const auto path = PathOf(node.path, entry))
      rows.push_back(TableRow(*path, {ServerOf(servers, entry.server)}));
  return TableOf(context, node, rows);
}

Made InstancesTable(const Context& context, const VirtualNode& node,
                    const catalog::Listing& listing) {
  SeriesSnapshot series = SeriesRecordOf(context, node.path);
  if (series.access)
    series.known = context.cache.Known(series.access->key, series.access->version());
  std::vector<source::Attributes> rows;
  for (const catalog::Entry& entry : listing.entries) {
    const auto path = PathOf(node.path, entry);
    if (!path) continue;
    const cache::KnownInstance* known = FindKnown(series, path->sop);
    const InstanceSize size = SizeOf(context, entry, series, known ? known->size_bytes : -1);
    rows.push_back(TableRow(*path, {{"Size", std::to_string(size.bytes), true},
                                    {"SizeOrigin", std::string(SizeOriginName(size.origin)), false},
                                    {"MD5", known ? known->md5_hex : std::string(), false},
                                    {"Cached", known && known->cached ? "1" : "0", true}}));
  }
  return TableOf(context, node, rows);
}

Made OwnRow(const Context& context, const VirtualNode& node) {
  TCIAFS_ASSIGN(auto attributes, context.catalog.AttributesOf(node.path));
  return TableOf(context, node, {TableRow(node.path, std::move(attributes))});
}

// What the row says; the licence that lies in the archive's zip would take a download.
Made License(const Context& context, const VirtualNode& node) {
  TCIAFS_ASSIGN(const auto attributes, context.catalog.AttributesOf(node.path));
  std::string text;
  const auto add = [&](std::string_view name) {
    const auto found = std::find_if(attributes.begin(), attributes.end(), [&](const auto& a) {
      return a.name == name && !a.value.empty();
    });
    if (found == attributes.end()) return;
    text.append(name).append(": ");
    AppendUtf8(text, found->value);
    text += '\n';
  };
  add("LicenseName");
  add("LicenseURI");
  if (text.empty()) text = "The archive tells no licence of this series.\n";
  add("DataDescriptionURI");
  return std::make_shared<const FileText>(std::move(text));
}

void Answer(const Context& context, VirtualNode node, Made made,
            const Callback<VirtualNode>& done) {
  if (!made) return done(Fail(std::move(made).error()));
  node.text = *std::move(made);
  node.modified_s = context.clock.UnixMs() / 1000;
  done(std::move(node));
}

void AnswerRows(const Context& context, VirtualNode node, const std::stop_token& stop,
                const Callback<VirtualNode>& done) {
  node.revision = context.catalog.revision();
  if (auto again = context.virtual_nodes.EnterAgain(node.directory, node.file, node.revision))
    return done(*std::move(again));
  Made made = TableOfRows(context, node, stop);
  Answer(context, std::move(node), std::move(made), done);
}

void RowsListed(const ContextRef& context, VirtualNode node, std::stop_token stop,
                const Callback<VirtualNode>& done) {
  if (node.path.level != Level::kCollection)
    return AnswerRows(*context, std::move(node), stop, done);
  context->tables->Post([weak = std::weak_ptr<Context>(context), node = std::move(node),
                         stop = std::move(stop), done] {
    const ContextRef alive = weak.lock();
    if (alive == nullptr) return done(Fail(UnmountedError()));
    const Gate::Pass pass(alive->gate);
    if (!pass) return done(Fail(UnmountedError()));
    AnswerRows(*alive, node, stop, done);
  });
}

void MakeRows(const ContextRef& context, VirtualNode node, std::stop_token stop,
              Callback<VirtualNode> done) {
  const catalog::ObjectPath directory = node.path;
  const Level level = node.file->rows;
  context->catalog.ListBelow(directory, level, stop,
                             [weak = std::weak_ptr<Context>(context), node = std::move(node), stop,
                              done = std::move(done)](Status listed) {
                               const ContextRef alive = weak.lock();
                               if (alive == nullptr) return done(Fail(UnmountedError()));
                               if (!listed) return done(Fail(std::move(listed).error()));
                               RowsListed(alive, node, stop, done);
                             });
}

using FromListing = Made (*)(const Context&, const VirtualNode&, const catalog::Listing&);

void MakeFromListing(const ContextRef& context, VirtualNode node, FromListing make,
                     std::stop_token stop, Callback<VirtualNode> done) {
  const catalog::ObjectPath directory = node.path;
  context->catalog.List(
      directory, std::move(stop),
      Continue<catalog::ListAnswer, VirtualNode>(
          context, std::move(done),
          [node = std::move(node), make](const ContextRef& alive, const catalog::ListAnswer& list,
                                         const Callback<VirtualNode>& answer) {
            Answer(*alive, node, make(*alive, node, *list.listing), answer);
          }));
}

}  // namespace

void MakeContent(const ContextRef& context, VirtualNode node, std::stop_token stop,
                 Callback<VirtualNode> done) {
  using Kind = VirtualFile::Kind;
  const auto answer = [&](Made made) { Answer(*context, std::move(node), std::move(made), done); };
  switch (node.file->kind) {
    case Kind::kStatus:
      return answer(std::make_shared<const FileText>(StatusReport(TakeStatus(*context))));
    case Kind::kMetrics:
      return answer(std::make_shared<const FileText>(MetricsReport(*context)));
    case Kind::kOwnRow:
      return answer(OwnRow(*context, node));
    case Kind::kLicense:
      return answer(License(*context, node));
    case Kind::kRows:
      return MakeRows(context, std::move(node), std::move(stop), std::move(done));
    case Kind::kCollections:
      return MakeFromListing(context, std::move(node), CollectionsTable, std::move(stop),
                             std::move(done));
    case Kind::kInstances:
      return MakeFromListing(context, std::move(node), InstancesTable, std::move(stop),
                             std::move(done));
  }
}

}  // namespace tciafs::vfs
