// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What stands in the files of .tcia: tables of what the catalog has stored, after it has been asked
// to have all of it; never with a download. Short ones are made by the caller's thread or the one
// that brought the answer, those of a whole collection on a strand of their own. Thread-safe.
#pragma once

#include <stop_token>

#include "vfs/context.h"

namespace tciafs::vfs {

// `node` is a file without a text. Answers the same with its text, or, if nothing has changed
// since, an earlier node of the file, of which one more lookup has been counted (its id is not 0).
// Errors: those of catalog::Catalog and of FileTextWriter.
void MakeContent(const ContextRef& context, VirtualNode node, std::stop_token stop,
                 Callback<VirtualNode> done);

}  // namespace tciafs::vfs
