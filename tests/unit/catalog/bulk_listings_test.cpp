// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Walks, and the bulk listings they turn into.
#include <gmock/gmock.h>

#include "unit/catalog/catalog_fixture.h"

namespace tciafs::catalog {
namespace {

using ::testing::ElementsAre;

class BulkListing : public CatalogFixture {
 protected:
  void SetUp() override {
    CatalogFixture::SetUp();
    Fill(archive(), "C", 20, 2);
  }
  ObjectPath Patient(int number) const { return c_.Child(PatientName(number), 0); }
};

TEST_F(BulkListing, TheNextPatientInTheListingIsAWalk) {
  Names(c_);
  Names(Patient(3));
  EXPECT_EQ(archive().calls().bulk, 0);
  Names(Patient(4));
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_EQ(archive().calls().patient_series, 1);
  EXPECT_EQ(Names(Patient(17).Child("1.17", 0)).size(), 2u);
  EXPECT_EQ(archive().calls().patient_series, 1);
}

TEST_F(BulkListing, AThirdPatientWithinTheWindowIsAWalkASlowReaderIsNot) {
  Names(c_);
  Names(Patient(3));
  Names(Patient(9));
  EXPECT_EQ(archive().calls().bulk, 0);
  Advance(options_.walk_window_ms + 1);
  Names(Patient(10));
  EXPECT_EQ(archive().calls().bulk, 0);
  Names(Patient(2));
  Names(Patient(15));
  EXPECT_EQ(archive().calls().bulk, 1);
}

TEST_F(BulkListing, PatientsReachedByPathAreNoWalk) {
  for (int p = 0; p < 10; ++p) EXPECT_TRUE(Lookup(c_, Patient(p).patient.text()));
  EXPECT_EQ(archive().calls().bulk, 0);
  EXPECT_EQ(archive().calls().patient_series, 10);
}

TEST_F(BulkListing, WithoutTheCapabilityPatientsAreAskedOneByOne) {
  archive().set_capabilities({});
  Names(c_);
  for (int p = 0; p < 5; ++p) EXPECT_EQ(Names(Patient(p)).size(), 1u);
  EXPECT_EQ(archive().calls().bulk, 0);
  EXPECT_EQ(archive().calls().patient_series, 5);
}

TEST_F(BulkListing, ABrokenBulkChangesNothingAndTheWaiterGetsItsPatient) {
  archive().SetBulk(/*batch_records=*/3, /*breaks_after_batches=*/4);
  Names(c_);
  Names(Patient(0));
  EXPECT_EQ(Names(Patient(1)).size(), 1u);
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_EQ(archive().calls().patient_series, 2);
  EXPECT_EQ(Names(Patient(2)).size(), 1u);
  EXPECT_EQ(archive().calls().bulk, 1) << "not again at once";
  EXPECT_EQ(archive().calls().patient_series, 3) << "nothing of the broken answer was kept";
  EXPECT_TRUE(changes_.empty());
}

TEST_F(BulkListing, AWaiterDoesNotWaitForASlowBulk) {
  Names(c_);
  Names(Patient(0));
  archive().HoldAnswers();
  const auto slot = StartList(Patient(1));
  Drain();
  EXPECT_EQ(archive().held(), 1u);
  archive().HoldAnswers(false);
  EXPECT_FALSE(slot->has_value());
  Advance(options_.bulk_patience_ms);
  ASSERT_TRUE(slot->has_value() && **slot);
  EXPECT_EQ(archive().calls().patient_series, 2);
  EXPECT_EQ(Names(Patient(2)).size(), 1u) << "the next one does not wait again";
  EXPECT_EQ(archive().calls().patient_series, 3);
  archive().Release();
  Drain();
  EXPECT_EQ(Names(Patient(12)).size(), 1u);
  EXPECT_EQ(archive().calls().patient_series, 3);
  EXPECT_EQ(archive().calls().bulk, 1);
}

TEST_F(BulkListing, ListsPatientsWithoutSeriesAsEmpty) {
  archive().AddPatient({source::CollectionId("C"), source::PatientId("PX"), {}});
  Names(c_);
  Names(Patient(0));
  Names(Patient(1));
  const int requests = archive().calls().Requests();
  const auto empty = List(c_.Child("PX", 0));
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->listing->entries.empty());
  EXPECT_EQ(empty->fresh_for_ms, kTtlMs);
  EXPECT_EQ(archive().calls().Requests(), requests);
}

TEST_F(BulkListing, RowsInAnyOrderAndSmallBatchesGiveTheSame) {
  archive().Edit([](auto&, auto&, auto& series, auto&) {
    for (size_t i = 0; i < series.size(); ++i) std::swap(series[i], series[i * 7 % series.size()]);
  });
  archive().SetBulk(1);
  Names(c_);
  Names(Patient(0));
  Names(Patient(1));
  EXPECT_EQ(archive().calls().bulk, 1);
  for (int p = 0; p < 20; ++p) {
    const std::string study = "1." + std::to_string(p);
    EXPECT_EQ(Names(Patient(p)), (std::vector<std::string>{study}));
    EXPECT_EQ(Names(Patient(p).Child(study, 0)).size(), 2u);
  }
  EXPECT_EQ(archive().calls().patient_series, 1);
}

TEST_F(BulkListing, APatientTheBulkLeavesOutKeepsWhatWasKnown) {
  Names(c_);
  Names(Patient(5));
  archive().Edit([](auto&, auto&, auto& series, auto&) {
    std::erase_if(series, [](const auto& s) { return s.patient.text() == "P0005"; });
  });
  Advance(kTtlMs);
  Names(Patient(0));
  Names(Patient(1));
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_THAT(Names(Patient(5)), ElementsAre("1.5"));
}

TEST_F(BulkListing, ABulkThatLacksWhatWasKnownIsNotDoneAndSaysNothingOfOthers) {
  Names(c_);
  Names(Patient(5));
  Advance(options_.walk_window_ms + 1);
  Names(Patient(0));
  std::vector<source::SeriesRecord> all;
  archive().Edit([&](auto&, auto&, auto& series, auto&) {
    all = series;
    std::erase_if(series, [](const auto& s) {
      return s.patient.text() == "P0005" || s.patient.text() == "P0019";
    });
  });
  Advance(1);
  Names(Patient(1));
  EXPECT_EQ(archive().calls().bulk, 1);
  archive().Edit([&](auto&, auto&, auto& series, auto&) { series = all; });
  EXPECT_THAT(Names(Patient(19)), ElementsAre("1.19"));
  EXPECT_THAT(Names(Patient(5)), ElementsAre("1.5"));
  EXPECT_GT(List(Patient(5))->fresh_for_ms, 0) << "asked for singly";
  EXPECT_EQ(archive().calls().bulk, 1);
  Advance(options_.retry_after_failure_ms);
  for (const char* patient : {"P0020", "P0021"})
    archive().AddPatient({source::CollectionId("C"), source::PatientId(patient), {}});
  Refresh(c_);
  Names(Patient(20));
  Names(Patient(21));
  EXPECT_EQ(archive().calls().bulk, 2) << "it was not done";
}

TEST_F(BulkListing, ABulkCutInAPatientOrStudyKeepsWhatItLacks) {
  Names(c_);
  Names(Patient(5));
  Advance(options_.walk_window_ms + 1);
  Names(Patient(0));
  archive().Edit([&](auto&, auto&, auto& series, auto&) {
    std::erase_if(series, [](const auto& s) { return s.series.text() == "2.5.1"; });
  });
  Advance(1);
  Names(Patient(1));
  EXPECT_EQ(archive().calls().bulk, 1);
  EXPECT_EQ(Names(Patient(5).Child("1.5", 0)).size(), 2u);
  EXPECT_LE(List(Patient(5))->fresh_for_ms, options_.negative_ttl_ms);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(BulkListing, ManyPatientsAFirstBulkLacksAreNotTakenForEmpty) {
  Names(c_);
  Names(Patient(0));
  std::vector<source::SeriesRecord> all;
  archive().Edit([&](auto&, auto&, auto& series, auto&) {
    all = series;
    series.resize(series.size() / 2);
  });
  Names(Patient(1));
  EXPECT_EQ(archive().calls().bulk, 1);
  archive().Edit([&](auto&, auto&, auto& series, auto&) { series = all; });
  EXPECT_THAT(Names(Patient(19)), ElementsAre("1.19"));
}

TEST_F(BulkListing, RenewalsNobodyWaitsForLeaveTheBulkToItself) {
  Names(c_);
  Names(Patient(0));
  Names(Patient(1));
  Advance(kTtlMs);
  archive().HoldAnswers();
  for (int p = 0; p < 4; ++p) EXPECT_EQ(Names(Patient(p)).size(), 1u);
  EXPECT_EQ(archive().calls().bulk, 2);
  const size_t held = archive().held();
  // Who waits for one of them has the patience of any waiter.
  std::optional<Status> refreshed;
  catalog_->Refresh(Patient(3), {}, [&](Status status) { refreshed = std::move(status); });
  Drain();
  EXPECT_EQ(archive().held(), held + 1) << "not parked behind the bulk";
  archive().Release(held);
  Drain();
  EXPECT_TRUE(refreshed && *refreshed);
}

TEST_F(BulkListing, NoMoreThanTwoAtATimePerServer) {
  archive().HoldAnswers(false);
  const std::vector<std::string> collections = {"C", "D", "E"};
  Fill(archive(), "D", 3, 1);
  Fill(archive(), "E", 3, 1);
  for (const auto& collection : collections) {
    const ObjectPath path = root_.Child(collection, 0);
    Names(path);
    Names(path.Child(PatientName(0), 0));
  }
  archive().HoldAnswers();
  std::vector<Slot<ListAnswer>> slots;
  for (const auto& collection : collections)
    slots.push_back(StartList(root_.Child(collection, 0).Child(PatientName(1), 0)));
  Drain();
  EXPECT_EQ(archive().calls().bulk, 2);
  EXPECT_EQ(archive().calls().patient_series, 4) << "the third asks for its patient";
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  for (const auto& slot : slots) EXPECT_TRUE(slot->has_value() && **slot);
  Names(root_.Child("E", 0).Child(PatientName(2), 0));
  EXPECT_EQ(archive().calls().bulk, 3);
}

TEST_F(BulkListing, ThePauseAfterFailuresDoubles) {
  archive().SetBulk(3, 1);
  Names(c_);
  Names(Patient(0));
  int patient = 1;
  for (int64_t pause_ms = options_.retry_after_failure_ms, bulks = 1; bulks <= 3;
       pause_ms *= 2, ++bulks) {
    Names(Patient(patient++));
    EXPECT_EQ(archive().calls().bulk, bulks);
    Advance(pause_ms - 1);
    Names(Patient(patient++));
    Names(Patient(patient++));
    EXPECT_EQ(archive().calls().bulk, bulks) << "too early";
    Advance(1);
  }
}

TEST_F(BulkListing, ABulkEndsAtItsLimit) {
  for (const size_t excess : {size_t{0}, size_t{1}}) {
    const std::string collection = "D" + std::to_string(excess);
    const ObjectPath path = root_.Child(collection, 0);
    Fill(archive(), collection, 4, 2);
    options_.rows_of_bulk_max = 8 - excess;
    Reopen();
    Names(path);
    const auto patient_series = archive().calls().patient_series;
    for (int p = 0; p < 4; ++p) EXPECT_EQ(Names(path.Child(PatientName(p), 0)).size(), 1u);
    // At the limit the bulk answers for all but the first; above it each is asked for.
    EXPECT_EQ(archive().calls().patient_series - patient_series, excess == 0 ? 1 : 4);
  }
}

TEST_F(BulkListing, AnEmptyBulkIsNoAnswer) {
  Names(c_);
  Names(Patient(0));
  archive().AnswerEmpty();
  EXPECT_EQ(Names(Patient(1)).size(), 0u) << "provisionally empty: the single request said so";
  EXPECT_EQ(Names(Patient(0)).size(), 1u);
  EXPECT_EQ(archive().calls().patient_series, 2);
}

TEST_F(BulkListing, AWalkAsksForInstancesOfManyPatientsAtOnce) {
  Names(c_);
  Names(Patient(18));
  Names(Patient(18).Child("1.18", 0).Child("2.18.0", 0));
  EXPECT_EQ(archive().last_instances_query().size(), 2u);
  Names(Patient(19));
  Names(Patient(19).Child("1.19", 0).Child("2.19.1", 0));
  EXPECT_EQ(archive().last_instances_query().size(), 38u) << "round to the first";
  EXPECT_EQ(archive().last_instances_query()[0].series.text(), "2.19.1");
  EXPECT_EQ(archive().last_instances_query()[2].patient.text(), "P0000");
  EXPECT_EQ(archive().calls().instances, 2);
}

}  // namespace
}  // namespace tciafs::catalog
