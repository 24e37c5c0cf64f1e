#include "pg_extension/restart.h"

#include <unistd.h>
#include <cerrno>
#include <cstdio>

#include "pg_extension/compat.h"
#include "pg_extension/saved_file.h"
#include "pg_extension/settings.h"

namespace reqtrail::restart {
namespace {

constexpr char kPath[] = PGSTAT_STAT_PERMANENT_DIRECTORY "/pg_stat_requests.stat";
constexpr char kUnfinished[] = PGSTAT_STAT_PERMANENT_DIRECTORY "/pg_stat_requests.stat.tmp";
constexpr char kDamaged[] = PGSTAT_STAT_PERMANENT_DIRECTORY "/pg_stat_requests.stat.damaged";

struct File {
  FILE* stream;

  bool Write(const void* bytes, std::size_t size) const { return std::fwrite(bytes, size, 1, stream) == 1; }
  bool Read(void* bytes, std::size_t size) const { return std::fread(bytes, size, 1, stream) == 1; }
};

std::uint64_t HashOf(const SharedState& state, const RequestKey& key) {
  return HashRequestId(key.id.View(), state.HashSeed());
}

// Puts what is read into the shared memory. No locks: nobody else is there.
struct Statistics {
  SharedState* state;

  void Take(const saved_file::Header& header) const {
    pg_atomic_write_u64(&state->stats_reset, static_cast<std::uint64_t>(header.stats_reset));
    pg_atomic_write_u64(&state->ignored_ids, header.ignored_ids);
    const auto restore = [](Shard& shard, const saved_file::SavedTotals& totals) {
      shard.AddToTotals(totals.merged, totals.overwritten, totals.overwritten_until);
    };
    restore(state->ShardAt(0), header.recent);
    restore(state->NotableShardAt(0), header.notable);
    state->Errors().CountLost(header.errors.overwritten, header.errors.overwritten_until);
    state->SlowStatements().CountLost(header.slow.overwritten, header.slow.overwritten_until);
  }
  void Take(const saved_file::SavedRecord& record) const {
    const std::uint64_t hash = HashOf(*state, record.key);
    const std::uint32_t number = state->ShardNumber(hash);
    const Shard::Refuge refuge{.shard = &state->NotableShardAt(number), .duration = NotableDuration()};
    state->ShardAt(number).Merge(record.key, hash, record.work, refuge);
  }
  void Take(const ErrorEvent& error) const { state->Errors().Add(error); }
  void Take(const SlowEvent& slow) const { state->SlowStatements().Add(slow); }
};

void Report(const char* what, const char* path) {
  const char* reason = pg_strerror(errno);
  ereport(LOG, (errcode_for_file_access(), errmsg("could not %s file \"%s\": %s", what, path, reason)));
}

void Load(SharedState* state) {
  const File file{.stream = AllocateFile(kPath, PG_BINARY_R)};
  if (file.stream == nullptr) {
    if (errno != ENOENT) Report("open", kPath);
    return;
  }
  Statistics statistics{.state = state};
  const char* fault = saved_file::Read(file, statistics);
  FreeFile(file.stream);
  if (fault == nullptr) {
    if (unlink(kPath) != 0) Report("remove", kPath);
    return;
  }
  state->Forget();
  const bool set_aside = rename(kPath, kDamaged) == 0;
  ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("statistics of pg_stat_requests could not be restored"),
                    errdetail("The file \"%s\" is damaged: %s.", kPath, fault),
                    set_aside ? errhint("It was renamed to \"%s\". The statistics start with nothing.", kDamaged) : 0));
}

saved_file::Header MakeHeader(SharedState* state) {
  saved_file::Header header = saved_file::MakeHeader();
  header.stats_reset = static_cast<std::int64_t>(pg_atomic_read_u64(&state->stats_reset));
  header.ignored_ids = pg_atomic_read_u64(&state->ignored_ids);
  const auto add = [](saved_file::SavedTotals& sum, const ShardTotals& totals) {
    sum.merged += totals.merged;
    sum.overwritten += totals.overwritten;
    sum.overwritten_until = Max(sum.overwritten_until, totals.overwritten_until);
  };
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    add(header.recent, state->ShardAt(i).totals());
    add(header.notable, state->NotableShardAt(i).totals());
    header.recent.count += state->ShardAt(i).totals().used + state->NotableShardAt(i).totals().used;
  }
  const auto fill = [](saved_file::SavedTotals& totals, const auto& ring) {
    ring.ForEach([&totals](const auto&) { ++totals.count; });
    totals.overwritten = ring.overwritten();
    totals.overwritten_until = ring.overwritten_until();
  };
  fill(header.errors, state->Errors());
  fill(header.slow, state->SlowStatements());
  return header;
}

bool WriteAll(SharedState* state, File* file) {
  saved_file::Writer<File> writer(file);
  bool written = writer.Add(MakeHeader(state));
  const auto add = [&](const Shard& shard) {
    shard.ForEachInOrder([&](const Record& record) {
      saved_file::SavedRecord saved;
      saved.key.Assign(record.key);
      saved.work.Assign(record.work);
      written = written && writer.Add(saved);
    });
  };
  // The notable ones first: they came earlier.
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) add(state->NotableShardAt(i));
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) add(state->ShardAt(i));
  const auto add_event = [&](const auto& event) { written = written && writer.Add(event); };
  state->Errors().ForEach(add_event);
  state->SlowStatements().ForEach(add_event);
  return written && writer.End();
}

// An immediate shutdown ends with code 0 as well, but with backends that were cut off in the middle of their writing. A
// control file that cannot be read is an ERROR, which the end of a process makes a FATAL: then nothing is saved, and
// the postmaster, whose work is done, exits with status 1.
bool StoppedInGoodOrder(int code) {
  if (code != 0) return false;
  bool is_valid = false;
  const ControlFileData* control = get_controlfile(DataDir, &is_valid);
  return is_valid && (control->state == DB_SHUTDOWNED || control->state == DB_SHUTDOWNED_IN_RECOVERY);
}

// Runs when the postmaster stops. Its children are gone.
void Save(int code, Datum) {
  SharedState* state = SharedState::Get();
  if (state == nullptr || !SavesStatistics() || !StoppedInGoodOrder(code)) return;
  File file{.stream = AllocateFile(kUnfinished, PG_BINARY_W)};
  if (file.stream == nullptr) {
    Report("create", kUnfinished);
    return;
  }
  const bool written = WriteAll(state, &file);
  if (!written) Report("write", kUnfinished);
  if (FreeFile(file.stream) != 0 || !written) {
    unlink(kUnfinished);
    return;
  }
  static_cast<void>(durable_rename(kUnfinished, kPath, LOG));
}

}  // namespace

void Restore(SharedState* state) {
  if (!IsPostmasterEnvironment) return;
  if (SavesStatistics()) {
    Load(state);
  } else if (unlink(kPath) != 0 && errno != ENOENT) {
    Report("remove", kPath);
  }
  on_shmem_exit(&Save, 0);
}

}  // namespace reqtrail::restart
