// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/retrieval_service.h"

#include <algorithm>
#include <string>
#include <vector>

#include "libs/rpc/call.h"
#include "services/retrieval/validate.h"

namespace dki::retrieval {
namespace {

using rpc::Call;
using rpc::Requirement;

// Before the client's deadline, so that it learns why.
constexpr std::chrono::milliseconds kAnswerMargin(20);

Patience PatienceOf(const Call& call, const RetrievalService::Options& options) {
  const std::chrono::milliseconds max_wait = options.max_feed_wait;
  Patience patience;
  patience.on_wait = options.on_wait;
  patience.until = std::chrono::steady_clock::now() + max_wait;
  // Infinite deadlines would overflow a sum, so the comparison comes first.
  const auto now = std::chrono::system_clock::now();
  if (call.deadline() < now + max_wait) {
    patience.until = std::chrono::steady_clock::now() + (call.deadline() - now) - kAnswerMargin;
  }
  patience.is_cancelled = [&call] { return call.IsCancelled(); };
  return patience;
}

absl::Status CheckTenant(const Call& call) {
  if (call.caller().tenant_id.empty()) return InvalidArgument("the call acts for no tenant");
  return absl::OkStatus();
}

TenantIndexes::Query QueryOf(const v1::SearchRequest& request, const std::string& tenant_id,
                             const search::RankingOptions& ranking) {
  TenantIndexes::Query query;
  query.ranking = ranking;
  if (request.has_word_weight()) {
    query.ranking.word_weight = static_cast<double>(request.word_weight());
  }
  query.without_duplicates = request.without_duplicates();
  query.tenant_id = tenant_id;
  query.k = request.k();
  if (request.has_threshold()) query.threshold = request.threshold();
  query.scope = {request.scope().user_id(), request.scope().session_id(),
                 request.scope().agent_id()};
  query.tag = request.tag();
  query.ids.insert(request.memory_ids().begin(), request.memory_ids().end());
  query.min_position = request.min_position();
  return query;
}

std::vector<std::string> TextsOf(const std::vector<search::WeightedText>& weighted) {
  std::vector<std::string> texts;
  for (const search::WeightedText& text : weighted) texts.push_back(text.text);
  return texts;
}

}  // namespace

grpc::Status RetrievalService::Embed(grpc::ServerContext* context, const v1::EmbedRequest* request,
                                     v1::EmbedResponse* response) {
  return rpc::Handle(
      *runtime_, context, "Embed", Requirement::ClusterOnly(),
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(Validate(*request));
        const std::vector<std::string> texts(request->texts().begin(), request->texts().end());
        DKI_ASSIGN_OR_RETURN(const auto vectors,
                             embedder_->Embed(texts, [&] { return call.IsCancelled(); }));
        for (const std::vector<float>& vector : vectors) {
          response->add_embeddings()->set_values(vector.data(), vector.size() * sizeof(float));
        }
        response->set_embedding_fingerprint(embedder_->fingerprint());
        response->set_dimension(embedder_->dimension());
        return absl::OkStatus();
      });
}

grpc::Status RetrievalService::Search(grpc::ServerContext* context,
                                      const v1::SearchRequest* request,
                                      v1::SearchResponse* response) {
  return rpc::Handle(
      *runtime_, context, "Search", Requirement::ClusterOnly(),
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(CheckTenant(call));
        DKI_RETURN_IF_ERROR(Validate(*request));
        TenantIndexes::Query query = QueryOf(*request, call.caller().tenant_id, options_.ranking);
        const std::vector<std::string> recent(request->recent().begin(), request->recent().end());
        const std::vector<search::WeightedText> texts =
            search::ExpandQuestion(request->query(), recent);
        DKI_ASSIGN_OR_RETURN(const auto vectors,
                             embedder_->Embed(TextsOf(texts), [&] { return call.IsCancelled(); }));
        query.vector = search::MeanVector(texts, vectors);
        query.words = search::MakeWordQuery(texts);
        DKI_ASSIGN_OR_RETURN(const TenantIndexes::Result result,
                             indexes_->Search(query, PatienceOf(call, options_)));
        for (const RankedHit& hit : result.hits) {
          v1::SearchResponse::Hit* out = response->add_hits();
          out->set_memory_id(hit.memory_id);
          out->set_version(hit.version);
          out->set_cosine(hit.cosine);
          out->set_word_score(static_cast<float>(hit.word_share));
          out->set_score(static_cast<float>(hit.score));
          out->mutable_duplicate_ids()->Add(hit.duplicate_ids.begin(), hit.duplicate_ids.end());
        }
        response->set_n_below_threshold(result.n_below_threshold);
        response->set_n_recent_used(static_cast<int>(texts.size()) - 1);
        response->set_position(result.position);
        response->set_embedding_fingerprint(embedder_->fingerprint());
        return absl::OkStatus();
      });
}

grpc::Status RetrievalService::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                         v1::GetStatusResponse* response) {
  return rpc::Handle(*runtime_, context, "GetStatus", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckTenant(call));
                       const auto status = indexes_->StatusOf(call.caller().tenant_id);
                       response->set_position(status.position);
                       response->set_n_memories(status.n_memories);
                       response->set_embedding_fingerprint(embedder_->fingerprint());
                       return absl::OkStatus();
                     });
}

}  // namespace dki::retrieval
