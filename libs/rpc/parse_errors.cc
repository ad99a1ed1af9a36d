// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/parse_errors.h"

#include <google/protobuf/stubs/logging.h>

#include <mutex>
#include <string>

#include "libs/telemetry/log.h"

namespace dki::rpc {
namespace {

// The field that protobuf last complained about on this thread: it tells by its log alone.
thread_local std::string refused_field;

constexpr char kNotUtf8[] = "contains invalid UTF-8 data when parsing";

void OnProtobufLog(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  if (message.find(kNotUtf8) != std::string::npos) {
    // "String field 'dki.x.v1.Message.text' contains ..."
    const size_t begin = message.find('\'');
    const size_t end = message.find('\'', begin + 1);
    if (end != std::string::npos) refused_field = message.substr(begin + 1, end - begin - 1);
    return;
  }
  if (level >= google::protobuf::LOGLEVEL_ERROR) log::Error("protobuf", {{"detail", message}});
}

class ParseErrorInterceptor : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Hook = grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      // Ours always have words.
      if (status.error_code() == grpc::StatusCode::INTERNAL && status.error_message().empty()) {
        const std::string what = refused_field.empty()
                                     ? "the request is not a message of this method"
                                     : refused_field + ": must be valid UTF-8";
        refused_field.clear();
        methods->ModifySendStatus(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, what));
      }
    }
    methods->Proceed();
  }
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new ParseErrorInterceptor;
  }
};

}  // namespace

std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
ParseErrorInterceptors() {
  static std::once_flag once;
  std::call_once(once, [] { google::protobuf::SetLogHandler(&OnProtobufLog); });
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
  creators.push_back(std::make_unique<Factory>());
  return creators;
}

}  // namespace dki::rpc
