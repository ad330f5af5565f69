// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "faults.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>

#include "file_bytes.h"
#include "replies.h"

namespace tciafs::archive {

const char* const kActionsHelp =
    "  latency_ms n             wait so long before the head\n"
    "  bandwidth_bytes_per_s n  this connection gets so many bytes a second\n"
    "  drip n                   the same, for a handful of bytes\n"
    "  status                   answer \"code\" (200), with \"headers\" {name: value} and a body\n"
    "  raw                      send the body alone, without status line or headers, and hang up\n"
    "                           A body is \"body\", a text, \"hex\", bytes, or what \"file\", a\n"
    "                           path, holds when the plan is made; then \"n\" bytes of \"fill\"\n"
    "                           over and over, then \"tail\"; n needs no memory.\n"
    "  html                     answer an HTML page, with \"code\" (200)\n"
    "  empty                    answer 200 without a body\n"
    "  unauthorized             answer 401\n"
    "  expire_tokens            all tokens expire, then the request is served\n"
    "  stall_before_head        never answer, until the client goes\n"
    "  stall_after_bytes n      stop there, until the client goes\n"
    "  reset_after_bytes n      TCP reset there\n"
    "  abort_after_bytes n      close the connection there, in mid-message\n"
    "  close_after_bytes n      end the message there as if complete (truncate_json_at n: same)\n"
    "  corrupt k                flip a byte in the compressed data\n"
    "  wrong_crc k, wrong_md5 k announce a wrong checksum\n"
    "  drop_entries k           leave images out; the zip stays well-formed\n"
    "  short_entry k n          only the first n bytes of the file, with their right CRC; k = -1\n"
    "                           is the last image, the one that a failing server cuts short\n"
    "  duplicate_entry k        the image comes twice\n"
    "  not_dicom k              text in place of the file\n"
    "  bomb k n                 n zeros behind the file (256 MiB)\n"
    "  foreign_instance         one more image, of another series\n"
    "  evil_names               entry names that climb out of any directory\n"
    "  license_only, empty_zip  no image at all\n"
    "  no_md5                   the zip lacks md5hashes.csv\n"
    "  k is a position or an array of positions (0).\n";

namespace {

using Json = nlohmann::json;

constexpr int64_t kBombBytes = int64_t{256} << 20;
constexpr size_t kRowsMax = 1000;
// Longer than most repeated texts, so that a piece is seldom the text alone.
constexpr size_t kFillPieceBytes = 16 * 1024;

tl::unexpected<Error> Bad(std::string message) {
  return Fail(Errc::kInvalidArgument, "fault plan: " + std::move(message));
}

// One row's parameters, as the actions want them.
class Parameters {
 public:
  explicit Parameters(const Json& row) : row_(row) {}

  Result<int64_t> Number(const char* key, std::optional<int64_t> fallback) const {
    const auto found = row_.find(key);
    if (found == row_.end() && fallback) return *fallback;
    if (found == row_.end() || !found->is_number_integer())
      return Bad(fmt::format("{} wants a whole number \"{}\"", action(), key));
    return found->get<int64_t>();
  }
  Result<std::set<int64_t>> Positions() const {
    const auto found = row_.find("k");
    if (found == row_.end()) return std::set<int64_t>{0};
    const Json list = found->is_array() ? *found : Json::array({*found});
    std::set<int64_t> positions;
    for (const Json& position : list) {
      if (!position.is_number_integer())
        return Bad(fmt::format("{} wants whole numbers \"k\"", action()));
      positions.insert(position.get<int64_t>());
    }
    return positions;
  }
  Result<std::string> Text(const char* key) const {
    const auto found = row_.find(key);
    if (found == row_.end()) return std::string();
    if (!found->is_string()) return Bad(fmt::format("\"{}\" is no text", key));
    return found->get<std::string>();
  }
  std::string action() const { return row_.value("action", std::string()); }
  const Json& row() const { return row_; }

 private:
  const Json& row_;
};

using Apply = std::function<Status(const Parameters&, Faults&)>;

Apply SetDelivery(int64_t Delivery::*field) {
  return [field](const Parameters& parameters, Faults& faults) -> Status {
    TCIAFS_ASSIGN(faults.delivery.*field, parameters.Number("n", std::nullopt));
    if (faults.delivery.*field < 0) return Bad("\"n\" is negative");
    return {};
  };
}

Apply SetPositions(std::set<int64_t> ZipFaults::*field) {
  return [field](const Parameters& parameters, Faults& faults) -> Status {
    TCIAFS_ASSIGN(faults.zip.*field, parameters.Positions());
    return {};
  };
}

Apply SetLengths(std::map<int64_t, int64_t> ZipFaults::*field, std::optional<int64_t> fallback) {
  return [field, fallback](const Parameters& parameters, Faults& faults) -> Status {
    TCIAFS_ASSIGN(const std::set<int64_t> positions, parameters.Positions());
    TCIAFS_ASSIGN(const int64_t length, parameters.Number("n", fallback));
    if (length < 0) return Bad("\"n\" is negative");
    for (const int64_t position : positions) (faults.zip.*field)[position] = length;
    return {};
  };
}

Apply SetFlag(bool ZipFaults::*field) {
  return [field](const Parameters&, Faults& faults) -> Status {
    faults.zip.*field = true;
    return {};
  };
}

Apply SetReply(std::function<Reply(int code)> make, int64_t fallback) {
  return
      [make = std::move(make), fallback](const Parameters& parameters, Faults& faults) -> Status {
        TCIAFS_ASSIGN(const int64_t code, parameters.Number("code", fallback));
        if (code < 200 || code > 599) return Bad("\"code\" is no HTTP status");
        faults.reply = make(static_cast<int>(code));
        return {};
      };
}

Result<std::string> FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(&hex[i], &hex[i] + 2, byte, 16);
    if (error != std::errc() || end != &hex[i] + 2) return Bad("\"hex\" is not hexadecimal");
    bytes += static_cast<char>(byte);
  }
  if (hex.size() % 2 != 0) return Bad("\"hex\" has an odd digit");
  return bytes;
}

// A plan of some megabytes takes seconds to understand, a file none.
Result<std::string> FromFile(const std::string& path) {
  if (path.empty()) return std::string();
  Result<std::string> bytes = ReadFile(path);
  if (!bytes) return Bad("\"file\": " + bytes.error().message);
  return bytes;
}

// A body of any length, never held as a whole.
struct FilledBody {
  std::string head;
  std::string fill;
  int64_t fill_bytes = 0;
  std::string tail;

  bool WriteTo(BodySink& sink) const {
    if (!sink.Write(head)) return false;
    std::string piece = fill;
    while (piece.size() < kFillPieceBytes) piece += fill;
    for (int64_t left = fill_bytes; left > 0;) {
      const int64_t count = std::min(left, static_cast<int64_t>(piece.size()));
      if (!sink.Write(std::string_view(piece).substr(0, static_cast<size_t>(count)))) return false;
      left -= count;
    }
    return sink.Write(tail);
  }
};

Status SetContent(const Parameters& parameters, Reply& reply) {
  FilledBody content;
  TCIAFS_ASSIGN(content.head, parameters.Text("body"));
  TCIAFS_ASSIGN(const std::string hex, parameters.Text("hex"));
  TCIAFS_ASSIGN(const std::string bytes, FromHex(hex));
  content.head += bytes;
  TCIAFS_ASSIGN(const std::string path, parameters.Text("file"));
  TCIAFS_ASSIGN(const std::string kept, FromFile(path));
  content.head += kept;
  TCIAFS_ASSIGN(content.fill, parameters.Text("fill"));
  TCIAFS_ASSIGN(content.tail, parameters.Text("tail"));
  TCIAFS_ASSIGN(content.fill_bytes, parameters.Number("n", 0));
  if (content.fill_bytes < 0) return Bad("\"n\" is negative");
  if (content.fill.empty() && content.fill_bytes > 0) return Bad("\"n\" wants a \"fill\"");
  if (content.fill_bytes == 0)
    reply.body = content.head + content.tail;
  else
    reply.writer = [content = std::move(content)](BodySink& sink) { return content.WriteTo(sink); };
  if (reply.writer || !reply.body.empty()) reply.content_type = "text/plain";
  return {};
}

Status ApplyRaw(const Parameters& parameters, Faults& faults) {
  Reply reply;
  reply.raw = true;
  TCIAFS_TRY(SetContent(parameters, reply));
  faults.reply = std::move(reply);
  return {};
}

Status ApplyStatus(const Parameters& parameters, Faults& faults) {
  TCIAFS_ASSIGN(const int64_t code, parameters.Number("code", 200));
  if (code < 200 || code > 599) return Bad("\"code\" is no HTTP status");
  Reply reply;
  reply.status = static_cast<int>(code);
  TCIAFS_TRY(SetContent(parameters, reply));
  const auto headers = parameters.row().find("headers");
  if (headers != parameters.row().end()) {
    if (!headers->is_object()) return Bad("\"headers\" is no object");
    for (const auto& [name, value] : headers->items()) {
      if (!value.is_string()) return Bad(fmt::format("header {} is no text", name));
      if (name == "Content-Type")
        reply.content_type = value.get<std::string>();
      else
        reply.headers.emplace_back(name, value.get<std::string>());
    }
  }
  faults.reply = std::move(reply);
  return {};
}

const std::map<std::string, Apply, std::less<>>& Actions() {
  static const std::map<std::string, Apply, std::less<>> actions = {
      {"latency_ms", SetDelivery(&Delivery::latency_ms)},
      {"bandwidth_bytes_per_s", SetDelivery(&Delivery::bytes_per_s)},
      {"drip", SetDelivery(&Delivery::bytes_per_s)},
      {"stall_after_bytes", SetDelivery(&Delivery::stall_after_bytes)},
      {"reset_after_bytes", SetDelivery(&Delivery::reset_after_bytes)},
      {"abort_after_bytes", SetDelivery(&Delivery::abort_after_bytes)},
      {"close_after_bytes", SetDelivery(&Delivery::cut_after_bytes)},
      {"truncate_json_at", SetDelivery(&Delivery::cut_after_bytes)},
      {"stall_before_head",
       [](const Parameters&, Faults& faults) -> Status {
         faults.delivery.stall_before_head = true;
         return {};
       }},
      {"expire_tokens",
       [](const Parameters&, Faults& faults) -> Status {
         faults.expire_tokens = true;
         return {};
       }},
      {"status", ApplyStatus},
      {"raw", ApplyRaw},
      {"html", SetReply(HtmlErrorReply, 200)},
      {"empty", SetReply([](int) { return Reply{}; }, 200)},
      {"unauthorized", SetReply([](int) { return UnauthorizedReply(); }, 401)},
      {"corrupt", SetPositions(&ZipFaults::corrupt)},
      {"wrong_crc", SetPositions(&ZipFaults::wrong_crc)},
      {"wrong_md5", SetPositions(&ZipFaults::wrong_md5)},
      {"drop_entries", SetPositions(&ZipFaults::drop)},
      {"duplicate_entry", SetPositions(&ZipFaults::duplicate)},
      {"not_dicom", SetPositions(&ZipFaults::not_dicom)},
      {"short_entry", SetLengths(&ZipFaults::short_entries, std::nullopt)},
      {"bomb", SetLengths(&ZipFaults::bombs, kBombBytes)},
      {"license_only", SetFlag(&ZipFaults::license_only)},
      {"empty_zip", SetFlag(&ZipFaults::empty)},
      {"no_md5", SetFlag(&ZipFaults::no_md5)},
      {"foreign_instance", SetFlag(&ZipFaults::foreign_instance)},
      {"evil_names", SetFlag(&ZipFaults::evil_names)},
  };
  return actions;
}

// The later row wins where both set something.
void Merge(const Faults& from, Faults& into) {
  const Delivery none;
  const auto take = [&](auto Delivery::*field) {
    if (from.delivery.*field != none.*field) into.delivery.*field = from.delivery.*field;
  };
  take(&Delivery::latency_ms);
  take(&Delivery::stall_before_head);
  take(&Delivery::stall_after_bytes);
  take(&Delivery::reset_after_bytes);
  take(&Delivery::abort_after_bytes);
  take(&Delivery::cut_after_bytes);
  take(&Delivery::bytes_per_s);
  if (from.reply) into.reply = from.reply;
  into.expire_tokens |= from.expire_tokens;
  for (const auto field : {&ZipFaults::corrupt, &ZipFaults::wrong_crc, &ZipFaults::wrong_md5,
                           &ZipFaults::drop, &ZipFaults::duplicate, &ZipFaults::not_dicom})
    (into.zip.*field).insert((from.zip.*field).begin(), (from.zip.*field).end());
  for (const auto field : {&ZipFaults::short_entries, &ZipFaults::bombs})
    (into.zip.*field).insert((from.zip.*field).begin(), (from.zip.*field).end());
  for (const auto field : {&ZipFaults::license_only, &ZipFaults::empty, &ZipFaults::no_md5,
                           &ZipFaults::foreign_instance, &ZipFaults::evil_names})
    into.zip.*field |= from.zip.*field;
}

}  // namespace

Result<FaultPlan::Row> FaultPlan::ParseRow(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_object()) return Bad("a row is no object");
  const std::set<std::string, std::less<>> known = {"endpoint", "match", "skip", "times", "action",
                                                    "n",        "k",     "code", "body",  "headers",
                                                    "hex",      "file",  "fill", "tail"};
  for (const auto& [key, value] : parsed.items())
    if (known.count(key) == 0) return Bad(fmt::format("nobody knows \"{}\"", key));
  for (const char* key : {"endpoint", "action"})
    if (!parsed.contains(key) || !parsed[key].is_string())
      return Bad(fmt::format("a row wants a text \"{}\"", key));
  Row row;
  row.endpoint = parsed["endpoint"].get<std::string>();
  const Parameters parameters(parsed);
  TCIAFS_ASSIGN(row.skip, parameters.Number("skip", 0));
  TCIAFS_ASSIGN(row.times, parameters.Number("times", 1));
  if (parsed.contains("match")) {
    if (!parsed["match"].is_object()) return Bad("\"match\" is no object");
    for (const auto& [name, value] : parsed["match"].items()) {
      if (!value.is_string() && !value.is_null())
        return Bad(fmt::format("\"match\": {} is neither text nor null", name));
      row.match.emplace_back(
          name, value.is_null() ? std::nullopt : std::optional(value.get<std::string>()));
    }
  }
  const auto action = Actions().find(parameters.action());
  if (action == Actions().end())
    return Bad(fmt::format("there is no action \"{}\"", parameters.action()));
  TCIAFS_TRY(action->second(parameters, row.faults));
  return row;
}

Status FaultPlan::Load(std::string_view json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_array()) return Bad("this is no JSON array");
  if (parsed.size() > kRowsMax) return Bad("too many rows");
  std::vector<Row> rows;
  for (const Json& row : parsed) {
    TCIAFS_ASSIGN(Row added, ParseRow(row.dump()));
    rows.push_back(std::move(added));
  }
  MutexLock lock(mutex_);
  rows_ = std::move(rows);
  hits_ = 0;
  return {};
}

void FaultPlan::Clear() {
  MutexLock lock(mutex_);
  rows_.clear();
  hits_ = 0;
}

int64_t FaultPlan::hits() const {
  MutexLock lock(mutex_);
  return hits_;
}

bool FaultPlan::Matches(const Row& row, const std::string& endpoint, const Request& request) {
  if (::fnmatch(row.endpoint.c_str(), endpoint.c_str(), 0) != 0) return false;
  return std::all_of(row.match.begin(), row.match.end(), [&](const auto& wanted) {
    return request.Parameter(wanted.first) == wanted.second;
  });
}

Faults FaultPlan::Match(const std::string& endpoint, const Request& request) {
  Faults faults;
  bool hit = false;
  MutexLock lock(mutex_);
  for (Row& row : rows_) {
    if (row.times == 0 || !Matches(row, endpoint, request)) continue;
    if (row.skip > 0) {
      --row.skip;
      continue;
    }
    if (row.times > 0) --row.times;
    Merge(row.faults, faults);
    hit = true;
  }
  if (hit) ++hits_;
  return faults;
}

}  // namespace tciafs::archive
