// SPDX-License-Identifier: Apache-2.0
// Measures a running memory_store; for tests/bench/store.py.
//   store_bench ADDRESS CLUSTER_KEY_FILE CLIENTS SECONDS TENANTS
// Adds memories with given vectors for SECONDS, each client one after the other, the clients spread
// over the tenants; then lists 100 memories, one call at a time. It calls as the orchestrator does:
// with the cluster identity, on behalf of a tenant. Prints one JSON object.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/ids.h"
#include "libs/rpc/client.h"

namespace dki::memory_store {
namespace {

namespace v1 = ::dki::memory::v1;
using Clock = std::chrono::steady_clock;

constexpr int kDimension = 384;
constexpr int kListed = 100;
constexpr int kLists = 200;
constexpr std::chrono::milliseconds kTimeout{10'000};

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Target {
  std::string address;
  rpc::ClusterKey key;
  std::string run = NewId("bench_");  // tenants of an earlier run are others

  std::string Tenant(int i) const { return run + "_" + std::to_string(i); }
};

// A connection of its own, as each service has one.
std::unique_ptr<v1::MemoryStoreService::Stub> Connect(const Target& target, int client) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("client", client);  // else gRPC shares one connection among equal channels
  return v1::MemoryStoreService::NewStub(
      grpc::CreateCustomChannel(target.address, grpc::InsecureChannelCredentials(), arguments));
}

std::string UnitVector(std::mt19937* random) {
  std::normal_distribution<float> normal;
  std::vector<float> vector(kDimension);
  float squares = 0;
  for (float& value : vector) {
    value = normal(*random);
    squares += value * value;
  }
  for (float& value : vector) value /= std::sqrt(squares);
  return {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)};
}

void ExitUnlessOk(const grpc::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.error_message().c_str());
  std::exit(1);
}

// Adds until `end`; the milliseconds of each.
std::vector<double> Add(const Target& target, const std::string& tenant, int client,
                        Clock::time_point end) {
  const auto stub = Connect(target, client);
  std::mt19937 random(static_cast<unsigned>(client));
  std::vector<double> times;
  for (int i = 0; Clock::now() < end; ++i) {
    v1::CreateMemoryRequest request;
    request.set_request_id(NewId("add_"));
    request.mutable_memory()->mutable_scope()->set_user_id("user" + std::to_string(i % 50));
    request.mutable_memory()->set_text("Client " + std::to_string(client) + " likes the number " +
                                       std::to_string(i) + " more than any other one.");
    request.mutable_memory()->mutable_vector()->set_values(UnitVector(&random));
    request.mutable_memory()->mutable_vector()->set_embedding_fingerprint("bench");
    v1::CreateMemoryResponse response;
    const auto start = Clock::now();
    const auto context = rpc::OutgoingContext(target.key, tenant, request.request_id(), kTimeout);
    ExitUnlessOk(stub->CreateMemory(context.get(), request, &response));
    times.push_back(MillisecondsSince(start));
  }
  return times;
}

std::vector<double> List(const Target& target, const std::string& tenant) {
  const auto stub = Connect(target, -1);
  std::vector<double> times;
  for (int i = 0; i < kLists; ++i) {
    v1::ListMemoriesRequest request;
    request.set_page_size(kListed);
    v1::ListMemoriesResponse response;
    const auto start = Clock::now();
    const auto context = rpc::OutgoingContext(target.key, tenant, NewId("list_"), kTimeout);
    ExitUnlessOk(stub->ListMemories(context.get(), request, &response));
    times.push_back(MillisecondsSince(start));
    if (response.memories_size() == kListed) continue;
    std::fprintf(stderr, "the tenant has %d memories only\n", response.memories_size());
    std::exit(1);
  }
  return times;
}

double Percentile(std::vector<double> values, double share) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

int Measure(const Target& target, int n_clients, int seconds, int n_tenants) {
  std::vector<std::vector<double>> by_client(static_cast<size_t>(n_clients));
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < n_clients; ++i) {
    threads.emplace_back([&, i] {
      by_client[static_cast<size_t>(i)] =
          Add(target, target.Tenant(i % n_tenants), i, start + std::chrono::seconds(seconds));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double elapsed_ms = MillisecondsSince(start);
  std::vector<double> adds;
  for (const auto& times : by_client) adds.insert(adds.end(), times.begin(), times.end());
  const std::vector<double> lists = List(target, target.Tenant(0));
  std::printf(
      "{\"adds_per_s\": %.1f, \"add_p50_ms\": %.3f, \"add_p99_ms\": %.3f, \"list_p50_ms\": %.3f, "
      "\"list_p99_ms\": %.3f}\n",
      1000 * static_cast<double>(adds.size()) / elapsed_ms, Percentile(adds, 0.5),
      Percentile(adds, 0.99), Percentile(lists, 0.5), Percentile(lists, 0.99));
  return 0;
}

}  // namespace
}  // namespace dki::memory_store

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: store_bench ADDRESS CLUSTER_KEY_FILE CLIENTS SECONDS TENANTS\n");
    return 2;
  }
  const auto key = dki::rpc::ClusterKey::Load(argv[2]);
  if (!key.ok()) {
    std::fprintf(stderr, "%s\n", dki::ToString(key.status()).c_str());
    return 1;
  }
  return dki::memory_store::Measure({.address = argv[1], .key = *key}, std::atoi(argv[3]),
                                    std::atoi(argv[4]), std::atoi(argv[5]));
}
