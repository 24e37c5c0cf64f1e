#pragma once

#include <sys/resource.h>

#include "pg_extension/compat.h"
#include "pg_extension/counters.h"
#include "pg_extension/settings.h"

namespace reqtrail {

/// What of a request's cost the server counts for itself, as REQTRAIL_COUNTERS names it, and where.
#define REQTRAIL_USAGE(X)                                                  \
  X(shared_blks_hit, pgBufferUsage.shared_blks_hit)                        \
  X(shared_blks_read, pgBufferUsage.shared_blks_read)                      \
  X(shared_blks_dirtied, pgBufferUsage.shared_blks_dirtied)                \
  X(shared_blks_written, pgBufferUsage.shared_blks_written)                \
  X(local_blks_hit, pgBufferUsage.local_blks_hit)                          \
  X(local_blks_read, pgBufferUsage.local_blks_read)                        \
  X(local_blks_dirtied, pgBufferUsage.local_blks_dirtied)                  \
  X(local_blks_written, pgBufferUsage.local_blks_written)                  \
  X(temp_blks_read, pgBufferUsage.temp_blks_read)                          \
  X(temp_blks_written, pgBufferUsage.temp_blks_written)                    \
  X(blk_read_time, BlockReadTime())                                        \
  X(blk_write_time, BlockWriteTime())                                      \
  X(temp_blk_read_time, ToNanoseconds(pgBufferUsage.temp_blk_read_time))   \
  X(temp_blk_write_time, ToNanoseconds(pgBufferUsage.temp_blk_write_time)) \
  X(wal_records, pgWalUsage.wal_records)                                   \
  X(wal_fpi, pgWalUsage.wal_fpi)                                           \
  X(wal_bytes, pgWalUsage.wal_bytes)

/// A reading of the server's cumulative counters of this backend (finished parallel workers included). Backend-local.
class ResourceUsage {
 public:
  [[nodiscard]] static ResourceUsage Now() noexcept {
    ResourceUsage now;
#define REQTRAIL_READ(name, source) now.name##_ = static_cast<std::int64_t>(source);
    REQTRAIL_USAGE(REQTRAIL_READ)
#undef REQTRAIL_READ
    if (TracksCpu()) now.ReadCpu();
    return now;
  }

  /// Adds what was used from `earlier` until this reading.
  void AddDifference(const ResourceUsage& earlier, Counters& counters) const noexcept {
#define REQTRAIL_ADD(name, source) counters.name += name##_ - earlier.name##_;
    REQTRAIL_USAGE(REQTRAIL_ADD)
#undef REQTRAIL_ADD
    if (!has_cpu_ || !earlier.has_cpu_) return;
    counters.user_time += user_time_ - earlier.user_time_;
    counters.system_time += system_time_ - earlier.system_time_;
  }

 private:
  static std::int64_t Nanoseconds(const timeval& time) noexcept {
    return (std::int64_t{time.tv_sec} * 1'000'000'000) + (std::int64_t{time.tv_usec} * 1000);
  }
  void ReadCpu() noexcept {
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) return;
    has_cpu_ = true;
    user_time_ = Nanoseconds(usage.ru_utime);
    system_time_ = Nanoseconds(usage.ru_stime);
  }

#define REQTRAIL_MEMBER(name, source) std::int64_t name##_ = 0;
  REQTRAIL_USAGE(REQTRAIL_MEMBER)
#undef REQTRAIL_MEMBER
  bool has_cpu_ = false;  // the setting may have changed between two readings
  std::int64_t user_time_ = 0;
  std::int64_t system_time_ = 0;
};

}  // namespace reqtrail
