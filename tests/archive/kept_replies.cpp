// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "kept_replies.h"

#include <algorithm>
#include <utility>

namespace tciafs::archive {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;  // handed to the sink at once

class Collector final : public BodySink {
 public:
  bool Write(std::string_view bytes) override {
    whole.append(bytes);
    return true;
  }
  std::string whole;
};

bool WriteInPieces(std::string_view bytes, BodySink& sink) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    if (!sink.Write(piece)) return false;
    bytes.remove_prefix(piece.size());
  }
  return true;
}

std::string KeyOf(const Request& request, const std::string& viewer) {
  std::string key = request.method + ' ' + request.path + '\n' + viewer + '\n';
  for (const auto* fields : {&request.query, &request.form})
    for (const auto& [name, value] : *fields) key += name + '=' + value + '\n';
  return key;
}

// The same reply, its body made now and shared by all who get it.
Reply Rendered(Reply reply) {
  if (!reply.writer) return reply;
  Collector collector;
  reply.writer(collector);
  reply.writer = [whole = std::make_shared<const std::string>(std::move(collector.whole))](
                     BodySink& sink) { return WriteInPieces(*whole, sink); };
  return reply;
}

}  // namespace

Reply KeptReplies::Answer(const Request& request, const std::string& viewer,
                          const std::function<Reply()>& make) {
  const std::string key = KeyOf(request, viewer);
  {
    MutexLock lock(mutex_);
    if (const auto found = replies_.find(key); found != replies_.end()) return *found->second;
  }
  const auto reply = std::make_shared<const Reply>(Rendered(make()));
  MutexLock lock(mutex_);
  return *replies_.emplace(key, reply).first->second;
}

}  // namespace tciafs::archive
