#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace reqtrail {

/// The attributes of a logging.LogRecord that a log line has a place for. Those from kEndpoint to kUserId are extras
/// that carry the same name in the line, in this order. Add a name in record_attributes.cpp when you add one here.
enum RecordAttribute : std::size_t {  // NOLINT(performance-enum-size): an index
  kName,
  kMsg,
  kArgs,
  kLevelname,
  kModule,
  kFuncName,
  kLineno,
  kCreated,
  kExcInfo,
  kExcText,
  kStackInfo,
  kRequestId,
  kTraceId,
  kOrigin,
  kEndpoint,
  kMethod,
  kStatusCode,
  kDuration,
  kTask,
  kTaskId,
  kErrorType,
  kErrorMessage,
  kUserId,
  kRecordAttributes,
};

/// The name of an attribute, static.
[[nodiscard]] std::string_view NameOf(RecordAttribute attribute) noexcept;

/// What one record holds, read once, or what it would hold. Owns what it holds, because str() of one value may run code
/// that changes the record.
class RecordAttributes {
 public:
  using Extra = std::pair<pybind11::object, pybind11::object>;

  /// Reads the `__dict__` of a record. REQUIRES: the GIL, and InitRecordAttributes before. Runs no Python code. Throws
  /// std::bad_alloc.
  explicit RecordAttributes(PyObject* dict);

  /// Empty when the record has no such attribute, or None there.
  [[nodiscard]] const pybind11::object& operator[](RecordAttribute attribute) const noexcept {
    return values_[attribute];  // NOLINT(cppcoreguidelines-pro-bounds-constant-array-index): an enumerator
  }

  /// Replaces the value of an attribute.
  void Set(RecordAttribute attribute, pybind11::object value) noexcept {
    if (value.is_none()) value = pybind11::object();
    values_[attribute] = std::move(value);  // NOLINT(cppcoreguidelines-pro-bounds-constant-array-index): an enumerator
  }

  /// Adds one that has no place of its own. Throws std::bad_alloc.
  void AddExtra(pybind11::object name, pybind11::object value) {
    extras_.emplace_back(std::move(name), std::move(value));
  }

  /// What the application added under names of its own, in the order in which it did.
  [[nodiscard]] const std::vector<Extra>& extras() const noexcept { return extras_; }

 private:
  std::array<pybind11::object, kRecordAttributes> values_;
  std::vector<Extra> extras_;
};

/// Makes the table of names; it lives as long as the process. False with a Python error set.
[[nodiscard]] bool InitRecordAttributes();

}  // namespace reqtrail
