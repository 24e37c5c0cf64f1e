// The Accept header of a scrape, which anybody may send: no more than that it is read without a fault, and that what it
// does not name is not chosen.
#include <cstdint>
#include <string>

#include "metrics/accept.h"
#include "tests/fuzz/expect.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string header(reinterpret_cast<const char*>(data), size);
  const reqtrail::ExpositionFormat format = reqtrail::ChooseFormat(header);
  REQTRAIL_EXPECT(!reqtrail::ContentType(format).empty());
  for (char& byte : header) byte = static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
  if (header.find("openmetrics") == std::string::npos) REQTRAIL_EXPECT(format == reqtrail::ExpositionFormat::kText);
  return 0;
}
