// Dropout by counters: whether an element is kept is a hash of (seed, row, column), so the backward pass asks again
// instead of keeping a mask. tests/reference/dropout.py computes the same masks.

#pragma once

#include "vector.h"

namespace seqlab {

struct Dropout {
  uint64_t seed;
  uint32_t threshold;  // an element is dropped where its hash is below: probability threshold / 2^32; 0: no dropout
  float scale;         // of the elements that are kept, 1 / (1 - probability)
};

// The part of the hash that a row's elements share (splitmix64).
inline uint32_t row_key(uint64_t seed, uint64_t row) {
  uint64_t z = seed + (row + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

template <int kBits>
inline Ints shifted_right(Ints value) {  // with zeros, as if unsigned
  return (value >> Ints(kBits)) & Ints(static_cast<int32_t>(0xFFFFFFFFu >> kBits));
}

// All bits set in the lanes of columns column .. column + kLanes - 1 that are kept, else zero.
inline Vec kept(uint32_t key, int64_t column, uint32_t threshold) {
  const Ints columns = Ints::arange(static_cast<int32_t>(column), 1);
  Ints hash = columns * Ints(static_cast<int32_t>(0x9E3779B9u)) + Ints(static_cast<int32_t>(key));
  hash = (hash ^ shifted_right<16>(hash)) * Ints(0x7FEB352D);
  hash = (hash ^ shifted_right<15>(hash)) * Ints(static_cast<int32_t>(0x846CA68Bu));
  constexpr uint32_t kSign = 0x80000000u;  // at::vec compares signed numbers
  return at::vec::cast<float>((hash ^ Ints(static_cast<int32_t>(kSign))) >= Ints(static_cast<int32_t>(threshold ^ kSign)));
}

}  // namespace seqlab
