#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace reqtrail {

/// The shortest text that reads back as the same number; NaN, +Inf and -Inf as Prometheus writes them.
void AppendNumber(std::string& out, double number);
void AppendNumber(std::string& out, std::uint64_t number);

/// The same for the bound of a bucket, which OpenMetrics wants to see as a float: "1.0", not "1".
void AppendBound(std::string& out, double bound);

/// A Unix time in seconds with milliseconds.
void AppendSeconds(std::string& out, std::uint64_t unix_ns);

/// The text with backslashes and line feeds escaped, and quotation marks if `quotes`. What is not UTF-8 becomes U+FFFD,
/// so that one bad value does not make the whole scrape unreadable.
void AppendEscaped(std::string& out, std::string_view text, bool quotes);

}  // namespace reqtrail
