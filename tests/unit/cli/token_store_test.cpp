// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/token_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "cli/credentials.h"
#include "support/fakes.h"

namespace tciafs::cli {
namespace {

constexpr const char* kServer = "https://h/nbia-api";

class TokenStoreTest : public ::testing::Test {
 protected:
  TokenStoreTest() { environment_["XDG_STATE_HOME"] = directory_.path(); }

  Caller User() {
    return {1000, 1000, [this](const char* name) -> const char* {
              const auto found = environment_.find(name);
              return found == environment_.end() ? nullptr : found->second.c_str();
            }};
  }
  TokenStore Store() { return TokenStore(User()); }
  static StoredLogin Of(const std::string& user, const std::string& token, int64_t since = 1) {
    return {kServer, user, {token, "nbia"}, since};
  }
  std::vector<std::string> Files() {
    std::vector<std::string> files;
    for (const auto& file : std::filesystem::directory_iterator(Store().directory()))
      files.push_back(file.path());
    return files;
  }

  testing::TempDirectory directory_;
  std::map<std::string, std::string> environment_;
};

TEST_F(TokenStoreTest, KeepsOneForEachServerAndAccount) {
  EXPECT_TRUE(Store().Find(kServer)->empty());
  ASSERT_TRUE(Store().Put(Of("alice", "a1", 1)).has_value());
  ASSERT_TRUE(Store().Put(Of("bob", "b1", 2)).has_value());
  ASSERT_TRUE(Store().Put(Of("alice", "a2", 1)).has_value());
  ASSERT_TRUE(Store().Put({"https://other/x", "alice", {"o1", ""}, 9}).has_value());
  const auto logins = Store().Find(kServer);
  ASSERT_EQ(logins->size(), 2u);
  EXPECT_EQ(logins->at(0).username, "bob");  // the newest, whoever renewed last
  EXPECT_EQ(logins->at(1).state.refresh_token, "a2");
  EXPECT_EQ(logins->at(1).state.client_id, "nbia");
  EXPECT_EQ(Store().Find("https://other/x")->at(0).state.client_id, "");
  ASSERT_TRUE(Store().Forget(logins->at(0)).has_value());
  ASSERT_TRUE(Store().Forget(logins->at(0)).has_value());
  EXPECT_EQ(Store().Find(kServer)->size(), 1u);
}

TEST_F(TokenStoreTest, NobodyElseCanReadIt) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(Store().Put(Of("alice", "a1")).has_value());
  ::umask(before);
  struct stat st {};
  ASSERT_EQ(::stat(Store().directory().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  ASSERT_EQ(Files().size(), 1u);
  ASSERT_EQ(::stat(Files()[0].c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  ::chmod(Files()[0].c_str(), 0644);
  const auto found = Store().Find(kServer);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ExitCode::kCredentials);
  EXPECT_THAT(found.error().message, ::testing::HasSubstr("chmod 600"));
}

TEST_F(TokenStoreTest, DamageIsToldWithoutWhatIsThere) {
  ASSERT_TRUE(Store().Put(Of("alice", "hidden")).has_value());
  std::ofstream(Files()[0], std::ios::trunc) << "server = x\ntoken = hidden\n";
  const auto found = Store().Find(kServer);
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().message, ::testing::HasSubstr("log in again"));
  EXPECT_THAT(found.error().message, ::testing::Not(::testing::HasSubstr("hidden")));
  EXPECT_TRUE(Store().Find("https://other/x").has_value());  // is no business of another server
}

TEST_F(TokenStoreTest, NoPlaceForIt) {
  environment_.clear();
  EXPECT_TRUE(Store().Find(kServer)->empty());
  EXPECT_THAT(Store().Put(Of("alice", "a1")).error().message, ::testing::HasSubstr("HOME"));
}

TEST_F(TokenStoreTest, RenewalsAreStoredAndSeenByOthers) {
  ASSERT_TRUE(Store().Put(Of("alice", "a1", 5)).has_value());
  const auto one = KeepLogin(Store(), Of("alice", "a1", 5));
  const auto other = KeepLogin(Store(), Of("alice", "a1", 5));
  one->Save(one->Load(), {"a2", "nbia"});
  EXPECT_EQ(other->Load().refresh_token, "a2");
  EXPECT_EQ(Store().Find(kServer)->at(0).since_unix_ms, 5);
}

TEST_F(TokenStoreTest, WhatWasForgottenStaysSo) {
  ASSERT_TRUE(Store().Put(Of("alice", "a1")).has_value());
  const auto login = KeepLogin(Store(), Of("alice", "a1"));
  const auto used = login->Load();
  ASSERT_TRUE(Store().Forget(Of("alice", "a1")).has_value());
  EXPECT_EQ(login->Load().refresh_token, "");
  login->Save(used, {"a2", "nbia"});
  EXPECT_TRUE(Store().Find(kServer)->empty());
}

TEST_F(TokenStoreTest, ReadersNeverSeeHalfOfOne) {
  ASSERT_TRUE(Store().Put(Of("alice", std::string(4000, 'a'))).has_value());
  std::jthread writer([this](const std::stop_token& stop) {
    for (char c = 'a'; !stop.stop_requested(); c = c == 'z' ? 'a' : static_cast<char>(c + 1))
      ASSERT_TRUE(Store().Put(Of("alice", std::string(4000, c))).has_value());
  });
  for (int i = 0; i < 200; ++i) {
    const auto found = Store().Find(Of("alice", ""));
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_TRUE(found->has_value());
    const std::string& token = (*found)->state.refresh_token;
    EXPECT_EQ(token, std::string(4000, token.front()));
  }
}

TEST_F(TokenStoreTest, GoesBetweenEnvironmentAndNetrc) {
  MountSettings settings;
  environment_["NETRC"] = directory_.File("netrc");
  std::ofstream(directory_.File("netrc")) << "machine h login bob password secret\n";
  ::chmod(directory_.File("netrc").c_str(), 0600);
  EXPECT_EQ(FindCredentials(settings, kServer, User())->username, "bob");
  ASSERT_TRUE(Store().Put(Of("alice", "a1")).has_value());
  const auto found = FindCredentials(settings, kServer, User());
  EXPECT_EQ(found->username, "alice");
  ASSERT_NE(found->login, nullptr);
  EXPECT_EQ(found->login->Load().refresh_token, "a1");
  EXPECT_EQ(FindCredentials(settings, "https://other/x", User())->login, nullptr);
  environment_["TCIAFS_USERNAME"] = "carol";
  EXPECT_EQ(FindCredentials(settings, kServer, User())->username, "carol");
  EXPECT_EQ(FindCredentials(settings, kServer, User())->login, nullptr);
  settings.credentials_file = directory_.File("secrets");
  std::ofstream(settings.credentials_file) << "server = https://other/x\nusername = dora\n";
  ::chmod(settings.credentials_file.c_str(), 0600);
  EXPECT_EQ(FindCredentials(settings, "https://other/x", User())->username, "dora");
  EXPECT_EQ(FindCredentials(settings, kServer, User())->username, "alice");
}

}  // namespace
}  // namespace tciafs::cli
