// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "synthetic.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>
#include <set>

#include "dicom_directory.h"
#include "dicom_tags.h"
#include "holdings.h"
#include "support/fakes.h"

namespace tciafs::archive {
namespace {

TEST(SyntheticSpec, ReadsItsFields) {
  const auto spec = ParseSyntheticSpec(
      "A B:patients=5,studies=2,series=3,images=7,size=32x16,seed=9,modality=MR");
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->name, "A B");
  EXPECT_EQ(spec->columns, 32);
  EXPECT_EQ(spec->rows, 16);
  EXPECT_EQ(spec->seed, 9U);
  EXPECT_TRUE(ParseSyntheticSpec("A").has_value());
  for (const char* text : {"", ":", "A:patients", "A:patients=0", "A:patients=x", "A:colour=red",
                           "A:size=64", "A:size=1x1", "A:images=99999999"})
    EXPECT_FALSE(ParseSyntheticSpec(text).has_value()) << text;
}

std::vector<SyntheticSpec> VariousSpecs() {
  std::vector<SyntheticSpec> specs = OddCollections();
  for (const char* text : {"PHANTOM:patients=11,studies=2,series=2,images=3,size=24x16",
                           "MR:patients=1,images=2,modality=MR", "PT:patients=1,modality=PT"})
    specs.push_back(ParseSyntheticSpec(text).value());
  return specs;
}

TEST(SyntheticCollection, KnowsSizesWithoutDrawing) {
  for (SyntheticSpec& spec : VariousSpecs()) {
    const SyntheticCollection collection(std::move(spec));
    const int64_t end = collection.PatientSeries(collection.patient_count() - 1).end;
    for (const Edition edition : {Edition{0, false}, Edition{1, false}, Edition{2, true}}) {
      Series row;
      for (int64_t series = 0; series < end; ++series) {
        collection.FillSeries(series, edition, row);
        int64_t total = 0;
        for (int64_t i = 0; i < row.image_count; ++i) {
          const auto bytes = collection.Bytes(series, i, edition).value();
          ASSERT_EQ(static_cast<int64_t>(bytes.size()),
                    collection.InstanceAt(series, i, edition).size_bytes)
              << row.patient_id;
          total += static_cast<int64_t>(bytes.size());
        }
        ASSERT_EQ(total, row.total_bytes) << row.patient_id;
      }
    }
  }
}

TEST(SyntheticCollection, FindsEverythingByItsUid) {
  const SyntheticCollection collection(
      ParseSyntheticSpec("A:patients=3,studies=2,series=2,images=2").value());
  std::set<std::string> uids;
  Series row;
  for (int64_t series = 0; series < 12; ++series) {
    collection.FillSeries(series, {}, row);
    EXPECT_EQ(collection.FindSeries(row.series_uid), series);
    uids.insert(row.series_uid);
    uids.insert(row.study_uid);
    for (int64_t i = 0; i < 2; ++i) {
      const std::string sop = collection.InstanceAt(series, i, {}).sop_uid;
      EXPECT_LE(sop.size(), 64U);
      const auto address = collection.FindInstance(sop);
      ASSERT_TRUE(address.has_value());
      EXPECT_EQ(address->series, series);
      EXPECT_EQ(address->instance, i);
      uids.insert(sop);
    }
  }
  EXPECT_EQ(uids.size(), 12U + 6 + 24);
  const std::string uid = row.series_uid;
  for (const std::string& wrong : {uid + ".1", uid + "0", uid.substr(0, uid.size() - 1) + "2",
                                   std::string("1.2.3"), std::string(), row.study_uid + ".010000"})
    EXPECT_FALSE(collection.FindSeries(wrong).has_value()) << wrong;
}

TEST(SyntheticCollection, IsTheSameEveryTimeAndDiffersBySeed) {
  const SyntheticCollection one(ParseSyntheticSpec("A:seed=1").value());
  const SyntheticCollection again(ParseSyntheticSpec("A:seed=1").value());
  const SyntheticCollection other(ParseSyntheticSpec("A:seed=2").value());
  EXPECT_EQ(one.Bytes(3, 4, {}).value(), again.Bytes(3, 4, {}).value());
  EXPECT_NE(one.Bytes(3, 4, {}).value(), other.Bytes(3, 4, {}).value());
}

// The tags our own reader finds in the file are those the tables tell.
TEST(SyntheticCollection, FilesAgreeWithTheirRows) {
  const SyntheticCollection collection(ParseSyntheticSpec("A:patients=2,images=2").value());
  Series row;
  collection.FillSeries(1, {}, row);
  auto values = ReadDicomTags(collection.Bytes(1, 1, {}).value()).value();
  EXPECT_EQ(values[tags::kPatientId], row.patient_id);
  EXPECT_EQ(values[tags::kStudyUid], row.study_uid);
  EXPECT_EQ(values[tags::kSeriesUid], row.series_uid);
  EXPECT_EQ(values[tags::kSopInstance], collection.InstanceAt(1, 1, {}).sop_uid);
  EXPECT_EQ(values[tags::kSopClass], row.sop_class);
  EXPECT_EQ(values[tags::kInstanceNumber], "2");
  EXPECT_EQ(values[tags::kStudyDate], DicomDay(*row.study_day));
}

int RunShell(const std::string& command) {
  return ::system(("(" + command + ") >/dev/null 2>&1").c_str());  // NOLINT(concurrency-mt-unsafe)
}

TEST(SyntheticCollection, FilesSatisfyDcmtk) {
  if (RunShell("command -v dcmftest && command -v dcmdump && command -v dcm2pnm") != 0)
    GTEST_SKIP() << "no dcmtk";
  const testing::TempDirectory directory;
  for (const char* spec : {"C:modality=CT,images=4", "M:modality=MR", "P:modality=PT"}) {
    const SyntheticCollection collection(ParseSyntheticSpec(spec).value());
    const std::string path = directory.File("slice.dcm");
    std::ofstream(path, std::ios::binary) << collection.Bytes(0, 1, {}).value();
    EXPECT_EQ(RunShell("dcmftest " + path), 0) << spec;
    EXPECT_EQ(RunShell("dcmdump -E " + path), 0) << spec;
    EXPECT_EQ(RunShell("dcm2pnm +Wi 1 " + path + " " + directory.File("slice.pgm")), 0) << spec;
  }
}

TEST(SyntheticCollection, SlicesMakeAVolume) {
  if (RunShell("command -v dcm2niix") != 0) GTEST_SKIP() << "no dcm2niix";
  const testing::TempDirectory directory;
  const SyntheticCollection collection(ParseSyntheticSpec("C:images=6,size=32x32").value());
  for (int64_t i = 0; i < 6; ++i)
    std::ofstream(directory.File("s" + std::to_string(i) + ".dcm"), std::ios::binary)
        << collection.Bytes(0, i, {}).value();
  ASSERT_EQ(RunShell("dcm2niix -f volume -o " + directory.path() + " " + directory.path()), 0);
  std::ifstream nifti(directory.File("volume.nii"), std::ios::binary);
  std::string head(48, '\0');
  ASSERT_TRUE(nifti.read(head.data(), 48));
  EXPECT_EQ(head[42], 32);  // dim[1..3] of the NIfTI-1 header
  EXPECT_EQ(head[44], 32);
  EXPECT_EQ(head[46], 6);
}

TEST(DicomDirectory, GroupsFilesAndLeavesOutTheRest) {
  const testing::TempDirectory directory;
  const SyntheticCollection made(ParseSyntheticSpec("A:patients=2,series=2,images=2").value());
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(directory.File(name), std::ios::binary) << bytes;
  };
  for (int64_t series = 0; series < 4; ++series)
    for (int64_t i = 0; i < 2; ++i)
      write(std::to_string(series * 2 + i), made.Bytes(series, i, {}).value());
  write("again", made.Bytes(0, 0, {}).value());
  write("text", "no DICOM file");
  write("short", made.Bytes(0, 0, {}).value().substr(0, 300));
  const auto collection = DicomDirectory::Open(directory.path(), "DIR");
  ASSERT_TRUE(collection.has_value());
  EXPECT_EQ((*collection)->files_left_out(), 3);
  ASSERT_EQ((*collection)->patient_count(), 2);
  Series row;
  (*collection)->FillSeries(2, {}, row);
  EXPECT_EQ(row.patient_id, "A-0002");
  EXPECT_EQ(row.image_count, 2);
  EXPECT_EQ(row.collection, "DIR");
  EXPECT_EQ(row.study_pk, 2);
  EXPECT_EQ((*collection)->FindSeries(row.series_uid), 2);
  EXPECT_EQ((*collection)->Bytes(2, 1, {}).value(), made.Bytes(2, 1, {}).value());
  const Edition replaced = {1, true};
  const std::string bytes = (*collection)->Bytes(2, 1, replaced).value();
  EXPECT_EQ(static_cast<int64_t>(bytes.size()),
            (*collection)->InstanceAt(2, 1, replaced).size_bytes);
  EXPECT_EQ(ReadDicomTags(bytes).value()[tags::kSeriesUid], row.series_uid);
  EXPECT_FALSE(DicomDirectory::Open(directory.File("nowhere"), "X").has_value());
}

TEST(ReadDicomTags, SurvivesAnyCutAndAnyByte) {
  const SyntheticCollection made(ParseSyntheticSpec("A:size=8x8").value());
  const std::string whole = made.Bytes(0, 0, {}).value();
  for (size_t cut = 0; cut < whole.size(); ++cut) (void)ReadDicomTags(whole.substr(0, cut));
  for (size_t at = 128; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = '\xff';
    (void)ReadDicomTags(damaged);
  }
}

TEST(Holdings, RefusesTwoCollectionsOfOneName) {
  testing::FakeClock clock;
  Holdings holdings(clock);
  EXPECT_TRUE(holdings.Add(std::make_unique<SyntheticCollection>(ParseSyntheticSpec("A").value())));
  EXPECT_FALSE(
      holdings.Add(std::make_unique<SyntheticCollection>(ParseSyntheticSpec("A").value())));
}

}  // namespace
}  // namespace tciafs::archive
