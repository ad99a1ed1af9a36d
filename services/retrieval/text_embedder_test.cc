// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/text_embedder.h"

#include <atomic>
#include <future>
#include <thread>

#include "libs/testing/status_matchers.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::StatusIs;

// Notes when two calls are inside it at once, and how many texts a call has.
class WatchfulEmbedder : public FakeEmbedder {
 public:
  WatchfulEmbedder(std::atomic<bool>* overlapped, std::atomic<size_t>* most_texts)
      : overlapped_(overlapped), most_texts_(most_texts) {}
  absl::StatusOr<std::vector<std::vector<float>>> Embed(
      const std::vector<std::string>& texts) override {
    if (inside_.exchange(true)) *overlapped_ = true;
    if (texts.size() > *most_texts_) *most_texts_ = texts.size();
    auto vectors = FakeEmbedder::Embed(texts);
    inside_ = false;
    return vectors;
  }

 private:
  std::atomic<bool> inside_{false};
  std::atomic<bool>* overlapped_;
  std::atomic<size_t>* most_texts_;
};

TEST(TextEmbedderTest, OneCallAtATimeInSmallBatchesAndInOrder) {
  std::atomic<bool> overlapped{false};
  std::atomic<size_t> most_texts{0};
  telemetry::Metrics metrics;
  TextEmbedder embedder(std::make_unique<WatchfulEmbedder>(&overlapped, &most_texts), &metrics);
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back(std::to_string(i));
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      const auto vectors = embedder.Embed(texts, [] { return false; });
      ASSERT_OK(vectors);
      ASSERT_EQ(vectors->size(), texts.size());
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ((*vectors)[i], FakeEmbedder::VectorOf(texts[i]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
  EXPECT_LE(most_texts, 16u);
}

// Its first call waits to be released.
class HeldEmbedder : public FakeEmbedder {
 public:
  HeldEmbedder(std::shared_future<void> release, std::vector<size_t>* batches)
      : release_(std::move(release)), batches_(batches) {}
  absl::StatusOr<std::vector<std::vector<float>>> Embed(
      const std::vector<std::string>& texts) override {
    if (batches_->empty()) release_.wait();
    batches_->push_back(texts.size());
    return FakeEmbedder::Embed(texts);
  }

 private:
  const std::shared_future<void> release_;
  std::vector<size_t>* const batches_;
};

TEST(TextEmbedderTest, CallsThatWaitTogetherAreEmbeddedTogether) {
  std::promise<void> release;
  std::vector<size_t> batches;
  telemetry::Metrics metrics;
  TextEmbedder embedder(std::make_unique<HeldEmbedder>(release.get_future().share(), &batches),
                        &metrics);
  const auto never = [] { return false; };
  std::vector<std::future<std::vector<float>>> results;
  const auto start = [&](const std::string& text) {
    results.push_back(std::async(std::launch::async, [&embedder, &never, text] {
      return embedder.Embed({text}, never).value()[0];
    }));
  };
  const telemetry::Gauge* waiting = metrics.GetGauge("dki_retrieval_embed_waiting_texts", "");
  for (int i = 0; i < 20; ++i) start(std::to_string(i));
  while (waiting->value() < 4) std::this_thread::yield();  // the first turn took 1 to 16 of them
  release.set_value();
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(results[static_cast<size_t>(i)].get(), FakeEmbedder::VectorOf(std::to_string(i)));
  size_t n_texts = 0;
  for (const size_t batch : batches) n_texts += batch;
  EXPECT_EQ(n_texts, 20u);
  EXPECT_LT(batches.size(), 20u);
  EXPECT_EQ(waiting->value(), 0);
}

TEST(TextEmbedderTest, StopsWhenCancelled) {
  telemetry::Metrics metrics;
  TextEmbedder embedder(std::make_unique<FakeEmbedder>(), &metrics);
  int asked = 0;
  EXPECT_THAT(embedder.Embed(std::vector<std::string>(100, "a"), [&] { return ++asked > 2; }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace dki::retrieval
