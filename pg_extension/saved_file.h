#pragma once

#include <array>
#include <cstring>

#include "pg_extension/events.h"
#include "pg_extension/shard.h"

/// The file in which the statistics survive a restart: a header, records, errors, slow statements, and a checksum over
/// all of it. It is written and read on the same machine, in its byte order. Whatever the bytes are, reading them does
/// no harm: each entry is checked before it is handed on. Pure C++, for any source and target: allocates nothing.
namespace reqtrail::saved_file {

/// What a ring told about itself. The moments are TimestampTz.
struct SavedTotals {
  std::uint64_t count = 0;  // entries in the file
  std::uint64_t merged = 0;
  std::uint64_t overwritten = 0;
  std::int64_t overwritten_until = 0;
};

struct Header {
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint32_t record_bytes = 0;
  std::uint32_t error_bytes = 0;
  std::uint32_t slow_bytes = 0;
  std::int64_t stats_reset = 0;
  std::uint64_t ignored_ids = 0;
  SavedTotals recent;   // count: of all records, notable ones included
  SavedTotals notable;  // count: 0
  SavedTotals errors;
  SavedTotals slow;
};

/// What of a Record is saved; the rest belongs to the ring that it was in.
struct SavedRecord {
  RequestKey key;
  std::uint32_t unused = 0;
  Work work;
};
static_assert(std::is_trivially_copyable_v<Header> && std::is_trivially_copyable_v<SavedRecord>);

inline constexpr std::array<char, 8> kMagic = {'p', 'g', 's', 't', 'a', 't', 'r', 'q'};
/// To be raised with every change of what is written.
inline constexpr std::uint32_t kVersion = 1;

/// A header for what this build writes; the totals are the caller's.
[[nodiscard]] inline Header MakeHeader() noexcept {
  Header header;
  header.magic = kMagic;
  header.version = kVersion;
  header.record_bytes = sizeof(SavedRecord);
  header.error_bytes = sizeof(ErrorEvent);
  header.slow_bytes = sizeof(SlowEvent);
  return header;
}

/// Whether an entry is one that could have been written, and that is safe to show.
[[nodiscard]] bool IsValid(const SavedRecord& record) noexcept;
[[nodiscard]] bool IsValid(const ErrorEvent& error) noexcept;
[[nodiscard]] bool IsValid(const SlowEvent& slow) noexcept;

/// Why a header is not one that can be read; nullptr: it can.
[[nodiscard]] const char* FaultOf(const Header& header) noexcept;

class Checksum {
 public:
  void Add(const void* bytes, std::size_t size) noexcept {
    value_ = HashBytes({static_cast<const char*>(bytes), size}, value_);
  }
  [[nodiscard]] std::uint64_t Value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = kVersion;
};

/// Writes through `out.Write(const void*, size_t)`, which returns whether it could. Add the header first, then as many
/// entries as it says, then End.
template <typename Output>
class Writer {
 public:
  explicit Writer(Output* out) noexcept : out_(out) {}

  template <typename Entry>
  bool Add(const Entry& entry) noexcept {
    checksum_.Add(&entry, sizeof entry);
    return out_->Write(&entry, sizeof entry);
  }
  bool End() noexcept {
    const std::uint64_t value = checksum_.Value();
    return out_->Write(&value, sizeof value);
  }

 private:
  Output* out_;
  Checksum checksum_;
};

namespace detail {

inline constexpr const char* kCutOff = "it is cut off";

template <typename Entry, typename Input, typename Take>
const char* ReadEntries(Input& in, std::uint64_t count, Checksum& checksum, const Take& take) noexcept {
  for (std::uint64_t i = 0; i < count; ++i) {
    Entry entry;
    if (!in.Read(&entry, sizeof entry)) return kCutOff;
    checksum.Add(&entry, sizeof entry);
    if (!IsValid(entry)) return "an entry is none";
    take(entry);
  }
  return nullptr;
}

}  // namespace detail

/// Reads through `in.Read(void*, size_t)`, which returns whether there was as much, and hands to `target` what it
/// finds: target.Take(header), then target.Take(entry) for each. Returns nullptr, or why the file is damaged: then all
/// that was handed on is to be forgotten.
template <typename Input, typename Target>
[[nodiscard]] const char* Read(Input& in, Target& target) noexcept {
  Header header;
  if (!in.Read(&header, sizeof header)) return detail::kCutOff;
  if (const char* fault = FaultOf(header)) return fault;
  Checksum checksum;
  checksum.Add(&header, sizeof header);
  target.Take(header);
  const auto take = [&target](const auto& entry) { target.Take(entry); };
  const char* fault = detail::ReadEntries<SavedRecord>(in, header.recent.count, checksum, take);
  if (fault == nullptr) fault = detail::ReadEntries<ErrorEvent>(in, header.errors.count, checksum, take);
  if (fault == nullptr) fault = detail::ReadEntries<SlowEvent>(in, header.slow.count, checksum, take);
  if (fault != nullptr) return fault;
  std::uint64_t expected = 0;
  if (!in.Read(&expected, sizeof expected)) return detail::kCutOff;
  if (expected != checksum.Value()) return "its checksum is wrong";
  char more = 0;
  if (in.Read(&more, sizeof more)) return "there is more behind its end";
  return nullptr;
}

}  // namespace reqtrail::saved_file
