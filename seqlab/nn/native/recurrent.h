// What lstm.cpp and gru.cpp share: a recurrent layer over rows of different lengths, but for the equations of its cell.
//
// Steps are time-major: step 0 of all rows, step 1 of those that have one, and so on; counts[t] rows have step t, and
// they are the first ones of step t - 1. The weights are laid out once for all steps, in panels of columns, and a
// cell's equations are computed where the product of a step ends, in registers. All sums have a fixed order, whatever
// the number of threads.
//
// T steps of the longest row, N steps of all rows, H hidden units, G gates. Arrays are contiguous.

#pragma once

#include <algorithm>

#include "vector.h"

namespace seqlab {
namespace {

// A panel has kVectors vectors of columns, in parts of kPart vectors. The sums of kRows rows and a part, which share
// each load of weights, fit into 12 registers.
template <int kVectors>
constexpr int kPart = kVectors % 2 ? kVectors : 2;
template <int kVectors>
constexpr int kRows = 12 / kPart<kVectors>;
constexpr int64_t kChunk = 48;  // rows a task
constexpr int kUnits = 4;       // vectors of a panel of the backward pass; the forward pass has one for each gate

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

// The panel of the columns that column_of(0), column_of(1), ... point to, `stride` between the numbers of one; null:
// zeros.
template <int kVectors, typename ColumnOf>
inline void lay_out(int64_t depth, int64_t stride, ColumnOf column_of, float* panel) {
  constexpr int64_t kBlock = 64;  // of k, so that what is read and written fits into the cache
  constexpr int64_t kWide = kPart<kVectors> * kLanes;
  for (int64_t first = 0; first < depth; first += kBlock) {
    const int64_t stop = std::min(depth, first + kBlock);
    for (int64_t column = 0; column < kVectors * kLanes; ++column) {
      const float* const source = column_of(column);
      float* const target = panel + column / kWide * depth * kWide + column % kWide;
      for (int64_t k = first; k < stop; ++k) target[k * kWide] = source ? source[k * stride] : 0.0f;
    }
  }
}

// sums[r][v] = sum over k < depth of a[r][k] times the v-th vector of row k of a panel with parts of kP vectors.
template <int kP, int kR, int kV>
inline void product(const float* a, int64_t depth, const float* panel, Vec (&sums)[kR][kV]) {
  for (int r = 0; r < kR; ++r) {
    for (int v = 0; v < kV; ++v) sums[r][v] = Vec(0.0f);
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec weights[kV];
    for (int v = 0; v < kV; ++v) weights[v] = Vec::loadu(panel + (v / kP * depth + k) * kP * kLanes + v % kP * kLanes);
    for (int r = 0; r < kR; ++r) {
      const Vec value(a[r * depth + k]);
      for (int v = 0; v < kV; ++v) sums[r][v] = at::vec::fmadd(value, weights[v], sums[r][v]);
    }
  }
}

// All vectors of a panel: at once for few rows, else part by part, so that the sums fit into registers.
template <int kR, int kVectors>
inline void panel_product(const float* a, int64_t depth, const float* panel, Vec (&sums)[kR][kVectors]) {
  constexpr int kP = kPart<kVectors>;
  if constexpr (kR <= 2 || kP == kVectors) {
    product<kP>(a, depth, panel, sums);
  } else {
    for (int first = 0; first < kVectors; first += kP) {
      Vec part[kR][kP];
      product<kP>(a, depth, panel + first * depth * kLanes, part);
      for (int r = 0; r < kR; ++r) {
        for (int v = 0; v < kP; ++v) sums[r][first + v] = part[r][v];
      }
    }
  }
}

// Calls function(row, sums) for the rows first .. stop - 1 of a, kR at a time.
template <int kVectors, int kR = kRows<kVectors>, typename Function>
inline void for_products(int64_t first, int64_t stop, const float* a, int64_t depth, const float* panel,
                         Function function) {
  for (; stop - first >= kR; first += kR) {
    Vec sums[kR][kVectors];
    panel_product(a + first * depth, depth, panel, sums);
    for (int r = 0; r < kR; ++r) function(first + r, sums[r]);
  }
  if constexpr (kR > 1) for_products<kVectors, kR - 1>(first, stop, a, depth, panel, function);
}

// The same where there is nothing to multiply: all sums are zeros.
template <int kVectors, typename Function>
inline void for_zeros(int64_t first, int64_t stop, Function function) {
  for (; first < stop; ++first) {
    Vec zeros[kVectors];
    for (Vec& zero : zeros) zero = Vec(0.0f);
    function(first, zeros);
  }
}

struct Steps {
  int64_t number, hidden;
  const int64_t *counts, *starts;  // (T,) and (T + 1,): starts[t] is the place of the first row's step t

  int64_t panels(int64_t vectors) const { return (hidden + vectors * kLanes - 1) / (vectors * kLanes); }
  int64_t chunks(int64_t step) const { return (counts[step] + kChunk - 1) / kChunk; }
};

// A step of one row: the number of the row, and the places of this step and of the one before. That is -1 if there is
// none; then the state before is zeros.
struct Place {
  int64_t row, now, before;
};

// Room in numbers for the weights (G H, H) as forward_steps or backward_steps lays them out.
inline int64_t room(bool backward, int64_t gates, int64_t H) {
  const int64_t units = (backward ? kUnits : 1) * kLanes;
  return (H + units - 1) / units * units * gates * H;
}

// Calls function(Place, first unit, sums) for all steps and units: sums[g] is the product of the hidden state before
// and the weights of gate g, for kLanes units. It writes those of out, (N, H), of which this reads the step before.
template <int kGates, typename Function>
void forward_steps(Steps steps, const float* weight, const float* out, float* panels, int num_threads,
                   Function function) {
  const int64_t H = steps.hidden, num_panels = steps.panels(1), size = kGates * kLanes * H;
#pragma omp parallel num_threads(num_threads)
  {
#pragma omp for schedule(static)
    for (int64_t panel = 0; panel < num_panels; ++panel) {
      const auto column_of = [&](int64_t column) {
        const int64_t unit = panel * kLanes + column % kLanes;
        return unit < H ? weight + (column / kLanes * H + unit) * H : nullptr;
      };
      lay_out<kGates>(H, 1, column_of, panels + panel * size);
    }
    for (int64_t t = 0; t < steps.number; ++t) {
      const int64_t count = steps.counts[t], start = steps.starts[t], before = t ? steps.starts[t - 1] : 0;
#pragma omp for collapse(2) schedule(static)
      for (int64_t panel = 0; panel < num_panels; ++panel) {
        for (int64_t chunk = 0; chunk < steps.chunks(t); ++chunk) {
          const int64_t first = chunk * kChunk, stop = std::min(count, first + kChunk);
          const auto finish = [&](int64_t row, Vec(&sums)[kGates]) {
            function(Place{row, start + row, t ? before + row : -1}, panel * kLanes, sums);
          };
          if (t) {
            for_products<kGates>(first, stop, out + before * H, H, panels + panel * size, finish);
          } else {
            for_zeros<kGates>(first, stop, finish);
          }
        }
      }
    }
  }
}

// From the last step to the first, calls function(Place, ends, first unit, sum) for all steps and units: the sum is the
// product of the gradients of the next step's gates, (kGates H), and the weights, for kLanes units; `ends`: the row has
// no later step. It writes the step's row of dgates, (N, kGates H), of which this reads the step after.
template <int kGates, typename Function>
void backward_steps(Steps steps, const float* weight, const float* dgates, float* panels, int num_threads,
                    Function function) {
  const int64_t H = steps.hidden, num_panels = steps.panels(kUnits), depth = kGates * H;
  const int64_t columns = kUnits * kLanes;
#pragma omp parallel num_threads(num_threads)
  {
#pragma omp for schedule(static)
    for (int64_t panel = 0; panel < num_panels; ++panel) {
      const auto column_of = [&](int64_t column) {
        return panel * columns + column < H ? weight + panel * columns + column : nullptr;
      };
      lay_out<kUnits>(depth, H, column_of, panels + panel * columns * depth);
    }
    for (int64_t t = steps.number - 1; t >= 0; --t) {
      const int64_t count = steps.counts[t], start = steps.starts[t], before = t ? steps.starts[t - 1] : 0;
      const int64_t going = t + 1 < steps.number ? steps.counts[t + 1] : 0, later = start + count;
#pragma omp for collapse(2) schedule(static)
      for (int64_t panel = 0; panel < num_panels; ++panel) {
        for (int64_t chunk = 0; chunk < steps.chunks(t); ++chunk) {
          const int64_t first = chunk * kChunk, stop = std::min(count, first + kChunk);
          const int64_t middle = std::max(first, std::min(stop, going));
          const auto finish = [&](int64_t row, Vec(&sums)[kUnits]) {
            for (int v = 0; v < kUnits; ++v) {
              const int64_t unit = panel * columns + v * kLanes;
              if (unit >= H) return;
              function(Place{row, start + row, t ? before + row : -1}, row >= going, unit, sums[v]);
            }
          };
          for_products<kUnits>(first, middle, dgates + later * depth, depth, panels + panel * columns * depth, finish);
          for_zeros<kUnits>(middle, stop, finish);
        }
      }
    }
  }
}

}  // namespace
}  // namespace seqlab
