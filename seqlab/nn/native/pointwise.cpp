// What a Transformer layer computes between its matrix products, forward and backward, for CPUs: float32 and bfloat16.
//
// residual_norm: sum = x + dropout(branch + bias), normed = LayerNorm(sum).
// activate: dropout(activation(x + bias)).
//
// N rows of C channels. Gradients of parameters are summed over blocks of rows, then over blocks: a fixed order,
// whatever the number of threads.

#include <cmath>

#include "dropout.h"
#include "vector.h"

namespace seqlab {
namespace {

constexpr int64_t kBlock = 128;  // rows a task: pointwise_block() tells Python

struct Norm {
  int64_t rows, channels;
  float eps;
};

template <typename Branch, typename Normed>
void norm_forward(Norm shape, const float* x, const Branch* branch, const float* bias, const float* weight,
                  const float* shift, float* sum, Normed* normed, float* statistics, Dropout dropout, int num_threads) {
  const int64_t C = shape.channels;
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < shape.rows; ++row) {
    const uint32_t key = row_key(dropout.seed, row);
    float* const sum_row = sum + row * C;
    Vec total(0.0f);
    for (int64_t c = 0; c < C; c += kLanes) {
      Vec value = load(x + row * C + c, C - c);
      if (branch) {
        Vec added = (load(branch + row * C + c, C - c) + load(bias + c, C - c)) * Vec(dropout.scale);
        if (dropout.threshold) added = added & kept(key, c, dropout.threshold);
        value = value + added;
        store(value, sum_row + c, C - c);
      }
      total = total + value;
    }
    const float* const values = branch ? sum_row : x + row * C;
    const float mean = sum_of(total) / C;
    Vec squares(0.0f);
    for (int64_t c = 0; c < C; c += kLanes) {
      Vec distance = load(values + c, C - c) - Vec(mean);
      if (C - c < kLanes) distance = Vec::set(Vec(0.0f), distance, C - c);
      squares = at::vec::fmadd(distance, distance, squares);
    }
    const float rate = 1.0f / std::sqrt(sum_of(squares) / C + shape.eps);
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = rate;
    for (int64_t c = 0; c < C; c += kLanes) {
      const Vec unit = (load(values + c, C - c) - Vec(mean)) * Vec(rate);
      store(at::vec::fmadd(unit, load(weight + c, C - c), load(shift + c, C - c)), normed + row * C + c, C - c);
    }
  }
}

inline void add(Vec value, float* target, int64_t count) { store(load(target, count) + value, target, count); }

// dsum may be null, and so may dbranch; parts (blocks, 3, C): gradients of weight, shift and bias.
template <typename Branch, typename Normed>
void norm_backward(Norm shape, const float* dsum, const Normed* dnormed, const float* sum, const float* statistics,
                   const float* weight, float* dx, Branch* dbranch, float* parts, Dropout dropout, int num_threads) {
  const int64_t C = shape.channels, num_blocks = (shape.rows + kBlock - 1) / kBlock;
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t block = 0; block < num_blocks; ++block) {
    float *const dweight = parts + block * 3 * C, *const dshift = dweight + C, *const dbias = dshift + C;
    std::memset(dweight, 0, 3 * C * sizeof(float));
    const int64_t stop = (block + 1) * kBlock < shape.rows ? (block + 1) * kBlock : shape.rows;
    for (int64_t row = block * kBlock; row < stop; ++row) {
      const Vec mean(statistics[2 * row]), rate(statistics[2 * row + 1]);
      Vec first(0.0f), second(0.0f);
      for (int64_t c = 0; c < C; c += kLanes) {
        const Vec unit = (load(sum + row * C + c, C - c) - mean) * rate, gradient = load(dnormed + row * C + c, C - c);
        const Vec inner = gradient * load(weight + c, C - c);  // zero beyond C
        first = first + inner;
        second = at::vec::fmadd(inner, unit, second);
        add(gradient * unit, dweight + c, C - c);
        add(gradient, dshift + c, C - c);
      }
      const Vec first_mean(sum_of(first) / C), second_mean(sum_of(second) / C);
      const uint32_t key = row_key(dropout.seed, row);
      for (int64_t c = 0; c < C; c += kLanes) {
        const Vec unit = (load(sum + row * C + c, C - c) - mean) * rate;
        const Vec inner = load(dnormed + row * C + c, C - c) * load(weight + c, C - c);
        Vec result = rate * (inner - first_mean - unit * second_mean);
        if (dsum) result = result + load(dsum + row * C + c, C - c);
        store(result, dx + row * C + c, C - c);
        if (dbranch) {
          result = result * Vec(dropout.scale);
          if (dropout.threshold) result = result & kept(key, c, dropout.threshold);
          store(result, dbranch + row * C + c, C - c);
          add(result, dbias + c, C - c);
        }
      }
    }
  }
}

// The error function: Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7.
inline Vec error_function(Vec x) {
  const Vec size = x.abs(), t = Vec(1.0f) / at::vec::fmadd(size, Vec(0.3275911f), Vec(1.0f));
  Vec p(1.061405429f);
  for (const float coefficient : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
    p = at::vec::fmadd(p, t, Vec(coefficient));
  }
  const Vec result = Vec(1.0f) - p * t * exponential(Vec(0.0f) - size * size);
  return Vec::blendv(result, Vec(0.0f) - result, x < Vec(0.0f));
}

inline Vec normal_cdf(Vec x) { return Vec(0.5f) + Vec(0.5f) * error_function(x * Vec(0.70710678f)); }

template <typename Type, bool kGelu>
void activate_forward(int64_t rows, int64_t C, const Type* x, const float* bias, Type* y, Dropout dropout, int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    const uint32_t key = row_key(dropout.seed, row);
    for (int64_t c = 0; c < C; c += kLanes) {
      const Vec value = load(x + row * C + c, C - c) + load(bias + c, C - c);
      Vec result = (kGelu ? value * normal_cdf(value) : at::vec::maximum(value, Vec(0.0f))) * Vec(dropout.scale);
      if (dropout.threshold) result = result & kept(key, c, dropout.threshold);
      store(result, y + row * C + c, C - c);
    }
  }
}

// For relu, x is the output: its sign says where the gradient passes. parts (blocks, C): gradients of the bias.
template <typename Type, bool kGelu>
void activate_backward(int64_t rows, int64_t C, const Type* dy, const Type* x, const float* bias, Type* dx, float* parts,
                       Dropout dropout, int num_threads) {
  const int64_t num_blocks = (rows + kBlock - 1) / kBlock;
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t block = 0; block < num_blocks; ++block) {
    float* const dbias = parts + block * C;
    std::memset(dbias, 0, C * sizeof(float));
    const int64_t stop = (block + 1) * kBlock < rows ? (block + 1) * kBlock : rows;
    for (int64_t row = block * kBlock; row < stop; ++row) {
      const uint32_t key = row_key(dropout.seed, row);
      for (int64_t c = 0; c < C; c += kLanes) {
        Vec result = load(dy + row * C + c, C - c) * Vec(dropout.scale), value = load(x + row * C + c, C - c);
        if (kGelu) {
          value = value + load(bias + c, C - c);
          const Vec density = Vec(0.39894228f) * exponential(Vec(-0.5f) * value * value);
          result = result * at::vec::fmadd(value, density, normal_cdf(value));
          if (dropout.threshold) result = result & kept(key, c, dropout.threshold);
        } else {
          result = result & (value > Vec(0.0f));
        }
        store(result, dx + row * C + c, C - c);
        add(result, dbias + c, C - c);
      }
    }
  }
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;

extern "C" {

int64_t pointwise_block() { return seqlab::kBlock; }

void norm_forward(int bfloat16, int64_t N, int64_t C, float eps, const float* x, const void* branch, const float* bias,
                  const float* weight, const float* shift, float* sum, void* normed, float* statistics, uint64_t seed,
                  uint32_t threshold, float scale, int num_threads) {
  const seqlab::Dropout dropout{seed, threshold, scale};
  if (bfloat16) {
    seqlab::norm_forward({N, C, eps}, x, static_cast<const BFloat16*>(branch), bias, weight, shift, sum,
                         static_cast<BFloat16*>(normed), statistics, dropout, num_threads);
  } else {
    seqlab::norm_forward({N, C, eps}, x, static_cast<const float*>(branch), bias, weight, shift, sum,
                         static_cast<float*>(normed), statistics, dropout, num_threads);
  }
}

void norm_backward(int bfloat16, int64_t N, int64_t C, const float* dsum, const void* dnormed, const float* sum,
                   const float* statistics, const float* weight, float* dx, void* dbranch, float* parts, uint64_t seed,
                   uint32_t threshold, float scale, int num_threads) {
  const seqlab::Dropout dropout{seed, threshold, scale};
  if (bfloat16) {
    seqlab::norm_backward({N, C, 0.0f}, dsum, static_cast<const BFloat16*>(dnormed), sum, statistics, weight, dx,
                          static_cast<BFloat16*>(dbranch), parts, dropout, num_threads);
  } else {
    seqlab::norm_backward({N, C, 0.0f}, dsum, static_cast<const float*>(dnormed), sum, statistics, weight, dx,
                          static_cast<float*>(dbranch), parts, dropout, num_threads);
  }
}

void activate_forward(int bfloat16, int gelu, int64_t N, int64_t C, const void* x, const float* bias, void* y,
                      uint64_t seed, uint32_t threshold, float scale, int num_threads) {
  const seqlab::Dropout dropout{seed, threshold, scale};
  if (bfloat16) {
    const auto run = gelu ? seqlab::activate_forward<BFloat16, true> : seqlab::activate_forward<BFloat16, false>;
    run(N, C, static_cast<const BFloat16*>(x), bias, static_cast<BFloat16*>(y), dropout, num_threads);
  } else {
    const auto run = gelu ? seqlab::activate_forward<float, true> : seqlab::activate_forward<float, false>;
    run(N, C, static_cast<const float*>(x), bias, static_cast<float*>(y), dropout, num_threads);
  }
}

void activate_backward(int bfloat16, int gelu, int64_t N, int64_t C, const void* dy, const void* x, const float* bias,
                       void* dx, float* parts, uint64_t seed, uint32_t threshold, float scale, int num_threads) {
  const seqlab::Dropout dropout{seed, threshold, scale};
  if (bfloat16) {
    const auto run = gelu ? seqlab::activate_backward<BFloat16, true> : seqlab::activate_backward<BFloat16, false>;
    run(N, C, static_cast<const BFloat16*>(dy), static_cast<const BFloat16*>(x), bias, static_cast<BFloat16*>(dx), parts,
        dropout, num_threads);
  } else {
    const auto run = gelu ? seqlab::activate_backward<float, true> : seqlab::activate_backward<float, false>;
    run(N, C, static_cast<const float*>(dy), static_cast<const float*>(x), bias, static_cast<float*>(dx), parts, dropout,
        num_threads);
  }
}
}
