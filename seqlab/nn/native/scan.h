// What scan.cpp and scan_backward.cpp share: the selective scan of seqlab/nn/scan.py for CPUs, with what stands around it
// in a Mamba block, in float32 and bfloat16.
//
//     step = softplus(delta + bias)    h_t = exp(step_t A) h_{t-1} + step_t x_t B_t    y_t = C_t . h_t + skip x_t
//     out = y silu(gate)
//
// With signed decays, 2 exp(step_t A) - 1 stands in the place of exp(step_t A).
//
// Rows are packed: row r has the steps starts[r] .. starts[r + 1] - 1. Lanes hold states. One task is a few rows and a
// block of channels. All sums have a fixed order, whatever the number of threads.
//
// B rows, N steps of all rows, D channels, S states a channel. The backward pass computes the states of a row again.

#pragma once

#include <algorithm>
#include <vector>

#include "vector.h"

namespace seqlab {

constexpr int64_t kScanBlock = 32;  // channels a task: scan_block() tells Python
constexpr int64_t kScanRows = 4;    // rows a task of the backward pass: scan_rows() tells Python

struct ScanShape {
  int64_t rows, steps, channels, states;
  int64_t bc_stride;    // between the steps of b, and of c
  int64_t gate_stride;  // between the steps of gate, and of its gradient
  int64_t is_signed;    // whether decays are 2 exp(step A) - 1
  const int64_t* starts;
};

// What a scan reads. bias, skip and gate may be null: then step = delta, in float32, and skip = 0, and out = y.
template <typename Type>
struct ScanInputs {
  const Type* x;      // (N, D)
  const void* delta;  // (N, D) float32, or Type if there is a bias
  const float* bias;  // (D,)
  const float* a;     // (D, S)
  const Type *b, *c;  // (N, S)
  const float* skip;  // (D,)
  const Type* gate;   // (N, D)
  const float* h;     // (B, D, S), may be null: zeros

  Vec before_softplus(int64_t place, int64_t d, int64_t count) const {
    return load(static_cast<const Type*>(delta) + place, count) + load(bias + d, count);
  }
};

// log(1 + exp(x)) = max(x, 0) + 2 artanh(u / (2 + u)), u = exp(-|x|): its series in at most 1 / 3, so the error is small
// relative to the value.
inline Vec softplus(Vec x) {
  const Vec u = exponential(Vec(0.0f) - x.abs()), s = u / (u + Vec(2.0f)), square = s * s;
  Vec p(2.0f / 13.0f);
  for (const float coefficient : {2.0f / 11.0f, 2.0f / 9.0f, 2.0f / 7.0f, 2.0f / 5.0f, 2.0f / 3.0f, 2.0f}) {
    p = at::vec::fmadd(p, square, Vec(coefficient));
  }
  return at::vec::fmadd(p, s, at::vec::maximum(x, Vec(0.0f)));
}

// A thread's memory, which is never given back.
inline float* scan_memory(int64_t count) {
  static thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < count) memory.resize(count);
  return memory.data();
}

// One row's steps of a block of channels in float32: (T, kScanBlock) each, zeros beyond D; b and c (T, padded S).
template <typename Type>
struct ScanBlock {
  int64_t first, T, start, width, states;  // the first step, their number, the first channel, number of channels
  bool is_signed;
  float *steps, *inputs, *y, *b, *c;

  ScanBlock(const ScanShape& shape, const ScanInputs<Type>& in, int64_t row, int64_t block, float* memory) {
    first = shape.starts[row], T = shape.starts[row + 1] - first, is_signed = shape.is_signed;
    start = block * kScanBlock, width = std::min(kScanBlock, shape.channels - start), states = padded(shape.states);
    steps = memory, inputs = steps + T * kScanBlock, y = inputs + T * kScanBlock, b = y + T * kScanBlock;
    c = b + T * states;
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t n = 0; n < states; n += kLanes) {
        const int64_t place = (first + t) * shape.bc_stride + n, count = shape.states - n;
        load(in.b + place, count).store(b + t * states + n);
        load(in.c + place, count).store(c + t * states + n);
      }
      for (int64_t j = 0; j < width; j += kLanes) {
        const int64_t place = (first + t) * shape.channels + start + j;
        const Vec step = in.bias ? softplus(in.before_softplus(place, start + j, width - j))
                                 : load(static_cast<const float*>(in.delta) + place, width - j);
        step.store(steps + t * kScanBlock + j);
        (step * load(in.x + place, width - j)).store(inputs + t * kScanBlock + j);
      }
    }
  }

  // The decays of a step, from step * A in their place.
  template <int kCount>
  void decays(Vec (&x)[kCount]) const {
    exponentials(x);
    for (int v = 0; is_signed && v < kCount; ++v) x[v] = at::vec::fmadd(Vec(2.0f), x[v], Vec(-1.0f));
  }

  static int64_t room(int64_t T, int64_t states) { return T * (3 * kScanBlock + 2 * padded(states)); }
};

// The number of vectors of states that are worked on at once.
inline int group_of(int64_t vectors) { return vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1; }

template <typename Type>
inline ScanInputs<Type> scan_inputs(const void* const* from) {
  return {static_cast<const Type*>(from[0]),  from[1], static_cast<const float*>(from[2]),
          static_cast<const float*>(from[3]), static_cast<const Type*>(from[4]), static_cast<const Type*>(from[5]),
          static_cast<const float*>(from[6]), static_cast<const Type*>(from[7]), static_cast<const float*>(from[8])};
}

}  // namespace seqlab
