#include "pg_extension/saved_file.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace reqtrail::saved_file {
namespace {

struct MemoryFile {
  std::string bytes;
  std::size_t at = 0;

  bool Write(const void* from, std::size_t size) {
    bytes.append(static_cast<const char*>(from), size);
    return true;
  }
  bool Read(void* into, std::size_t size) {
    if (bytes.size() - at < size) return false;
    std::memcpy(into, bytes.data() + at, size);
    at += size;
    return true;
  }
};

/// What was read, in its order.
struct Found {
  std::vector<std::string> entries;
  Header header;

  void Take(const Header& found) { header = found; }
  void Take(const SavedRecord& record) { entries.emplace_back(record.key.id.View()); }
  void Take(const ErrorEvent& error) { entries.emplace_back(error.message.View()); }
  void Take(const SlowEvent& slow) { entries.emplace_back(slow.text.View()); }
};

SavedRecord RecordOf(const std::string& id) {
  SavedRecord record;
  record.key.id.Assign(id);
  record.work.counters.statements = 3;
  record.work.counters.backends = BackendSet(63);  // the sign bit
  record.work.statements.Add({.queryid = 5, .total_time = 10, .calls = 3});
  return record;
}

ErrorEvent ErrorOf(const std::string& message) {
  ErrorEvent error;
  error.head.key.id.Assign("failed");
  error.message.Assign(message, 6);
  return error;
}

SlowEvent SlowOf(const std::string& text) {
  SlowEvent slow;
  slow.head.key.id.Assign("slow");
  slow.text.Assign(text, 6);
  return slow;
}

std::string FileOf(const std::vector<SavedRecord>& records, const std::vector<ErrorEvent>& errors,
                   const std::vector<SlowEvent>& slow) {
  MemoryFile file;
  Writer<MemoryFile> writer(&file);
  Header header = MakeHeader();
  header.stats_reset = 1;
  header.recent = {.count = records.size(), .overwritten = 7, .overwritten_until = 8};
  header.errors.count = errors.size();
  header.slow.count = slow.size();
  writer.Add(header);
  for (const SavedRecord& record : records) writer.Add(record);
  for (const ErrorEvent& error : errors) writer.Add(error);
  for (const SlowEvent& event : slow) writer.Add(event);
  writer.End();
  return file.bytes;
}

std::string Fault(const std::string& bytes) {
  MemoryFile file{.bytes = bytes};
  Found found;
  const char* fault = Read(file, found);
  return fault == nullptr ? "" : fault;
}

TEST(SavedFile, IsReadAsItWasWritten) {
  const std::string bytes = FileOf({RecordOf("a"), RecordOf("b")}, {ErrorOf("no")}, {SlowOf("SELECT 1")});
  MemoryFile file{.bytes = bytes};
  Found found;
  EXPECT_EQ(Read(file, found), nullptr);
  EXPECT_EQ(found.entries, (std::vector<std::string>{"a", "b", "no", "SELECT 1"}));
  EXPECT_EQ(found.header.recent.overwritten, 7U);
  EXPECT_EQ(found.header.recent.overwritten_until, 8);
}

TEST(SavedFile, MayBeEmpty) { EXPECT_EQ(Fault(FileOf({}, {}, {})), ""); }

TEST(SavedFile, IsDamagedWhereverItIsCutOff) {
  const std::string bytes = FileOf({RecordOf("a")}, {ErrorOf("no")}, {SlowOf("SELECT 1")});
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_EQ(Fault(bytes.substr(0, size)), "it is cut off");
  EXPECT_EQ(Fault(bytes + "x"), "there is more behind its end");
}

TEST(SavedFile, IsDamagedWhicheverByteChanged) {
  const std::string bytes = FileOf({RecordOf("a")}, {ErrorOf("no")}, {SlowOf("SELECT 1")});
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_NE(Fault(changed), "") << at;
  }
}

TEST(SavedFile, SaysWhatIsWrongWithTheHeader) {
  std::string bytes = FileOf({}, {}, {});
  bytes[0] = 'P';
  EXPECT_EQ(Fault(bytes), "it is not a file of pg_stat_requests");
  bytes = FileOf({}, {}, {});
  ++bytes[offsetof(Header, version)];
  EXPECT_EQ(Fault(bytes), "another version of pg_stat_requests wrote it");
  bytes = FileOf({}, {}, {});
  ++bytes[offsetof(Header, record_bytes)];
  EXPECT_EQ(Fault(bytes), "another version of pg_stat_requests wrote it");
}

template <typename Change>
bool IsValidWith(const Change& change) {
  SavedRecord record = RecordOf("a");
  change(record);
  return IsValid(record);
}

TEST(SavedRecord, IsCheckedBeforeItIsShown) {
  EXPECT_TRUE(IsValidWith([](SavedRecord&) {}));
  EXPECT_FALSE(IsValidWith([](SavedRecord& record) { record.key.id.size = 0; }));
  EXPECT_FALSE(IsValidWith([](SavedRecord& record) { record.key.id.size = kRequestIdMaxBytes + 1; }));
  EXPECT_FALSE(IsValidWith([](SavedRecord& record) { record.key.id.bytes[0] = ' '; }));
  EXPECT_FALSE(IsValidWith([](SavedRecord& record) { record.work.counters.statements = -1; }));
  EXPECT_FALSE(IsValidWith(
      [](SavedRecord& record) { record.work.counters.last_seen = std::numeric_limits<std::int64_t>::max(); }));
}

TEST(SavedEvent, IsCheckedBeforeItIsShown) {
  EXPECT_TRUE(IsValid(ErrorOf("no")));
  EXPECT_FALSE(IsValid(ErrorOf(std::string("n\0o", 3))));
  ErrorEvent error = ErrorOf("no");
  error.message.size = sizeof error.message.bytes + 1;
  EXPECT_FALSE(IsValid(error));
  SlowEvent slow = SlowOf("SELECT 1");
  slow.duration = -1;
  EXPECT_FALSE(IsValid(slow));
}

}  // namespace
}  // namespace reqtrail::saved_file
