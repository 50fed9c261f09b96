// An LSTM layer (Hochreiter & Schmidhuber 1997) over rows of different lengths, forward and backward, for CPUs.
//
//     i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    g = tanh(z_g)    z = gates + W h_before + bias
//     c = f c_before + i g                                  h = o tanh(c)
//
// In float32 all steps, their matrix products included: the weights are laid out once for all steps, and the gates are
// computed where the product ends, in registers. In bfloat16 one step without its product, which torch computes with
// the processor's units for bfloat16.
//
// Gates come in torch's order i, f, g, o. Steps are time-major: step 0 of all rows, step 1 of those that have one, and
// so on; counts[t] rows have step t, and they are the first ones of step t - 1. All sums have a fixed order, whatever
// the number of threads.
//
// T steps of the longest row, N steps of all rows, H hidden units. Arrays are contiguous.

#include <algorithm>

#include "vector.h"

namespace seqlab {
namespace {

constexpr int64_t kWide = 4 * kLanes;  // columns of a panel of weights, which has two halves: rows of 2 kLanes numbers
constexpr int kRows = 6;               // rows of a product that share each load of weights
constexpr int64_t kChunk = 8 * kRows;  // rows a task

// The error is small relative to the value, near 0 too, where 1 - 2 / (exp(2 x) + 1) cancels: there it is Cephes' odd
// polynomial.
inline Vec hyperbolic_tangent(Vec x) {
  const Vec square = x * x, size = x.abs();
  Vec p(-5.70498872745e-3f);
  for (const float coefficient : {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f}) {
    p = at::vec::fmadd(p, square, Vec(coefficient));
  }
  const Vec near = at::vec::fmadd(p * square, x, x);
  const Vec far = Vec(1.0f) - Vec(2.0f) / (exponential(x + x) + Vec(1.0f));
  return Vec::blendv(far, near, size < Vec(0.625f));
}

// `count` units of one row at one step, from z without its bias. `activations` (the gates of a row after their
// functions) may be null: not wanted. So may cell_before: zeros.
template <typename Type>
inline void step_forward(Vec (&z)[4], int64_t H, int64_t count, const float* bias, const float* cell_before,
                         float* cell, Type* out, float* activations) {
  for (int gate = 0; gate < 4; ++gate) z[gate] = z[gate] + load(bias + gate * H, count);
  const Vec i = sigmoid(z[0]), f = sigmoid(z[1]), g = hyperbolic_tangent(z[2]), o = sigmoid(z[3]);
  Vec c = i * g;
  if (cell_before) c = at::vec::fmadd(f, load(cell_before, count), c);
  store(c, cell, count);
  store(o * hyperbolic_tangent(c), out, count);
  if (activations) {
    store(i, activations, count);
    store(f, activations + H, count);
    store(g, activations + 2 * H, count);
    store(o, activations + 3 * H, count);
  }
}

// The gradients of z from that of h. dcell is overwritten by the gradient of the cell before; `ends`: the row has no
// later step, and dcell does not count yet.
template <typename Type>
inline void step_backward(Vec dh, bool ends, int64_t H, int64_t count, const float* activations,
                          const float* cell_before, const float* cell, float* dcell, Type* dgates) {
  const Vec one(1.0f);
  const Vec i = load(activations, count), f = load(activations + H, count);
  const Vec g = load(activations + 2 * H, count), o = load(activations + 3 * H, count);
  const Vec before = cell_before ? load(cell_before, count) : Vec(0.0f);
  const Vec t = hyperbolic_tangent(load(cell, count));
  Vec dc = dh * o * (one - t * t);
  if (!ends) dc = dc + load(dcell, count);
  store(dc * f, dcell, count);
  store(dc * g * i * (one - i), dgates, count);
  store(dc * before * f * (one - f), dgates + H, count);
  store(dc * i * (one - g * g), dgates + 2 * H, count);
  store(dh * t * o * (one - o), dgates + 3 * H, count);
}

// The panel of the columns that column_of(0 .. kWide - 1) points to, `stride` between the numbers of one; null: zeros.
template <typename ColumnOf>
inline void lay_out(int64_t depth, int64_t stride, ColumnOf column_of, float* panel) {
  constexpr int64_t kBlock = 64;  // of k, so that what is read and written fits into the cache
  for (int64_t first = 0; first < depth; first += kBlock) {
    const int64_t stop = std::min(depth, first + kBlock);
    for (int64_t column = 0; column < kWide; ++column) {
      const float* const source = column_of(column);
      float* const target = panel + column / (2 * kLanes) * depth * 2 * kLanes + column % (2 * kLanes);
      for (int64_t k = first; k < stop; ++k) target[k * 2 * kLanes] = source ? source[k * stride] : 0.0f;
    }
  }
}

// sums[r][v] = sum over k < depth of a[r][k] times the v-th vector of the panel's row k.
template <int kR, int kV>
inline void product(const float* a, int64_t stride, int64_t depth, const float* panel, Vec (&sums)[kR][kV]) {
  for (int r = 0; r < kR; ++r) {
    for (int v = 0; v < kV; ++v) sums[r][v] = Vec(0.0f);
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec weights[kV];
    for (int v = 0; v < kV; ++v) weights[v] = Vec::loadu(panel + (v / 2 * depth + k) * 2 * kLanes + v % 2 * kLanes);
    for (int r = 0; r < kR; ++r) {
      const Vec value(a[r * stride + k]);
      for (int v = 0; v < kV; ++v) sums[r][v] = at::vec::fmadd(value, weights[v], sums[r][v]);
    }
  }
}

// All four vectors of a panel: at once for few rows, else in two halves, so that the sums fit into registers.
template <int kR>
inline void product(const float* a, int64_t stride, int64_t depth, const float* panel, Vec (&sums)[kR][4]) {
  if constexpr (kR <= 2) {
    product<kR, 4>(a, stride, depth, panel, sums);
  } else {
    for (int half = 0; half < 2; ++half) {
      Vec part[kR][2];
      product<kR, 2>(a, stride, depth, panel + half * depth * 2 * kLanes, part);
      for (int r = 0; r < kR; ++r) {
        for (int v = 0; v < 2; ++v) sums[r][2 * half + v] = part[r][v];
      }
    }
  }
}

// Calls function(first row, sums) for the rows first .. stop - 1 of a, kRows at a time.
template <int kR = kRows, typename Function>
inline void for_products(int64_t first, int64_t stop, const float* a, int64_t stride, const float* panel,
                         Function function) {
  for (; stop - first >= kR; first += kR) {
    Vec sums[kR][4];
    product<kR>(a + first * stride, stride, stride, panel, sums);
    for (int r = 0; r < kR; ++r) function(first + r, sums[r]);
  }
  if constexpr (kR > 1) for_products<kR - 1>(first, stop, a, stride, panel, function);
}

struct Shape {
  int64_t steps, hidden;
  const int64_t *counts, *starts;

  int64_t panels(int64_t units) const { return (hidden + units - 1) / units; }
  int64_t chunks(int64_t step) const { return (counts[step] + kChunk - 1) / kChunk; }
};

// gates (N, 4 H), overwritten by the activations if `keep`. cells (N, H) if `keep`, else (counts[0], H). panels: room for
// 4 H padded(H) numbers; a panel has four gates of kLanes units.
void forward(Shape shape, bool keep, const float* weight, const float* bias, float* gates, float* cells, float* out,
             float* panels, int num_threads) {
  const int64_t H = shape.hidden, num_panels = shape.panels(kLanes);
#pragma omp parallel num_threads(num_threads)
  {
#pragma omp for schedule(static)
    for (int64_t panel = 0; panel < num_panels; ++panel) {
      const auto column_of = [&](int64_t column) {
        const int64_t unit = panel * kLanes + column % kLanes;
        return unit < H ? weight + (column / kLanes * H + unit) * H : nullptr;
      };
      lay_out(H, 1, column_of, panels + panel * H * kWide);
    }
    for (int64_t t = 0; t < shape.steps; ++t) {
      const int64_t count = shape.counts[t], start = shape.starts[t], before = t ? shape.starts[t - 1] : 0;
      float* const cell = keep ? cells + start * H : cells;
      const float* const cell_before = t ? (keep ? cells + before * H : cells) : nullptr;
#pragma omp for collapse(2) schedule(static)
      for (int64_t panel = 0; panel < num_panels; ++panel) {
        for (int64_t chunk = 0; chunk < shape.chunks(t); ++chunk) {
          const int64_t j = panel * kLanes, stop = std::min(count, (chunk + 1) * kChunk);
          const auto finish = [&](int64_t row, Vec(&z)[4]) {
            float* const row_gates = gates + (start + row) * 4 * H + j;
            for (int gate = 0; gate < 4; ++gate) z[gate] = z[gate] + load(row_gates + gate * H, H - j);
            step_forward(z, H, H - j, bias + j, cell_before ? cell_before + row * H + j : nullptr, cell + row * H + j,
                         out + (start + row) * H + j, keep ? row_gates : nullptr);
          };
          if (t) {
            for_products(chunk * kChunk, stop, out + before * H, H, panels + panel * H * kWide, finish);
          } else {
            for (int64_t row = chunk * kChunk; row < stop; ++row) {
              Vec zeros[4] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
              finish(row, zeros);
            }
          }
        }
      }
    }
  }
}

// dgates (N, 4 H) from dout (N, H). dcell: room for (counts[0], H). panels: room for 4 H (H padded to a multiple of
// kWide) numbers; a panel has kWide units.
void backward(Shape shape, const float* weight, const float* activations, const float* cells, const float* dout,
              float* dcell, float* dgates, float* panels, int num_threads) {
  const int64_t H = shape.hidden, num_panels = shape.panels(kWide);
#pragma omp parallel num_threads(num_threads)
  {
#pragma omp for schedule(static)
    for (int64_t panel = 0; panel < num_panels; ++panel) {
      const auto column_of = [&](int64_t column) {
        return panel * kWide + column < H ? weight + panel * kWide + column : nullptr;
      };
      lay_out(4 * H, H, column_of, panels + panel * 4 * H * kWide);
    }
    for (int64_t t = shape.steps - 1; t >= 0; --t) {
      const int64_t count = shape.counts[t], start = shape.starts[t], before = t ? shape.starts[t - 1] : 0;
      const int64_t going = t + 1 < shape.steps ? shape.counts[t + 1] : 0, later = start + count;
#pragma omp for collapse(2) schedule(static)
      for (int64_t panel = 0; panel < num_panels; ++panel) {
        for (int64_t chunk = 0; chunk < shape.chunks(t); ++chunk) {
          const int64_t first = chunk * kChunk, stop = std::min(count, first + kChunk);
          const auto finish = [&](int64_t row, Vec(&sums)[4]) {
            for (int v = 0; v < 4; ++v) {
              const int64_t j = panel * kWide + v * kLanes, place = (start + row) * H + j;
              if (j >= H) return;
              const int64_t gate_place = (start + row) * 4 * H + j;
              step_backward(sums[v] + load(dout + place, H - j), row >= going, H, H - j, activations + gate_place,
                            t ? cells + (before + row) * H + j : nullptr, cells + place, dcell + row * H + j,
                            dgates + gate_place);
            }
          };
          const int64_t middle = std::max(first, std::min(stop, going));
          for_products(first, middle, dgates + later * 4 * H, 4 * H, panels + panel * 4 * H * kWide, finish);
          for (int64_t row = middle; row < stop; ++row) {
            Vec zeros[4] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
            finish(row, zeros);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;
using seqlab::Vec;

extern "C" {

// Room in numbers for the weights as `lstm_forward` or `lstm_backward` lays them out.
int64_t lstm_room(int backward, int64_t H) {
  const int64_t units = backward ? seqlab::kWide : seqlab::kLanes;
  return (H + units - 1) / units * units * 4 * H;
}

// Arrays: see above. starts (T + 1): the place of each step's first row.
void lstm_forward(int64_t T, int64_t H, const int64_t* counts, const int64_t* starts, int keep, const float* weight,
                  const float* bias, float* gates, float* cells, float* out, float* panels, int num_threads) {
  seqlab::forward({T, H, counts, starts}, keep, weight, bias, gates, cells, out, panels, num_threads);
}

void lstm_backward(int64_t T, int64_t H, const int64_t* counts, const int64_t* starts, const float* weight,
                   const float* activations, const float* cells, const float* dout, float* dcell, float* dgates,
                   float* panels, int num_threads) {
  seqlab::backward({T, H, counts, starts}, weight, activations, cells, dout, dcell, dgates, panels, num_threads);
}

// One step of `rows` rows. gates and recurrent (rows, 4 H) and out (rows, H) in bfloat16; bias (4 H,), activations
// (rows, 4 H) and cells (rows, H) in float32. recurrent and cell_before may be null: zeros; activations: not wanted.
void lstm_step_forward(int64_t rows, int64_t H, const BFloat16* gates, const BFloat16* recurrent, const float* bias,
                       float* activations, const float* cell_before, float* cell, BFloat16* out, int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t j = 0; j < H; j += seqlab::kLanes) {
      const int64_t place = row * H + j, gate_place = 4 * row * H + j;
      Vec z[4];
      for (int gate = 0; gate < 4; ++gate) {
        z[gate] = seqlab::load(gates + gate_place + gate * H, H - j);
        if (recurrent) z[gate] = z[gate] + seqlab::load(recurrent + gate_place + gate * H, H - j);
      }
      seqlab::step_forward(z, H, H - j, bias + j, cell_before ? cell_before + place : nullptr, cell + place, out + place,
                           activations ? activations + gate_place : nullptr);
    }
  }
}

// dout and drecurrent (rows, H), of which the first `going` rows count, and dgates (rows, 4 H) in bfloat16.
void lstm_step_backward(int64_t rows, int64_t H, int64_t going, const BFloat16* dout, const BFloat16* drecurrent,
                        const float* activations, const float* cell_before, const float* cell, float* dcell,
                        BFloat16* dgates, int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t j = 0; j < H; j += seqlab::kLanes) {
      const int64_t place = row * H + j, gate_place = 4 * row * H + j;
      Vec dh = seqlab::load(dout + place, H - j);
      if (row < going) dh = dh + seqlab::load(drecurrent + place, H - j);
      seqlab::step_backward(dh, row >= going, H, H - j, activations + gate_place,
                            cell_before ? cell_before + place : nullptr, cell + place, dcell + place,
                            dgates + gate_place);
    }
  }
}
}
