// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/resolve.h"

#include <optional>
#include <string>

#include "control/await.h"
#include "tciafs/catalog/names.h"
#include "tciafs/util/text.h"

namespace tciafs::control {

Result<catalog::ListAnswer> ListAwait(catalog::Catalog& catalog,
                                      const catalog::ObjectPath& directory, std::stop_token stop) {
  return Await<catalog::ListAnswer>([&](Callback<catalog::ListAnswer> done) {
    catalog.List(directory, std::move(stop), std::move(done));
  });
}

Result<catalog::ObjectPath> PathOf(const catalog::ObjectPath& directory,
                                   const catalog::Entry& entry) {
  auto id = directory.level == catalog::Level::kSeries ? catalog::DecodeInstanceName(entry.name)
                                                       : catalog::DecodeName(entry.name);
  if (!id) return Fail(Errc::kInternal, entry.name + ": not a name of the tree");
  return directory.Child(*std::move(id), entry.server);
}

Result<catalog::ObjectPath> Resolve(catalog::Catalog& catalog, std::string_view path,
                                    std::stop_token stop) {
  catalog::ObjectPath object;
  for (const std::string_view name : SplitText(path, '/')) {
    if (name.empty() || name == ".") continue;
    if (object.level == catalog::Level::kInstance)
      return Fail(Errc::kNotDirectory, object.Text() + ": not a directory");
    auto found = Await<catalog::LookupAnswer>([&](Callback<catalog::LookupAnswer> done) {
      catalog.Lookup(object, std::string(name), stop, std::move(done));
    });
    if (!found && found.error().code == Errc::kNotFound)
      return Fail(Errc::kNotFound, std::string(path) + ": the archive has no such object");
    if (!found) return Fail(std::move(found).error());
    TCIAFS_ASSIGN(object, PathOf(object, found->entry));
  }
  return object;
}

}  // namespace tciafs::control
