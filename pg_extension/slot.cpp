#include "pg_extension/slot.h"

namespace reqtrail {

void Slot::Publish(const RequestKey& key, std::int64_t since, const Progress& progress) noexcept {
  BeginChange();
  activity_.key.Assign(key);
  activity_.pid = MyProcPid;
  activity_.xact_start = GetCurrentTransactionStartTimestamp();
  activity_.since = since;
  activity_.progress = progress;
  EndChange();
}

void Slot::Update(const Progress& progress) noexcept {
  BeginChange();
  activity_.progress = progress;
  EndChange();
}

void Slot::Clear() noexcept {
  BeginChange();
  activity_.pid = 0;
  EndChange();
}

bool Slot::Read(Activity* out) const {
  for (;;) {
    const std::uint32_t before = changecount_;
    pg_read_barrier();
    std::memcpy(out, &activity_, sizeof *out);
    pg_read_barrier();
    const std::uint32_t after = changecount_;
    if (before == after && before % 2 == 0) return out->pid != 0;
    CHECK_FOR_INTERRUPTS();
  }
}

}  // namespace reqtrail
