// The file in which pg_stat_requests keeps its statistics during a restart: whatever it holds, what is read of it can
// be kept and shown, and a file that is read without a fault is written again as it was.
#include "pg_extension/saved_file.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/fuzz/expect.h"

namespace reqtrail {
namespace {

struct Bytes {
  std::string_view left;

  bool Read(void* into, std::size_t size) {
    if (left.size() < size) return false;
    std::memcpy(into, left.data(), size);
    left.remove_prefix(size);
    return true;
  }
};

struct Text {
  std::string bytes;

  bool Write(const void* from, std::size_t size) {
    bytes.append(static_cast<const char*>(from), size);
    return true;
  }
};

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// Rings smaller than what a file may hold, in memory of exactly their size.
class Rings {
 public:
  void Take(const saved_file::Header& header) {
    REQTRAIL_EXPECT(writer_.Add(header));
    is_empty_ = false;
    shard_->AddToTotals(header.recent.merged, header.recent.overwritten, header.recent.overwritten_until);
  }
  void Take(const saved_file::SavedRecord& record) {
    REQTRAIL_EXPECT(IsRequestId(record.key.id.View()));
    REQTRAIL_EXPECT(record.work.statements.All().size() <= TopStatements::kPlaces);
    REQTRAIL_EXPECT(writer_.Add(record));
    shard_->Merge(record.key, HashRequestId(record.key.id.View(), 1), record.work, {});
  }
  void Take(const ErrorEvent& error) {
    REQTRAIL_EXPECT(error.message.View().size() <= sizeof error.message.bytes);
    REQTRAIL_EXPECT(writer_.Add(error));
    errors_->Add(error);
  }
  void Take(const SlowEvent& slow) {
    REQTRAIL_EXPECT(slow.text.View().size() <= sizeof slow.text.bytes);
    REQTRAIL_EXPECT(writer_.Add(slow));
  }

  [[nodiscard]] bool IsEmpty() const { return is_empty_; }

  /// The file that holds what was taken.
  const std::string& Written() {
    REQTRAIL_EXPECT(writer_.End());
    return text_.bytes;
  }
  void Show() const {
    shard_->ForEachInOrder([](const Record& record) { REQTRAIL_EXPECT(record.key.id.size > 0); });
    errors_->ForEach([](const ErrorEvent& error) { REQTRAIL_EXPECT(error.head.key.id.size > 0); });
  }

 private:
  static constexpr std::uint32_t kCapacity = 4;
  using Memory = std::unique_ptr<void, Free>;

  bool is_empty_ = true;
  Text text_;
  saved_file::Writer<Text> writer_{&text_};
  Memory shard_memory_{std::aligned_alloc(alignof(Shard), Shard::Bytes(kCapacity))};
  Shard* shard_ = Shard::Create(shard_memory_.get(), kCapacity);
  Memory errors_memory_{std::malloc(EventRing<ErrorEvent>::Bytes(kCapacity))};
  EventRing<ErrorEvent>* errors_ = EventRing<ErrorEvent>::Create(errors_memory_.get(), kCapacity);
};

// The file of what could be read of `file`; empty if it is not one.
std::string Check(std::string_view file, bool is_whole) {
  Bytes in{file};
  Rings rings;
  const char* fault = saved_file::Read(in, rings);
  rings.Show();
  if (rings.IsEmpty()) return {};
  REQTRAIL_EXPECT(!is_whole || fault == nullptr);
  std::string written = rings.Written();
  if (fault == nullptr) {
    REQTRAIL_EXPECT(written == file);
    return written;
  }
  return std::string_view(fault) == "its checksum is wrong" ? written : std::string();
}

}  // namespace
}  // namespace reqtrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // No fuzzer guesses a checksum: what fails by that alone is read again with the right one.
  const std::string repaired = reqtrail::Check({reinterpret_cast<const char*>(data), size}, false);
  if (!repaired.empty()) reqtrail::Check(repaired, true);
  return 0;
}
