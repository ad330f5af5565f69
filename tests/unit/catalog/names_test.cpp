// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/catalog/names.h"

#include <gtest/gtest.h>

#include <set>

#include "tciafs/catalog/catalog.h"

namespace tciafs::catalog {
namespace {

TEST(Names, KeepsTheArchivesSpelling) {
  for (const std::string id :
       {"CT COLONOGRAPHY", "4D-Lung", "1.3.6.1.4.1.9328.50.1.0001", "a&b#c+d", " blanks ",
        "IRM\xC3\x89", "back\\slash", "dot.", "a.b"}) {
    EXPECT_EQ(EncodeName(id), id);
    EXPECT_EQ(DecodeName(id), id);
  }
}

TEST(Names, EncodesWhatAFileNameCannotHold) {
  EXPECT_EQ(EncodeName("CHEST/ABD"), "CHEST%2FABD");
  EXPECT_EQ(EncodeName("100%"), "100%25");
  EXPECT_EQ(EncodeName("."), "%2E");
  EXPECT_EQ(EncodeName(".."), "%2E.");
  EXPECT_EQ(EncodeName(".tcia"), "%2Etcia");
  EXPECT_EQ(EncodeName(std::string_view("a\0b\x1f\x7f", 5)), "a%00b%1F%7F");
}

TEST(Names, EveryPairOfBytesComesBackAndIsAloneInItsName) {
  std::set<std::string> names;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string id = {static_cast<char>(a), static_cast<char>(b)};
      const std::string name = EncodeName(id);
      ASSERT_EQ(DecodeName(name), id);
      ASSERT_TRUE(names.insert(name).second) << name;
      ASSERT_EQ(name.find('/'), std::string::npos);
      ASSERT_NE(name[0], '.');
    }
  }
}

TEST(Names, RefusesSpellingsItWouldNotChoose) {
  for (const std::string name :
       {"", ".", "..", ".hidden", "a%", "a%2", "%2f", "%41", "a%2E", "a/b", "a\nb", "%GG", "%-1"})
    EXPECT_EQ(DecodeName(name), std::nullopt) << name;
}

TEST(Names, InstancesCarryASuffix) {
  EXPECT_EQ(InstanceName("1.2.3"), "1.2.3.dcm");
  EXPECT_EQ(DecodeInstanceName("1.2.3.dcm"), "1.2.3");
  EXPECT_EQ(DecodeInstanceName("1.2.3"), std::nullopt);
  EXPECT_EQ(DecodeInstanceName(".dcm"), std::nullopt);
  EXPECT_EQ(DecodeInstanceName("dcm"), std::nullopt);
}

TEST(ObjectPath, GoesDownLevelByLevel) {
  const ObjectPath root;
  EXPECT_EQ(root.Text(), "/");
  const ObjectPath collection = root.Child("A/B", 1);
  EXPECT_EQ(collection.Text(), "/A%2FB");
  EXPECT_EQ(collection.server, 1u);
  const ObjectPath instance =
      collection.Child("P 1", 9).Child("1.1", 9).Child("1.2", 9).Child("1.3", 9);
  EXPECT_EQ(instance.Text(), "/A%2FB/P 1/1.1/1.2/1.3.dcm");
  EXPECT_EQ(instance.level, Level::kInstance);
  EXPECT_EQ(instance.server, 1u) << "only the root has children of several servers";
  EXPECT_EQ(instance.Child("x", 0), instance);
}

TEST(ObjectPath, GoesUpToAnyLevel) {
  const ObjectPath root;
  const ObjectPath collection = root.Child("C", 1);
  const ObjectPath patient = collection.Child("P", 0);
  const ObjectPath study = patient.Child("1.1", 0);
  const ObjectPath series = study.Child("1.2", 0);
  const ObjectPath instance = series.Child("1.3", 0);
  EXPECT_EQ(instance.At(Level::kInstance), instance);
  EXPECT_EQ(instance.At(Level::kSeries), series);
  EXPECT_EQ(instance.At(Level::kStudy), study);
  EXPECT_EQ(series.At(Level::kPatient), patient);
  EXPECT_EQ(instance.At(Level::kCollection), collection);
  ObjectPath of_that_server;
  of_that_server.server = 1;
  EXPECT_EQ(instance.At(Level::kRoot), of_that_server);
  EXPECT_EQ(study.At(Level::kInstance), study) << "nothing is below it";
}

TEST(ObjectPath, OfASeriesIsInItsRecord) {
  source::SeriesRecord record;
  record.collection = source::CollectionId("C");
  record.patient = source::PatientId("P");
  record.study = source::StudyUid("1.1");
  record.series = source::SeriesUid("1.2");
  EXPECT_EQ(ObjectPath::OfSeries(record, 1),
            ObjectPath().Child("C", 1).Child("P", 1).Child("1.1", 1).Child("1.2", 1));
}

TEST(Listing, FindsByExactName) {
  Listing listing;
  for (const char* name : {"A", "B", "a"}) listing.entries.push_back({.name = name});
  ASSERT_NE(listing.Find("a"), nullptr);
  EXPECT_EQ(listing.Find("a")->name, "a");
  EXPECT_EQ(listing.Find("b"), nullptr);
  EXPECT_EQ(listing.Find(""), nullptr);
  EXPECT_EQ(Listing().Find("A"), nullptr);
}

}  // namespace
}  // namespace tciafs::catalog
