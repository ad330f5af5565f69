// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/xattrs.h"

#include <algorithm>

#include "vfs/limits.h"
#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

class XattrsTest : public VfsTest {
 protected:
  std::string Get(vfs::NodeId node, const std::string& name) {
    const auto value = fs->GetXattr(node, "user.tcia." + name);
    return value ? *value : std::string(ErrcName(value.error().code));
  }
  const std::string none{ErrcName(Errc::kNoAttribute)};
  const std::string sop = "1.2.3.4";
};

TEST_F(XattrsTest, OfAnInstanceNeverHad) {
  AddInstance(sop);
  const auto node = LookupInstance(sop);
  EXPECT_EQ(Get(node, "cached"), "0");
  EXPECT_EQ(Get(node, "size"), "estimated");
  EXPECT_EQ(Get(node, "md5"), none);
  EXPECT_EQ(Get(node, "error"), none);
  EXPECT_EQ(Get(node, "nothing"), none);
  EXPECT_EQ(*fs->ListXattr(node), (std::vector<std::string>{"user.tcia.cached", "user.tcia.size"}));
  AddInstance(sop, 500);
  LookupInstance(sop);
  EXPECT_EQ(Get(node, "size"), "advertised");
}

TEST_F(XattrsTest, OfAnInstanceThatIsHereAndThenEvicted) {
  AddInstance(sop);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  Open(node);
  EXPECT_EQ(Get(node, "cached"), "1");
  EXPECT_EQ(Get(node, "size"), "exact");
  EXPECT_EQ(Get(node, "md5"), Md5Of("bytes"));
  cache.Drop(key, source::SopUid(sop));
  EXPECT_EQ(Get(node, "cached"), "0");
  EXPECT_EQ(Get(node, "size"), "exact");
  EXPECT_EQ(Get(node, "md5"), Md5Of("bytes"));
}

TEST_F(XattrsTest, TheReasonOfTheLastFailure) {
  AddInstance(sop);
  AddInstance("1.2.3.5");
  fetcher.errors[{key, source::SopUid(sop)}] = "the MD5 did not match";
  fetcher.errors[{key, source::SopUid()}] = "the zip was short";
  const auto node = LookupInstance(sop);
  const auto other = LookupInstance("1.2.3.5");
  EXPECT_EQ(Get(node, "error"), "the MD5 did not match");
  EXPECT_EQ(Get(other, "error"), "the zip was short");
  cache.Put(key, version, source::SopUid("1.2.3.5"), std::make_shared<MemoryFile>("x"));
  EXPECT_EQ(Get(other, "error"), none) << "it is here: nothing is wrong with it";
  EXPECT_EQ(Get(LookupSeries(), "error"), "the zip was short");
  const auto names = *fs->ListXattr(node);
  EXPECT_EQ(std::count(names.begin(), names.end(), "user.tcia.error"), 1);
}

TEST_F(XattrsTest, OfADirectoryAreItsRow) {
  catalog.SetAttributes(series, {{"Modality", "CT", false},
                                 {"Body Part/Examined", "CHEST", false},
                                 {"BodyPartExamined", "second", false},
                                 {"error", "no error at all", false},
                                 {"\xc3\xa9!", "nameless", false},
                                 {std::string(300, 'n'), "long", false},
                                 {"Huge", std::string(70'000, 'v'), false}});
  const auto node = LookupSeries();
  EXPECT_EQ(Get(node, "Modality"), "CT");
  EXPECT_EQ(Get(node, "BodyPartExamined"), "CHEST");
  EXPECT_EQ(Get(node, "error"), none);
  EXPECT_EQ(*fs->ListXattr(node),
            (std::vector<std::string>{"user.tcia.Collection", "user.tcia.PatientID",
                                      "user.tcia.StudyInstanceUID", "user.tcia.SeriesInstanceUID",
                                      "user.tcia.Modality", "user.tcia.BodyPartExamined"}));
  EXPECT_EQ(Get(node, "SeriesInstanceUID"), "1.2.3");
  EXPECT_TRUE(fs->ListXattr(vfs::kRootNode)->empty());
}

TEST_F(XattrsTest, OfADirectoryThatCouldNotBeRenewed) {
  const auto lung = Lookup(vfs::kRootNode, "Lung").node;
  catalog.SetFailure(collection, {Errc::kTimedOut, "no answer in 60 s"});
  EXPECT_EQ(Get(lung, "error"), "no answer in 60 s");
}

TEST_F(XattrsTest, OfACollectionNameItsServer) {
  catalog.health = {{"archive.example", "archive|guest", true, "", {}}};
  const auto lung = Lookup(vfs::kRootNode, "Lung").node;
  EXPECT_EQ(*fs->ListXattr(lung),
            (std::vector<std::string>{"user.tcia.Collection", "user.tcia.Server"}));
  EXPECT_EQ(Get(lung, "Server"), "archive.example");
}

TEST_F(XattrsTest, OfTheHiddenDirectoryAreItsDirectorysReason) {
  const auto lung = Lookup(vfs::kRootNode, "Lung").node;
  const auto hidden = Lookup(lung, ".tcia").node;
  EXPECT_TRUE(fs->ListXattr(hidden)->empty());
  catalog.SetFailure(collection, {Errc::kTimedOut, "no answer in 60 s"});
  EXPECT_EQ(Get(hidden, "error"), "no answer in 60 s");
  EXPECT_EQ(*fs->ListXattr(hidden), (std::vector<std::string>{"user.tcia.error"}));
}

TEST_F(XattrsTest, ForeignNamesCostNothing) {
  AddInstance(sop);
  const auto node = LookupInstance(sop);
  const int known = cache.instance_known;
  for (const char* name : {"security.selinux", "system.posix_acl_access", "trusted.overlay.opaque"})
    EXPECT_EQ(fs->GetXattr(node, name).error().code, Errc::kUnsupported) << name;
  EXPECT_EQ(fs->GetXattr(node, "user.tci").error().code, Errc::kNoAttribute);
  EXPECT_EQ(cache.instance_known, known);
  EXPECT_EQ(fs->GetXattr(4711, "user.tcia.size").error().code, Errc::kStale);
}

TEST(DirectoryXattrs, EndAtTheLimitsOfLinux) {
  const std::string name(vfs::kXattrNameBytesMax - vfs::kXattrPrefix.size(), 'n');
  const std::string value(vfs::kXattrValueBytesMax, 'v');
  const auto shown = [](const source::Attributes& attributes) {
    return vfs::DirectoryXattrs(attributes, "").size();
  };
  EXPECT_EQ(shown({{name, value, false}}), 1u);
  EXPECT_EQ(shown({{name + "n", "x", false}}), 0u);
  EXPECT_EQ(shown({{"a", value + "v", false}}), 0u);
  // A reason is for people: it is cut rather than left out.
  EXPECT_EQ(vfs::DirectoryXattrs({}, value + "v").at(0).second, value);

  // 256 names of 255 bytes and the NUL behind each are exactly what a list can have.
  source::Attributes attributes;
  for (int i = 0; i < 256; ++i)
    attributes.push_back({std::to_string(1'000 + i) + name.substr(4), "x", false});
  EXPECT_EQ(shown(attributes), 256u);
  attributes.push_back({"a", "x", false});
  EXPECT_EQ(shown(attributes), 256u);
}

TEST(DirectoryXattrs, AListTheKernelCouldNotCarryIsCutAtAName) {
  source::Attributes attributes;
  for (int i = 0; i < 10'000; ++i)
    attributes.push_back({"Attribute" + std::to_string(i), "x", false});
  size_t bytes = 0;
  for (const auto& [name, value] : vfs::DirectoryXattrs(attributes, "")) bytes += name.size() + 1;
  EXPECT_LE(bytes, 65'536u);
  EXPECT_GT(bytes, 60'000u);
}

}  // namespace
}  // namespace tciafs::testing
