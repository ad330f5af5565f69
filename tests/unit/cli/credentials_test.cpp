// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/credentials.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>

#include "cli/limits.h"
#include "support/fakes.h"

namespace tciafs::cli {
namespace {

class CredentialsTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    std::ofstream(directory_.File(name)) << content;
    ::chmod(directory_.File(name).c_str(), mode);
  }
  Caller User() {
    return {1000, 1000, [this](const char* name) -> const char* {
              const auto found = environment_.find(name);
              return found == environment_.end() ? nullptr : found->second.c_str();
            }};
  }
  Outcome<nbia::Credentials> Find(const std::string& server) {
    return FindCredentials(settings_, server, User());
  }

  testing::TempDirectory directory_;
  std::map<std::string, std::string> environment_;
  MountSettings settings_;
};

TEST_F(CredentialsTest, TheGuestWhereNothingIsSaid) {
  EXPECT_EQ(Find("https://h/x")->username, "nbia_guest");
  EXPECT_EQ(Find("https://h/x")->password, "");
}

TEST_F(CredentialsTest, LinesPerServer) {
  Write("secrets", "username = all\npassword=one = two\nserver = https://h/x/\nusername = alice\n");
  settings_.credentials_file = directory_.File("secrets");
  EXPECT_EQ(Find("https://h/x")->username, "alice");
  EXPECT_EQ(Find("https://h/x")->password, "one = two");
  EXPECT_EQ(Find("https://other/x")->username, "all");
}

TEST_F(CredentialsTest, FilesAndKeysEndAtTheirLimits) {
  std::string content = "username = alice\n";
  content.resize(kSecretFileBytesMax, '\n');
  Write("secrets", content);
  settings_.credentials_file = directory_.File("secrets");
  EXPECT_EQ(Find("https://h/x")->username, "alice");
  Write("secrets", content + '\n');
  EXPECT_EQ(Find("https://h/x").error().code, ExitCode::kCredentials);

  settings_.api_key_file = directory_.File("key");
  Write("key", std::string(kApiKeyBytesMax, 'k') + '\n');
  EXPECT_EQ(FindApiKey(settings_, User())->size(), kApiKeyBytesMax);
  Write("key", std::string(kApiKeyBytesMax + 1, 'k') + '\n');
  EXPECT_EQ(FindApiKey(settings_, User()).error().code, ExitCode::kCredentials);
  settings_.api_key_file.clear();
  environment_["TCIAFS_API_KEY"] = std::string(kApiKeyBytesMax, 'k');
  EXPECT_EQ(FindApiKey(settings_, User())->size(), kApiKeyBytesMax);
  environment_["TCIAFS_API_KEY"] += 'k';
  EXPECT_EQ(FindApiKey(settings_, User()).error().code, ExitCode::kCredentials);
  environment_["TCIAFS_API_KEY"] = "k\nX-Other: line";
  EXPECT_EQ(FindApiKey(settings_, User()).error().code, ExitCode::kCredentials);
}

TEST_F(CredentialsTest, UserNamesEndAtTheirLimit) {
  const std::string longest(kUserNameBytesMax, 'a');
  settings_.credentials_file = directory_.File("secrets");
  Write("secrets", "username = " + longest + "\n");
  EXPECT_EQ(Find("https://h/x")->username, longest);
  Write("secrets", "username = " + longest + "a\n");
  EXPECT_EQ(Find("https://h/x").error().code, ExitCode::kCredentials);
  EXPECT_EQ(Find("https://h/x").error().message, "the user name for h has more than 80 characters");
  settings_.credentials_file.clear();
  environment_["TCIAFS_USERNAME"] = longest + "a";
  EXPECT_EQ(Find("https://h/x").error().code, ExitCode::kCredentials);
}

TEST_F(CredentialsTest, AFileOthersCanReadIsRefused) {
  Write("secrets", "username = a\n", 0640);
  settings_.credentials_file = directory_.File("secrets");
  ASSERT_FALSE(Find("https://h/x").has_value());
  EXPECT_EQ(Find("https://h/x").error().code, ExitCode::kCredentials);
}

TEST_F(CredentialsTest, AWrongLineIsToldWithoutItsText) {
  Write("secrets", "username = a\npassw0rd = hidden\n");
  settings_.credentials_file = directory_.File("secrets");
  const auto found = Find("https://h/x");
  ASSERT_FALSE(found.has_value());
  EXPECT_NE(found.error().message.find(":2:"), std::string::npos);
  EXPECT_EQ(found.error().message.find("hidden"), std::string::npos);
}

TEST_F(CredentialsTest, EnvironmentThenNetrc) {
  Write("netrc", "machine other.org login x password y\nmachine h login bob\n password secret\n");
  environment_["NETRC"] = directory_.File("netrc");
  EXPECT_EQ(Find("https://h:8443/x")->username, "bob");
  EXPECT_EQ(Find("https://h:8443/x")->password, "secret");
  EXPECT_EQ(Find("https://nobody/x")->username, "nbia_guest");
  environment_["TCIAFS_USERNAME"] = "carol";
  environment_["TCIAFS_PASSWORD"] = "p";
  EXPECT_EQ(Find("https://h/x")->username, "carol");
}

TEST_F(CredentialsTest, SetToNothingIsNotSet) {
  environment_ = {{"TCIAFS_USERNAME", ""}, {"NETRC", ""}, {"HOME", directory_.path()}};
  Write(".netrc", "machine h login bob password secret\n");
  settings_.servers = {"https://h/x", "https://other/x"};
  ASSERT_TRUE(Find("https://h/x"));
  EXPECT_EQ(Find("https://h/x")->username, "bob");
  EXPECT_EQ(Find("https://other/x")->username, "nbia_guest");
}

TEST_F(CredentialsTest, ASecretForNoServerInParticularIsNotSentToSeveral) {
  settings_.servers = {"https://h/x", "https://other/x"};
  environment_["TCIAFS_USERNAME"] = "carol";
  EXPECT_EQ(Find("https://h/x").error().code, ExitCode::kCredentials);
  environment_.clear();
  environment_["TCIAFS_API_KEY"] = "k";
  EXPECT_EQ(FindApiKey(settings_, User()).error().code, ExitCode::kCredentials);
  Write("key", "k\n");
  settings_.api_key_file = directory_.File("key");
  EXPECT_EQ(FindApiKey(settings_, User()).error().code, ExitCode::kCredentials);
}

TEST_F(CredentialsTest, ApiKey) {
  EXPECT_EQ(*FindApiKey(settings_, User()), "");
  environment_["TCIAFS_API_KEY"] = "from-environment";
  EXPECT_EQ(*FindApiKey(settings_, User()), "from-environment");
  Write("key", "from-file\n");
  settings_.api_key_file = directory_.File("key");
  EXPECT_EQ(*FindApiKey(settings_, User()), "from-file");
  Write("key", "two\nlines\n");
  EXPECT_FALSE(FindApiKey(settings_, User()).has_value());
}

}  // namespace
}  // namespace tciafs::cli
