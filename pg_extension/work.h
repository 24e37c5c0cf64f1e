#pragma once

#include "pg_extension/counters.h"
#include "pg_extension/top_statements.h"

namespace reqtrail {

/// What was done for one request, by one role in one database: the sums, and which statements it was.
struct Work {
  Counters counters;
  TopStatements statements;

  /// Adds `later`. REQUIRES: both counters have first_seen and last_seen set.
  void Merge(const Work& later) noexcept {
    reqtrail::Merge(counters, later.counters);
    const auto dropped = static_cast<std::int64_t>(statements.Add(later.statements));
    counters.statements_dropped = AddWrapping(counters.statements_dropped, dropped);
  }
  void Assign(const Work& other) noexcept {
    counters = other.counters;
    statements.Assign(other.statements);
  }
  void Clear() noexcept {
    counters = Counters{};
    statements.Clear();
  }
};

}  // namespace reqtrail
