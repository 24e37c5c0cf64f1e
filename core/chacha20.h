#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace reqtrail {

using ChaCha20Key = std::array<std::uint32_t, 8>;

/// Fills `words` with the first bytes of the ChaCha20 key stream (RFC 8439) of `key`, nonce 0, counter from 0, read as
/// little-endian words. Four blocks of 64 bytes are computed side by side.
template <std::size_t Words>
void FillChaCha20(const ChaCha20Key& key, std::array<std::uint32_t, Words>& words) noexcept {
  constexpr std::size_t kBlocks = 4;
  constexpr std::size_t kBlockWords = 16;
  static_assert(Words % (kBlocks * kBlockWords) == 0);
  using Lanes [[gnu::vector_size(kBlocks * sizeof(std::uint32_t))]] = std::uint32_t;
  using State = std::array<Lanes, kBlockWords>;

  const auto turn = [](Lanes lanes, unsigned bits) { return (lanes << bits) | (lanes >> (32U - bits)); };
  const auto quarter_round = [turn](State& x, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    x[a] += x[b], x[d] = turn(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = turn(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = turn(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = turn(x[b] ^ x[c], 7);
  };

  State start{};
  constexpr std::array<std::uint32_t, 4> kConstants = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (std::size_t i = 0; i < kConstants.size(); ++i) start[i] += kConstants[i];
  for (std::size_t i = 0; i < key.size(); ++i) start[4 + i] += key[i];
  start[12] = Lanes{0, 1, 2, 3};
  for (std::size_t done = 0; done < Words; done += kBlocks * kBlockWords) {
    State x = start;
    for (int double_round = 0; double_round < 10; ++double_round) {
      for (std::size_t i = 0; i < 4; ++i) quarter_round(x, i, i + 4, i + 8, i + 12);
      for (std::size_t i = 0; i < 4; ++i) quarter_round(x, i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
    }
    for (std::size_t word = 0; word < kBlockWords; ++word) {
      x[word] += start[word];
      for (std::size_t block = 0; block < kBlocks; ++block) words[done + (block * kBlockWords) + word] = x[word][block];
    }
    start[12] += kBlocks;
  }
}

}  // namespace reqtrail
