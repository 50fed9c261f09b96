// Products of float32 matrices with a few thousand rows and a few hundred columns, c = bias + a b, for CPUs.
//
// The sizes of a small model's layers: one matrix is so small that it stays in a cache, where the general products of
// torch's libraries do not reach the machine's rate, or do not use the widest vectors of processors of other makers.
//
// The columns of b are laid out in panels of two vectors. A tile of c, kRows by one panel, stays in registers while up
// to kDepth terms are added. Each element is summed in an order that depends on the number of terms alone: neither the
// threads nor the other rows change its bits.

#include <algorithm>

#include "vector.h"

namespace seqlab {
namespace {

constexpr int64_t kWide = 2 * kLanes;             // columns of a panel
constexpr int kRows = kLanes >= 16 ? 12 : 6;      // AVX-512 has 32 registers for vectors, AVX2 has 16
constexpr int64_t kDepth = 128;                   // terms between two visits of a tile: its part of a panel fits into L1
constexpr int64_t kChunk = 8 * kRows;             // rows of c in a task

// Element (r, c) is data[r * row + c * column].
struct Matrix {
  const float* data;
  int64_t row, column;

  const float* at(int64_t r, int64_t c) const { return data + r * row + c * column; }
};

// Rows of a panel's columns, `stride` numbers apart; no data: zeros.
struct Rows {
  const float* data;
  int64_t stride;
};

// kR rows of a panel's columns of c: `start` plus the sum over k < depth of a[r][k] panel[k]. Not inlined, and an array
// of pairs: otherwise GCC keeps the sums in memory, at a third of the speed.
template <int kR>
[[gnu::noinline]] void tile(Matrix a, int64_t depth, const float* panel, Rows start, float* c, int64_t stride) {
  Vec sums[kR][2];
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
    sums[r][0] = Vec(0.0f);
    sums[r][1] = Vec(0.0f);
  }
  const float* factors = a.data;
  for (int64_t k = 0; k < depth; ++k, panel += kWide, factors += a.column) {
    const Vec left = Vec::loadu(panel), right = Vec::loadu(panel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r) {
      const Vec factor(factors[r * a.row]);
      sums[r][0] = at::vec::fmadd(factor, left, sums[r][0]);
      sums[r][1] = at::vec::fmadd(factor, right, sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
    if (start.data) {
      sums[r][0] = sums[r][0] + Vec::loadu(start.data + r * start.stride);
      sums[r][1] = sums[r][1] + Vec::loadu(start.data + r * start.stride + kLanes);
    }
    sums[r][0].store(c + r * stride);
    sums[r][1].store(c + r * stride + kLanes);
  }
}

// As `tile`, of the first `count` columns: by way of an array that has all.
template <int kR>
inline void narrow_tile(Matrix a, int64_t depth, const float* panel, Rows start, float* c, int64_t stride,
                        int64_t count) {
  float all[kR * kWide] = {};
  if (start.data) {
    for (int r = 0; r < kR; ++r) std::memcpy(all + r * kWide, start.data + r * start.stride, count * sizeof(float));
  }
  tile<kR>(a, depth, panel, {all, kWide}, all, kWide);
  for (int r = 0; r < kR; ++r) std::memcpy(c + r * stride, all + r * kWide, count * sizeof(float));
}

// `rows` rows of `count` columns of a panel, kR at a time.
template <int kR = kRows>
inline void tiles(int64_t rows, Matrix a, int64_t depth, const float* panel, Rows start, float* c, int64_t stride,
                  int64_t count) {
  for (; rows >= kR; rows -= kR) {
    if (count == kWide) {
      tile<kR>(a, depth, panel, start, c, stride);
    } else {
      narrow_tile<kR>(a, depth, panel, start, c, stride, count);
    }
    a.data += kR * a.row;
    c += kR * stride;
    if (start.data) start.data += kR * start.stride;
  }
  if constexpr (kR > 1) {
    if (rows) tiles<kR - 1>(rows, a, depth, panel, start, c, stride, count);
  }
}

inline void lay_out(Matrix b, int64_t depth, int64_t count, float* panel) {
  if (b.column == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < kWide; ++j) panel[k * kWide + j] = j < count ? *b.at(k, j) : 0.0f;
    }
  } else {
    for (int64_t j = 0; j < kWide; ++j) {
      for (int64_t k = 0; k < depth; ++k) panel[k * kWide + j] = j < count ? *b.at(k, j) : 0.0f;
    }
  }
}

}  // namespace
}  // namespace seqlab

// Numbers of float32 that matrix_product needs as room.
extern "C" int64_t product_room(int64_t depth, int64_t columns) {
  using namespace seqlab;
  return (columns + kWide - 1) / kWide * depth * kWide;
}

// c (rows, columns), contiguous = bias + a b: a (rows, depth), b (depth, columns) with any strides, in numbers; bias
// (columns) may be null; sizes are above 0.
extern "C" void matrix_product(const int64_t* sizes, const float* a_data, const int64_t* a_strides, const float* b_data,
                               const int64_t* b_strides, const float* bias, float* c, float* room, int threads) {
  using namespace seqlab;
  const int64_t rows = sizes[0], depth = sizes[1], columns = sizes[2];
  const Matrix a{a_data, a_strides[0], a_strides[1]}, b{b_data, b_strides[0], b_strides[1]};
  const int64_t panels = (columns + kWide - 1) / kWide, chunks = (rows + kChunk - 1) / kChunk;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t p = 0; p < panels; ++p) {
    const Matrix part{b.at(0, p * kWide), b.row, b.column};
    lay_out(part, depth, std::min(kWide, columns - p * kWide), room + p * depth * kWide);
  }
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kChunk, count = std::min(kChunk, rows - first);
    for (int64_t k = 0; k < depth; k += kDepth) {
      const int64_t terms = std::min(kDepth, depth - k);
      Matrix part{a.at(first, k), a.row, a.column};
      float copy[kDepth * kChunk];
      if (a.row == 1 && a.column != 1) {  // a column has its rows in a few cache lines, far from those of the next
        for (int64_t t = 0; t < terms; ++t) std::memcpy(copy + t * kChunk, part.at(0, t), count * sizeof(float));
        part = {copy, 1, kChunk};
      }
      for (int64_t p = 0; p < panels; ++p) {
        float* const target = c + first * columns + p * kWide;
        const Rows start = k ? Rows{target, columns} : Rows{bias ? bias + p * kWide : nullptr, 0};
        tiles(count, part, terms, room + (p * depth + k) * kWide, start, target, columns,
              std::min(kWide, columns - p * kWide));
      }
    }
  }
}
