#pragma once

#include "pg_extension/counters.h"
#include "pg_extension/pg.h"

namespace reqtrail {

/// A reading of the server's cumulative counters of this backend (finished parallel workers included). Backend-local.
class ResourceUsage {
 public:
  [[nodiscard]] static ResourceUsage Now() noexcept {
    ResourceUsage now;
    now.hit_ = pgBufferUsage.shared_blks_hit;
    now.read_ = pgBufferUsage.shared_blks_read;
    now.dirtied_ = pgBufferUsage.shared_blks_dirtied;
    now.written_ = pgBufferUsage.shared_blks_written;
    now.wal_records_ = pgWalUsage.wal_records;
    now.wal_fpi_ = pgWalUsage.wal_fpi;
    now.wal_bytes_ = static_cast<std::int64_t>(pgWalUsage.wal_bytes);
    return now;
  }

  /// Adds what was used from `earlier` until this reading.
  void AddDifference(const ResourceUsage& earlier, Counters& counters) const noexcept {
    counters.shared_blks_hit += hit_ - earlier.hit_;
    counters.shared_blks_read += read_ - earlier.read_;
    counters.shared_blks_dirtied += dirtied_ - earlier.dirtied_;
    counters.shared_blks_written += written_ - earlier.written_;
    counters.wal_records += wal_records_ - earlier.wal_records_;
    counters.wal_fpi += wal_fpi_ - earlier.wal_fpi_;
    counters.wal_bytes += wal_bytes_ - earlier.wal_bytes_;
  }

 private:
  std::int64_t hit_ = 0;
  std::int64_t read_ = 0;
  std::int64_t dirtied_ = 0;
  std::int64_t written_ = 0;
  std::int64_t wal_records_ = 0;
  std::int64_t wal_fpi_ = 0;
  std::int64_t wal_bytes_ = 0;
};

}  // namespace reqtrail
