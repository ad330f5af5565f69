// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Listing, looking up, freshness and what survives a restart, seen from above.
#include "tciafs/catalog/lmdb_catalog.h"

#include <gmock/gmock.h>

#include <cstdio>

#include "catalog/request_memory.h"
#include "tciafs/catalog/limits.h"
#include "tciafs/catalog/names.h"
#include "unit/catalog/catalog_fixture.h"

namespace tciafs::catalog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Names_ = std::vector<std::string>;

class LmdbCatalog : public CatalogFixture {};

TEST_F(LmdbCatalog, ListsEveryLevelSortedWithRecords) {
  Fill(archive(), "C", 3, 2);
  archive().AddCollection("A/B");
  EXPECT_EQ(Names(root_), (Names_{"A%2FB", "C"}));
  EXPECT_EQ(Names(c_), (Names_{"P0000", "P0001", "P0002"}));
  EXPECT_EQ(Names(p0_), (Names_{"1.0"}));
  const ObjectPath study = p0_.Child("1.0", 0);
  EXPECT_EQ(Names(study), (Names_{"2.0.0", "2.0.1"}));
  const ObjectPath series = study.Child("2.0.1", 0);
  const auto instances = List(series);
  ASSERT_TRUE(instances);
  ASSERT_EQ(instances->listing->entries.size(), 2u);
  EXPECT_EQ(instances->listing->entries[1].name, "2.0.1.2.dcm");
  EXPECT_EQ(instances->listing->entries[1].size_bytes, 700);
  EXPECT_EQ(instances->fresh_for_ms, kTtlMs);
  EXPECT_EQ(archive().calls().patient_series, 1);

  const auto record = catalog_->Series(series);
  ASSERT_TRUE(record);
  const auto expected = Series("C", "P0000", "1.0", "2.0.1");
  EXPECT_EQ(record->attributes, expected.attributes);
  EXPECT_EQ(record->patient, expected.patient);
  EXPECT_EQ(record->version.image_count, 2);
  EXPECT_EQ(record->version.timestamp, "2020-01-02");
  EXPECT_EQ(record->modified_s, expected.modified_s);
  const auto of_patient = catalog_->AttributesOf(p0_);
  ASSERT_TRUE(of_patient);
  EXPECT_EQ(*of_patient, (source::Attributes{{"PatientSex", "F", false}}));
  const auto of_study = catalog_->AttributesOf(study);
  ASSERT_TRUE(of_study);
  EXPECT_EQ(*of_study, (source::Attributes{{"StudyInstanceUID", "1.0", false},
                                           {"StudyDate", "2019-12-31", false}}));
  EXPECT_EQ(catalog_->Series(study.Child("nope", 0)).error().code, Errc::kNotFound);
}

TEST_F(LmdbCatalog, AWalkCostsAFixedNumberOfRequestsAndNoneAgain) {
  Fill(archive(), "C", 500, 2);
  EXPECT_EQ(Walk(), 1u + 500 + 500 + 1000 + 2000);
  const auto first = archive().calls();
  EXPECT_LE(first.Requests(), 8);
  EXPECT_EQ(first.bulk, 1);
  Walk();
  EXPECT_EQ(archive().calls().Requests(), first.Requests());
  Reopen();
  EXPECT_EQ(Walk(), 4001u);
  EXPECT_EQ(archive().calls().Requests(), first.Requests());
  // Once everything is stale it is all answered at once, and renewed as cheaply.
  Advance(kTtlMs);
  EXPECT_EQ(Walk(), 4001u);
  EXPECT_LE(archive().calls().Requests(), 2 * first.Requests() + 2);
}

TEST_F(LmdbCatalog, LooksUpOnePatientWithoutListingItsCollection) {
  Fill(archive(), "C", 3, 1);
  const auto found = Lookup(c_, "P0001");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entry.name, "P0001");
  EXPECT_EQ(found->fresh_for_ms, kTtlMs);
  EXPECT_EQ(archive().calls().Requests(), 1);
  EXPECT_EQ(Names(c_.Child("P0001", 0)), (Names_{"1.1"}));
  EXPECT_EQ(Names(c_.Child("P0001", 0).Child("1.1", 0)), (Names_{"2.1.0"}));
  EXPECT_EQ(archive().calls().Requests(), 1);
  EXPECT_EQ(Names(c_).size(), 3u) << "a collection reached by path alone is not complete";
  EXPECT_EQ(archive().calls().patients, 1);
}

TEST_F(LmdbCatalog, RemembersAPatientThatDoesNotExistForAWhile) {
  Fill(archive(), "C", 1, 1);
  EXPECT_EQ(Lookup(c_, "nobody").error().code, Errc::kNotFound);
  EXPECT_EQ(Lookup(c_, "nobody").error().code, Errc::kNotFound);
  EXPECT_EQ(archive().calls().patient_series, 1);
  Advance(options_.negative_ttl_ms);
  EXPECT_EQ(Lookup(c_, "nobody").error().code, Errc::kNotFound);
  EXPECT_EQ(archive().calls().patient_series, 2);
}

TEST_F(LmdbCatalog, KnowsAbsenceFromAFreshListing) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  Names(p0_);
  const int requests = archive().calls().Requests();
  EXPECT_EQ(Lookup(c_, "nobody").error().code, Errc::kNotFound);
  EXPECT_EQ(Lookup(p0_, "9.9").error().code, Errc::kNotFound);
  EXPECT_EQ(Lookup(p0_.Child("9.9", 0), "9").error().code, Errc::kNotFound);
  EXPECT_EQ(List(p0_.Child("9.9", 0)).error().code, Errc::kNotFound);
  EXPECT_EQ(archive().calls().Requests(), requests);
}

TEST_F(LmdbCatalog, NeverAsksForNamesNoIdHas) {
  for (const std::string name : {".git", ".", "%2f", "", "a/b"})
    for (const ObjectPath& path : {root_, c_, p0_, p0_.Child("1", 0)})
      EXPECT_EQ(Lookup(path, name).error().code, Errc::kNotFound) << path.Text() << " " << name;
  const ObjectPath series = p0_.Child("1", 0).Child("2", 0);
  EXPECT_EQ(Lookup(series, "1.2.3").error().code, Errc::kNotFound);
  EXPECT_EQ(Lookup(c_, std::string(256, 'x')).error().code, Errc::kNotFound);
  EXPECT_EQ(List(series.Child("3", 0)).error().code, Errc::kNotDirectory);
  EXPECT_EQ(archive().calls().Requests(), 0);
}

TEST_F(LmdbCatalog, AnswersStaleAtOnceAndRenewsBehind) {
  Fill(archive(), "C", 2, 1);
  const int64_t version = List(c_)->listing->version;
  archive().AddPatient({source::CollectionId("C"), source::PatientId("P0002"), {}});
  Advance(kTtlMs);
  archive().HoldAnswers();
  auto stale = List(c_);
  ASSERT_TRUE(stale);
  EXPECT_EQ(stale->listing->entries.size(), 2u);
  EXPECT_EQ(stale->fresh_for_ms, 0);
  List(c_);
  EXPECT_EQ(archive().held(), 1u) << "one renewal, however many ask";
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  const auto renewed = List(c_);
  EXPECT_EQ(renewed->listing->entries.size(), 3u);
  EXPECT_GT(renewed->listing->version, version);
  EXPECT_EQ(renewed->fresh_for_ms, kTtlMs);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].directory, c_);
  EXPECT_THAT(changes_[0].added, ElementsAre("P0002"));
}

TEST_F(LmdbCatalog, EqualRequestsInFlightAreOne) {
  Fill(archive(), "C", 2, 1);
  archive().HoldAnswers();
  const auto a = StartList(p0_);
  const auto b = StartList(p0_.Child("1.0", 0));
  const auto c = StartLookup(p0_, "1.0");
  Drain();
  EXPECT_EQ(archive().held(), 1u);
  archive().Release();
  Drain();
  EXPECT_TRUE(a->has_value() && **a);
  EXPECT_TRUE(b->has_value() && **b);
  EXPECT_TRUE(c->has_value() && **c);
  EXPECT_EQ(archive().calls().Requests(), 1);
}

TEST_F(LmdbCatalog, AStopDetachesTheWaiterNotTheRequest) {
  Fill(archive(), "C", 1, 1);
  archive().HoldAnswers();
  std::stop_source stop;
  const auto slot = StartList(c_, stop.get_token());
  EXPECT_FALSE(slot->has_value());
  stop.request_stop();
  ASSERT_TRUE(slot->has_value());
  EXPECT_EQ((*slot)->error().code, Errc::kCancelled);
  archive().Release();
  Drain();
  EXPECT_EQ(Names(c_).size(), 1u);
  EXPECT_EQ(archive().calls().Requests(), 1);
}

TEST_F(LmdbCatalog, KeepsAListingWhoseRenewalFails) {
  Fill(archive(), "C", 2, 1);
  Names(c_);
  Advance(kTtlMs);
  archive().FailWith(Errc::kUnavailable, "it burns");
  EXPECT_EQ(Names(c_).size(), 2u);
  EXPECT_EQ(archive().calls().patients, 2);
  EXPECT_EQ(Names(c_).size(), 2u);
  EXPECT_EQ(archive().calls().patients, 2) << "not before retry_after_failure";
  EXPECT_THAT(catalog_->LastError(c_), HasSubstr("it burns"));
  EXPECT_FALSE(catalog_->Health()[0].reachable);
  EXPECT_THAT(catalog_->Health()[0].last_error, HasSubstr("it burns"));
  archive().Recover();
  Advance(options_.retry_after_failure_ms);
  Names(c_);
  EXPECT_EQ(archive().calls().patients, 3);
  EXPECT_EQ(catalog_->LastError(c_), "");
  EXPECT_TRUE(catalog_->Health()[0].reachable);
}

TEST_F(LmdbCatalog, AFirstFailureIsRememberedOnlyBriefly) {
  archive().FailWith(Errc::kTimedOut);
  EXPECT_EQ(List(c_).error().code, Errc::kTimedOut);
  EXPECT_EQ(List(c_).error().code, Errc::kTimedOut);
  EXPECT_EQ(archive().calls().patients, 1);
  archive().Recover();
  Fill(archive(), "C", 1, 1);
  Advance(2'000);
  EXPECT_EQ(Names(c_).size(), 1u);
}

TEST_F(LmdbCatalog, AnEmptyAnswerDeletesNothingUntilRepeatedByAServerThatServes) {
  Fill(archive(), "C", 2, 1);
  Names(root_);
  Names(c_);
  archive().AnswerEmpty();
  EXPECT_EQ(Refresh(c_).error().code, Errc::kUnavailable);
  EXPECT_EQ(Names(c_).size(), 2u);
  EXPECT_THAT(catalog_->LastError(c_), HasSubstr("nothing"));
  // Time alone does not confirm it, nor does what the server told of other things meanwhile: it may
  // have forgotten the token once more.
  archive().Recover();
  ASSERT_TRUE(Refresh(root_));
  archive().AnswerEmpty();
  Advance(kTtlMs);
  const int patients_asked = archive().calls().patients;
  EXPECT_FALSE(Refresh(c_));
  EXPECT_EQ(archive().calls().patients, patients_asked);
  EXPECT_EQ(Names(c_).size(), 2u);
  // A server that tells its collections and then nothing of this one is believed. The waiting
  // survives a restart.
  Reopen();
  archive().Recover();
  archive().Edit([](auto&, auto& patients, auto&, auto&) { patients.clear(); });
  changes_.clear();
  EXPECT_TRUE(Refresh(c_));
  EXPECT_EQ(Names(c_).size(), 0u);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_THAT(changes_[0].removed, ElementsAre("P0000", "P0001"));
}

TEST_F(LmdbCatalog, AnArchiveWithoutACollectionIsNeverBelieved) {
  Fill(archive(), "C", 2, 1);
  Names(root_);
  Names(c_);
  archive().AnswerEmpty();
  EXPECT_FALSE(Refresh(root_));
  archive().Recover();
  ASSERT_TRUE(Refresh(c_));  // the server is well, as far as it can be told
  archive().AnswerEmpty();
  Advance(kTtlMs + 1);
  EXPECT_EQ(Refresh(root_).error().code, Errc::kUnavailable);
  EXPECT_THAT(Names(root_), ElementsAre("C"));
}

TEST_F(LmdbCatalog, ASecondEmptyAnswerTooEarlyIsNotBelieved) {
  Fill(archive(), "C", 2, 1);
  Names(c_);
  std::vector<source::PatientRecord> hidden;
  const auto swap = [&](auto&, auto& patients, auto&, auto&) { patients.swap(hidden); };
  archive().Edit(swap);
  EXPECT_FALSE(Refresh(c_));
  Advance(kTtlMs / 2);
  EXPECT_FALSE(Refresh(c_));
  EXPECT_EQ(Names(c_).size(), 2u);
  archive().Edit(swap);
  EXPECT_TRUE(Refresh(c_));
  EXPECT_GT(List(c_)->fresh_for_ms, 0);
}

TEST_F(LmdbCatalog, AnEmptyFirstAnswerIsAskedAgainSoon) {
  archive().AnswerEmpty();
  const auto empty = List(c_);
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->listing->entries.empty());
  EXPECT_LE(empty->fresh_for_ms, options_.negative_ttl_ms);
  archive().Recover();
  Fill(archive(), "C", 1, 1);
  Advance(options_.negative_ttl_ms);
  Names(c_);
  EXPECT_EQ(Names(c_).size(), 1u);
}

TEST_F(LmdbCatalog, AShorterListIsBelievedWhenItIsRepeatedAfterAPause) {
  Fill(archive(), "C", 3, 1);
  Names(c_);
  Names(p0_);
  archive().Edit([](auto&, auto& patients, auto&, auto&) { patients.erase(patients.begin()); });
  EXPECT_TRUE(Refresh(c_));
  EXPECT_EQ(Names(c_).size(), 3u);
  EXPECT_LE(List(c_)->fresh_for_ms, options_.negative_ttl_ms) << "asked again soon";
  Advance(options_.negative_ttl_ms - 1);
  EXPECT_TRUE(Refresh(c_));
  EXPECT_EQ(Names(c_).size(), 3u) << "too early";
  EXPECT_TRUE(changes_.empty());
  Advance(1);
  EXPECT_TRUE(Refresh(c_));
  EXPECT_EQ(Names(c_), (Names_{"P0001", "P0002"}));
  EXPECT_EQ(catalog_->Series(p0_.Child("1.0", 0).Child("2.0.0", 0)).error().code, Errc::kNotFound)
      << "what was below is gone too";
}

TEST_F(LmdbCatalog, AShortAnswerForgetsNothingAndTheNextWholeOneStartsAnew) {
  Fill(archive(), "C", 3, 1);
  archive().AddCollection("D");
  Names(root_);
  Names(c_);
  std::vector<source::CollectionRecord> all;
  const auto cut = [&](auto& collections, auto&, auto&, auto&) {
    all = collections;
    collections.pop_back();
  };
  const auto whole = [&](auto& collections, auto&, auto&, auto&) { collections = all; };
  archive().Edit(cut);
  EXPECT_TRUE(Refresh(root_));
  EXPECT_EQ(Names(root_), (Names_{"C", "D"}));
  archive().Edit(whole);
  Advance(options_.negative_ttl_ms);
  EXPECT_TRUE(Refresh(root_));
  EXPECT_EQ(List(root_)->fresh_for_ms, kTtlMs);
  archive().Edit(cut);
  EXPECT_TRUE(Refresh(root_));
  EXPECT_EQ(Names(root_), (Names_{"C", "D"})) << "it had come back in between";
  EXPECT_TRUE(changes_.empty());
  // A real removal is seen with nobody asking for it: by renewals behind.
  for (int renewal = 0; renewal < 2; ++renewal) {
    Advance(options_.negative_ttl_ms);
    Names(root_);
  }
  EXPECT_EQ(Names(root_), (Names_{"C"}));
}

TEST_F(LmdbCatalog, ASeriesMissingOnceStaysAndItsPatientIsAskedForAgainSoon) {
  Fill(archive(), "C", 1, 3);
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  archive().Edit([](auto&, auto&, auto& series, auto&) { series.pop_back(); });
  EXPECT_TRUE(Refresh(study));
  EXPECT_EQ(Names(study).size(), 3u);
  EXPECT_LE(List(p0_)->fresh_for_ms, options_.negative_ttl_ms);
  Advance(options_.negative_ttl_ms);
  Names(study);
  EXPECT_EQ(Names(study), (Names_{"2.0.0", "2.0.1"})) << "renewed behind";
  EXPECT_EQ(List(study)->fresh_for_ms, kTtlMs);
}

TEST_F(LmdbCatalog, InstancesFewerThanTheSeriesHasAreNotBelievedAtOnce) {
  Fill(archive(), "C", 1, 1);
  const ObjectPath series = p0_.Child("1.0", 0).Child("2.0.0", 0);
  Names(p0_);
  EXPECT_EQ(Names(series).size(), 2u);
  archive().Edit([](auto&, auto&, auto&, auto& instances) { instances["2.0.0"].pop_back(); });
  EXPECT_TRUE(Refresh(series));
  EXPECT_EQ(Names(series).size(), 2u);
}

TEST_F(LmdbCatalog, TellsOfAStudyWhatAnyOfItsSeriesSays) {
  source::SeriesRecord record = Series("C", "P0000", "1.0", "2.0");
  record.attributes.push_back({"AdmittingDiagnosesDescription", "sarcoma", false});
  archive().AddSeries(record);
  Names(p0_);
  const auto of_study = catalog_->AttributesOf(p0_.Child("1.0", 0));
  ASSERT_TRUE(of_study);
  EXPECT_THAT(*of_study, ::testing::Contains(
                             source::Attribute{"AdmittingDiagnosesDescription", "sarcoma", false}));
}

TEST_F(LmdbCatalog, RenewalsNobodyWaitsForAreLimitedPerServer) {
  testing::FakeSource& other = AddServer("other.example");
  Fill(archive(0), "C", 100, 1);
  Fill(other, "D", 1, 1);
  archive(0).set_capabilities({});
  const ObjectPath d = root_.Child("D", 1);
  Names(c_);
  Names(d);
  for (int p = 0; p < 100; ++p) Names(c_.Child(PatientName(p), 0));
  Advance(kTtlMs);
  archive(0).HoldAnswers();
  for (int p = 0; p < 100; ++p) Names(c_.Child(PatientName(p), 0));
  EXPECT_EQ(archive(0).held(), 64u);
  const int asked = other.calls().patients;
  Names(d);
  EXPECT_EQ(other.calls().patients, asked + 1);
  archive(0).HoldAnswers(false);
  archive(0).Release();
  Drain();
  EXPECT_EQ(List(c_.Child(PatientName(99), 0))->fresh_for_ms, 0);
  EXPECT_EQ(List(c_.Child(PatientName(99), 0))->fresh_for_ms, kTtlMs) << "the next access";
}

TEST_F(LmdbCatalog, ANewVersionOfASeriesIsAChangeAndOutdatesItsInstances) {
  Fill(archive(), "C", 1, 2);
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  Names(study.Child("2.0.0", 0));
  const int instance_calls = archive().calls().instances;
  archive().Edit([](auto&, auto&, auto& series, auto& instances) {
    series[0].version.image_count = 1;
    series[1].attributes[0].value = "MR";  // another record, the same version
    instances["2.0.0"].pop_back();
  });
  Advance(1);
  EXPECT_TRUE(Refresh(study));
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].directory, study);
  EXPECT_THAT(changes_[0].changed, ElementsAre("2.0.0"));
  EXPECT_EQ(catalog_->Series(study.Child("2.0.1", 0))->attributes[0].value, "MR");
  EXPECT_EQ(List(study.Child("2.0.0", 0))->fresh_for_ms, 0);
  EXPECT_EQ(archive().calls().instances, instance_calls + 1);
  EXPECT_EQ(Names(study.Child("2.0.0", 0)).size(), 1u);
  EXPECT_GT(List(study.Child("2.0.1", 0))->fresh_for_ms, 0);
}

TEST_F(LmdbCatalog, LeavesOutRowsOfOthersAndIdsThatAreNoNames) {
  Fill(archive(), "C", 1, 1);
  archive().AddPatient({source::CollectionId("c"), source::PatientId("Q"), {}});
  archive().AddPatient({source::CollectionId("C"), source::PatientId(""), {}});
  archive().AddPatient({source::CollectionId("C"), source::PatientId(std::string(300, 'x')), {}});
  archive().AddSeries(Series("C", "p0000", "1.7", "2.7"));
  archive().AddSeries(Series("C", "P0000", "1.7", ""));
  archive().AddSeries(Series("C", "P0000", "", "2.8"));
  archive().IgnoreFilters();
  EXPECT_EQ(Names(c_), (Names_{"P0000"}));
  EXPECT_EQ(Names(p0_), (Names_{"1.0"}));
}

TEST_F(LmdbCatalog, AClockSetBackMakesListingsStaleNotEternal) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  clock_.Advance(-kTtlMs);
  archive().HoldAnswers();
  EXPECT_EQ(List(c_)->fresh_for_ms, 0);
  EXPECT_EQ(archive().held(), 1u);
}

TEST_F(LmdbCatalog, OfflineServesWhatIsStored) {
  Fill(archive(), "C", 2, 1);
  Names(c_);
  archive().FailWith(Errc::kOffline, "offline");
  Advance(kTtlMs);
  EXPECT_EQ(Names(c_).size(), 2u);
  EXPECT_EQ(List(p0_).error().code, Errc::kOffline);
  EXPECT_TRUE(Lookup(c_, "P0001"));
  EXPECT_EQ(Lookup(c_, "nobody").error().code, Errc::kNotFound);
}

TEST_F(LmdbCatalog, WhatFailedBeforeTheServerRecoveredIsAskedAgain) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  archive().FailWith(Errc::kUnavailable, "dead");
  EXPECT_FALSE(List(p0_));
  archive().Recover();
  EXPECT_FALSE(List(p0_)) << "answered from memory";
  archive().SetRecoveredAt(clock_.MonotonicMs());
  EXPECT_TRUE(List(p0_));
  EXPECT_EQ(catalog_->LastError(p0_), "");
}

TEST_F(LmdbCatalog, ARefusalIsNotRemembered) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  archive().FailWith(Errc::kUnreachable, "not answering");
  EXPECT_EQ(List(p0_).error().code, Errc::kUnreachable);
  EXPECT_EQ(catalog_->LastError(p0_), "not answering");
  archive().Recover();
  EXPECT_TRUE(List(p0_));
}

TEST_F(LmdbCatalog, RefreshAsksHoweverFresh) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  EXPECT_TRUE(Refresh(c_));
  EXPECT_EQ(archive().calls().patients, 2);
  EXPECT_TRUE(Refresh(p0_.Child("1.0", 0)));
  EXPECT_EQ(archive().calls().patient_series, 1);
  archive().FailWith(Errc::kPermission, "not for you");
  EXPECT_EQ(Refresh(root_).error().code, Errc::kPermission);
  EXPECT_TRUE(catalog_->Health()[0].reachable) << "who refuses is there";
}

TEST_F(LmdbCatalog, DestructionEndsWhoeverWaits) {
  archive().HoldAnswers();
  const auto slot = StartList(c_);
  Drain();
  catalog_.reset();
  ASSERT_TRUE(slot->has_value());
  EXPECT_EQ((*slot)->error().code, Errc::kCancelled);
  archive().Release();
  Drain();
}

// --- instances

TEST_F(LmdbCatalog, AsksInstancesOfAllSeriesOfThePatientAtOnce) {
  Fill(archive(), "C", 3, 4);
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  EXPECT_EQ(Names(study.Child("2.0.2", 0)), (Names_{"2.0.2.1.dcm", "2.0.2.2.dcm"}));
  EXPECT_EQ(archive().last_instances_query().size(), 4u);
  EXPECT_EQ(archive().last_instances_query()[0].series.text(), "2.0.2");
  EXPECT_EQ(Names(study.Child("2.0.3", 0)).size(), 2u);
  EXPECT_EQ(archive().calls().instances, 1);
  const auto entry = Lookup(study.Child("2.0.1", 0), "2.0.1.1.dcm");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->entry.size_bytes, 500);
}

TEST_F(LmdbCatalog, ASeriesLeftOutOfALargeAnswerIsAskedAlone) {
  Fill(archive(), "C", 1, 3);
  archive().Edit([](auto&, auto&, auto&, auto& instances) { instances["2.0.1"].clear(); });
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  Names(study.Child("2.0.0", 0));
  archive().Edit([](auto&, auto&, auto&, auto& instances) {
    instances["2.0.1"] = {{source::SopUid("9.9"), 1}};
  });
  EXPECT_EQ(Names(study.Child("2.0.1", 0)), (Names_{"9.9.dcm"}));
  EXPECT_EQ(archive().last_instances_query().size(), 1u);
}

TEST_F(LmdbCatalog, AWaiterOfASeriesLeftOutIsNotFailedByIt) {
  Fill(archive(), "C", 1, 2);
  archive().Edit([](auto&, auto&, auto&, auto& instances) { instances["2.0.1"].clear(); });
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  archive().HoldAnswers();
  const auto first = StartList(study.Child("2.0.0", 0));
  Drain();
  const auto second = StartList(study.Child("2.0.1", 0));
  Drain();
  EXPECT_EQ(archive().held(), 1u);
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  EXPECT_TRUE(first->has_value() && **first);
  ASSERT_TRUE(second->has_value());
  EXPECT_TRUE(**second) << "asked alone, an empty answer is an answer";
  EXPECT_EQ(archive().calls().instances, 2);
}

TEST_F(LmdbCatalog, TheWantedSeriesLeftOutIsAskedAlone) {
  Fill(archive(), "C", 1, 3);
  const ObjectPath study = p0_.Child("1.0", 0);
  Names(study);
  archive().Edit([](auto&, auto&, auto&, auto& instances) { instances["2.0.1"].clear(); });
  archive().HoldAnswers();
  const auto slot = StartList(study.Child("2.0.1", 0));
  Drain();
  archive().Release();
  Drain();
  ASSERT_FALSE(slot->has_value()) << "asked alone";
  EXPECT_EQ(archive().last_instances_query().size(), 1u);
  EXPECT_EQ(Names(study.Child("2.0.0", 0)).size(), 2u) << "the others were stored";
  archive().FailWith(Errc::kUnavailable, "it burns");
  archive().Release();
  Drain();
  ASSERT_TRUE(slot->has_value());
  EXPECT_EQ((*slot)->error().code, Errc::kUnavailable);
  archive().Recover();
  archive().HoldAnswers(false);
  archive().Edit([](auto&, auto&, auto&, auto& instances) {
    instances["2.0.1"] = {{source::SopUid("9.9"), 1}};
  });
  Advance(options_.retry_after_failure_ms);
  EXPECT_EQ(Names(study.Child("2.0.1", 0)), (Names_{"9.9.dcm"}));
}

// --- several servers

class Servers : public CatalogFixture {
 protected:
  void SetUp() override {
    AddServer("nlst.example");
    Fill(archive(0), "C", 1, 1);
    Fill(archive(1), "NLST", 1, 1);
    archive(1).AddCollection("C");
  }
};

TEST_F(Servers, TheFirstConfiguredWinsAName) {
  const auto root = List(root_);
  ASSERT_TRUE(root);
  ASSERT_EQ(root->listing->entries.size(), 2u);
  EXPECT_EQ(root->listing->Find("C")->server, 0u);
  EXPECT_EQ(root->listing->Find("NLST")->server, 1u);
  EXPECT_EQ(Lookup(root_, "NLST")->entry.server, 1u);
  EXPECT_EQ(Lookup(root_, "nope").error().code, Errc::kNotFound);
  EXPECT_EQ(archive(0).calls().collections + archive(1).calls().collections, 2);
  EXPECT_EQ(Names(root_.Child("NLST", 1)).size(), 1u);
}

TEST_F(Servers, ALateServerIsNotWaitedForLongAndJoinsLater) {
  archive(1).HoldAnswers();
  const auto slot = StartList(root_);
  Drain();
  EXPECT_FALSE(slot->has_value()) << "it has its time";
  Advance(options_.server_patience_ms);
  ASSERT_TRUE(slot->has_value() && **slot);
  EXPECT_EQ((**slot)->listing->entries.size(), 1u);
  EXPECT_LE((**slot)->fresh_for_ms, 1'000);
  EXPECT_EQ(Names(root_).size(), 1u) << "and does not get it anew";
  archive(1).Release();
  Drain();
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].directory, ObjectPath{});
  EXPECT_THAT(changes_[0].added, ElementsAre("NLST"));
  EXPECT_EQ(Names(root_), (std::vector<std::string>{"C", "NLST"}));
}

TEST_F(Servers, ADeadServerTakesNothingFromTheOthers) {
  archive(0).FailWith(Errc::kUnavailable, "down");
  EXPECT_EQ(Names(root_), (std::vector<std::string>{"C", "NLST"})) << "C through the other";
  EXPECT_FALSE(catalog_->Health()[0].reachable);
  EXPECT_TRUE(catalog_->Health()[1].reachable);
  EXPECT_THAT(catalog_->LastError(root_), HasSubstr("down"));
  EXPECT_EQ(Lookup(root_, "nope").error().code, Errc::kUnavailable) << "the dead one may have it";
  EXPECT_EQ(Lookup(root_, "NLST")->entry.server, 1u);
}

TEST_F(Servers, AllDeadIsTheErrorOfTheFirst) {
  archive(0).FailWith(Errc::kTimedOut, "one");
  archive(1).FailWith(Errc::kPermission, "two");
  EXPECT_EQ(List(root_).error().code, Errc::kTimedOut);
  archive(0).Recover();
  archive(1).Recover();
  Advance(options_.retry_after_failure_ms);
  EXPECT_EQ(Names(root_).size(), 2u);
}

// --- the store

TEST_F(LmdbCatalog, TheStoreRemembersSmallThings) {
  EXPECT_EQ(store_->Load("api|x"), "");
  ASSERT_TRUE(store_->Save("api|x", "v4"));
  Reopen();
  EXPECT_EQ(store_->Load("api|x"), "v4");
  const std::string longest(kMemoryKeyBytesMax, 'k');
  ASSERT_TRUE(store_->Save(longest, "v2"));
  EXPECT_EQ(store_->Load(longest), "v2");
  EXPECT_EQ(store_->Save(longest + "k", "v2").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(store_->Load(longest + "k"), "");
}

// --- limits

class CatalogLimits : public CatalogFixture {
 protected:
  void SetUp() override {
    options_.rows_of_answer_max = 3;
    CatalogFixture::SetUp();
  }
};

TEST_F(CatalogLimits, AnIdThatCannotBeAFileNameIsLeftOut) {
  archive().AddCollection(std::string(kNameBytesMax, 'x'));
  archive().AddCollection(std::string(kNameBytesMax + 1, 'x'));
  // Percent-encoded it is three times as long.
  archive().AddCollection(std::string(kNameBytesMax / 3, '/'));
  archive().AddCollection(std::string(kNameBytesMax / 3 + 1, '/'));
  const auto names = Names(root_);
  ASSERT_EQ(names.size(), 2u);
  for (const auto& name : names) EXPECT_EQ(name.size(), kNameBytesMax);
}

TEST_F(CatalogLimits, PatientsOfOneAnswer) {
  Fill(archive(), "C", 3, 1);
  EXPECT_EQ(Names(c_).size(), 3u);
  Fill(archive(), "D", 4, 1);
  EXPECT_EQ(List(root_.Child("D", 0)).error().code, Errc::kUnavailable);
}

TEST_F(CatalogLimits, SeriesOfOneAnswer) {
  Fill(archive(), "C", 1, 3);
  EXPECT_EQ(Names(p0_.Child("1.0", 0)).size(), 3u);
  Fill(archive(), "D", 1, 4);
  EXPECT_EQ(List(root_.Child("D", 0).Child("P0000", 0)).error().code, Errc::kUnavailable);
}

TEST_F(CatalogLimits, RenewalsBehind) {
  constexpr auto kCollections = static_cast<int>(kRenewalsBehindMax) + 1;
  const auto path = [&](int number) { return root_.Child("C" + std::to_string(number), 0); };
  for (int i = 0; i < kCollections; ++i) {
    Fill(archive(), "C" + std::to_string(i), 1, 1);
    EXPECT_EQ(Names(path(i)).size(), 1u);
  }
  EXPECT_EQ(archive().calls().patients, kCollections);
  Advance(options_.ttl_ms + 1);
  archive().HoldAnswers();
  for (int i = 0; i < kCollections; ++i) EXPECT_EQ(Names(path(i)).size(), 1u) << "stale, at once";
  EXPECT_EQ(archive().calls().patients, kCollections + static_cast<int>(kRenewalsBehindMax));
  archive().HoldAnswers(false);
  archive().Release();
  Drain();
  EXPECT_EQ(Names(path(kCollections - 1)).size(), 1u);
  EXPECT_EQ(archive().calls().patients, 2 * kCollections) << "the next access asks";
}

TEST_F(CatalogLimits, FailuresRemembered) {
  FailureMemory failures(3);
  const auto key = [](int number) { return RootKey(std::to_string(number)); };
  for (int i = 0; i < 3; ++i) failures.Remember(key(i), {Errc::kTimedOut, "late"}, 1, 1'000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(failures.Last(key(i))) << i;
  failures.Remember(key(3), {Errc::kTimedOut, "late"}, 1, 1'000);
  EXPECT_FALSE(failures.Last(key(0))) << "the oldest goes";
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(failures.Last(key(i))) << i;
}

TEST_F(CatalogLimits, InstancesOfOneAnswer) {
  const auto add = [&](const std::string& collection, int instances) {
    std::vector<source::InstanceRecord> records;
    for (int i = 0; i < instances; ++i)
      records.push_back({source::SopUid("3." + std::to_string(i)), 100});
    archive().AddCollection(collection);
    archive().AddPatient({source::CollectionId(collection), source::PatientId("P"), {}});
    archive().AddSeries(Series(collection, "P", "1.1", "2." + collection, instances), records);
    return root_.Child(collection, 0).Child("P", 0).Child("1.1", 0).Child("2." + collection, 0);
  };
  EXPECT_EQ(Names(add("C", 3)).size(), 3u);
  EXPECT_EQ(List(add("D", 4)).error().code, Errc::kUnavailable);
}

TEST_F(LmdbCatalog, ADamagedStoreIsSetAside) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  Close();
  {
    std::FILE* file = std::fopen(directory_.File("data.mdb").c_str(), "r+b");
    ASSERT_NE(file, nullptr);
    const std::string garbage(64 << 10, 'x');
    std::fwrite(garbage.data(), 1, garbage.size(), file);
    std::fclose(file);
  }
  Reopen();
  EXPECT_TRUE(std::filesystem::exists(directory_.File("catalog.set-aside.mdb")));
  EXPECT_EQ(Names(c_).size(), 1u);
}

// 24 keys with values of the usual lengths; UIDs of 64 characters.
source::SeriesRecord RealisticSeries(int patient, int number) {
  const std::string prefix = "1.3.6.1.4.1.14519.5.2.1.7009.9004.1";
  const auto uid = [&](int study, int series) {
    return fmt::format("{}{:09}{:09}{:011}", prefix, patient * 7919 % 1000003, study, series);
  };
  source::SeriesRecord record;
  record.collection = source::CollectionId("Soft-tissue-Sarcoma");
  record.patient = source::PatientId(fmt::format("STS_{:06}", patient));
  record.study = source::StudyUid(uid(1 + number / 5, 0));
  record.series = source::SeriesUid(uid(1 + number / 5, number + 1));
  record.version = {"2015-05-27T17:12:21", 48, 25'273'786};
  record.modified_s = 1'432'746'741;
  const auto text = [&](const char* name, std::string value) {
    record.attributes.push_back({name, std::move(value), false});
  };
  text("SeriesInstanceUID", record.series.text());
  text("StudyInstanceUID", record.study.text());
  text("Modality", "MR");
  text("ProtocolName", "324-58-2995/6");
  text("SeriesDate", "2003-12-12 00:00:00.0");
  text("SeriesDescription", fmt::format("{}. AXIAL T1 BOTH LEGS - RESEARCH", number));
  text("BodyPartExamined", "EXTREMITY");
  record.attributes.push_back({"SeriesNumber", std::to_string(number), true});
  text("Collection", record.collection.text());
  text("Site", "McGill University Montreal");
  text("PatientID", record.patient.text());
  text("PatientSex", "F");
  text("PatientAge", "061Y");
  text("Manufacturer", "GE MEDICAL SYSTEMS");
  text("ManufacturerModelName", "GENESIS_SIGNA");
  text("SoftwareVersions", "LightSpeedApps2.4.2_H2.4M5");
  record.attributes.push_back({"ImageCount", "48", true});
  text("TimeStamp", "2015-05-27 17:12:21.0");
  text("LicenseName", "Creative Commons Attribution 3.0 Unported License");
  text("LicenseURI", "http://creativecommons.org/licenses/by/3.0/");
  text("CollectionURI", "https://doi.org/10.7937/K9/TCIA.2015.7GO2GSKS");
  record.attributes.push_back({"FileSize", "25273786", true});
  text("DateReleased", "2015-05-27 17:12:21.0");
  text("StudyDesc", "MRI LT LEG +C");
  return record;
}

TEST_F(LmdbCatalog, ASeriesTakesLittleRoom) {
  constexpr int kPatients = 400, kSeries = 10;
  // In an order of the archive's own.
  for (int i = 0; i < kPatients * kSeries; ++i) {
    const int shuffled = i * 1'237 % (kPatients * kSeries);
    archive().AddSeries(RealisticSeries(shuffled / kSeries, shuffled % kSeries));
  }
  const ObjectPath collection = root_.Child("Soft-tissue-Sarcoma", 0);
  for (const char* patient : {"STS_000000", "STS_000100", "STS_000200"})
    ASSERT_TRUE(List(collection.Child(patient, 0)));
  ASSERT_EQ(archive().calls().bulk, 1);
  const int64_t per_series = store_->used_bytes() / (kPatients * kSeries);
  RecordProperty("bytes_per_series", static_cast<int>(per_series));
  EXPECT_LE(per_series, 700);
}

TEST_F(LmdbCatalog, AccountsDoNotShareListings) {
  Fill(archive(), "C", 1, 1);
  Names(c_);
  archives_[0] = std::make_unique<testing::FakeSource>("fake.example", "https://fake|alice");
  Reopen();
  EXPECT_TRUE(Names(c_).empty());
  EXPECT_EQ(archive().calls().patients, 1);
}

}  // namespace
}  // namespace tciafs::catalog
