// SPDX-License-Identifier: Apache-2.0
// Purpose: counters, gauges and histograms in Prometheus form. Look one up once and keep the
// pointer: lookups lock. Thread-safety: thread-safe. Ownership: Metrics owns what it returns.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Registry;
}

namespace dki::telemetry {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Increment(double by = 1.0) = 0;
  virtual double value() const = 0;
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual double value() const = 0;
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // `name` as Prometheus wants it ("dki_kv_blocks_total"); the same name and labels give the same
  // object.
  Counter* GetCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge* GetGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  // Buckets in seconds from 100 us to 60 s.
  Histogram* GetHistogram(const std::string& name, const std::string& help,
                          const Labels& labels = {});

  // The text exposition format.
  std::string Expose() const;
  std::shared_ptr<prometheus::Registry> registry() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dki::telemetry
