#include "core/request_id.h"

#include <gtest/gtest.h>

#include <string>

namespace reqtrail {
namespace {

TEST(RequestId, AcceptsTheIdsThatGeneratorsAndProxiesMake) {
  for (const char* id :
       {"a", "4f1c2b6e-8d0a-4f7e-9b1a-000000000001", "0af7651916cd43dd8448eb211c80319c", "nginx_1.22-x"}) {
    EXPECT_EQ(CheckRequestId(id), RequestIdFault::kNone) << id;
  }
}

TEST(RequestId, AcceptsExactly128BytesAndNoMore) {
  EXPECT_TRUE(IsRequestId(std::string(128, 'x')));
  EXPECT_EQ(CheckRequestId(std::string(129, 'x')), RequestIdFault::kTooLong);
}

TEST(RequestId, RefusesTheEmptyString) { EXPECT_EQ(CheckRequestId(""), RequestIdFault::kEmpty); }

TEST(RequestId, RefusesEveryByteOutsideItsAlphabet) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string id = std::string("ab") + static_cast<char>(byte) + "cd";
    const bool allowed = alphabet.find(static_cast<char>(byte)) != std::string::npos;
    EXPECT_EQ(IsRequestId(id), allowed) << "byte " << byte;
  }
}

TEST(RequestId, DescribesEachFaultWithoutQuotingTheValue) {
  EXPECT_STREQ(Describe(RequestIdFault::kNone), "");
  EXPECT_STREQ(Describe(RequestIdFault::kEmpty), "it is empty");
  EXPECT_STREQ(Describe(RequestIdFault::kTooLong), "it is longer than 128 bytes");
  EXPECT_NE(std::string(Describe(RequestIdFault::kForbiddenByte)).find("A-Z"), std::string::npos);
}

static_assert(IsRequestId("compile-time"), "usable where nothing may run, as in the extension's check hook");

}  // namespace
}  // namespace reqtrail
