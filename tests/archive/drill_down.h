// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The portal's own calls, by which a client can learn the size of each image: from series UIDs to
// the database's keys, and from these to images. Jackson writes their JSON: nulls show, but for the
// search. Thread-safe: all state is in the Call.
// Source: NBIA's GetStudyDrillDownWithSeriesIds, v4/GetSimpleSearch, GetImageDrillDown and the DAO
// classes behind them (CBIIT/NBIA-TCIA on GitHub), with their defects.
#pragma once

#include "call.h"

namespace tciafs::archive {

Reply GetStudyDrillDownWithSeriesIds(const Call& call);
Reply GetSimpleSearch(const Call& call);
Reply GetImageDrillDown(const Call& call);

}  // namespace tciafs::archive
