// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Whom the transport trusts. The server's certificate is made here, for 127.0.0.1, signed by
// itself.
#include <gtest/gtest.h>
#include <httplib.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "support/fakes.h"
#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class TransportTlsTest : public TransportTest {
 protected:
  void SetUp() override {
    key_.reset(EVP_EC_gen("P-256"));
    certificate_.reset(X509_new());
    ASSERT_TRUE(key_ && certificate_);
    X509_set_version(certificate_.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_.get()), 3600);
    X509_set_pubkey(certificate_.get(), key_.get());
    X509_NAME* name = X509_get_subject_name(certificate_.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("tciafs test"), -1, -1, 0);
    X509_set_issuer_name(certificate_.get(), name);
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate_.get(), names, -1);
    X509_EXTENSION_free(names);
    ASSERT_GT(X509_sign(certificate_.get(), key_.get(), EVP_sha256()), 0);

    tls_server_ = std::make_unique<httplib::SSLServer>(certificate_.get(), key_.get());
    tls_server_->Get("/a", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("private", "text/plain");
    });
    port_ = tls_server_->bind_to_any_port("127.0.0.1");
    ASSERT_GT(port_, 0);
    listener_ = std::thread([this] { tls_server_->listen_after_bind(); });
    while (!tls_server_->is_running()) std::this_thread::yield();  // stop() needs it
  }
  void TearDown() override {
    transport_.reset();
    tls_server_->stop();
    listener_.join();
  }
  Request GetSecurely() {
    Request request = Get("/a");
    request.url = "https://127.0.0.1:" + std::to_string(port_) + "/a?token=secret";
    return request;
  }
  std::string CertificateFile() {
    const std::string path = directory_.File("ca.pem");
    FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate_.get());
    std::fclose(file);
    return path;
  }

  struct OpenSslDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  std::unique_ptr<EVP_PKEY, OpenSslDeleter> key_;
  std::unique_ptr<X509, OpenSslDeleter> certificate_;
  std::unique_ptr<httplib::SSLServer> tls_server_;
  int port_ = 0;
  std::thread listener_;
  TempDirectory directory_;
};

TEST_F(TransportTlsTest, AnUnknownCertificateIsRefusedAndSaysSo) {
  EXPECT_EQ(FailureOf(GetSecurely()),
            Prefix(Errc::kUnavailable) +
                "TLS certificate not accepted: SSL certificate problem: self-signed certificate");
}

TEST_F(TransportTlsTest, ACertificateFromTheGivenFileIsTrusted) {
  options_.ca_file = CertificateFile();
  const auto handler = Run(GetSecurely());
  ASSERT_TRUE(handler->Wait()) << handler->Wait().error().message;
  EXPECT_EQ(handler->body(), "private");
}

TEST_F(TransportTlsTest, TheNameMustMatch) {
  options_.ca_file = CertificateFile();
  Request request = GetSecurely();
  request.url = "https://localhost:" + std::to_string(port_) + "/a";
  EXPECT_TRUE(Contains(FailureOf(request), "localhost: TLS certificate not accepted: "));
}

TEST_F(TransportTlsTest, AMissingFileOfAuthoritiesIsNamed) {
  options_.ca_file = directory_.File("missing.pem");
  const std::string failure = FailureOf(GetSecurely());
  EXPECT_TRUE(failure.starts_with(Prefix(Errc::kInvalidArgument))) << failure;
}

TEST_F(TransportTlsTest, AServerThatSpeaksNoTlsIsTriedAgainAndNamed) {
  server_.Greet("HTTP/1.1 400 Bad Request\r\n\r\n");
  Request request = Get("/a");
  request.url = "https://127.0.0.1:" + std::to_string(server_.port()) + "/a";
  const std::string failure = FailureOf(request);
  EXPECT_TRUE(failure.starts_with(Prefix(Errc::kUnavailable) + "TLS handshake failed: "))
      << failure;
  EXPECT_FALSE(Contains(failure, "secret"));
}

}  // namespace
}  // namespace tciafs::http
