// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the tests of the test archive share: a service over small made-up collections, and a reader
// of zips that is not the archive's own. Belongs to one thread.
#pragma once

#include <gtest/gtest.h>
#include <zip.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service.h"
#include "support/fakes.h"
#include "synthetic.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {

class CollectingSink final : public BodySink {
 public:
  bool Write(std::string_view bytes) override {
    body += bytes;
    return true;
  }
  std::string body;
};

inline std::string BodyOf(const Reply& reply) {
  if (!reply.writer) return reply.body;
  CollectingSink sink;
  EXPECT_TRUE(reply.writer(sink));
  return sink.body;
}

// "/nbia-api/services/v4/getSeries?Collection=A", with an Authorization header or without.
inline Request GetRequest(const std::string& target,
                          std::optional<std::string> authorization = std::nullopt) {
  Request request;
  request.method = "GET";
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = ParseForm(target.substr(mark + 1));
  request.authorization = std::move(authorization);
  return request;
}

inline Request PostRequest(const std::string& path, const std::string& body,
                           std::optional<std::string> authorization = std::nullopt) {
  Request request = GetRequest(path, std::move(authorization));
  request.method = "POST";
  request.form = ParseForm(body);
  request.body = body;
  return request;
}

struct ZipEntry {
  std::string name;
  std::string content;
  bool intact = true;
};

// As libzip reads it; nullopt if it is no zip.
inline std::optional<std::vector<ZipEntry>> ReadZip(const std::string& bytes) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t* zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (zip == nullptr) {
    zip_source_free(source);
    return std::nullopt;
  }
  std::vector<ZipEntry> entries;
  for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0); ++i) {
    ZipEntry entry;
    const char* name = zip_get_name(zip, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    entry.name = name == nullptr ? "" : name;
    zip_file_t* file = zip_fopen_index(zip, static_cast<zip_uint64_t>(i), 0);
    char buffer[4096];
    zip_int64_t got = 0;
    while (file != nullptr && (got = zip_fread(file, buffer, sizeof buffer)) > 0)
      entry.content.append(buffer, static_cast<size_t>(got));
    const bool closed = file != nullptr && zip_fclose(file) == 0;
    entry.intact = closed && got == 0;
    entries.push_back(std::move(entry));
  }
  zip_discard(zip);
  return entries;
}

class ArchiveTest : public ::testing::Test {
 protected:
  static constexpr const char* kServices = "/nbia-api/services/";

  explicit ArchiveTest(ServiceOptions options = {}) { Build(std::move(options)); }

  void Build(ServiceOptions options, TokenOptions tokens = {}) {
    auto holdings = std::make_unique<Holdings>(clock_);
    for (const char* spec : {"LUNG:patients=12,studies=2,series=2,images=4,size=32x32",
                             "Brain MR:patients=3,series=1,images=3,size=16x16,modality=MR"})
      Add(*holdings, ParseSyntheticSpec(spec).value());
    for (SyntheticSpec& spec : OddCollections()) Add(*holdings, std::move(spec));
    if (tokens.passwords.empty()) tokens.passwords["bob"] = "secret";
    ASSERT_TRUE(holdings->Restrict("odd-twins", "bob"));
    service_ = std::make_unique<Service>(std::move(holdings), std::move(options), tokens, clock_);
  }

  Reply Get(const std::string& target, std::optional<std::string> authorization = std::nullopt) {
    return service_->Handle(GetRequest(kServices + target, std::move(authorization)));
  }
  Reply Post(const std::string& target, const std::string& form,
             std::optional<std::string> authorization = std::nullopt) {
    return service_->Handle(PostRequest(kServices + target, form, std::move(authorization)));
  }
  Reply Control(const std::string& command, const std::string& body) {
    return service_->Handle(PostRequest("/_test/" + command, body));
  }
  // Parsed with the order of keys; an empty body is an empty array.
  nlohmann::ordered_json Rows(const std::string& target,
                              std::optional<std::string> authorization = std::nullopt) {
    const Reply reply = Get(target, std::move(authorization));
    EXPECT_EQ(reply.status, 200) << target;
    const std::string body = BodyOf(reply);
    if (body.empty()) return nlohmann::ordered_json::array();
    return nlohmann::ordered_json::parse(body);
  }
  std::string AnySeries(const std::string& collection = "LUNG") {
    return Rows("v4/getSeries?Collection=" + UrlEncode(collection))
        .at(0)
        .at("SeriesInstanceUID")
        .get<std::string>();
  }
  static std::vector<std::string> Keys(const nlohmann::ordered_json& row) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : row.items()) keys.push_back(key);
    return keys;
  }
  std::string Token(const std::string& form) {
    const Reply reply = Post("oauth/token", form);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return nlohmann::json::parse(reply.body).value("access_token", "");
  }

  testing::FakeClock clock_;
  std::unique_ptr<Service> service_;

 private:
  static void Add(Holdings& holdings, SyntheticSpec spec) {
    const Status added = holdings.Add(std::make_unique<SyntheticCollection>(std::move(spec)));
    ASSERT_TRUE(added) << added.error().message;
  }
};

}  // namespace tciafs::archive
