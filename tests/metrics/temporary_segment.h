#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/segment.h"

namespace reqtrail {

/// A folder of the test's own in shared memory, removed with it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string path = "/dev/shm/reqtrail-test-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) path = "/nonexistent";
    path_ = path;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string Join(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Options for a small segment `test` in this folder.
inline SegmentOptions OptionsIn(const TemporaryDirectory& directory) {
  return {.service = "test", .directory = directory.path(), .capacity_bytes = 8UL << 20U, .max_series = 1000};
}

/// Opens a segment; a refusal fails the test with its message and gives nullptr.
inline std::unique_ptr<Segment> OpenOrFail(const SegmentOptions& options) {
  Result<std::unique_ptr<Segment>> segment = Segment::Open(options);
  if (segment.ok()) return std::move(segment).value();
  ADD_FAILURE() << segment.error().message;
  return nullptr;
}

/// Makes a family; a refusal fails the test with its message.
inline Family FamilyOrFail(Segment& segment, const FamilySpec& spec) {
  Result<Family> family = segment.GetOrCreateFamily(spec);
  if (family.ok()) return family.value();
  ADD_FAILURE() << family.error().message;
  return {};
}

inline CounterHandle CounterOf(const Family& family, const std::vector<std::string_view>& values) {
  return family.Counter(values);
}

inline HistogramHandle HistogramOf(const Family& family, const std::vector<std::string_view>& values) {
  return family.Histogram(values);
}

}  // namespace reqtrail
