#pragma once

#include <cstdio>
#include <cstdlib>

namespace reqtrail::fuzz {

[[noreturn]] inline void Fail(const char* file, int line, const char* condition) {
  static_cast<void>(std::fprintf(stderr, "%s:%d: %s\n", file, line, condition));
  std::abort();
}

}  // namespace reqtrail::fuzz

/// Ends the fuzz run with a finding if `condition` is false.
#define REQTRAIL_EXPECT(condition) \
  ((condition) ? static_cast<void>(0) : reqtrail::fuzz::Fail(__FILE__, __LINE__, #condition))
