// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// NBIA's list endpoints: values, patients, studies, series, their details and the change feeds.
// Columns, spellings, dates and the rules of comparison differ between the API families as they do
// on the real server. Thread-safe: all state is in the Call.
// Source: NBIA's endpoint and DAO classes (CBIIT/NBIA-TCIA on GitHub).
#pragma once

#include "call.h"

namespace tciafs::archive {

Reply GetCollectionValues(const Call& call);
Reply GetModalityValues(const Call& call);
Reply GetBodyPartValues(const Call& call);
Reply GetManufacturerValues(const Call& call);
Reply GetPatient(const Call& call);
Reply GetPatientStudy(const Call& call);
Reply GetSeries(const Call& call);
Reply GetSeriesSize(const Call& call);
Reply GetSopInstanceUids(const Call& call);
Reply GetSeriesMetaData(const Call& call);    // v1, v2: GET, one series
Reply GetSeriesMetadataV4(const Call& call);  // v4: POST, a list of series
Reply GetUpdatedSeries(const Call& call);
Reply NewPatientsInCollection(const Call& call);
Reply NewStudiesInPatientCollection(const Call& call);

}  // namespace tciafs::archive
