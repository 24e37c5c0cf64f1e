#pragma once

#include <string_view>

#include "core/text_buffer.h"

namespace reqtrail {

/// What becomes of characters outside ASCII.
enum class JsonCharset : unsigned char {
  kUtf8,   ///< kept, but those that some reader takes for the end of a line (U+0085, U+2028, U+2029) are escaped
  kAscii,  ///< escaped, for a stream that can write nothing else
};

/// Appends `text` as a JSON string, quotes included: always valid JSON, always one line. `text` should be UTF-8; a byte
/// that is not part of it becomes U+FFFD, and so does a surrogate that was encoded on its own (Python's
/// "surrogatepass"). Throws std::bad_alloc.
void AppendJsonString(TextBuffer& out, std::string_view text, JsonCharset charset);

/// Appends `value` with the fewest digits that read back the same. JSON has no NaN and no infinity: they become null.
void AppendJsonNumber(TextBuffer& out, double value);
void AppendJsonNumber(TextBuffer& out, long long value);

}  // namespace reqtrail
