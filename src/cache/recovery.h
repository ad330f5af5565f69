// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a crash leaves behind is put right here, before the cache is in use: a series whose
// directory may hold more than the index knows is compared with it, file by file. Not thread-safe.
#pragma once

#include <set>

#include "cache/disk.h"
#include "cache/index.h"
#include "cache/layout.h"

namespace tciafs::cache {

// Takes over what the journal tells and the files confirm, removes all other files, and gives the
// entry as it is now; in the index it stays marked as unsettled until its next change. What cannot
// be read or removed fails nothing: the entry is unsettled then, charged with what is left, and the
// next run tries again. Fails only where the index does.
Result<SeriesEntry> RecoverSeries(Disk& disk, const Layout& layout, Index& index,
                                  SeriesEntry entry);

// Makes room in a full index: forgets the series that are remembered without bytes. False if there
// was none.
Result<bool> ForgetRemembered(Index& index);

// There are no files any more: pinned series stay, pinned and without images, and what was
// remembered without bytes; all else is forgotten. Done again, it changes nothing.
Status ForgetImages(Index& index);

// Forgets a series whose record is damaged, once all its files are gone. The bytes of those that
// are left.
Result<int64_t> RemoveSeries(Disk& disk, const Layout& layout, Index& index,
                             const SeriesId& series);

// Removes the directories of series that are not known to have any: after a power failure those may
// be back whose removal had not reached the disk. The bytes of what is left.
int64_t RemoveStrangers(Disk& disk, const Layout& layout, const std::set<SeriesId>& known);

}  // namespace tciafs::cache
