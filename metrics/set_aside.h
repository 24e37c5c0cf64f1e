#pragma once

#include <string>

namespace reqtrail {

/// Renames the file `name` in the open directory to `<name>.bad-<unix seconds>`, so that somebody can look at it, and
/// removes the older ones so that they do not pile up. 0 or an errno.
[[nodiscard]] int SetAside(int directory, const std::string& name);

}  // namespace reqtrail
