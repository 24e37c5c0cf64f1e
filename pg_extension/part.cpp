#include "pg_extension/part.h"

#include "pg_extension/clock.h"
#include "pg_extension/finished_request.h"
#include "pg_extension/ring.h"

namespace reqtrail {

bool Part::IsOf(const RequestId& id) const noexcept { return key.id.View() == id.View() && key.role == RoleInEffect(); }

void Part::Flush(std::int64_t now) noexcept {
  Counters& counters = work.counters;
  const ResourceUsage usage = ResourceUsage::Now();
  usage.AddDifference(base, counters);
  base = usage;
  counters.first_seen = since;
  counters.last_seen = clock::ToTimestamp(now);
  counters.backends = BackendSet(MyProcPid);
  ring::Merge(key, hash, work);
  finished_request::LogIfLong(key, work);
  work.Clear();
}

void FillKey(RequestKey& key, const RequestId& id) noexcept {
  key.database = MyDatabaseId;
  key.role = RoleInEffect();
  key.id.Assign(id.View());
}

void CountTransaction(const RequestKey& key, std::uint64_t hash, std::int64_t now, bool rolled_back) noexcept {
  Work work;
  work.counters.first_seen = GetCurrentStatementStartTimestamp();
  work.counters.last_seen = clock::ToTimestamp(now);
  work.counters.transactions = 1;
  work.counters.rollbacks = rolled_back ? 1 : 0;
  work.counters.backends = BackendSet(MyProcPid);
  ring::Merge(key, hash, work);
}

}  // namespace reqtrail
