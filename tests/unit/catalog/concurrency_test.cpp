// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The catalog under real threads: many callers, interrupts, renewals and its end at once. What it
// finds, it finds with a sanitizer; the assertions are that everybody is answered, once.
#include <atomic>
#include <latch>
#include <random>
#include <thread>

#include "unit/catalog/catalog_fixture.h"

namespace tciafs::catalog {
namespace {

class Concurrency : public CatalogFixture {};

TEST_F(Concurrency, EverybodyIsAnsweredOnce) {
  constexpr int kThreads = 4, kCalls = 150;
  Fill(archive(), "C", 60, 2);
  Close();
  std::atomic<int> answers = 0;
  {
    WorkerPool pool("test", 3);
    TimerThread timers;
    const SystemClock clock;
    auto store = CatalogStore::Open(directory_.path());
    ASSERT_TRUE(store);
    options_.bulk_patience_ms = 1;
    options_.ttl_ms = 20;  // so that renewals go on all the time
    auto catalog = OpenCatalog(options_, *store, {&archive()}, clock, pool, timers);
    ASSERT_TRUE(catalog);
    (*catalog)->OnChange([](const Change&) {});
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        for (int i = 0; i < kCalls; ++i) {
          const int p = static_cast<int>(random() % 60);
          const ObjectPath patient = c_.Child(PatientName(p), 0);
          const ObjectPath study = patient.Child("1." + std::to_string(p), 0);
          const std::string series = "2." + std::to_string(p) + ".1";
          std::stop_source stop;
          const auto count = [&](const auto&) { ++answers; };
          switch (random() % 6) {
            case 0:
              (*catalog)->List({}, stop.get_token(), count);
              break;
            case 1:
              (*catalog)->List(c_, stop.get_token(), count);
              break;
            case 2:
              (*catalog)->List(patient, stop.get_token(), count);
              break;
            case 3:
              (*catalog)->Lookup(study, series, stop.get_token(), count);
              break;
            case 4:
              (*catalog)->List(study.Child(series, 0), stop.get_token(), count);
              break;
            case 5:
              (*catalog)->Refresh(patient, stop.get_token(), count);
              break;
          }
          if (i % 5 == 0) stop.request_stop();
          (void)(*catalog)->Series(study.Child(series, 0));
          (void)(*catalog)->Health();
          (void)(*catalog)->LastError(patient);
        }
      });
    }
    for (auto& thread : threads) thread.join();
    catalog->reset();  // answers whoever still waits
    EXPECT_EQ(answers, kThreads * kCalls);
  }
}

// What is stored between two looks of one lookup is not missed.
TEST_F(Concurrency, ANameThatArrivesWhileItIsLookedUpIsThere) {
  Fill(archive(), "C", 1, 1);
  Close();
  for (int round = 0; round < 100; ++round) {
    const testing::TempDirectory directory;
    WorkerPool pool("test", 2);
    TimerThread timers;
    const SystemClock clock;
    auto store = CatalogStore::Open(directory.path());
    ASSERT_TRUE(store);
    auto catalog = OpenCatalog(options_, *store, {&archive()}, clock, pool, timers);
    ASSERT_TRUE(catalog);
    std::atomic<int> absent = 0;
    (*catalog)->List({}, {}, [](const auto&) {});
    for (int i = 0; i < 50; ++i)
      (*catalog)->Lookup({}, "C", {}, [&](const Result<LookupAnswer>& answer) {
        if (!answer && answer.error().code == Errc::kNotFound) ++absent;
      });
    catalog->reset();
    EXPECT_EQ(absent, 0) << round;
  }
}

TEST_F(Concurrency, EndsWhileABulkIsStored) {
  Fill(archive(), "C", 300, 4);
  archive().SetBulk(10);
  Close();
  for (int round = 0; round < 5; ++round) {
    WorkerPool pool("test", 3);
    TimerThread timers;
    const SystemClock clock;
    auto store = CatalogStore::Open(directory_.path());
    ASSERT_TRUE(store);
    auto catalog = OpenCatalog(options_, *store, {&archive()}, clock, pool, timers);
    ASSERT_TRUE(catalog);
    std::atomic<int> answers = 0;
    for (int p = 0; p < 5; ++p)
      (*catalog)->List(c_.Child(PatientName(p), 0), {}, [&](const auto&) { ++answers; });
    catalog->reset();
    EXPECT_EQ(answers, 5);
  }
}

}  // namespace
}  // namespace tciafs::catalog
