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
// clamps its argument. Several vectors go through it stage by stage, so that the processor works on all of them at once.
template <int kCount>
inline void exponentials(Vec (&x)[kCount]) {
  Vec shifted[kCount], p[kCount];
  for (int i = 0; i < kCount; ++i) {
    x[i] = at::vec::clamp(x[i], Vec(-87.0f), Vec(88.0f));
    shifted[i] = at::vec::fmadd(x[i], Vec(1.44269504f), Vec(12582912.0f));  // 1.5 * 2^23: the integer in the low bits
    const Vec k = shifted[i] - Vec(12582912.0f);
    x[i] = at::vec::fmadd(k, Vec(2.12194440e-4f), at::vec::fmadd(k, Vec(-0.693359375f), x[i]));
    p[i] = Vec(1.9875691500e-4f);
  }
  for (const float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    for (int i = 0; i < kCount; ++i) p[i] = at::vec::fmadd(p[i], x[i], Vec(coefficient));
  }
  for (int i = 0; i < kCount; ++i) {
    p[i] = at::vec::fmadd(p[i], x[i] * x[i], x[i] + Vec(1.0f));
    const Ints power = at::vec::cast<int32_t>(shifted[i]) << Ints(23);
    x[i] = at::vec::cast<float>(at::vec::cast<int32_t>(p[i]) + power);
  }
}

inline Vec exponential(Vec x) {
  Vec one[] = {x};
  exponentials(one);
  return one[0];
}

inline Vec sigmoid(Vec x) { return Vec(1.0f) / (Vec(1.0f) + exponential(Vec(0.0f) - x)); }

}  // namespace seqlab
