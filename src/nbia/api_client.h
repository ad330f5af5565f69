// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Sends calls in the account's name: adds the token where one is wanted, and when the server
// refuses it, or answers a list with nothing although the token has not been seen to work lately,
// obtains another and asks once more.
//
// Thread-safe. `done` comes exactly once, on the executor; the reader is used until then.
#pragma once

#include <memory>

#include "nbia/active_calls.h"
#include "nbia/endpoints.h"
#include "nbia/exchange.h"
#include "nbia/oauth.h"
#include "nbia/readers.h"

namespace tciafs::nbia {

class ApiClient {
 public:
  ApiClient(const Endpoints& endpoints, const ExchangePorts& ports, ServerMemory& memory,
            const Clock& clock, ActiveCalls& calls);

  // Nothing begins by itself any more. Before the calls are stopped and waited for.
  void StopKeeping() { oauth_.StopKeeping(); }

  void Send(const std::shared_ptr<ActiveCall>& call, ApiCall api_call,
            std::shared_ptr<BodyReader> reader, ExchangeDone done);
  // A list; `on_begin` (if any) forgets the rows of an attempt that did not count.
  void SendForRows(const std::shared_ptr<ActiveCall>& call, ApiCall api_call, RowReader::Spec rows,
                   ExchangeDone done);

 private:
  struct Sending;
  void SendWithToken(const std::shared_ptr<Sending>& sending);
  void EndWithToken(const std::shared_ptr<Sending>& sending, uint64_t generation,
                    std::optional<Refusal> refusal);
  void Start(const std::shared_ptr<Sending>& sending, const std::string& authorization,
             ExchangeDone done);

  const ExchangePorts ports_;
  OAuth oauth_;
};

}  // namespace tciafs::nbia
