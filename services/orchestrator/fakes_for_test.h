// SPDX-License-Identifier: Apache-2.0
// Purpose: the four services behind the orchestrator, as real gRPC servers in the test's process
// whose
//   behaviour a test scripts. Thread-safety: scripts are set before calls, or are atomic.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dki/audit/v1/audit_service.grpc.pb.h"
#include "dki/generation/v1/generation_service.grpc.pb.h"
#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "dki/retrieval/v1/retrieval_service.grpc.pb.h"
#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/sha256.h"

namespace dki::orchestrator {

constexpr std::chrono::seconds kTestPatience{30};

inline std::string TenantOf(const grpc::ServerContext& context) {
  const auto found = context.client_metadata().find("dki-tenant");
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

inline grpc::Status Away() {
  return {grpc::StatusCode::UNAVAILABLE, "scripted to be away"};
}

// Services on one port, which stays the same over Stop and Start.
class FakeServer {
 public:
  explicit FakeServer(std::vector<grpc::Service*> services) : services_(std::move(services)) {
    Start();
  }
  ~FakeServer() { Stop(); }
  void Start() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port_),
                             grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* service : services_) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    port_ = port;
  }
  void Stop() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  const std::vector<grpc::Service*> services_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

class FakeMemories final : public memory::v1::MemoryStoreService::Service {
 public:
  std::atomic<bool> away{false};

  std::string Add(const std::string& tenant, const memory::v1::Memory& memory) {
    MutexLock lock(&mutex_);
    return Insert(tenant, memory).id();
  }
  void Touch(const std::string& tenant, const std::string& id) {
    MutexLock lock(&mutex_);
    memory::v1::Memory& memory = memories_[tenant].at(id);
    memory.set_version(memory.version() + 1);
  }
  void Delete(const std::string& tenant, const std::string& id) {
    MutexLock lock(&mutex_);
    memories_[tenant].erase(id);
  }
  std::vector<common::v1::Message> Conversation(const std::string& id) {
    MutexLock lock(&mutex_);
    return conversations_[id];
  }
  memory::v1::CreateMemoryRequest last_create() {
    MutexLock lock(&mutex_);
    return last_create_;
  }

  grpc::Status CreateMemory(grpc::ServerContext* context,
                            const memory::v1::CreateMemoryRequest* request,
                            memory::v1::CreateMemoryResponse* response) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    last_create_ = *request;
    memory::v1::Memory memory;
    *memory.mutable_scope() = request->memory().scope();
    memory.set_text(request->memory().text());
    memory.set_source_class(request->memory().source_class());
    *response->mutable_memory() = Insert(TenantOf(*context), memory);
    response->set_created(true);
    response->set_position(response->memory().feed_position());
    return grpc::Status::OK;
  }
  grpc::Status BatchGetMemories(grpc::ServerContext* context,
                                const memory::v1::BatchGetMemoriesRequest* request,
                                memory::v1::BatchGetMemoriesResponse* response) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    for (const std::string& id : request->ids()) {
      const auto found = memories_[TenantOf(*context)].find(id);
      if (found == memories_[TenantOf(*context)].end()) continue;
      const std::string& owner = found->second.scope().user_id();
      if (request->has_viewer() && !owner.empty() && owner != request->viewer().user_id()) continue;
      *response->add_memories() = found->second;
    }
    return grpc::Status::OK;
  }
  grpc::Status ListMessages(grpc::ServerContext*, const memory::v1::ListMessagesRequest* request,
                            memory::v1::ListMessagesResponse* response) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    for (const auto& message : conversations_[request->conversation_id()]) {
      *response->add_messages() = message;
    }
    return grpc::Status::OK;
  }
  grpc::Status AppendMessages(grpc::ServerContext*,
                              const memory::v1::AppendMessagesRequest* request,
                              memory::v1::AppendMessagesResponse*) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    if (std::exchange(appended_[request->request_id()], true)) return grpc::Status::OK;
    for (const auto& message : request->messages()) {
      conversations_[request->conversation_id()].push_back(message);
    }
    return grpc::Status::OK;
  }

 private:
  memory::v1::Memory& Insert(const std::string& tenant, memory::v1::Memory memory)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++position_;
    memory.set_id(absl::StrFormat("mem_%032x", position_));
    memory.set_version(1);
    memory.set_create_position(position_);
    memory.set_feed_position(position_);
    return memories_[tenant][memory.id()] = memory;
  }

  Mutex mutex_;
  int64_t position_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::map<std::string, memory::v1::Memory>> memories_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<common::v1::Message>> conversations_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, bool> appended_ ABSL_GUARDED_BY(mutex_);
  memory::v1::CreateMemoryRequest last_create_ ABSL_GUARDED_BY(mutex_);
};

class FakeAudit final : public audit::v1::AuditService::Service {
 public:
  std::atomic<bool> away{false};
  // Asked before a decision is taken or refused.
  std::function<void()> before_decision;
  std::atomic<int> n_refused{0};
  // Called before a decision is recorded; false: a memory of it has changed.
  std::function<bool(const audit::v1::AppendDecisionRequest&)> is_current =
      [](const audit::v1::AppendDecisionRequest&) { return true; };

  // Everything recorded, in the order it came: "decision ID", "outcome ID STATUS".
  std::vector<std::string> Log() {
    MutexLock lock(&mutex_);
    return log_;
  }
  // Waits until `n` records are there.
  std::vector<std::string> WaitForLog(size_t n) {
    const auto until = std::chrono::steady_clock::now() + kTestPatience;
    MutexLock lock(&mutex_);
    while (log_.size() < n && std::chrono::steady_clock::now() < until) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
    return log_;
  }
  void EraseAnswer(const std::string& id) {
    MutexLock lock(&mutex_);
    decisions_.at(id).clear_answer_text();
  }

  grpc::Status AppendDecision(grpc::ServerContext* context,
                              const audit::v1::AppendDecisionRequest* request,
                              audit::v1::AppendDecisionResponse*) override {
    if (before_decision) before_decision();
    if (away) {
      ++n_refused;
      return Away();
    }
    MutexLock lock(&mutex_);
    const std::string& id = request->decision().decision_id();
    if (decisions_.count(id) > 0) return grpc::Status::OK;
    if (!is_current(*request)) return grpc::Status(grpc::StatusCode::ABORTED, "changed");
    *decisions_[id].mutable_decision() = request->decision();
    decisions_[id].set_query_text(request->texts(0).text());
    tenants_[id] = TenantOf(*context);
    Record("decision " + id);
    return grpc::Status::OK;
  }
  grpc::Status AppendOutcome(grpc::ServerContext*, const audit::v1::AppendOutcomeRequest* request,
                             audit::v1::AppendOutcomeResponse*) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    const std::string& id = request->outcome().decision_id();
    const auto found = decisions_.find(id);
    if (found == decisions_.end()) return {grpc::StatusCode::FAILED_PRECONDITION, "no decision"};
    if (found->second.has_outcome()) return grpc::Status::OK;
    *found->second.mutable_outcome() = request->outcome();
    found->second.set_answer_text(request->texts(0).text());
    Record("outcome " + id + " " + request->outcome().status());
    return grpc::Status::OK;
  }
  grpc::Status GetDecision(grpc::ServerContext* context,
                           const audit::v1::GetDecisionRequest* request,
                           audit::v1::GetDecisionResponse* response) override {
    if (away) return Away();
    MutexLock lock(&mutex_);
    const auto found = decisions_.find(request->decision_id());
    if (found == decisions_.end() || tenants_[found->first] != TenantOf(*context)) {
      return {grpc::StatusCode::NOT_FOUND, "no decision " + request->decision_id()};
    }
    *response->mutable_decision() = found->second;
    return grpc::Status::OK;
  }

 private:
  void Record(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    log_.push_back(line);
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, audit::v1::Decision> decisions_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> tenants_ ABSL_GUARDED_BY(mutex_);
};

class FakeTenants final : public tenant::v1::TenantService::Service {
 public:
  std::atomic<int> asked{0};

  // Secrets are "TENANT/SCOPE,SCOPE"; any of that form is good.
  grpc::Status Authenticate(grpc::ServerContext*, const tenant::v1::AuthenticateRequest* request,
                            tenant::v1::AuthenticateResponse* response) override {
    ++asked;
    const std::string& secret = request->secret();
    const size_t slash = secret.find('/');
    if (slash == std::string::npos) return {grpc::StatusCode::UNAUTHENTICATED, "unknown key"};
    response->set_tenant_id(secret.substr(0, slash));
    response->set_key_id("key_" + secret.substr(0, slash));
    for (size_t begin = slash + 1; begin < secret.size();) {
      const size_t end = std::min(secret.find(',', begin), secret.size());
      response->add_scopes(secret.substr(begin, end - begin));
      begin = end + 1;
    }
    return grpc::Status::OK;
  }
};

class FakeRetrieval final : public retrieval::v1::RetrievalService::Service {
 public:
  std::atomic<bool> away{false};
  // Answers only when the caller gives up.
  std::atomic<bool> hangs{false};

  void SetHits(std::vector<std::pair<std::string, float>> hits) {
    MutexLock lock(&mutex_);
    hits_ = std::move(hits);
  }
  std::vector<retrieval::v1::SearchRequest> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }

  grpc::Status Embed(grpc::ServerContext*, const retrieval::v1::EmbedRequest* request,
                     retrieval::v1::EmbedResponse* response) override {
    if (away) return Away();
    for (const std::string& text : request->texts()) {
      response->add_embeddings()->set_values(Sha256Hex(text).substr(0, 8));
    }
    response->set_embedding_fingerprint("embedder");
    return grpc::Status::OK;
  }
  grpc::Status Search(grpc::ServerContext* context, const retrieval::v1::SearchRequest* request,
                      retrieval::v1::SearchResponse* response) override {
    if (away) return Away();
    while (hangs && !context->IsCancelled()) std::this_thread::yield();
    MutexLock lock(&mutex_);
    requests_.push_back(*request);
    for (const auto& [id, cosine] : hits_) {
      const auto& only = request->memory_ids();
      if (!only.empty() && std::find(only.begin(), only.end(), id) == only.end()) continue;
      if (response->hits_size() == request->k()) break;
      auto* hit = response->add_hits();
      hit->set_memory_id(id);
      hit->set_version(1);
      hit->set_cosine(cosine);
    }
    response->set_position(77);
    response->set_embedding_fingerprint("embedder");
    return grpc::Status::OK;
  }

 private:
  Mutex mutex_;
  std::vector<std::pair<std::string, float>> hits_ ABSL_GUARDED_BY(mutex_);
  std::vector<retrieval::v1::SearchRequest> requests_ ABSL_GUARDED_BY(mutex_);
};

class FakeKv final : public kv::v1::KvService::Service {
 public:
  grpc::Status Prefetch(grpc::ServerContext*, const kv::v1::PrefetchRequest* request,
                        kv::v1::PrefetchResponse* response) override {
    response->set_accepted(true);
    MutexLock lock(&mutex_);
    requests_.push_back(*request);
    changed_.NotifyAll();
    return grpc::Status::OK;
  }
  grpc::Status CancelPrefetch(grpc::ServerContext*, const kv::v1::CancelPrefetchRequest* request,
                              kv::v1::CancelPrefetchResponse*) override {
    MutexLock lock(&mutex_);
    cancelled_.push_back(request->prefetch_id());
    changed_.NotifyAll();
    return grpc::Status::OK;
  }
  std::vector<std::string> WaitForCancelled(size_t n) {
    const auto until = std::chrono::steady_clock::now() + kTestPatience;
    MutexLock lock(&mutex_);
    while (cancelled_.size() < n && std::chrono::steady_clock::now() < until) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
    return cancelled_;
  }
  std::vector<kv::v1::PrefetchRequest> WaitForRequests(size_t n) {
    const auto until = std::chrono::steady_clock::now() + kTestPatience;
    MutexLock lock(&mutex_);
    while (requests_.size() < n && std::chrono::steady_clock::now() < until) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    }
    return requests_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<kv::v1::PrefetchRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> cancelled_ ABSL_GUARDED_BY(mutex_);
};

class FakeGeneration final : public generation::v1::GenerationService::Service {
 public:
  // Asked before the first text, and in mid-answer; a status other than OK ends the answer there.
  std::function<grpc::Status()> before = [] { return grpc::Status::OK; };
  std::function<grpc::Status(grpc::ServerContext*)> middle = [](grpc::ServerContext*) {
    return grpc::Status::OK;
  };
  std::vector<std::string> degraded;
  // By memory id: the share of every head in a probe; others get 0. Or a probe fails.
  std::map<std::string, double> probe_shares;
  std::atomic<bool> cannot_probe{false};

  grpc::Status Probe(grpc::ServerContext*, const generation::v1::ProbeRequest* request,
                     generation::v1::ProbeResponse* response) override {
    if (cannot_probe) return Away();
    MutexLock lock(&mutex_);
    probes_.push_back(*request);
    for (const auto& memory : request->prompt().injection().memories()) {
      auto* probed = response->add_memories();
      const auto found = probe_shares.find(memory.memory_id());
      const double share = found == probe_shares.end() ? 0.0 : found->second;
      for (int h = 0; h < request->heads_size(); ++h) probed->add_head_shares(share);
    }
    return grpc::Status::OK;
  }
  std::vector<generation::v1::GenerateRequest> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }
  std::vector<generation::v1::ProbeRequest> probes() {
    MutexLock lock(&mutex_);
    return probes_;
  }

  grpc::Status GetModel(grpc::ServerContext*, const generation::v1::GetModelRequest*,
                        generation::v1::GetModelResponse* response) override {
    response->set_name("fake");
    response->set_fingerprint("model-1");
    response->set_kv_fingerprint("model-1-avx");
    response->set_context_length(2048);
    response->set_default_system_prompt("Model's default.");
    return grpc::Status::OK;
  }
  grpc::Status Generate(grpc::ServerContext* context,
                        const generation::v1::GenerateRequest* request,
                        grpc::ServerWriter<generation::v1::GenerateResponse>* writer) override {
    {
      MutexLock lock(&mutex_);
      requests_.push_back(*request);
    }
    if (const grpc::Status status = before(); !status.ok()) return status;
    generation::v1::GenerateResponse event;
    event.mutable_started()->set_model_fingerprint("model-1");
    for (const std::string& part : degraded) event.mutable_started()->add_degraded(part);
    writer->Write(event);
    event.set_text("An ");
    writer->Write(event);
    if (const grpc::Status status = middle(context); !status.ok()) return status;
    event.set_text("answer.");
    writer->Write(event);
    auto* finished = event.mutable_finished();
    finished->set_finish_reason("stop");
    finished->mutable_usage()->set_completion_tokens(2);
    finished->add_token_ids(5);
    finished->add_token_ids(6);
    const auto& prompt = request->prompt();
    for (const auto& memory : prompt.injection().memories()) {
      auto* outcome = finished->add_memories();
      outcome->set_memory_id(memory.memory_id());
      outcome->set_attention_share(0.25);
    }
    writer->Write(event);
    return grpc::Status::OK;
  }

 private:
  Mutex mutex_;
  std::vector<generation::v1::GenerateRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<generation::v1::ProbeRequest> probes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
