// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_content.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tciafs/catalog/names.h"
#include "tciafs/util/limits.h"
#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class VirtualContent : public VfsTest {
 protected:
  VirtualContent() {
    catalog.health = {{"archive.example", "archive|guest", true, "", {}}};
    catalog.SetAttributes(patient, {{"PatientSex", "F", false}});
    catalog.SetAttributes(study, {{"StudyDate", "2020-01-01", false}});
    catalog.SetAttributes(series, {{"SeriesInstanceUID", "1.2.3", false},
                                   {"ImageCount", "10", true},
                                   {"LicenseName", "CC BY 3.0", false},
                                   {"LicenseURI", "https://example/by/3.0", false},
                                   {"Zeta", "a,\"b\"", false},
                                   {"Alpha", "\xc3\xa9\n=1+1", false}});
  }

  vfs::NodeId Hidden(const Path& directory) {
    vfs::NodeId node = vfs::kRootNode;
    Path at;
    const auto down = [&](catalog::Level level, const std::string& id) {
      if (directory.level >= level) node = Lookup(node, catalog::EncodeName(id)).node;
    };
    down(catalog::Level::kCollection, directory.collection.text());
    down(catalog::Level::kPatient, directory.patient.text());
    down(catalog::Level::kStudy, directory.study.text());
    down(catalog::Level::kSeries, directory.series.text());
    return Lookup(node, ".tcia").node;
  }
  Waiting<vfs::EntryReply> LookupFile(const Path& directory, const std::string& name,
                                      std::stop_token stop = {}) {
    const auto waiting = LookupAsync(Hidden(directory), name, stop);
    executor.RunAll();
    return waiting;
  }
  std::string Content(const vfs::EntryReply& file) {
    Waiting<vfs::OpenReply> opened;
    fs->Open(file.node, false, {}, opened.callback());
    Waiting<vfs::ReadReply> read;
    fs->Read(file.node, Value(opened).handle, 0, int64_t{1} << 40, {}, read.callback());
    const vfs::ReadReply& reply = Value(read);
    const std::string text = reply.range.size_bytes > 0 ? BytesOf(reply) : std::string(reply.bytes);
    EXPECT_EQ(file.attributes.size_bytes, static_cast<int64_t>(text.size()));
    fs->Release(Value(opened).handle);
    return text;
  }
  std::string Content(const Path& directory, const std::string& name) {
    return Content(Value(LookupFile(directory, name)));
  }
};

TEST_F(VirtualContent, CollectionsTellTheirServer) {
  EXPECT_EQ(Content(Path(), "collections.csv"),
            "Path,Server,Collection\nLung,archive.example,Lung\n");
  EXPECT_EQ(
      Content(Path(), "collections.json"),
      "[\n{\"Path\": \"Lung\", \"Collection\": \"Lung\", \"Server\": \"archive.example\"}\n]\n");
}

TEST_F(VirtualContent, RowsHaveThePathTheIdsAndAllTheArchiveSaid) {
  const std::string csv =
      "Path,Collection,PatientID,StudyInstanceUID,SeriesInstanceUID,ImageCount,LicenseName,"
      "LicenseURI,Alpha,Zeta\n"
      "Lung/LIDC-1/1.2/1.2.3,Lung,LIDC-1,1.2,1.2.3,10,CC BY 3.0,https://example/by/3.0,"
      "\"\xc3\xa9\n=1+1\",\"a,\"\"b\"\"\"\n";
  const std::string json =
      "[\n{\"Path\": \"Lung/LIDC-1/1.2/1.2.3\", \"Collection\": \"Lung\", \"PatientID\": "
      "\"LIDC-1\", \"StudyInstanceUID\": \"1.2\", \"SeriesInstanceUID\": \"1.2.3\", "
      "\"ImageCount\": 10, \"LicenseName\": \"CC BY 3.0\", \"LicenseURI\": "
      "\"https://example/by/3.0\", \"Zeta\": \"a,\\\"b\\\"\", \"Alpha\": \"\xc3\xa9\\n=1+1\"}\n]\n";
  for (const Path& directory : {collection, patient, study})
    EXPECT_EQ(Content(directory, "series.csv"), csv);
  for (const Path& directory : {collection, patient, study, series})
    EXPECT_EQ(Content(directory, "series.json"), json);
}

TEST_F(VirtualContent, PatientsAndStudies) {
  EXPECT_EQ(Content(collection, "patients.csv"),
            "Path,Collection,PatientID,PatientSex\nLung/LIDC-1,Lung,LIDC-1,F\n");
  EXPECT_EQ(Content(patient, "studies.csv"),
            "Path,Collection,PatientID,StudyInstanceUID,StudyDate\n"
            "Lung/LIDC-1/1.2,Lung,LIDC-1,1.2,2020-01-01\n");
}

TEST_F(VirtualContent, OfNothingIsAHeaderAlone) {
  catalog.Remove(collection, "LIDC-1");
  EXPECT_EQ(Content(collection, "patients.csv"), "Path,Collection,PatientID\n");
  EXPECT_EQ(Content(collection, "series.json"), "[]\n");
}

TEST_F(VirtualContent, InstancesTellWhatIsKnownOfThem) {
  AddInstance("1.2.3.4");
  AddInstance("1.2.3.5", 500);
  SetBytes("1.2.3.6", "bytes");
  AddInstance("1.2.3.6", 5);
  Open(LookupInstance("1.2.3.6"));
  const int acquired = fetcher.acquires;
  const std::string head = "Lung/LIDC-1/1.2/1.2.3/1.2.3.";
  const std::string ids = ".dcm,Lung,LIDC-1,1.2,1.2.3,1.2.3.";
  EXPECT_EQ(Content(series, "instances.csv"),
            "Path,Collection,PatientID,StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,Size,"
            "SizeOrigin,MD5,Cached\n" +
                head + "4" + ids + "4,102400,estimated,,0\n" + head + "5" + ids +
                "5,500,advertised,,0\n" + head + "6" + ids + "6,5,exact," + Md5Of("bytes") +
                ",1\n");
  EXPECT_EQ(fetcher.acquires, acquired);
}

TEST_F(VirtualContent, TheLicenceIsWhatTheRowSays) {
  EXPECT_EQ(Content(series, "LICENSE"),
            "LicenseName: CC BY 3.0\nLicenseURI: https://example/by/3.0\n");
  catalog.SetAttributes(series, {{"LicenseName", "", false}, {"DataDescriptionURI", "doi", false}});
  EXPECT_EQ(Content(series, "LICENSE"),
            "The archive tells no licence of this series.\nDataDescriptionURI: doi\n");
}

TEST_F(VirtualContent, WaitsForTheCatalogAndCanBeInterrupted) {
  const auto hidden = Hidden(collection);
  catalog.hold = true;
  std::stop_source stop;
  const auto interrupted = LookupAsync(hidden, "series.csv", stop.get_token());
  const auto patient_one = LookupAsync(hidden, "series.csv");
  EXPECT_FALSE(interrupted.answered());
  stop.request_stop();
  EXPECT_EQ(interrupted.code(), Errc::kCancelled);
  catalog.hold = false;
  catalog.held.Release();
  executor.RunAll();
  EXPECT_THAT(Content(Value(patient_one)), StartsWith("Path,"));
}

TEST_F(VirtualContent, AFailureHasItsReasonAndPathInTheStatus) {
  const auto hidden = Hidden(collection);
  catalog.SetFailure(collection, {Errc::kUnreachable, "the archive is not answering"});
  const auto failed = LookupAsync(hidden, "series.csv");
  EXPECT_EQ(failed.code(), Errc::kUnreachable);
  EXPECT_EQ((*failed.result)->error().message,
            "/Lung/.tcia/series.csv: the archive is not answering");
  EXPECT_THAT(Content(Path(), "status.json"), HasSubstr("\"path\": \"/Lung/.tcia/series.csv\""));
}

TEST_F(VirtualContent, WhatHasNotChangedIsTheSameNode) {
  const auto first = Value(LookupFile(collection, "series.csv"));
  const int read = catalog.rows_read;
  const auto again = Value(LookupFile(collection, "series.csv"));
  EXPECT_EQ(again.node, first.node);
  EXPECT_EQ(catalog.rows_read, read);
  catalog.SetAttributes(patient, {{"PatientSex", "M", false}});
  const auto other = Value(LookupFile(collection, "series.csv"));
  EXPECT_NE(other.node, first.node);
  EXPECT_EQ(other.attributes.inode, first.attributes.inode);
  fs->Forget(first.node, 1);
  Content(first);
  fs->Forget(first.node, 1);
  Waiting<vfs::AttributesReply> gone;
  fs->GetAttributes(first.node, 0, {}, gone.callback());
  EXPECT_EQ(gone.code(), Errc::kStale);
  EXPECT_EQ(Value(LookupFile(collection, "series.csv")).node, other.node);
}

TEST_F(VirtualContent, ALongTableIsAFileWithoutAName) {
  TempDirectory directory;
  options.scratch_directory = directory.path();
  cache.usage_now.disk_free_bytes = int64_t{1} << 40;
  Mount();
  catalog.SetAttributes(series, {{"Long", std::string(60'000, 'x'), false}});
  for (int i = 0; i < 30; ++i) {
    const std::string uid = "1.2.9" + std::to_string(i);
    catalog.Add(study, Directory(uid));
    catalog.SetAttributes(study.Child(uid, 0), {{"Long", std::string(60'000, 'y'), false}});
  }
  const auto file = Value(LookupFile(collection, "series.csv"));
  EXPECT_GT(file.attributes.size_bytes, static_cast<int64_t>(kTextInMemoryBytesMax));
  const std::string in_file = Content(file);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  options.scratch_directory = "";
  Mount();
  EXPECT_EQ(Content(collection, "series.csv"), in_file);
  // The disk's floor holds for tables, too.
  options.scratch_directory = directory.path();
  cache.usage_now.disk_free_bytes = 1 << 20;
  Mount();
  EXPECT_EQ(LookupFile(collection, "series.csv").code(), Errc::kNoSpace);
}

TEST_F(VirtualContent, TheEndOfTheFileSystemEndsWhatWaits) {
  const auto waiting = LookupAsync(Hidden(collection), "series.csv");
  EXPECT_FALSE(waiting.answered()) << "a collection's is made elsewhere";
  fs.reset();
  executor.RunAll();
  EXPECT_EQ(waiting.code(), Errc::kCancelled);
}

}  // namespace
}  // namespace tciafs::testing
