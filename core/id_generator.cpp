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
  RandomBlock& own = block;  // its address is a call
  if (own.used == kBlockBytes || own.generation != fork_generation.load(std::memory_order_relaxed)) Refill();
  std::array<unsigned char, kUuidBytes> taken;
  std::memcpy(taken.data(), own.bytes.data() + own.used, kUuidBytes);
  own.used += kUuidBytes;
  return taken;
}

using HexPair = std::array<char, 2>;

constexpr std::array<HexPair, 256> HexPairTable() {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<HexPair, 256> pairs{};
  for (unsigned byte = 0; byte < pairs.size(); ++byte) pairs[byte] = {kHex[byte >> 4U], kHex[byte & 0x0FU]};
  return pairs;
}

constexpr std::array<HexPair, 256> kHexPairs = HexPairTable();

}  // namespace

UuidText GenerateUuid4() noexcept {
  constexpr std::array<std::size_t, kUuidBytes> kPlaces = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
  std::array<unsigned char, kUuidBytes> random = TakeRandom();
  random[6] = static_cast<unsigned char>((random[6] & 0x0FU) | 0x40U);
  random[8] = static_cast<unsigned char>((random[8] & 0x3FU) | 0x80U);
  UuidText text;
  for (std::size_t i = 0; i < kUuidBytes; ++i) std::memcpy(text.data() + kPlaces[i], kHexPairs[random[i]].data(), 2);
  text[8] = text[13] = text[18] = text[23] = '-';
  return text;
}

}  // namespace reqtrail
