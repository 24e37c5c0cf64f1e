// The id in the headers of a request, against its definition in plain words. The input is one header a line, the name
// up to the first ":".
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/incoming_id.h"
#include "tests/fuzz/expect.h"

namespace reqtrail {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers Split(const std::string& text) {
  Headers headers;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    const std::size_t colon = std::min(line.find(':'), line.size());
    headers.emplace_back(line.substr(0, colon), colon == line.size() ? "" : line.substr(colon + 1));
    start = end + 1;
  }
  return headers;
}

std::string Lower(std::string text) {
  for (char& byte : text) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(std::tolower(byte));
  }
  return text;
}

std::vector<std::string> ValuesOf(const Headers& headers, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& [given, value] : headers) {
    if (Lower(given) == name) values.push_back(value);
  }
  return values;
}

void Check(const Headers& headers) {
  IncomingId incoming("x-request-id");
  for (const auto& [name, value] : headers) incoming.Offer(name, value);
  const std::vector<std::string> ids = ValuesOf(headers, "x-request-id");
  const bool taken = ids.size() == 1 && IsRequestId(ids[0]);
  REQTRAIL_EXPECT(incoming.Id() == (taken ? ids[0] : ""));
  REQTRAIL_EXPECT(incoming.IsRejected() == (!ids.empty() && !taken));
  const std::vector<std::string> traceparents = ValuesOf(headers, "traceparent");
  const bool traced = traceparents.size() == 1 && ParseTraceparent(traceparents[0]).has_value();
  REQTRAIL_EXPECT(incoming.Trace().has_value() == traced);
  if (traced) REQTRAIL_EXPECT(IsRequestId(incoming.Trace()->trace_id));
}

void CheckList(const std::string& list) {
  bool expected = false;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t end = std::min(list.find(',', start), list.size());
    std::string item = list.substr(start, end - start);
    item.erase(0, item.find_first_not_of(" \t"));
    item.erase(item.find_last_not_of(" \t") + 1);
    expected = expected || Lower(item) == "x-request-id";
    start = end + 1;
  }
  REQTRAIL_EXPECT(ListsHeader(list, "x-request-id") == expected);
}

}  // namespace
}  // namespace reqtrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  reqtrail::Check(reqtrail::Split(text));
  reqtrail::CheckList(text);
  return 0;
}
