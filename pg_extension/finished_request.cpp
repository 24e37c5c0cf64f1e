#include "pg_extension/finished_request.h"

#include <array>

#include "pg_extension/compat.h"

#if defined(__GNUC__) && !defined(__clang__)
// It means a variable inside the server's PG_TRY, which does not change between sigsetjmp and siglongjmp.
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

namespace reqtrail::finished_request {
namespace {

// A JSON object, in memory of its own: nothing is allocated at the end of a transaction.
class Json {
 public:
  void Start(const RequestKey& key, double milliseconds) noexcept {
    size_ = 0;
    Append(R"({"request_id":"%.*s","dbid":%u,"userid":%u,"duration":%.3f)", static_cast<int>(key.id.size), key.id.bytes,
           key.database, key.role, milliseconds);
  }
  template <CounterKind kKind>
  void Put(const char* name, std::int64_t value) noexcept {
    if constexpr (kKind == CounterKind::kSum) Append(",\"%s\":%lld", name, static_cast<long long>(value));
    if constexpr (kKind == CounterKind::kSumTime || kKind == CounterKind::kMaxTime) {
      Append(",\"%s\":%.3f", name, static_cast<double>(value) / 1e6);
    }
    if constexpr (kKind == CounterKind::kSqlState) {
      if (value != 0) Append(R"(,"%s":"%s")", name, unpack_sql_state(static_cast<int>(value)));
    }
  }
  const char* End() noexcept {
    Append("%s", "}");  // Debian compiles with -Werror=format-security
    return text_.data();
  }

 private:
  template <typename... Values>
  void Append(const char* format, Values... values) noexcept {
    const int added = pg_snprintf(text_.data() + size_, text_.size() - size_, format, values...);
    size_ = std::min(size_ + static_cast<std::size_t>(std::max(added, 0)), text_.size() - 1);
  }

  std::array<char, 4096> text_{};
  std::size_t size_ = 0;
};

Json json;

}  // namespace

void Log(const RequestKey& key, const Counters& counters) noexcept {
  json.Start(key, static_cast<double>(counters.last_seen - counters.first_seen) / 1e3);
#define REQTRAIL_PUT(kind, name) json.Put<CounterKind::kind>(#name, counters.name);
  REQTRAIL_COUNTERS(REQTRAIL_PUT)
#undef REQTRAIL_PUT
  const char* text = json.End();
  // An error forgets that interrupts are held, which the end of a transaction relies on.
  const std::uint32_t interrupts_held = InterruptHoldoffCount;
  const std::uint32_t cancels_held = QueryCancelHoldoffCount;
  MemoryContext context = CurrentMemoryContext;
  PG_TRY();
  {
    ereport(LOG_SERVER_ONLY, (errmsg_internal("request: %s", text), errhidestmt(true), errhidecontext(true)));
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    FlushErrorState();
    InterruptHoldoffCount = interrupts_held;
    QueryCancelHoldoffCount = cancels_held;
  }
  PG_END_TRY();
}

}  // namespace reqtrail::finished_request
