// Products of small matrices, and causal convolutions, of arrays that have time, or sequences, in the lanes.
//
// Such an array is (rows, stride): element (r, p) is at r * stride + p, where p counts steps or sequences. So sums over
// rows need no sums over lanes, and no number of rows has to be a multiple of the lanes.

#pragma once

#include <vector>

#include "vector.h"

namespace seqlab {

// Arrays of a thread, which grow and are never given back. What they hold at first is left over from earlier tasks.
class Workspace {
 public:
  void restart() { next_ = 0; }

  float* take(int64_t count) {
    if (next_ == arrays_.size()) arrays_.emplace_back();
    std::vector<float>& array = arrays_[next_++];
    if (static_cast<int64_t>(array.size()) < count) array.resize(count);
    return array.data();
  }

 private:
  std::vector<std::vector<float>> arrays_;
  size_t next_ = 0;
};

// A stride with room for `count` lanes and a tile more: an odd number of cache lines, so that rows fill all sets.
inline int64_t row_stride(int64_t count) { return ((count + 2 * kLanes) / 16 + 1) / 2 * 32 + 16; }

// A matrix whose element (r, c) is data[r * row + c * column].
struct Matrix {
  const float* data;
  int64_t row, column;
};

template <bool kAdd, int kRows, int kVectors>
inline void multiply_tile(Matrix a, int64_t inner, const float* x, int64_t x_stride, float* y, int64_t y_stride) {
  Vec sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = kAdd ? Vec::loadu(y + r * y_stride + v * kLanes) : Vec(0.0f);
  }
  for (int64_t c = 0; c < inner; ++c) {
    Vec row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = Vec::loadu(x + c * x_stride + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec factor(a.data[r * a.row + c * a.column]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = at::vec::fmadd(factor, row[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v].store(y + r * y_stride + v * kLanes);
  }
}

template <bool kAdd, int kVectors>
inline void multiply_lanes(Matrix a, int64_t rows, int64_t inner, const float* x, int64_t x_stride, float* y,
                           int64_t y_stride) {
  constexpr int kRows = 8 / kVectors;  // eight sums in registers hide the latency of an addition
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows, a.data += kRows * a.row, y += kRows * y_stride) {
    multiply_tile<kAdd, kRows, kVectors>(a, inner, x, x_stride, y, y_stride);
  }
  for (; r < rows; ++r, a.data += a.row, y += y_stride)
    multiply_tile<kAdd, 1, kVectors>(a, inner, x, x_stride, y, y_stride);
}

// y = a x, or y += a x: a (rows, inner), x (inner, lanes), y (rows, lanes); lanes are rounded up to vectors.
template <bool kAdd>
inline void multiply(Matrix a, int64_t rows, int64_t inner, const float* x, int64_t x_stride, float* y,
                     int64_t y_stride, int64_t lanes) {
  int64_t p = 0;
  for (; p + kLanes < lanes; p += 2 * kLanes) multiply_lanes<kAdd, 2>(a, rows, inner, x + p, x_stride, y + p, y_stride);
  if (p < lanes) multiply_lanes<kAdd, 1>(a, rows, inner, x + p, x_stride, y + p, y_stride);
}

template <int kColumns>
inline void products_tile(const float* x, const float* y, int64_t y_stride, int64_t lanes, float* out) {
  Vec sums[kColumns];
  for (int c = 0; c < kColumns; ++c) sums[c] = Vec(0.0f);
  for (int64_t p = 0; p < lanes; p += kLanes) {
    const Vec left = Vec::loadu(x + p);
    for (int c = 0; c < kColumns; ++c) sums[c] = at::vec::fmadd(left, Vec::loadu(y + c * y_stride + p), sums[c]);
  }
  for (int c = 0; c < kColumns; ++c) out[c] = sum_of(sums[c]);
}

// out = x y': x (rows, lanes), y (columns, lanes), out (rows, columns). One of both is zero in lanes that do not count.
inline void products(const float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns,
                     int64_t lanes, float* out) {
  for (int64_t r = 0; r < rows; ++r, x += x_stride, out += columns) {
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) products_tile<4>(x, y + c * y_stride, y_stride, lanes, out + c);
    for (; c < columns; ++c) products_tile<1>(x, y + c * y_stride, y_stride, lanes, out + c);
  }
}

// log(1 + y) for y in 0 .. 1, by the series of 2 artanh(y / (2 + y)): relative error below 2e-7.
inline Vec log_one_plus(Vec y) {
  const Vec s = y / (y + Vec(2.0f)), square = s * s;
  Vec p(2.0f / 15);
  for (const float coefficient : {2.0f / 13, 2.0f / 11, 2.0f / 9, 2.0f / 7, 2.0f / 5, 2.0f / 3, 2.0f}) {
    p = at::vec::fmadd(p, square, Vec(coefficient));
  }
  return p * s;
}

inline Vec log_sigmoid(Vec x) {
  return at::vec::minimum(x, Vec(0.0f)) - log_one_plus(exponential(Vec(0.0f) - x.abs()));
}

// tanh: near zero by a polynomial (Cephes), so that small values keep their relative precision.
inline Vec tanh_of(Vec x) {
  const Vec square = x * x;
  Vec p(-5.70498872745e-3f);
  for (const float coefficient : {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f}) {
    p = at::vec::fmadd(p, square, Vec(coefficient));
  }
  const Vec near = at::vec::fmadd(p * square, x, x);
  const Vec far = Vec(1.0f) - Vec(2.0f) / (exponential(x + x) + Vec(1.0f));
  return Vec::blendv(far, near, x.abs() < Vec(0.625f));
}

// Causal convolutions of several sequences that lie one after another in the lanes.
//
// Row `lag` of the masks has all bits set in the steps that have at least `lag` steps of their sequence before them.
struct Taps {
  int64_t count;  // the width of the convolution; weight[count - 1] belongs to the step itself
  const float* masks;
  int64_t stride;
};

// masks (count, stride) for the sequences starts[0] .. starts[sequences], counted from starts[0].
inline Taps make_taps(int64_t count, const int64_t* starts, int64_t sequences, int64_t stride, float* masks) {
  std::memset(masks, 0, count * stride * sizeof(float));
  for (int64_t lag = 0; lag < count; ++lag) {
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t p = starts[s] - starts[0] + lag; p < starts[s + 1] - starts[0]; ++p) {
        std::memset(masks + lag * stride + p, 0xFF, sizeof(float));
      }
    }
  }
  return {count, masks, stride};
}

// Copy `count` steps to a row, with zeros in the `lead` steps before and in the rest of `room`.
inline void copy_row(const float* source, int64_t count, int64_t lead, int64_t room, float* row) {
  std::memset(row - lead, 0, lead * sizeof(float));
  std::memcpy(row, source, count * sizeof(float));
  std::memset(row + count, 0, (room - count) * sizeof(float));
}

// bias + sum over lags of weight[count - 1 - lag] x[p - lag], where x has count - 1 readable steps before it.
inline Vec convolved(Taps taps, const float* x, int64_t p, const float* weight, float bias) {
  Vec sum = at::vec::fmadd(Vec(weight[taps.count - 1]), Vec::loadu(x + p), Vec(bias));
  for (int64_t lag = 1; lag < taps.count; ++lag) {
    const Vec before = Vec::loadu(x + p - lag) & Vec::loadu(taps.masks + lag * taps.stride + p);
    sum = at::vec::fmadd(Vec(weight[taps.count - 1 - lag]), before, sum);
  }
  return sum;
}

constexpr int64_t kSpan = 1024;  // steps in one sum, so that long sums stay precise; a multiple of the lanes

// The gradients of `convolved`: added to dx (lanes), written to dweight (count) and dbias. dy has count - 1 readable
// steps after its lanes, and is zero in steps that do not count.
inline void convolved_backward(Taps taps, const float* x, const float* dy, int64_t lanes, const float* weight,
                               float* dx, float* dweight, float* dbias) {
  *dbias = 0.0f;
  std::memset(dweight, 0, taps.count * sizeof(float));
  for (int64_t begin = 0; begin < lanes; begin += kSpan) {
    const int64_t end = begin + kSpan < lanes ? begin + kSpan : lanes;
    Vec sum(0.0f);
    for (int64_t p = begin; p < end; p += kLanes) sum = sum + Vec::loadu(dy + p);
    *dbias += sum_of(sum);
    for (int64_t lag = 0; lag < taps.count; ++lag) {
      const Vec factor(weight[taps.count - 1 - lag]);
      const float* const mask = taps.masks + lag * taps.stride;
      sum = Vec(0.0f);
      for (int64_t p = begin; p < end; p += kLanes) {
        sum = at::vec::fmadd(Vec::loadu(dy + p), Vec::loadu(x + p - lag) & Vec::loadu(mask + p), sum);
        const Vec after = Vec::loadu(dy + p + lag) & Vec::loadu(mask + p + lag);
        at::vec::fmadd(factor, after, Vec::loadu(dx + p)).store(dx + p);
      }
      dweight[taps.count - 1 - lag] += sum_of(sum);
    }
  }
}

}  // namespace seqlab
