#pragma once

#include <string>

#include "metrics/result.h"
#include "metrics/unique_fd.h"

namespace reqtrail {

/// An open directory that is fit to hold segments.
struct SegmentDirectory {
  UniqueFd fd;
  std::string path;
};

/// Opens `directory`, or finds the default one if it is empty (see SegmentOptions), and makes it if it is missing.
/// The default one must belong to the effective user, be closed to everybody else and be no symbolic link; a given one
/// must not be writable by everybody unless it is sticky. kUnsafe or kSystem otherwise.
Result<SegmentDirectory> OpenSegmentDirectory(const std::string& directory);

/// The same for a directory that is held to the rules of the default one.
Result<SegmentDirectory> OpenPrivateDirectory(const std::string& path);

}  // namespace reqtrail
