#include "metrics/exemplar.h"

#include <bit>
#include <cstring>

#include "metrics/wall_clock.h"

namespace reqtrail {
namespace {

constexpr std::uint64_t kCheckSeed = 0x9e3779b97f4a7c15U;
constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
constexpr int kLoadAttempts = 4;

constexpr std::uint64_t Mix(std::uint64_t check, std::uint64_t word) noexcept {
  check = (check ^ word) * 0xff51afd7ed558ccdU;
  return check ^ (check >> 32U);
}

void StoreWords(ExemplarSlot& slot, double value, ExemplarKind kind, std::string_view payload) noexcept {
  const std::uint64_t shape = (static_cast<std::uint64_t>(kind) << 32U) | payload.size();
  const auto value_bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t unix_ns = UnixNanoseconds(CLOCK_REALTIME_COARSE);
  std::uint64_t check = Mix(Mix(Mix(kCheckSeed, shape), value_bits), unix_ns);
  auto* next = slot.payload.data();
  const auto store_word = [&](std::uint64_t word) {
    next++->store(word, std::memory_order_relaxed);
    check = Mix(check, word);
  };
  std::uint64_t word = 0;
  for (; payload.size() >= kWordBytes; payload.remove_prefix(kWordBytes)) {
    std::memcpy(&word, payload.data(), kWordBytes);  // of a size that is known: one instruction
    store_word(word);
  }
  if (!payload.empty()) {
    word = 0;
    std::memcpy(&word, payload.data(), payload.size());
    store_word(word);
  }
  slot.shape.store(shape, std::memory_order_relaxed);
  slot.value_bits.store(value_bits, std::memory_order_relaxed);
  slot.unix_ns.store(unix_ns, std::memory_order_relaxed);
  slot.check.store(check, std::memory_order_relaxed);
}

std::size_t Characters(std::string_view utf8) noexcept {
  std::size_t characters = 0;
  for (const char byte : utf8) {
    if ((static_cast<unsigned char>(byte) & 0xC0U) != 0x80U) ++characters;
  }
  return characters;
}

// Takes one text behind its length byte off the front; nothing if the payload ends before it does.
std::optional<std::string_view> TakeText(std::string_view& payload) noexcept {
  if (payload.empty()) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(static_cast<unsigned char>(payload.front()));
  if (payload.size() - 1 < bytes) return std::nullopt;
  const std::string_view text = payload.substr(1, bytes);
  payload.remove_prefix(1 + bytes);
  return text;
}

bool Unpack(std::string_view payload, std::vector<std::pair<std::string, std::string>>& labels) {
  while (!payload.empty()) {
    const auto name = TakeText(payload);
    const auto value = name ? TakeText(payload) : std::nullopt;
    if (!value) return false;
    labels.emplace_back(*name, *value);
  }
  return true;
}

std::optional<Exemplar> LoadOnce(const ExemplarSlot& slot) {
  const std::uint64_t check = slot.check.load(std::memory_order_relaxed);
  const std::uint64_t shape = slot.shape.load(std::memory_order_relaxed);
  const std::uint64_t value_bits = slot.value_bits.load(std::memory_order_relaxed);
  const std::uint64_t unix_ns = slot.unix_ns.load(std::memory_order_relaxed);
  const std::uint64_t bytes = shape & 0xffffffffU;
  if (bytes > kExemplarPayloadBytes) return std::nullopt;

  std::array<char, kExemplarPayloadBytes> payload{};
  std::uint64_t expected = Mix(Mix(Mix(kCheckSeed, shape), value_bits), unix_ns);
  for (std::size_t at = 0; at < bytes; at += kWordBytes) {
    const std::uint64_t word = slot.payload[at / kWordBytes].load(std::memory_order_relaxed);
    std::memcpy(payload.data() + at, &word, kWordBytes);
    expected = Mix(expected, word);
  }
  if (check != expected) return std::nullopt;

  Exemplar exemplar{.labels = {}, .value = std::bit_cast<double>(value_bits), .unix_ns = unix_ns};
  const std::string_view text(payload.data(), bytes);
  switch (static_cast<ExemplarKind>(shape >> 32U)) {
    case ExemplarKind::kRequestId: exemplar.labels.emplace_back(kExemplarRequestId, text); return exemplar;
    case ExemplarKind::kLabels:
      if (Unpack(text, exemplar.labels)) return exemplar;
      break;
  }
  return std::nullopt;
}

}  // namespace

bool ExemplarLabels::Add(std::string_view name, std::string_view value) noexcept {
  const std::size_t bytes = name.size() + value.size();
  if (bytes + 2 > bytes_.size() - size_) return false;
  if (size_ + bytes > kExemplarMaxCharacters) {  // else there are not too many: they need not be counted
    std::size_t characters = Characters(name) + Characters(value);
    for (std::string_view rest = packed(); !rest.empty();) characters += Characters(TakeText(rest).value_or(""));
    if (characters > kExemplarMaxCharacters) return false;
  }
  Append(name);
  Append(value);
  return true;
}

// REQUIRES: there is room.
void ExemplarLabels::Append(std::string_view text) noexcept {
  bytes_[size_++] = static_cast<char>(text.size());
  size_ += text.copy(bytes_.data() + size_, text.size());
}

void StoreExemplar(ExemplarSlot& slot, double value, std::string_view request_id) noexcept {
  if (request_id.empty() || request_id.size() > kExemplarMaxRequestIdBytes) return;
  StoreWords(slot, value, ExemplarKind::kRequestId, request_id);
}

void StoreExemplar(ExemplarSlot& slot, double value, const ExemplarLabels& labels) noexcept {
  StoreWords(slot, value, ExemplarKind::kLabels, labels.packed());
}

std::optional<Exemplar> LoadExemplar(const ExemplarSlot& slot) {
  if (slot.check.load(std::memory_order_relaxed) == 0) return std::nullopt;
  for (int attempt = 0; attempt < kLoadAttempts; ++attempt) {
    if (std::optional<Exemplar> exemplar = LoadOnce(slot)) return exemplar;
  }
  return std::nullopt;
}

}  // namespace reqtrail
