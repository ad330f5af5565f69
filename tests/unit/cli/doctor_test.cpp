// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "cli/apparmor.h"
#include "cli/doctor_checks.h"
#include "support/fakes.h"

namespace tciafs::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A directory that looks like a machine.
class DoctorTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(
        std::filesystem::path(directory_.path() + path).parent_path());
    std::ofstream(directory_.path() + path) << content;
  }
  const Machine& Of(uint32_t uid) {
    caller_ = {uid, uid, [this](const char* name) -> const char* {
                 const auto found = environment_.find(name);
                 return found == environment_.end() ? nullptr : found->second.c_str();
               }};
    return machine_;
  }
  // The only finding that is not fine, "" if all are.
  static std::string Complaint(const Findings& findings) {
    std::string text;
    for (const Finding& finding : findings)
      if (finding.grade != Finding::Grade::kOk) text += (text.empty() ? "" : "\n") + finding.text;
    return text;
  }
  static ExitCode CodeOf(const Findings& findings) {
    for (const Finding& finding : findings)
      if (finding.grade == Finding::Grade::kFail) return finding.code;
    return ExitCode::kDone;
  }
  void Status(const std::string& capabilities, int no_new_privileges = 0) {
    Write("/proc/self/status", "Name:\tx\nCapEff:\t" + capabilities + "\nNoNewPrivs:\t" +
                                   std::to_string(no_new_privileges) + "\n");
  }
  void Helper(mode_t mode) {
    Write("/usr/bin/fusermount3", "");
    ::chmod((directory_.path() + "/usr/bin/fusermount3").c_str(), mode);
  }

  testing::TempDirectory directory_;
  std::map<std::string, std::string> environment_;
  Caller caller_;
  const Machine machine_{caller_, directory_.path()};
};

TEST_F(DoctorTest, ADeviceThatIsMissingSaysWhereFrom) {
  Status("000001ffffffffff");
  const Findings absent = CheckFuse(Of(0));
  EXPECT_EQ(CodeOf(absent), ExitCode::kCannotMount);
  EXPECT_THAT(Complaint(absent), HasSubstr("modprobe fuse"));
  Write("/proc/filesystems", "nodev\tproc\n\text4\nnodev\tfusectl\n");
  EXPECT_THAT(Complaint(CheckFuse(Of(0))), HasSubstr("modprobe fuse"));
  Write("/proc/filesystems", "nodev\tproc\nnodev\tfuse\n");
  EXPECT_THAT(Complaint(CheckFuse(Of(0))), HasSubstr("mknod"));
  Write("/run/.containerenv", "");
  EXPECT_THAT(Complaint(CheckFuse(Of(0))), HasSubstr("--device /dev/fuse --cap-add SYS_ADMIN"));
  Write("/dev/fuse", "");
  EXPECT_EQ(Complaint(CheckFuse(Of(0))), "");
}

TEST_F(DoctorTest, RootWithoutTheRightToMount) {
  Write("/dev/fuse", "");
  Status("00000000a80425fb");
  EXPECT_THAT(Complaint(CheckFuse(Of(0))), HasSubstr("CAP_SYS_ADMIN"));
  environment_["container"] = "podman";
  EXPECT_THAT(Complaint(CheckFuse(Of(0))), HasSubstr("--cap-add SYS_ADMIN"));
  Status("0000000000200000");
  EXPECT_EQ(Complaint(CheckFuse(Of(0))), "");
}

TEST_F(DoctorTest, TheHelperOfOthersThanRoot) {
  Write("/dev/fuse", "");
  Status("0");
  EXPECT_THAT(Complaint(CheckFuse(Of(1000))), HasSubstr("install the package fuse3"));
  Helper(0755);
  EXPECT_THAT(Complaint(CheckFuse(Of(1000))), HasSubstr("chmod u+s /usr/bin/fusermount3"));
  if (::geteuid() == 0) {
    Helper(04755);
    EXPECT_EQ(Complaint(CheckFuse(Of(1000))), "");
    Status("0", 1);
    EXPECT_THAT(Complaint(CheckFuse(Of(1000))), HasSubstr("no_new_privs"));
  }
}

TEST_F(DoctorTest, AllowOther) {
  EXPECT_THAT(CheckAllowOther(Of(0)), IsEmpty());
  Write("/etc/fuse.conf", "#user_allow_other\n");
  EXPECT_EQ(CodeOf(CheckAllowOther(Of(1000))), ExitCode::kCannotMount);
  Write("/etc/fuse.conf", "mount_max = 7\n user_allow_other\n");
  EXPECT_EQ(Complaint(CheckAllowOther(Of(1000))), "");
}

TEST_F(DoctorTest, AppArmorMattersWhereItIsEnforced) {
  const std::string rules =
      "  mount fstype=@{fuse_types} options=(nosuid,nodev) -> @{HOME}/**/,\n"
      "  mount fstype=@{fuse_types} -> /mnt/{,**/},\n"
      "  mount fstype=fuse.rclone -> /data/**/,\n"
      "  umount /srv/**/,\n}\n";
  EXPECT_THAT(CheckAppArmor(Of(1000), "/data/x"), IsEmpty());
  Write("/sys/module/apparmor/parameters/enabled", "Y\n");
  EXPECT_THAT(CheckAppArmor(Of(1000), "/data/x"), IsEmpty());
  Write("/etc/apparmor.d/fusermount3", "profile fusermount3 /usr/bin/fusermount3 {\n" + rules);
  EXPECT_THAT(CheckAppArmor(Of(0), "/data/x"), IsEmpty());
  EXPECT_EQ(CodeOf(CheckAppArmor(Of(1000), "/data/x")), ExitCode::kCannotMount);
  EXPECT_THAT(Complaint(CheckAppArmor(Of(1000), "/data/x")), HasSubstr("says, for /data"));
  EXPECT_NE(Complaint(CheckAppArmor(Of(1000), "/srv/x")), "");
  EXPECT_EQ(Complaint(CheckAppArmor(Of(1000), "/home/u/tcia")), "");
  EXPECT_EQ(Complaint(CheckAppArmor(Of(1000), "/mnt")), "");
  Write("/etc/apparmor.d/local/fusermount3", "mount fstype=fuse.tciafs -> /data/{,**/},\n");
  EXPECT_EQ(Complaint(CheckAppArmor(Of(1000), "/data/x")), "");
  Write("/etc/apparmor.d/local/fusermount3", "");
  Write("/sys/kernel/security/apparmor/profiles", "fusermount3 (complain)\n");
  EXPECT_THAT(CheckAppArmor(Of(1000), "/data/x"), IsEmpty());
  Write("/sys/kernel/security/apparmor/profiles", "lsb_release (enforce)\nfusermount3 (enforce)\n");
  EXPECT_NE(Complaint(CheckAppArmor(Of(1000), "/data/x")), "");
  Write("/sys/kernel/security/apparmor/profiles", "");
  Write("/etc/apparmor.d/disable/fusermount3", "");
  EXPECT_THAT(CheckAppArmor(Of(1000), "/data/x"), IsEmpty());
}

TEST(AppArmorGlob, Matches) {
  EXPECT_TRUE(MatchesAppArmorGlob("/mnt/{,**/}", "/mnt/"));
  EXPECT_TRUE(MatchesAppArmorGlob("/mnt/{,**/}", "/mnt/a/b/"));
  EXPECT_FALSE(MatchesAppArmorGlob("/mnt/*/", "/mnt/a/b/"));
  EXPECT_FALSE(MatchesAppArmorGlob("@{HOME}/**/", "/home/u/"));
  EXPECT_TRUE(MatchesAppArmorGlob("@{HOME}/**/", "/root/a/"));
  EXPECT_TRUE(MatchesAppArmorGlob("@{run}/user/@{uid}/**/", "/run/user/1000/x/"));
  EXPECT_FALSE(MatchesAppArmorGlob("@{run}/user/@{uid}/**/", "/run/user/u/x/"));
  EXPECT_TRUE(MatchesAppArmorGlob("@{SOMETHING}/x/", "/any/where/x/"));
  EXPECT_TRUE(MatchesAppArmorGlob("/[a-c]?[^x]/", "/bbb/"));
  EXPECT_FALSE(MatchesAppArmorGlob("/[a-c]?[^x]/", "/bbx/"));
  EXPECT_FALSE(MatchesAppArmorGlob("/{a,b", "/a/"));
}

TEST_F(DoctorTest, Crawlers) {
  EXPECT_THAT(CheckCrawlers(Of(0), ""), IsEmpty());
  Write("/etc/updatedb.conf", "PRUNEPATHS=\"/tmp /media\"\nPRUNEFS=\"NFS fuse.sshfs\"\n");
  EXPECT_THAT(Complaint(CheckCrawlers(Of(0), "")), HasSubstr("PRUNEFS"));
  EXPECT_THAT(Complaint(CheckCrawlers(Of(0), "/tmpx/y")), HasSubstr("PRUNEFS"));
  EXPECT_EQ(Complaint(CheckCrawlers(Of(0), "/media/tcia")), "");
  Write("/usr/lib/systemd/system/plocate-updatedb.service.d/tciafs.conf",
        "ExecStart=/usr/sbin/updatedb --add-prunefs fuse.tciafs\n");
  EXPECT_EQ(Complaint(CheckCrawlers(Of(0), "")), "");
  std::filesystem::remove_all(directory_.File("usr"));
  Write("/etc/updatedb.conf", "PRUNEFS = \"NFS FUSE.tciafs\"\n");
  EXPECT_EQ(Complaint(CheckCrawlers(Of(0), "")), "");
}

TEST_F(DoctorTest, EveryWrongLineOfAConfigurationIsTold) {
  Of(1000);
  environment_["XDG_CONFIG_HOME"] = directory_.path();
  Write("/tciafs/config", "downloads = 3\ncolour = blue\noffline = perhaps\n");
  const Findings findings = CheckConfiguration(caller_);
  EXPECT_EQ(CodeOf(findings), ExitCode::kUsage);
  EXPECT_THAT(Complaint(findings), HasSubstr("config:2: unknown setting 'colour'"));
  EXPECT_THAT(Complaint(findings), HasSubstr("config:3: 'perhaps' is neither"));
}

TEST_F(DoctorTest, ANetrcOthersCanReadIsNotUsed) {
  Of(1000);
  environment_["NETRC"] = directory_.File("netrc");
  Write("/netrc", "machine h login a password hidden\n");
  ::chmod(directory_.File("netrc").c_str(), 0644);
  MountSettings settings;
  settings.servers = {"https://h/x"};
  EXPECT_THAT(Complaint(CheckSecrets(settings, caller_)), HasSubstr("chmod 600"));
  ::chmod(directory_.File("netrc").c_str(), 0600);
  EXPECT_EQ(Complaint(CheckSecrets(settings, caller_)), "");
}

TEST_F(DoctorTest, TheCacheAndItsDisk) {
  Of(::getuid());
  MountSettings settings;
  settings.cache_dir = directory_.File("cache");
  settings.min_free_percent = 0;
  EXPECT_THAT(CheckCache(settings, "", caller_).front().text, HasSubstr("can be made"));
  std::filesystem::create_directory(settings.cache_dir);
  EXPECT_EQ(CodeOf(CheckCache(settings, "", caller_)), ExitCode::kDone);
  EXPECT_TRUE(std::filesystem::is_empty(settings.cache_dir));
  settings.min_free_bytes = int64_t{1} << 60;
  EXPECT_THAT(Complaint(CheckCache(settings, "", caller_)), HasSubstr("--min-free"));
  settings.min_free_bytes = 0;
  settings.cache_bytes_max = 1 << 20;
  EXPECT_THAT(Complaint(CheckCache(settings, "", caller_)), HasSubstr("16.0 MiB"));
  settings.cache_bytes_max = int64_t{1} << 60;
  EXPECT_THAT(Complaint(CheckCache(settings, "", caller_)), HasSubstr("never gets so large"));
  Write("/file", "");
  settings.cache_dir = directory_.File("file/cache");
  EXPECT_THAT(Complaint(CheckCache(settings, "", caller_)), HasSubstr("is not a directory"));
  EXPECT_EQ(CodeOf(CheckCache(settings, "", caller_)), ExitCode::kCache);
}

class ServerLookTest : public ::testing::Test {
 protected:
  ServerLookTest() {
    look_.url = "https://h:8443/nbia-api";
    look_.api = "v4";
  }
  std::string Told(Errc code, const std::string& message) {
    look_.error = Error{code, message};
    const Findings findings = DescribeServer(look_);
    EXPECT_EQ(findings.front().grade, Finding::Grade::kFail);
    code_ = findings.front().code;
    return findings.front().text;
  }

  ServerLook look_;
  ExitCode code_ = ExitCode::kDone;
};

TEST_F(ServerLookTest, EachFailureHasItsRemedyAndCode) {
  EXPECT_THAT(Told(Errc::kUnavailable, "h: host name not found"), HasSubstr("getent hosts h"));
  EXPECT_EQ(code_, ExitCode::kArchive);
  EXPECT_THAT(Told(Errc::kUnavailable, "h: TLS certificate not accepted: self-signed"),
              HasSubstr("--cacert"));
  EXPECT_THAT(Told(Errc::kTimedOut, "h: no connection within 15 s"), HasSubstr("--proxy"));
  const std::string wrong_path = "h: no NBIA API at this address (x): check the path of the URL";
  EXPECT_EQ(Told(Errc::kUnavailable, wrong_path), wrong_path);  // with its remedy
  EXPECT_THAT(Told(Errc::kInvalidArgument, "certificates of the authorities cannot be read"),
              HasSubstr("--cacert"));
  EXPECT_EQ(code_, ExitCode::kArchive);
  EXPECT_THAT(Told(Errc::kUnauthenticated, "h: oauth/token: HTTP 401"),
              HasSubstr("wants an account"));
  EXPECT_EQ(code_, ExitCode::kCredentials);
  look_.account = "alice";
  EXPECT_THAT(Told(Errc::kUnauthenticated, "h: oauth/token: HTTP 401"),
              HasSubstr("check user name and password"));
}

TEST_F(ServerLookTest, ClocksThatDisagree) {
  look_.collections = 3;
  look_.now_unix_ms = 1'700'000'000'000;
  look_.date_unix_ms = look_.now_unix_ms - 60'000;
  EXPECT_EQ(DescribeServer(look_).size(), 1u);
  look_.date_unix_ms = look_.now_unix_ms - 3'600'000;
  EXPECT_THAT(DescribeServer(look_).back().text, HasSubstr("60 min ahead of that of h"));
  look_.date_unix_ms = look_.now_unix_ms + 3'600'000;
  EXPECT_THAT(DescribeServer(look_).back().text, HasSubstr("60 min behind that of h"));
}

TEST_F(ServerLookTest, SecretsOverPlainHttp) {
  look_.collections = 3;
  look_.sends_secret = true;
  EXPECT_EQ(DescribeServer(look_).size(), 1u);
  look_.url = "http://h/nbia-api";
  EXPECT_THAT(DescribeServer(look_).back().text, HasSubstr("without encryption"));
  look_.url = "http://127.0.0.1:80/nbia-api";
  EXPECT_EQ(DescribeServer(look_).size(), 1u);
}

TEST(ProxyFor, IsWhatCurlWouldUse) {
  std::map<std::string, std::string> environment;
  const Caller caller{0, 0, [&environment](const char* name) -> const char* {
                        const auto found = environment.find(name);
                        return found == environment.end() ? nullptr : found->second.c_str();
                      }};
  MountSettings settings;
  EXPECT_EQ(ProxyFor("https://h/x", settings, caller), "");
  environment["HTTP_PROXY"] = "http://capital:1";
  EXPECT_EQ(ProxyFor("http://h/x", settings, caller), "");
  environment["https_proxy"] = "http://user:hidden@p:3128";
  EXPECT_EQ(ProxyFor("https://h/x", settings, caller), "http://p:3128");
  EXPECT_EQ(ProxyFor("http://h/x", settings, caller), "");
  environment["https_proxy"] = "http://user:hid@den@p:3128";
  EXPECT_EQ(ProxyFor("https://h/x", settings, caller), "http://p:3128");
  settings.proxy = "http://given:1";
  EXPECT_EQ(ProxyFor("https://h/x", settings, caller), "http://given:1");
  environment["no_proxy"] = "other, .example.org,h";
  EXPECT_EQ(ProxyFor("https://h/x", settings, caller), "");
  EXPECT_EQ(ProxyFor("https://a.example.org:9/x", settings, caller), "");
  EXPECT_EQ(ProxyFor("https://aexample.org/x", settings, caller), "http://given:1");
}

}  // namespace
}  // namespace tciafs::cli
