#pragma once

#include "pg_extension/pg.h"
#include "pg_extension/request_key.h"

namespace reqtrail {

/// How far a backend is with a request, in this part of its transaction.
struct Progress {
  std::int64_t statements = 0;       // started
  std::int64_t total_time = 0;       // nanoseconds in the finished ones
  std::int64_t idle_time = 0;        // nanoseconds that it waited for the client
  std::int64_t statement_start = 0;  // when the one under way started, as clock::Now; 0: none is
};

/// What a backend is doing for a request now, for pg_stat_requests_activity.
struct Activity {
  RequestKey key;               // of the part of the transaction that is under way
  std::int32_t pid = 0;         // of the backend; 0: it works for no request
  std::int64_t xact_start = 0;  // TimestampTz of the transaction's start
  std::int64_t since = 0;       // TimestampTz of the statement with which the id came into effect
  Progress progress;
};

/// A backend's place in shared memory, on cache lines of its own, indexed by process number.
///
/// Locking: none. One writer, its backend. Changecount protocol, as PgBackendStatus: the writer makes changecount odd
/// before and even after it writes; a reader copies, and takes the copy only if changecount was even and did not
/// change. The writer must not be interruptible by an error in between, and it is not: it only assigns.
class alignas(64) Slot {
 public:
  /// REQUIRES for the three below: the caller is the one writer.
  void Publish(const RequestKey& key, std::int64_t since, const Progress& progress) noexcept;
  void Update(const Progress& progress) noexcept;
  void Clear() noexcept;

  /// Copies what is published to *out, never a mixture of two states. Returns false if the backend works for no
  /// request. Any process; waits, interruptibly, while the writer writes.
  [[nodiscard]] bool Read(Activity* out) const;

 private:
  void BeginChange() noexcept {
    changecount_ = changecount_ + 1;
    pg_write_barrier();
  }
  void EndChange() noexcept {
    pg_write_barrier();
    changecount_ = changecount_ + 1;
  }

  volatile std::uint32_t changecount_;  // odd while the writer writes
  Activity activity_;                   // guarded by changecount_
};
static_assert(std::is_standard_layout_v<Slot> && std::is_trivially_destructible_v<Slot>);

}  // namespace reqtrail
