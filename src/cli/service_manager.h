// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Tells the service manager that started us (systemd, Type=notify) how the mount is: datagrams to
// the socket that $NOTIFY_SOCKET names. Source of the form: sd_notify(3). Without that variable
// nobody is told and nothing happens; what cannot be sent is logged. Thread-safe after
// construction.
#pragma once

#include <string>

#include "cli/settings.h"

namespace tciafs::cli {

class ServiceManager {
 public:
  ServiceManager() = default;  // there is none
  // A name that begins with @ is in Linux's abstract name space.
  explicit ServiceManager(const Environment& environment);

  // `status` is a line for people, as `systemctl status` shows it.
  void Ready(const std::string& status) const { Send("READY=1\nSTATUS=" + OneLine(status)); }
  void Stopping(const std::string& status) const { Send("STOPPING=1\nSTATUS=" + OneLine(status)); }
  void Tell(const std::string& status) const { Send("STATUS=" + OneLine(status)); }

 private:
  static std::string OneLine(std::string text);
  void Send(const std::string& message) const;
  std::string socket_name_;  // "" if there is no manager
};

// Whether standard error is a stream of the journal's, which reads a priority from each line:
// $JOURNAL_STREAM holds its device and inode (systemd.exec(5)).
bool StandardErrorIsJournal(const Environment& environment);

}  // namespace tciafs::cli
