// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// All rows below a directory: had in few requests, and read back from the store.
#include <gmock/gmock.h>

#include "unit/catalog/catalog_fixture.h"

namespace tciafs::catalog {
namespace {

using ::testing::HasSubstr;

class WholeListing : public CatalogFixture {
 protected:
  void SetUp() override {
    CatalogFixture::SetUp();
    Fill(archive(), "C", 20, 2);
  }
  using Outcome = std::shared_ptr<std::optional<Status>>;
  Outcome Start(const ObjectPath& directory, Level level, std::stop_token stop = {}) {
    auto outcome = std::make_shared<std::optional<Status>>();
    catalog_->ListBelow(directory, level, stop, [outcome](Status status) {
      EXPECT_FALSE(outcome->has_value()) << "answered twice";
      outcome->emplace(std::move(status));
    });
    Drain();
    return outcome;
  }
  std::string ListBelow(const ObjectPath& directory, Level level = Level::kSeries) {
    const auto outcome = Start(directory, level);
    if (!outcome->has_value()) return "still waiting";
    return **outcome ? "ok" : (*outcome)->error().message;
  }
  std::vector<Row> Rows(const ObjectPath& directory, Level level) const {
    std::vector<Row> rows;
    const auto reader = catalog_->Rows(directory, level);
    EXPECT_TRUE(reader);
    const auto keep = [&](const Row& row) {
      rows.push_back(row);
      return true;
    };
    EXPECT_TRUE(reader && (*reader)->ForEach(keep));
    return rows;
  }
  static std::string ValueOf(const Row& row, const std::string& name) {
    for (const auto& attribute : row.attributes)
      if (attribute.name == name) return attribute.value;
    return "none";
  }
};

TEST_F(WholeListing, OfACollectionNeverSeenIsOneBulk) {
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(archive().calls().patients, 1);
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_EQ(archive().calls().patient_series, 0);
  const auto rows = Rows(c_, Level::kSeries);
  ASSERT_EQ(rows.size(), 40u);
  EXPECT_EQ(rows[2].path.Text(), "/C/P0001/1.1/2.1.0");
  EXPECT_EQ(ValueOf(rows[2], "Modality"), "CT");
  EXPECT_EQ(ValueOf(rows[2], "LicenseName"), "Creative Commons Attribution 4.0 International");
  EXPECT_EQ(ValueOf(rows[2], "New Key"), "x");
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(archive().calls().bulk, 1) << "all is here";
}

TEST_F(WholeListing, RowsOfEveryLevel) {
  ASSERT_EQ(ListBelow(c_), "ok");
  const auto patients = Rows(c_, Level::kPatient);
  ASSERT_EQ(patients.size(), 20u);
  EXPECT_EQ(ValueOf(patients[3], "PatientSex"), "F");
  const auto studies = Rows(c_.Child("P0003", 0), Level::kStudy);
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_EQ(ValueOf(studies[0], "StudyDate"), "2019-12-31");
  EXPECT_EQ(ValueOf(studies[0], "Modality"), "none") << "that is of a series";
  EXPECT_EQ(Rows(c_, Level::kStudy).size(), 20u);
  EXPECT_EQ(Rows(studies[0].path, Level::kSeries).size(), 2u);
  EXPECT_FALSE(catalog_->Rows(root_, Level::kCollection));
  EXPECT_FALSE(catalog_->Rows(c_, Level::kCollection));
  size_t seen = 0;
  EXPECT_TRUE(
      (*catalog_->Rows(c_, Level::kSeries))->ForEach([&](const Row&) { return ++seen < 3; }));
  EXPECT_EQ(seen, 3u);
}

TEST_F(WholeListing, APassShowsTheMomentItsReaderIsOf) {
  ASSERT_EQ(ListBelow(c_), "ok");
  const auto reader = *catalog_->Rows(c_, Level::kSeries);
  const uint64_t revision = catalog_->revision();
  archive().AddSeries(Series("C", "P0003", "1.3", "2.3.9"), {});
  ASSERT_TRUE(Refresh(c_.Child("P0003", 0)));
  EXPECT_GT(catalog_->revision(), revision);
  size_t rows = 0;
  EXPECT_TRUE(reader->ForEach([&](const Row&) { return ++rows > 0; }));
  EXPECT_EQ(rows, 40u);
  EXPECT_EQ(Rows(c_, Level::kSeries).size(), 41u);
}

TEST_F(WholeListing, OfAPatientOrAStudyIsOneRequest) {
  EXPECT_EQ(ListBelow(p0_), "ok");
  EXPECT_EQ(ListBelow(p0_.Child("1.0", 0)), "ok");
  EXPECT_EQ(ListBelow(p0_, Level::kStudy), "ok");
  EXPECT_EQ(archive().calls().patient_series, 1);
  EXPECT_EQ(archive().calls().patients, 0);
  EXPECT_EQ(Rows(p0_, Level::kSeries).size(), 2u);
}

TEST_F(WholeListing, PatientsAloneTakeNoBulk) {
  EXPECT_EQ(ListBelow(c_, Level::kPatient), "ok");
  EXPECT_EQ(archive().calls().bulk, 0);
}

TEST_F(WholeListing, AFewUnlistedPatientsAreAskedOneByOne) {
  ASSERT_EQ(ListBelow(c_), "ok");
  archive().AddPatient({source::CollectionId("C"), source::PatientId("New"), {}});
  archive().AddSeries(Series("C", "New", "1.n", "2.n"), {});
  ASSERT_TRUE(Refresh(c_));
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_EQ(archive().calls().patient_series, 1);
  EXPECT_EQ(Rows(c_, Level::kSeries).size(), 41u);
}

TEST_F(WholeListing, WithoutBulksPatientsAreAskedOneByOne) {
  archive().set_capabilities({});
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(archive().calls().bulk, 0);
  EXPECT_EQ(archive().calls().patient_series, 20);
  EXPECT_EQ(Rows(c_, Level::kSeries).size(), 40u);
}

TEST_F(WholeListing, OldListingsCountAndAreRenewedBehind) {
  ASSERT_EQ(ListBelow(c_), "ok");
  Advance(options_.ttl_ms + 1);
  archive().HoldAnswers();
  EXPECT_EQ(ListBelow(c_), "ok");
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  EXPECT_EQ(archive().calls().bulk, 2);
}

TEST_F(WholeListing, AFailureIsTheReasonAndIsKeptUntilItWorks) {
  ASSERT_EQ(Names(c_).size(), 20u);
  archive().FailWith(Errc::kUnavailable, "it burns");
  EXPECT_THAT(ListBelow(c_), HasSubstr("it burns"));
  EXPECT_THAT(catalog_->LastError(c_), HasSubstr("it burns"));
  archive().Recover();
  Advance(options_.ttl_ms);
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(catalog_->LastError(c_), "");
}

TEST_F(WholeListing, AnInterruptEndsTheWaitAlone) {
  ASSERT_EQ(Names(c_).size(), 20u);
  archive().HoldAnswers();
  std::stop_source stop;
  const auto outcome = Start(c_, Level::kSeries, stop.get_token());
  EXPECT_FALSE(outcome->has_value());
  stop.request_stop();
  ASSERT_TRUE(outcome->has_value());
  EXPECT_EQ((*outcome)->error().code, Errc::kCancelled);
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  EXPECT_EQ(Rows(c_, Level::kSeries).size(), 40u) << "the request went on";
}

TEST_F(WholeListing, WithoutProgressTheWaitEndsInTime) {
  ASSERT_EQ(Names(c_).size(), 20u);
  archive().HoldAnswers();
  const auto outcome = Start(c_, Level::kSeries);
  Advance(options_.whole_patience_ms - 1);
  EXPECT_FALSE(outcome->has_value());
  Advance(1);
  ASSERT_TRUE(outcome->has_value());
  EXPECT_EQ((*outcome)->error().code, Errc::kTimedOut);
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  EXPECT_EQ(ListBelow(c_), "ok");
  EXPECT_EQ(archive().calls().bulk, 1);
}

TEST_F(WholeListing, TheEndOfTheCatalogEndsTheWait) {
  ASSERT_EQ(Names(c_).size(), 20u);
  archive().HoldAnswers();
  const auto outcome = Start(c_, Level::kSeries);
  Close();
  ASSERT_TRUE(outcome->has_value());
  EXPECT_EQ((*outcome)->error().code, Errc::kCancelled);
}

}  // namespace
}  // namespace tciafs::catalog
