#include "core/id_generator.h"

#include <pthread.h>
#include <sys/random.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/chacha20.h"

namespace reqtrail {
namespace {

constexpr std::size_t kUuidBytes = 16;
// One system call for 256 ids, and little enough to throw away after a fork. It asks for a key only, which is expanded
// here: to have the kernel make all bytes takes twice as long.
constexpr std::size_t kBlockBytes = 256 * kUuidBytes;

std::atomic<unsigned> fork_generation{0};

struct RandomBlock {
  std::array<std::uint32_t, kBlockBytes / sizeof(std::uint32_t)> words;
  std::size_t used;
  unsigned generation;
};

// constinit: a dynamic initialiser would put a guard in front of every access.
constinit thread_local RandomBlock block{.words = {}, .used = kBlockBytes, .generation = 0};

void RegisterForkHandler() noexcept {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1, std::memory_order_relaxed); });
  if (registered != 0) std::abort();
}

void Refill() noexcept {
  RegisterForkHandler();
  ChaCha20Key key;
  while (getrandom(key.data(), sizeof key, 0) != static_cast<ssize_t>(sizeof key)) {  // so little comes at once, or not
    if (errno != EINTR) std::abort();
  }
  FillChaCha20(key, block.words);
  block.used = 0;
  block.generation = fork_generation.load(std::memory_order_relaxed);
}

std::array<unsigned char, kUuidBytes> TakeRandom() noexcept {
  RandomBlock& own = block;  // its address is a call
  if (own.used == kBlockBytes || own.generation != fork_generation.load(std::memory_order_relaxed)) Refill();
  std::array<unsigned char, kUuidBytes> taken;
  std::memcpy(taken.data(), reinterpret_cast<const unsigned char*>(own.words.data()) + own.used, kUuidBytes);
  own.used += kUuidBytes;
  return taken;
}

constexpr char HexDigit(unsigned nibble) noexcept {
  return static_cast<char>('0' + nibble + (nibble > 9 ? 'a' - '0' - 10 : 0));
}

UuidText TextOf(const std::array<unsigned char, kUuidBytes>& bytes, char version) noexcept {
  std::array<char, 2 * kUuidBytes> hex;
  for (std::size_t i = 0; i < kUuidBytes; ++i) {  // without a table, so that the compiler does it with vectors
    hex[2 * i] = HexDigit(bytes[i] >> 4U);
    hex[(2 * i) + 1] = HexDigit(bytes[i] & 0x0FU);
  }
  UuidText text;
  std::memcpy(text.data(), hex.data(), 8);
  std::memcpy(text.data() + 9, hex.data() + 8, 4);
  std::memcpy(text.data() + 14, hex.data() + 12, 4);
  std::memcpy(text.data() + 19, hex.data() + 16, 4);
  std::memcpy(text.data() + 24, hex.data() + 20, 12);
  text[8] = text[13] = text[18] = text[23] = '-';
  text[14] = version;
  text[19] = HexDigit(0x8U | ((bytes[8] >> 4U) & 3U));  // the variant
  return text;
}

}  // namespace

UuidText GenerateUuid4() noexcept { return TextOf(TakeRandom(), '4'); }

UuidText GenerateUuid7() noexcept {
  constexpr std::uint64_t kNsOfMs = 1'000'000;
  constexpr std::size_t kTimeBytes = 6;
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  const auto ns = static_cast<std::uint64_t>(now.tv_nsec);
  const std::uint64_t ms = (static_cast<std::uint64_t>(now.tv_sec) * 1000) + (ns / kNsOfMs);
  const std::uint64_t part = (ns % kNsOfMs) * 4096 / kNsOfMs;
  std::array<unsigned char, kUuidBytes> bytes = TakeRandom();
  for (std::size_t i = 0; i < kTimeBytes; ++i) bytes[i] = static_cast<unsigned char>(ms >> (8 * (kTimeBytes - 1 - i)));
  bytes[kTimeBytes] = static_cast<unsigned char>(part >> 8U);
  bytes[kTimeBytes + 1] = static_cast<unsigned char>(part);
  return TextOf(bytes, '7');
}

}  // namespace reqtrail
