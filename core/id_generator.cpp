#include "core/id_generator.h"

#include <pthread.h>
#include <sys/random.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace reqtrail {
namespace {

constexpr std::size_t kUuidBytes = 16;
// One system call for 64 ids: under a tenth of an id's cost, and little enough to throw away after a fork.
constexpr std::size_t kBlockBytes = 64 * kUuidBytes;

std::atomic<unsigned> fork_generation{0};

struct RandomBlock {
  std::array<unsigned char, kBlockBytes> bytes;
  std::size_t used;
  unsigned generation;
};

// constinit: a dynamic initialiser would put a guard in front of every access.
constinit thread_local RandomBlock block{.bytes = {}, .used = kBlockBytes, .generation = 0};

void RegisterForkHandler() noexcept {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1, std::memory_order_relaxed); });
  if (registered != 0) std::abort();
}

void Refill() noexcept {
  RegisterForkHandler();
  std::size_t filled = 0;
  while (filled < kBlockBytes) {
    const ssize_t got = getrandom(block.bytes.data() + filled, kBlockBytes - filled, 0);
    if (got > 0) {
      filled += static_cast<std::size_t>(got);
    } else if (errno != EINTR) {
      std::abort();
    }
  }
  block.used = 0;
  block.generation = fork_generation.load(std::memory_order_relaxed);
}

std::array<unsigned char, kUuidBytes> TakeRandom() noexcept {
  if (block.used == kBlockBytes || block.generation != fork_generation.load(std::memory_order_relaxed)) Refill();
  std::array<unsigned char, kUuidBytes> taken;
  std::memcpy(taken.data(), block.bytes.data() + block.used, kUuidBytes);
  block.used += kUuidBytes;
  return taken;
}

}  // namespace

UuidText GenerateUuid4() noexcept {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<unsigned char, kUuidBytes> random = TakeRandom();
  random[6] = static_cast<unsigned char>((random[6] & 0x0FU) | 0x40U);
  random[8] = static_cast<unsigned char>((random[8] & 0x3FU) | 0x80U);
  UuidText text;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kUuidBytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
    text[at++] = kHex[random[i] >> 4U];
    text[at++] = kHex[random[i] & 0x0FU];
  }
  return text;
}

}  // namespace reqtrail
