// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a mount does for the commands that talk to it, by the kind of the request:
//
//   status                 -> mount, server..., download..., cache, error...
//   status_json            -> json text=<what /.tcia/status.json has>
//   refresh path=...       -> refreshed path= entries= added= removed=  (for each path)
//   fetch path=... [jobs=] [whole_archive=1]
//       -> looking path=  (for each path), waiting for=  (now and then, till it is found), then
//          plan series= images= bytes= of_unknown_size= here_series= here_bytes=
//          needed_bytes= room_bytes=, and what src/control/fetch_job.h says
//   pin path=... [jobs=] [whole_archive=1] [only_mark=1]
//       -> looking, plan, pinned series=, and unless only_mark=1 as fetch goes on
//   unpin [path=...] [series=...] [whole_archive=1]  -> unpinned series=
//   cache_info             -> cache used_bytes= cap_bytes= series= ...
//   cache_list [pinned=1]  -> series path= scope= series= size_bytes= ...  (for each)
//   cache_verify [path=...] [series=...]
//       -> progress path= done_bytes= whole_bytes=, bad path= sop= reason=, and at the end
//          checked series= instances= size_bytes= bad=
//   cache_evict [path=...] [series=...] [older_than_ms=] [to_bytes=] [pinned=1]
//       -> evicted path= size_bytes=, kept path= why= reason=, freed series= size_bytes=
//   cache_clear [keep_pinned=1]  -> as cache_evict
//   cache_import series= [study=] [patient=] [collection=...]
//       and then, as src/control/import_operation.h tells, what there is of it, and its bytes
//
// Paths are those inside the mount, encoded as in the tree. Thread-safe; what it is made of is
// borrowed and must outlive it. Handlers may block until their stop token is triggered.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/control/channel.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::control {

struct Mounted {
  catalog::Catalog& catalog;
  fetch::Fetcher& fetcher;
  cache::BlockCache& cache;
  vfs::Filesystem& filesystem;
  std::string mountpoint;
  int downloads_max = 1;  // at once, per server
  std::vector<source::Source*> sources = {};
};

Handler Operations(const Mounted& mounted);

}  // namespace tciafs::control
