// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Replies kept in memory once they were made, so that what is measured against the archive is the
// client and not the making of images and zips. Keeps everything, for ever: it is for a few
// requests asked again and again. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "exchange.h"
#include "tciafs/util/mutex.h"

namespace tciafs::archive {

class KeptReplies {
 public:
  // The kept reply to that request of that viewer; the first time `make` is asked for it.
  Reply Answer(const Request& request, const std::string& viewer,
               const std::function<Reply()>& make);

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Reply>> replies_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::archive
