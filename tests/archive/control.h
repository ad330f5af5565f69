// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The test's own entrance, under /_test/: never counted, never faulted.
//
//   GET  /_test/counters              what was asked, see Counters::ToJson
//   POST /_test/reset                 counters to zero, the fault plan empty
//   POST /_test/plan    JSON          replaces the fault plan, see faults.h
//   GET  /_test/hits                  how many requests the present fault plan has hit
//   POST /_test/mutate  JSON object   {"hide_series": uid} {"show_series": uid}
//                                     {"replace_series": uid, "other_size": true}
//                                     {"drop_collection": name} {"restore_collection": name}
//                                     {"add_patients": {"collection": name, "count": n}}
//   GET  /_test/truth?collection=N    "md5 size path" of every visible instance, one a line
//   GET  /_test/instance?sop=UID      the file
//
// Answers 200 with what is asked for, or 400 with what is wrong. The path of the truth is
// Collection/PatientID/Study/Series/SOP.dcm with '/', '%', control characters and a leading dot of
// each part percent-encoded. Collections here are those of any account. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "counters.h"
#include "exchange.h"
#include "faults.h"
#include "holdings.h"

namespace tciafs::archive {

inline constexpr std::string_view kControlPrefix = "/_test/";

struct Controlled {
  Holdings& holdings;
  FaultPlan& plan;
  Counters& counters;
};

Reply HandleControl(const Request& request, const Controlled& controlled);

// One part of a path of the truth.
std::string EncodePathPart(std::string_view id);

}  // namespace tciafs::archive
