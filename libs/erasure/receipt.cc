// SPDX-License-Identifier: Apache-2.0
#include "libs/erasure/receipt.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "libs/base/sha256.h"

namespace dki::erasure {
namespace {

constexpr char kPurpose[] = "dki erasure 1";
constexpr char kReceiptFormat[] = "dki erasure receipt 1";
constexpr char kKeyringFormat[] = "dki keyring 1";

// Keys in the order of writing.
using Json = nlohmann::ordered_json;

std::string Hash(const std::string& bytes) {
  Sha256 digest;
  digest.Update(bytes);
  return digest.FinishBytes();
}

std::string Base64(const std::string& bytes) {
  return absl::Base64Escape(bytes);
}

// The string under `name`, decoded; "" where there is none: then the text is not what Render gives.
std::string Decoded(const Json& json, const char* name) {
  std::string bytes;
  if (!json.is_object() || !json.contains(name) || !json[name].is_string()) return "";
  if (!absl::Base64Unescape(json[name].get<std::string>(), &bytes)) return "";
  return bytes;
}

std::string Text(const Json& json, const char* name) {
  if (!json.is_object() || !json.contains(name) || !json[name].is_string()) return "";
  return json[name].get<std::string>();
}

Json ToJson(const v1::SignedBytes& bytes) {
  return {{"payload", Base64(bytes.payload())}, {"signature", Base64(bytes.signature())}};
}

v1::SignedBytes SignedFrom(const Json& json) {
  v1::SignedBytes bytes;
  bytes.set_payload(Decoded(json, "payload"));
  bytes.set_signature(Decoded(json, "signature"));
  return bytes;
}

Json Parse(const std::string& text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string Written(const Json& json) {
  // Invalid UTF-8 in a name would throw otherwise.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status CheckReport(const v1::ErasureStatement& statement,
                         const v1::ErasureStatement::Part& part, const v1::SignedBytes& bytes,
                         const Keyring& keys, v1::ServiceReport* report) {
  if (Hash(bytes.payload()) != part.sha256()) {
    return DataLoss("the report of %s is not the one that the statement names", part.service());
  }
  if (!IsSigned(keys, part.service(), bytes)) {
    return DataLoss("the report of %s is not signed by a known key of it", part.service());
  }
  const bool belongs =
      report->ParseFromString(bytes.payload()) && report->service() == part.service() &&
      report->erasure_id() == statement.erasure_id() &&
      report->tenant_id() == statement.tenant_id() && report->position() >= statement.position();
  if (!belongs) return DataLoss("the report of %s is of something else", part.service());
  return absl::OkStatus();
}

}  // namespace

v1::SignedBytes Sign(const SigningKey& key, std::string payload) {
  v1::SignedBytes bytes;
  bytes.set_signature(key.Sign(kPurpose + payload));
  bytes.set_payload(std::move(payload));
  return bytes;
}

bool IsSigned(const Keyring& keys, const std::string& service, const v1::SignedBytes& bytes) {
  return std::any_of(keys.begin(), keys.end(), [&](const v1::PublicKey& key) {
    return key.service() == service &&
           IsSignedBy(key.key(), kPurpose + bytes.payload(), bytes.signature());
  });
}

v1::Receipt MakeReceipt(const SigningKey& key, v1::ErasureStatement statement,
                        const std::vector<v1::SignedBytes>& reports) {
  v1::Receipt receipt;
  for (const v1::SignedBytes& bytes : reports) {
    v1::ServiceReport report;
    report.ParseFromString(bytes.payload());
    v1::ErasureStatement::Part* part = statement.add_parts();
    part->set_service(report.service());
    part->set_sha256(Hash(bytes.payload()));
    *receipt.add_reports() = bytes;
  }
  *receipt.mutable_statement() = Sign(key, statement.SerializeAsString());
  return receipt;
}

absl::StatusOr<VerifiedReceipt> Verify(const v1::Receipt& receipt, const Keyring& keys) {
  if (!IsSigned(keys, kStore, receipt.statement())) {
    return DataLoss("the statement is not signed by a known key of %s", kStore);
  }
  VerifiedReceipt verified;
  const v1::ErasureStatement& statement = verified.statement;
  if (!verified.statement.ParseFromString(receipt.statement().payload())) {
    return DataLoss("the statement does not parse");
  }
  if (statement.parts_size() != receipt.reports_size()) {
    return DataLoss("the statement names %d reports, the receipt has %d", statement.parts_size(),
                    receipt.reports_size());
  }
  for (int i = 0; i < statement.parts_size(); ++i) {
    DKI_RETURN_IF_ERROR(CheckReport(statement, statement.parts(i), receipt.reports(i), keys,
                                    &verified.reports.emplace_back()));
  }
  return verified;
}

std::string RenderReceipt(const v1::Receipt& receipt) {
  Json reports = Json::array();
  for (const v1::SignedBytes& bytes : receipt.reports()) reports.push_back(ToJson(bytes));
  return Written({{"format", kReceiptFormat},
                  {"statement", ToJson(receipt.statement())},
                  {"reports", std::move(reports)}});
}

absl::StatusOr<v1::Receipt> ParseReceipt(const std::string& text) {
  const Json json = Parse(text);
  if (Text(json, "format") != kReceiptFormat || !json.contains("statement") ||
      !json.contains("reports")) {
    return DataLoss("not a receipt of an erasure");
  }
  v1::Receipt receipt;
  *receipt.mutable_statement() = SignedFrom(json["statement"]);
  for (const Json& report : json["reports"]) *receipt.add_reports() = SignedFrom(report);
  if (RenderReceipt(receipt) != text) return DataLoss("the receipt is not as it was written");
  return receipt;
}

std::string RenderKeyring(const Keyring& keys) {
  Json list = Json::array();
  for (const v1::PublicKey& key : keys) {
    list.push_back({{"service", key.service()}, {"key", Base64(key.key())}});
  }
  return Written({{"format", kKeyringFormat}, {"keys", std::move(list)}});
}

absl::StatusOr<Keyring> ParseKeyring(const std::string& text) {
  const Json json = Parse(text);
  if (Text(json, "format") != kKeyringFormat || !json.contains("keys")) {
    return DataLoss("not a keyring");
  }
  Keyring keys;
  for (const Json& entry : json["keys"]) {
    v1::PublicKey& key = keys.emplace_back();
    key.set_service(Text(entry, "service"));
    key.set_key(Decoded(entry, "key"));
  }
  if (RenderKeyring(keys) != text) return DataLoss("the keyring is not as it was written");
  return keys;
}

}  // namespace dki::erasure
