// Vectors of float32 for the kernels of this folder: ATen's at::vec, so one source serves AVX2, AVX-512 and Arm.

#pragma once

#include <ATen/cpu/vec/vec.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace seqlab {

using Vec = at::vec::Vectorized<float>;
using Ints = at::vec::Vectorized<int32_t>;
using BFloat16 = at::BFloat16;

constexpr int64_t kLanes = Vec::size();

inline int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// The first `count` lanes from memory, zeros in the others.
inline Vec load(const float* source, int64_t count = kLanes) {
  return count >= kLanes ? Vec::loadu(source) : Vec::loadu(source, count);
}

inline Vec load(const BFloat16* source, int64_t count = kLanes) {
  Vec result;
  if (count >= kLanes) {
    at::vec::load_fp32_from_bf16(source, result);
    return result;
  }
  BFloat16 lanes[kLanes] = {};
  std::memcpy(lanes, source, count * sizeof(BFloat16));
  at::vec::load_fp32_from_bf16(lanes, result);
  return result;
}

// Write the first `count` lanes.
inline void store(Vec value, float* target, int64_t count = kLanes) {
  if (count >= kLanes) {
    value.store(target);
  } else {
    value.store(target, count);
  }
}

inline void store(Vec value, BFloat16* target, int64_t count = kLanes) {
  const auto halves = at::vec::convert_float_bfloat16(value, value);
  if (count >= kLanes) {
    halves.store(target, kLanes);
  } else {
    halves.store(target, static_cast<int>(count));
  }
}

inline float sum_of(Vec value) {  // pairwise, in a fixed order
  float lanes[kLanes];
  value.store(lanes);
  for (int64_t half = kLanes / 2; half; half /= 2) {
    for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

inline float largest_of(Vec value) {
  float lanes[kLanes];
  value.store(lanes);
  float largest = lanes[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) largest = largest < lanes[lane] ? lanes[lane] : largest;
  return largest;
}

// exp by 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes): relative error below 2e-7 on [-87, 88], where it
// clamps its argument.
inline Vec exponential(Vec x) {
  x = at::vec::clamp(x, Vec(-87.0f), Vec(88.0f));
  const Vec shifted = at::vec::fmadd(x, Vec(1.44269504f), Vec(12582912.0f));  // 1.5 * 2^23: the integer in the low bits
  const Vec k = shifted - Vec(12582912.0f);
  const Vec r = at::vec::fmadd(k, Vec(2.12194440e-4f), at::vec::fmadd(k, Vec(-0.693359375f), x));
  Vec p(1.9875691500e-4f);
  for (const float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    p = at::vec::fmadd(p, r, Vec(coefficient));
  }
  p = at::vec::fmadd(p, r * r, r + Vec(1.0f));
  const Ints power = at::vec::cast<int32_t>(shifted) << Ints(23);
  return at::vec::cast<float>(at::vec::cast<int32_t>(p) + power);
}

inline Vec sigmoid(Vec x) { return Vec(1.0f) / (Vec(1.0f) + exponential(Vec(0.0f) - x)); }

}  // namespace seqlab
