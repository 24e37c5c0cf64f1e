#pragma once

#include <string_view>

namespace reqtrail {

enum class ExpositionFormat : unsigned char {
  kText,         ///< Prometheus text 0.0.4: no exemplars
  kOpenMetrics,  ///< OpenMetrics 1.0
};

/// The format that an HTTP Accept header asks for: OpenMetrics if it is named (in version 1.0.0, 0.0.1 or none) with a
/// quality above 0 and not below that of text/plain, else text. A header that makes no sense gives text.
[[nodiscard]] ExpositionFormat ChooseFormat(std::string_view accept) noexcept;

/// Whether an HTTP Accept-Encoding header takes gzip: it names it, or anything, with a quality above 0.
[[nodiscard]] bool AcceptsGzip(std::string_view accept_encoding) noexcept;

/// ASCII letters only.
[[nodiscard]] bool SameIgnoringCase(std::string_view a, std::string_view b) noexcept;

/// The value of the Content-Type header.
[[nodiscard]] std::string_view ContentType(ExpositionFormat format) noexcept;

}  // namespace reqtrail
