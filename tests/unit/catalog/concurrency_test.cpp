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

class Concurrency : public CatalogFixture {
 protected:
  // A catalog on threads and a clock of its own; null if it cannot be opened.
  struct Opened {
    explicit Opened(size_t threads) : pool("test", threads) {}
    WorkerPool pool;
    TimerThread timers;
    const SystemClock clock;
    std::unique_ptr<Catalog> catalog;
  };
  std::unique_ptr<Opened> Open(const std::string& directory, size_t threads) {
    auto opened = std::make_unique<Opened>(threads);
    auto store = CatalogStore::Open(directory);
    EXPECT_TRUE(store);
    if (!store) return opened;
    auto catalog =
        OpenCatalog(options_, *store, {&archive()}, opened->clock, opened->pool, opened->timers);
    EXPECT_TRUE(catalog);
    if (catalog) opened->catalog = std::move(*catalog);
    return opened;
  }
};

TEST_F(Concurrency, EverybodyIsAnsweredOnce) {
  constexpr int kThreads = 4, kCalls = 150;
  Fill(archive(), "C", 60, 2);
  Close();
  std::atomic<int> answers = 0;
  {
    options_.bulk_patience_ms = 1;
    options_.ttl_ms = 20;  // so that renewals go on all the time
    const auto opened = Open(directory_.path(), 3);
    ASSERT_TRUE(opened->catalog);
    opened->catalog->OnChange([](const Change&) {});
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
              opened->catalog->List({}, stop.get_token(), count);
              break;
            case 1:
              opened->catalog->List(c_, stop.get_token(), count);
              break;
            case 2:
              opened->catalog->List(patient, stop.get_token(), count);
              break;
            case 3:
              opened->catalog->Lookup(study, series, stop.get_token(), count);
              break;
            case 4:
              opened->catalog->List(study.Child(series, 0), stop.get_token(), count);
              break;
            case 5:
              opened->catalog->Refresh(patient, stop.get_token(), count);
              break;
          }
          if (i % 5 == 0) stop.request_stop();
          (void)opened->catalog->Series(study.Child(series, 0));
          (void)opened->catalog->Health();
          (void)opened->catalog->LastError(patient);
        }
      });
    }
    for (auto& thread : threads) thread.join();
    opened->catalog.reset();  // answers whoever still waits
    EXPECT_EQ(answers, kThreads * kCalls);
  }
}

// What is stored between two looks of one lookup is not missed.
TEST_F(Concurrency, ANameThatArrivesWhileItIsLookedUpIsThere) {
  Fill(archive(), "C", 1, 1);
  Close();
  for (int round = 0; round < 100; ++round) {
    const testing::TempDirectory directory;
    const auto opened = Open(directory.path(), 2);
    ASSERT_TRUE(opened->catalog);
    std::atomic<int> absent = 0;
    opened->catalog->List({}, {}, [](const auto&) {});
    for (int i = 0; i < 50; ++i)
      opened->catalog->Lookup({}, "C", {}, [&](const Result<LookupAnswer>& answer) {
        if (!answer && answer.error().code == Errc::kNotFound) ++absent;
      });
    opened->catalog.reset();
    EXPECT_EQ(absent, 0) << round;
  }
}

TEST_F(Concurrency, EndsWhileABulkIsStored) {
  Fill(archive(), "C", 300, 4);
  archive().SetBulk(10);
  Close();
  for (int round = 0; round < 5; ++round) {
    const auto opened = Open(directory_.path(), 3);
    ASSERT_TRUE(opened->catalog);
    std::atomic<int> answers = 0;
    for (int p = 0; p < 5; ++p)
      opened->catalog->List(c_.Child(PatientName(p), 0), {}, [&](const auto&) { ++answers; });
    opened->catalog.reset();
    EXPECT_EQ(answers, 5);
  }
}

}  // namespace
}  // namespace tciafs::catalog
