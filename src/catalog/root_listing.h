// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The root: the union of what the servers list, the first configured winning a name. A server that
// was never listed is waited for, but once another has answered only for a while; one that is down
// takes nothing away from the others. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "catalog/context.h"
#include "catalog/renewals.h"
#include "catalog/waiter.h"

namespace tciafs::catalog {

class RootListing {
 public:
  RootListing(CatalogContext& context, Renewals& renewals)
      : context_(context), renewals_(renewals) {}

  void List(std::stop_token stop, Callback<ListAnswer> done);
  void Lookup(const std::string& name, std::stop_token stop, Callback<LookupAnswer> done);
  void Refresh(Callback<void> done);
  std::string LastError() const;

 private:
  struct Gathering;

  ObjectPath RootOf(size_t server) const;
  void RenewBehind(size_t server);
  // Calls `go` when the servers in `missing` have been listed or have failed, or have had their
  // time after another had answered; at once if there are none.
  void Gather(const std::vector<size_t>& missing, bool others_answered, std::function<void()> go);
  Result<ListAnswer> Union();
  Result<LookupAnswer> Find(const std::string& name);
  // The servers to ask before the root, or the absence of a name in it, can be answered.
  std::vector<size_t> Missing(bool stale_too, bool* others_answered);
  Error FirstError() const;

  CatalogContext& context_;
  Renewals& renewals_;
};

}  // namespace tciafs::catalog
