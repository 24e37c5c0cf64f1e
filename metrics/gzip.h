#pragma once

#include <string>
#include <string_view>

namespace reqtrail {

/// The text as a gzip file, compressed fast rather than well. "" if zlib has no memory.
[[nodiscard]] std::string Gzip(std::string_view text);

}  // namespace reqtrail
