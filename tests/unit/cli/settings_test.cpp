// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "cli/limits.h"
#include "cli/mount_settings.h"
#include "cli/option_table.h"
#include "support/fakes.h"

namespace tciafs::cli {
namespace {

Environment EnvironmentOf(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

Caller User(std::map<std::string, std::string> environment = {{"HOME", "/home/u"}}) {
  return {1000, 1001, EnvironmentOf(std::move(environment))};
}

Outcome<MountSettings> Check(const Settings& settings) { return CheckSettings(settings, User()); }

Settings Of(std::initializer_list<std::pair<std::string, std::string>> values) {
  Settings settings;
  for (const auto& [name, text] : values) settings.Add(name, {text, "--" + name});
  return settings;
}

TEST(Settings, HigherLayersReplaceAllValuesOfAName) {
  Settings high = Of({{"server", "https://a/x"}});
  high.Underlay(Of({{"server", "https://b/x"}, {"api", "v1"}}));
  ASSERT_EQ(high.Find("server")->size(), 1u);
  EXPECT_EQ(high.Last("server")->text, "https://a/x");
  EXPECT_EQ(high.Last("api")->text, "v1");
}

TEST(MountWords, SortsOursTheKernelsAndTheIgnored) {
  const auto words =
      ParseMountWords({"rw,_netdev,x-systemd.automount,noatime,allow_other,cache-size=1G",
                       "server=https://h/a\\,b,nonempty,fsname=tcia:mine"},
                      false);
  ASSERT_TRUE(words.has_value());
  EXPECT_EQ(words->kernel_options, std::vector<std::string>{"noatime"});
  EXPECT_NE(words->settings.Find("allow-other"), nullptr);
  EXPECT_EQ(words->settings.Last("cache-size")->text, "1G");
  EXPECT_EQ(words->settings.Last("server")->text, "https://h/a,b");
  EXPECT_TRUE(words->nonempty);
  EXPECT_EQ(words->fsname, "tcia:mine");
}

TEST(MountWords, UnknownWordsAreRefusedUnlessSloppy) {
  const auto refused = ParseMountWords({"speed=9"}, false);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ExitCode::kUsage);
  EXPECT_TRUE(ParseMountWords({"speed=9"}, true).has_value());
  EXPECT_FALSE(ParseMountWords({"api"}, false).has_value()) << "a value is missing";
}

TEST(ConfigFile, ReadsNamesValuesAndComments) {
  const testing::TempDirectory directory;
  std::ofstream(directory.File("config")) << "# mine\n\n  api = v2  \noffline\nallow-other = no\n"
                                             "server = https://a/x\nserver=https://b/x\n";
  const auto settings = ReadConfigFile(directory.File("config"));
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->Last("api")->text, "v2");
  EXPECT_NE(settings->Find("offline"), nullptr);
  EXPECT_EQ(settings->Last("allow-other")->text, FlagText(false));
  EXPECT_EQ(settings->Find("server")->size(), 2u);
}

TEST(ConfigFile, EndsAtItsLimit) {
  testing::TempDirectory directory;
  std::string content = "downloads = 3\n";
  content.resize(kConfigFileBytesMax, '\n');
  std::ofstream(directory.File("config")) << content;
  EXPECT_EQ(ReadConfigFile(directory.File("config"))->Last("downloads")->text, "3");
  std::ofstream(directory.File("config")) << content << '\n';
  EXPECT_EQ(ReadConfigFile(directory.File("config")).error().code, ExitCode::kUsage);
  EXPECT_EQ(ReadConfigFile("/dev/zero").error().code, ExitCode::kUsage);
}

TEST(ConfigFile, NamesTheLineThatIsWrong) {
  const testing::TempDirectory directory;
  std::ofstream(directory.File("config")) << "api = v2\ncolour = blue\n";
  const auto settings = ReadConfigFile(directory.File("config"));
  ASSERT_FALSE(settings.has_value());
  EXPECT_EQ(settings.error().message, directory.File("config") + ":2: unknown setting 'colour'");
  EXPECT_TRUE(ReadConfigFile(directory.File("absent")).has_value());
}

TEST(Environment, EveryOptionHasItsVariable) {
  const auto settings =
      *ReadEnvironment(EnvironmentOf({{"TCIAFS_CACHE_DIR", "/c"},
                                      {"TCIAFS_OFFLINE", "1"},
                                      {"TCIAFS_SERVER", "https://a/x https://b/x"}}));
  EXPECT_EQ(settings.Last("cache-dir")->text, "/c");
  EXPECT_EQ(settings.Last("offline")->text, FlagText(true));
  EXPECT_EQ(settings.Find("server")->size(), 2u);
  EXPECT_FALSE(ReadEnvironment(EnvironmentOf({{"TCIAFS_OFFLINE", "perhaps"}})).has_value());
  EXPECT_EQ(EnvironmentName(*FindMountOption("metadata-ttl")), "TCIAFS_METADATA_TTL");
}

TEST(CheckSettings, Defaults) {
  const auto settings = Check({});
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->servers, (std::vector<std::string>{kMainServer, kNlstServer}));
  EXPECT_EQ(settings->cache_dir, "/home/u/.cache/tciafs");
  EXPECT_EQ(settings->metadata_ttl_ms, 6 * 3600 * 1000);
  EXPECT_EQ(settings->io_timeout_ms, 60'000);
  EXPECT_EQ(settings->min_free_percent, 5);
  EXPECT_EQ(settings->uid, 1000u);
  EXPECT_EQ(settings->umask, 022u);
  EXPECT_TRUE(settings->passthrough);
  EXPECT_EQ(CheckSettings({}, {0, 0, EnvironmentOf({})})->cache_dir, "/var/cache/tciafs");
}

TEST(CheckSettings, TakesWhatIsRight) {
  const auto settings = Check(Of({{"server", "http://127.0.0.1:8080/nbia-api/"},
                                  {"api", "v1"},
                                  {"cache-size", "1.5G"},
                                  {"min-free", "10G"},
                                  {"unknown-size", "zero"},
                                  {"ask-open", "all"},
                                  {"passthrough", "off"},
                                  {"umask", "077"},
                                  {"metadata-ttl", "7d"}}));
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->servers, std::vector<std::string>{"http://127.0.0.1:8080/nbia-api"});
  EXPECT_EQ(settings->api, nbia::ApiFamily::kV1);
  EXPECT_EQ(settings->cache_bytes_max, int64_t{3} << 29);
  EXPECT_EQ(settings->min_free_bytes, int64_t{10} << 30);
  EXPECT_EQ(settings->min_free_percent, 0);
  EXPECT_EQ(settings->ask_open, fuse::AskOpen::kAll);
  EXPECT_EQ(settings->umask, 077u);
  EXPECT_FALSE(settings->passthrough);
}

TEST(CheckSettings, RefusesWithTheOriginOfTheMistake) {
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"server", "ftp://h/x"},
                                                        {"server", "https://"},
                                                        {"server", "https://u:p@h/x"},
                                                        {"server", "https://h/x?y"},
                                                        {"api", "v3"},
                                                        {"cache-size", "lots"},
                                                        {"min-free", "120%"},
                                                        {"min-free", "%"},
                                                        {"metadata-ttl", "soon"},
                                                        {"io-timeout", "1ms"},
                                                        {"downloads", "0"},
                                                        {"connections", "many"},
                                                        {"umask", "9"},
                                                        {"uid", "-1"},
                                                        {"log-level", "loud"},
                                                        {"unknown-size", "guess"},
                                                        {"passthrough", "on"},
                                                        {"ask-open", "some"}}) {
    const auto refused = Check(Of({{name, text}}));
    ASSERT_FALSE(refused.has_value()) << name << " " << text;
    EXPECT_EQ(refused.error().code, ExitCode::kUsage);
    EXPECT_EQ(refused.error().message.find("--" + name + ": "), 0u) << refused.error().message;
  }
}

TEST(CheckSettings, OctalNumbersAreCalledSo) {
  const auto refused = Check(Of({{"umask", "999"}}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "--umask: '999' is not an octal number from 0 to 777");
}

TEST(CheckSettings, OffGoesBeforeOnOfALayerBelow) {
  Settings high = Of({{"offline", FlagText(false)}});
  high.Underlay(Of({{"offline", FlagText(true)}, {"allow-other", FlagText(true)}}));
  const auto settings = Check(high);
  ASSERT_TRUE(settings.has_value());
  EXPECT_FALSE(settings->offline);
  EXPECT_TRUE(settings->allow_other);
}

TEST(CheckSettings, ServersEndAtTheirLimits) {
  std::string url = "https://h/";
  url.resize(kServerUrlBytesMax, 'x');
  EXPECT_TRUE(Check(Of({{"server", url}})));
  EXPECT_TRUE(Check(Of({{"server", url + "/"}}))) << "what is trimmed does not count";
  const auto too_long = Check(Of({{"server", url + "x"}}));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ExitCode::kUsage);
  EXPECT_EQ(too_long.error().message,
            "--server: the root of an archive has at most 200 characters");

  Settings servers;
  for (size_t i = 0; i < kServersMax; ++i)
    servers.Add("server", {"https://h/" + std::to_string(i), "--server"});
  EXPECT_EQ(Check(servers)->servers.size(), kServersMax);
  servers.Add("server", {"https://h/one-more", "--server"});
  const auto too_many = Check(servers);
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, ExitCode::kUsage);
  EXPECT_EQ(too_many.error().message, "--server: more than 64 servers");
}

TEST(CheckSettings, AServerGivenTwiceIsRefused) {
  EXPECT_FALSE(Check(Of({{"server", "https://h/x"}, {"server", "https://h/x/"}})).has_value());
}

}  // namespace
}  // namespace tciafs::cli
