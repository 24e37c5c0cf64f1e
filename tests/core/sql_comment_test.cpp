#include "core/sql_comment.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "tests/core/sql_comment_model.h"

namespace reqtrail {
namespace {

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";
const std::string kTraceparent = "00-" + std::string(kTrace) + "-b7ad6b7169203331-01";

model::Answer Found(std::string_view sql, bool backslash_escapes = false) {
  const SqlCommentId found = FindRequestId(sql, backslash_escapes);
  if (found.source == SqlCommentId::Source::kNone) return {};
  EXPECT_TRUE(MayNameRequestId(sql)) << sql;
  EXPECT_EQ(found.size == 0, found.fault != nullptr);
  const bool by_key = found.source == SqlCommentId::Source::kRequestId;
  return {.kind = by_key ? "request_id" : "traceparent", .id = std::string(found.View())};
}

std::string Id(std::string_view sql) { return Found(sql).id; }

TEST(SqlComment, NamesTheIdFirstOrLast) {
  for (const char* sql : {
           "/* request_id: x */ SELECT 1",
           "/*request_id:x*/SELECT 1",
           "  \n/*  request_id  :  x  */ SELECT 1",
           "-- by hand\n/* request_id: x */ SELECT 1",
           "/* other */ /* request_id: x */ SELECT 1",
           "SELECT 1 /* request_id: x */",
           "SELECT 1/*request_id:x*/",
           "SELECT 1 /* request_id: x */;",
           "SELECT 1; /* request_id: x */ ;\n",
           "SELECT 1 -- why\n /* request_id: x */",
           "SELECT 1 /* request_id: x */ /* other */",
           "/* application: shop, request_id: x, line: 3 */ SELECT 1",
           "SELECT 1 /*controller='a%2Cb',request_id='x',route='%2Ff'*/",
           "SELECT 1 /* a = 'it\\'s, request_id=no', request_id = 'x' */",
           "SELECT 1 /* request_id='%78' */",
           "/* request_id: x */",
       }) {
    EXPECT_EQ(Id(sql), "x") << sql;
  }
}

TEST(SqlComment, InTheMiddleNamesNothing) {
  for (const char* sql : {
           "SELECT /* request_id: x */ 1",
           "SELECT 1 /* request_id: x */ + 1",
           "SELECT 1 /* request_id: x */; SELECT 2",
           "SELECT 1 /* request_id: x */ -- last",
           "; /* request_id: x */ SELECT 1",
       }) {
    EXPECT_EQ(Found(sql), model::Answer{}) << sql;
  }
}

TEST(SqlComment, InAStringOrAnotherCommentNamesNothing) {
  for (const char* sql : {
           "SELECT '/* request_id: x */'",
           "SELECT 'it''s /* request_id: x */'",
           "SELECT E'\\' /* request_id: x */'",
           "SELECT e'a'\n  '\\' /* request_id: x */'",
           "SELECT $$ /* request_id: x */ $$",
           "SELECT $a$ $$ ' /* request_id: x */$a$",
           "SELECT \"/* request_id: x */\"",
           "SELECT 1 -- /* request_id: x */",
           "-- /* request_id: x */\nSELECT 1",
           "SELECT 1 /* outer /* request_id: x */ */",
           "/* outer /* request_id: x */ */ SELECT 1",
           "SELECT 1 /* request_id: x",
           "/* request_id: x",
           "SELECT 1 */ request_id: x */",
           "SELECT '/* request_id: x */",
           "/*/ request_id: x */ SELECT 1",
       }) {
    EXPECT_EQ(Found(sql), model::Answer{}) << sql;
  }
}

TEST(SqlComment, IsFoundBehindStringsOfEveryKind) {
  for (const char* before : {
           "'a'",          "'it''s'",
           "E'\\''",       "E'\\\\'",
           "E'a'\n'\\''",  "b'1' 'a'",
           "x'1f'",        "n'a'",
           R"(U&'\0041')", R"(U&"d\0041")",
           "$$'$$",        "$a$ $b$ ' $a$",
           R"("a""b'")",   "'--'",
           "$1",           "a$b$ c",
           "a$$ b",        "e",
           "E 'a\\'",      "1.5",
           "'\\'",         "3 */ 4",
           "a -- it's\n",  "a--$$\n",
           "/* it's */ a", "/* /* ' */ */ a",
           "'/*'",
       }) {
    EXPECT_EQ(Id(std::string("SELECT ") + before + " /* request_id: x */"), "x") << before;
  }
}

TEST(SqlComment, BackslashesEscapeWhereTheServerSaysSo) {
  const std::string open_by_standard = R"(SELECT 'a\' /* request_id: x */)";
  EXPECT_EQ(Found(open_by_standard, false).id, "x");
  EXPECT_EQ(Found(open_by_standard, true), model::Answer{});
  EXPECT_EQ(Found(R"(SELECT b'a\' /* request_id: x */)", true).id, "x");
}

TEST(SqlComment, OfTraceparentGivesTheTraceId) {
  EXPECT_EQ(Id("SELECT 1 /*traceparent='" + kTraceparent + "'*/"), kTrace);
  EXPECT_EQ(Id("SELECT 1 /*traceparent='" + kTraceparent + "',tracestate='a%3Db'*/"), kTrace);
  EXPECT_EQ(Id("/* traceparent: " + kTraceparent + " */ SELECT 1"), kTrace);
  const SqlCommentId bad = FindRequestId("SELECT 1 /*traceparent='00-1-2-3'*/", false);
  EXPECT_EQ(bad.source, SqlCommentId::Source::kTraceparent);
  EXPECT_STREQ(bad.fault, "it is no W3C traceparent");
  EXPECT_EQ(Id("SELECT 1 /*traceparent='cc-" + kTraceparent.substr(3) + "-" + std::string(150, 'f') + "'*/"), kTrace);
}

TEST(SqlComment, RequestIdGoesBeforeTraceparentAndFrontBeforeEnd) {
  const std::string trace = "/*traceparent='" + kTraceparent + "'*/";
  EXPECT_EQ(Id(trace + " SELECT 1 /* request_id: x */"), "x");
  EXPECT_EQ(Id("SELECT 1 /* request_id: x */ " + trace), "x");
  EXPECT_EQ(Id("SELECT 1 /*traceparent='" + kTraceparent + "',request_id='x'*/"), "x");
  EXPECT_EQ(Id("/* request_id: x */ SELECT 1 /* request_id: y */"), "x");
  EXPECT_EQ(Id("/* request_id: x */ /* request_id: y */ SELECT 1"), "x");
  EXPECT_EQ(Id("SELECT 1 /* request_id: y */ /* request_id: x */"), "x");
  EXPECT_EQ(Id("SELECT 1 /* request_id: x, request_id: y */"), "x");
}

TEST(SqlComment, WithABadIdSaysWhatIsWrong) {
  const auto fault = [](const std::string& sql) {
    const SqlCommentId found = FindRequestId(sql, false);
    EXPECT_EQ(found.source, SqlCommentId::Source::kRequestId) << sql;
    return std::string(found.fault == nullptr ? "" : found.fault);
  };
  EXPECT_EQ(fault("SELECT 1 /* request_id: */"), Describe(RequestIdFault::kEmpty));
  EXPECT_EQ(fault("SELECT 1 /* request_id: a b */"), Describe(RequestIdFault::kForbiddenByte));
  EXPECT_EQ(fault("SELECT 1 /* request_id='a%20b' */"), Describe(RequestIdFault::kForbiddenByte));
  EXPECT_EQ(fault("SELECT 1 /* request_id='a%2' */"), Describe(RequestIdFault::kForbiddenByte));
  EXPECT_EQ(fault("SELECT 1 /* request_id: " + std::string(129, 'a') + " */"), Describe(RequestIdFault::kTooLong));
  EXPECT_EQ(fault("SELECT 1 /* request_id='" + std::string(999, 'a') + "' */"), Describe(RequestIdFault::kTooLong));
  EXPECT_EQ(fault("SELECT 1 /* request_id='" + std::string(128, 'a') + "' */"), "");
}

TEST(SqlComment, OtherKeysNameNothing) {
  for (const char* body :
       {"request_ids: x", "my_request_id: x", "request id: x", "handles request_id: x", "REQUEST_ID: x", "request_id=x",
        "request_id 'x'", "request_id", "route='request_id: x'", "a='b", "a='\\", ""}) {
    EXPECT_EQ(Found("SELECT 1 /*" + std::string(body) + "*/"), model::Answer{}) << body;
  }
}

TEST(SqlComment, IsLookedForInTheFirstAndLastTwoKilobytesOnly) {
  const std::string comment = "/* request_id: x */";
  const std::string gap(kSqlCommentWindowBytes - comment.size(), ' ');
  EXPECT_EQ(Id(gap + comment + " SELECT 1"), "x");
  EXPECT_EQ(Id(gap + " " + comment + " SELECT 1"), "");
  for (const std::size_t length : {100U, 3000U, 5000U, 1'000'000U}) {
    const std::string at_the_edge = "SELECT '" + std::string(length, 'v').append("' ").append(comment) + gap;
    EXPECT_EQ(Id(at_the_edge), "x") << length;
    EXPECT_EQ(Id(at_the_edge + " "), "") << length;
  }
}

TEST(SqlComment, AtTheEndOfALongTextIsFoundOrPassedOverButNeverInvented) {
  const std::string start = "INSERT INTO t VALUES ('" + std::string(6000, 'v') + "')";
  EXPECT_EQ(Id(start + "\n/* request_id: x */;"), "x");
  EXPECT_EQ(Id(start + " /* other */ /* request_id: x */ /* last */"), "x");
  EXPECT_EQ(Id(start + " -- why\n /* request_id: x */"), "x");
  EXPECT_EQ(Found(start + " -- /* request_id: x */"), model::Answer{});
  EXPECT_EQ(Found(start + " /* a /* b */ request_id: x */"), model::Answer{});
  EXPECT_EQ(Found(start + " /* outer /* request_id: x */ */"), model::Answer{});
  EXPECT_EQ(Found(start + ", ('/* request_id: x, ') -- */"), model::Answer{});
  EXPECT_EQ(Found(start + " /* a */* request_id: x */"), model::Answer{});
}

TEST(SqlComment, NoTextWithoutACommentAtEitherEndIsReadAtAll) {
  for (const char* sql : {"SELECT 1", "SELECT 1;", "SELECT 1 / 2", "SELECT 1 */ 2", "", "SELECT 1 ;\n", "/"}) {
    EXPECT_EQ(Found(sql), model::Answer{}) << sql;
  }
  EXPECT_FALSE(MayNameRequestId("SELECT 1;\n"));
  EXPECT_FALSE(MayNameRequestId(""));
  EXPECT_FALSE(MayNameRequestId(" \n "));
  EXPECT_FALSE(MayNameRequestId("\n  (SELECT 1)"));
  EXPECT_TRUE(MayNameRequestId("\n  -- why\n/**/ SELECT 1"));
  EXPECT_FALSE(MayNameRequestId("SELECT a / b"));
  EXPECT_TRUE(MayNameRequestId("SELECT 1 /**/;"));
}

// Texts put together from pieces that matter to the lexer, against the model.
TEST(SqlComment, AgreesWithThePlainModelOnRandomTexts) {
  constexpr std::array kPieces = {"/*",
                                  "*/",
                                  "/* request_id: x */",
                                  "/* request_id: y */",
                                  "/*request_id='a%2Db'*/",
                                  "request_id: z",
                                  "request_id='w'",
                                  "'",
                                  "''",
                                  "\"",
                                  "\\",
                                  "$$",
                                  "$a$",
                                  "$1",
                                  "E'",
                                  "e",
                                  "b'",
                                  "--",
                                  "\n",
                                  " ",
                                  ";",
                                  ",",
                                  "*",
                                  "/",
                                  "-",
                                  "a",
                                  "_",
                                  "1",
                                  "SELECT 1",
                                  "traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
                                  ":",
                                  "=",
                                  "%41",
                                  "\xC3\xA9",
                                  "/* request_id: bad id */",
                                  "/*traceparent='no'*/"};
  std::mt19937 random(20261124);  // NOLINT(cert-msc*): the same texts in each run
  int named = 0;
  for (int turn = 0; turn < 60'000; ++turn) {
    std::string sql;
    const std::size_t pieces = 1 + (random() % 12);
    for (std::size_t i = 0; i < pieces; ++i) sql += kPieces[random() % kPieces.size()];
    const bool escapes = random() % 2 == 0;
    const model::Answer expected = model::Find(sql, escapes, kSqlCommentWindowBytes);
    ASSERT_EQ(Found(sql, escapes).kind, expected.kind) << sql << "\nescapes " << escapes;
    ASSERT_EQ(Found(sql, escapes).id, expected.id) << sql << "\nescapes " << escapes;
    named += expected.kind == "none" ? 0 : 1;
  }
  EXPECT_GT(named, 5'000);
}

TEST(RequestIdComment, IsFoundAgainForEveryIdAndEmptyForWhatIsNone) {
  for (const std::string& id : {std::string("x"), std::string("a--b"), std::string(128, '-'), std::string("A.b_C-9")}) {
    const std::string comment(RequestIdComment(id).View());
    EXPECT_EQ(comment, "/* request_id: " + id + " */");
    EXPECT_EQ(Id("SELECT 1 " + comment), id);
    EXPECT_EQ(Id(comment + " SELECT 1"), id);
  }
  for (const std::string& id : {std::string(), std::string("*/"), std::string("a */ DROP TABLE t --"),
                                std::string("/*"), std::string(129, 'x'), std::string("a\0b", 3)}) {
    EXPECT_EQ(RequestIdComment(id).View(), "");
  }
}

}  // namespace
}  // namespace reqtrail
