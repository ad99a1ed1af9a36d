// SPDX-License-Identifier: Apache-2.0
#include "libs/telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <utility>

#include "libs/base/mutex.h"

namespace dki::telemetry {
namespace {

class PrometheusCounter : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter* counter) : counter_(counter) {}
  void Increment(double by) override { counter_->Increment(by); }
  double value() const override { return counter_->Value(); }

 private:
  prometheus::Counter* counter_;
};

class PrometheusGauge : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_->Set(value); }
  double value() const override { return gauge_->Value(); }

 private:
  prometheus::Gauge* gauge_;
};

class PrometheusHistogram : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_->Observe(value); }

 private:
  prometheus::Histogram* histogram_;
};

const prometheus::Histogram::BucketBoundaries& SecondsBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
      0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};
  return buckets;
}

template <typename T>
using ByNameAndLabels = std::map<std::pair<std::string, Labels>, std::unique_ptr<T>>;

}  // namespace

struct Metrics::State {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  Mutex mutex;
  ByNameAndLabels<Counter> counters ABSL_GUARDED_BY(mutex);
  ByNameAndLabels<Gauge> gauges ABSL_GUARDED_BY(mutex);
  ByNameAndLabels<Histogram> histograms ABSL_GUARDED_BY(mutex);
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter* Metrics::GetCounter(const std::string& name, const std::string& help,
                             const Labels& labels) {
  MutexLock lock(&state_->mutex);
  std::unique_ptr<Counter>& slot = state_->counters[{name, labels}];
  if (slot == nullptr) {
    auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(*state_->registry);
    slot = std::make_unique<PrometheusCounter>(&family.Add(labels));
  }
  return slot.get();
}

Gauge* Metrics::GetGauge(const std::string& name, const std::string& help, const Labels& labels) {
  MutexLock lock(&state_->mutex);
  std::unique_ptr<Gauge>& slot = state_->gauges[{name, labels}];
  if (slot == nullptr) {
    auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(*state_->registry);
    slot = std::make_unique<PrometheusGauge>(&family.Add(labels));
  }
  return slot.get();
}

Histogram* Metrics::GetHistogram(const std::string& name, const std::string& help,
                                 const Labels& labels) {
  MutexLock lock(&state_->mutex);
  std::unique_ptr<Histogram>& slot = state_->histograms[{name, labels}];
  if (slot == nullptr) {
    auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(*state_->registry);
    slot = std::make_unique<PrometheusHistogram>(&family.Add(labels, SecondsBuckets()));
  }
  return slot.get();
}

std::string Metrics::Expose() const {
  return prometheus::TextSerializer().Serialize(state_->registry->Collect());
}

std::shared_ptr<prometheus::Registry> Metrics::registry() const {
  return state_->registry;
}

}  // namespace dki::telemetry
