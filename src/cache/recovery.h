// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a crash leaves behind is put right here, before the cache is in use: a series whose
// directory may hold more than the index knows is compared with it, file by file. Not thread-safe.
#pragma once

#include "cache/disk.h"
#include "cache/index.h"
#include "cache/layout.h"

namespace tciafs::cache {

// Takes over what the journal tells and the files confirm, removes all other files, and gives the
// entry as it is now. It stays marked as unsettled in the index until its next change.
Result<SeriesEntry> RecoverSeries(Disk& disk, const Layout& layout, Index& index,
                                  SeriesEntry entry);

// Makes room in a full index: forgets the series that are remembered without bytes. False if there
// was none.
Result<bool> ForgetRemembered(Index& index);

// Forgets a series whose record is damaged, with all its files.
Status RemoveSeries(Disk& disk, const Layout& layout, Index& index, const SeriesId& series);

}  // namespace tciafs::cache
