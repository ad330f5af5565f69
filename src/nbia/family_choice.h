// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which family of the API a server speaks: fixed by the options, remembered from an earlier mount,
// or settled by asking for its collections in v4, v2, v1, the first that lists any. The probe is
// one, however many calls wait for it, and its answer is the list of collections itself. A family
// whose calls the server no longer knows, or that lists nothing twice in a row, is settled anew, at
// most once a minute. v1 knows no accounts: it would show a named one the guest's view, and is left
// out for it unless the options fix it.
//
// Thread-safe. Callbacks come once; errors are those of the probe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nbia/active_calls.h"
#include "nbia/api_client.h"
#include "nbia/endpoints.h"
#include "nbia/shared_answer.h"
#include "tciafs/source/records.h"

namespace tciafs::nbia {

struct SettledFamily {
  ApiFamily family = ApiFamily::kV4;
  // The collections, when they were just asked for to settle the family.
  std::optional<std::vector<source::CollectionRecord>> collections;
};

class FamilyChoice {
 public:
  using Collections = std::vector<source::CollectionRecord>;
  using CollectionsDone = std::function<void(std::optional<Refusal>, Collections)>;

  FamilyChoice(ApiFamily fixed, const Endpoints& endpoints, ApiClient& client, ServerMemory& memory,
               const Clock& clock, Executor& executor, ActiveCalls& calls);

  void Settle(const std::shared_ptr<ActiveCall>& call, Callback<SettledFamily> done);
  // The server does not know a call of this family. True: worth settling and asking again.
  bool Doubt(ApiFamily family);
  // Looks at what an ordinary call for the collections came to. Hands `refusal` on; but where the
  // family is to be doubted for it, one that says so (`no_such_path`).
  std::optional<Refusal> Appraise(ApiFamily family, std::optional<Refusal> refusal, bool empty);
  // The family in use, if one is.
  std::optional<ApiFamily> current() const;

  void ReadCollections(const std::shared_ptr<ActiveCall>& call, ApiFamily family, bool probing,
                       CollectionsDone done);

 private:
  struct Probe;
  void ProbeNext(const std::shared_ptr<Probe>& probe);
  void Judge(const std::shared_ptr<Probe>& probe, std::optional<Refusal> refusal,
             Collections collections);
  void Conclude(const std::shared_ptr<Probe>& probe);
  void Hold(ApiFamily family, bool provisional);
  void GiveUp(const Error& error);

  const ApiFamily fixed_;
  const Endpoints& endpoints_;
  ApiClient& client_;
  ServerMemory& memory_;
  const Clock& clock_;
  ActiveCalls& calls_;
  const std::string memory_key_;
  SharedAnswer<SettledFamily> waiting_;

  mutable Mutex mutex_;
  std::optional<ApiFamily> family_ TCIAFS_GUARDED_BY(mutex_);
  std::optional<ApiFamily> doubted_ TCIAFS_GUARDED_BY(mutex_);  // kept if the probe finds none
  int odd_answers_ TCIAFS_GUARDED_BY(mutex_) = 0;        // to calls for the collections, in a row
  int64_t doubt_from_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;  // monotonic
  // A server that lists nothing in any family, or might in a better one, is asked again from then
  // on; 0: never.
  int64_t provisional_until_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::nbia
