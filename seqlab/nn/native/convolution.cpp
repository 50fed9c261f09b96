// The causal convolution of a Mamba or an sLSTM block with its silu, forward and backward, for CPUs: float32 and bfloat16.
//
//     z_t = bias + sum over k < K of weight_k x_{t - K + 1 + k}    y = z sigmoid(z)
//
// for each channel by itself. Rows are packed: row r has the steps starts[r] .. starts[r + 1] - 1, and nothing is read
// before its first. All sums have a fixed order, whatever the number of threads.
//
// B rows, N steps of all rows, D channels, K steps that are looked at. weight (K, D) and bias (D,) are float32.

#include <algorithm>

#include "vector.h"

namespace seqlab {
namespace {

constexpr int64_t kRows = 4;  // rows a task of the backward pass: convolution_rows() tells Python

struct Shape {
  int64_t rows, channels, taps;
  int64_t stride;  // between the steps of x, and of its gradient
  const int64_t* starts;
};

// z of step t of a row that starts at x.
template <typename Type>
inline Vec convolved(const Shape& shape, const Type* x, int64_t t, int64_t d, const float* weight, const float* bias) {
  const int64_t count = shape.channels - d;
  Vec z = load(bias + d, count);
  for (int64_t k = std::max<int64_t>(0, shape.taps - 1 - t); k < shape.taps; ++k) {
    const Vec value = load(x + (t - shape.taps + 1 + k) * shape.stride + d, count);
    z = at::vec::fmadd(value, load(weight + k * shape.channels + d, count), z);
  }
  return z;
}

// y (N, D).
template <typename Type>
void forward(Shape shape, const Type* x, const float* weight, const float* bias, Type* y, int num_threads) {
  const int64_t D = shape.channels;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t first = shape.starts[row], T = shape.starts[row + 1] - first;
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t d = 0; d < D; d += kLanes) {
        const Vec z = convolved(shape, x + first * shape.stride, t, d, weight, bias);
        store(z * sigmoid(z), y + (first + t) * D + d, D - d);
      }
    }
  }
}

inline void add(Vec value, float* target, int64_t count) { store(load(target, count) + value, target, count); }

// dy (N, D) is overwritten by the gradient of z. parts (tasks, K + 1, D): gradients of weight and bias.
template <typename Type>
void backward(Shape shape, const Type* x, const float* weight, const float* bias, Type* dy, Type* dx, float* parts,
              int num_threads) {
  const int64_t D = shape.channels, K = shape.taps, num_tasks = (shape.rows + kRows - 1) / kRows;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
  for (int64_t task = 0; task < num_tasks; ++task) {
    float* const sums = parts + task * (K + 1) * D;
    std::fill(sums, sums + (K + 1) * D, 0.0f);
    for (int64_t row = task * kRows; row < std::min(shape.rows, (task + 1) * kRows); ++row) {
      const int64_t first = shape.starts[row], T = shape.starts[row + 1] - first;
      const Type* const x_row = x + first * shape.stride;
      Type* const dz_row = dy + first * D;
      for (int64_t t = 0; t < T; ++t) {
        for (int64_t d = 0; d < D; d += kLanes) {
          const int64_t count = D - d;
          const Vec z = convolved(shape, x_row, t, d, weight, bias), open = sigmoid(z);
          const Vec slope = open * at::vec::fmadd(z, Vec(1.0f) - open, Vec(1.0f));
          const Vec dz = load(dz_row + t * D + d, count) * slope;
          store(dz, dz_row + t * D + d, count);
          for (int64_t k = std::max<int64_t>(0, K - 1 - t); k < K; ++k) {
            add(dz * load(x_row + (t - K + 1 + k) * shape.stride + d, count), sums + k * D + d, count);
          }
          add(dz, sums + K * D + d, count);
        }
      }
      for (int64_t t = 0; t < T; ++t) {
        for (int64_t d = 0; d < D; d += kLanes) {
          Vec sum(0.0f);
          for (int64_t k = std::max<int64_t>(0, K - T + t); k < K; ++k) {
            const Vec dz = load(dz_row + (t + K - 1 - k) * D + d, D - d);
            sum = at::vec::fmadd(dz, load(weight + k * D + d, D - d), sum);
          }
          store(sum, dx + (first + t) * shape.stride + d, D - d);
        }
      }
    }
  }
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;

extern "C" {

int64_t convolution_rows() { return seqlab::kRows; }

// sizes: B, D, K, stride of x and dx.
void convolution_forward(int bfloat16, const int64_t* sizes, const int64_t* starts, const void* x, const float* weight,
                         const float* bias, void* y, int num_threads) {
  const seqlab::Shape shape{sizes[0], sizes[1], sizes[2], sizes[3], starts};
  if (bfloat16) {
    seqlab::forward(shape, static_cast<const BFloat16*>(x), weight, bias, static_cast<BFloat16*>(y), num_threads);
  } else {
    seqlab::forward(shape, static_cast<const float*>(x), weight, bias, static_cast<float*>(y), num_threads);
  }
}

void convolution_backward(int bfloat16, const int64_t* sizes, const int64_t* starts, const void* x, const float* weight,
                          const float* bias, void* dy, void* dx, float* parts, int num_threads) {
  const seqlab::Shape shape{sizes[0], sizes[1], sizes[2], sizes[3], starts};
  if (bfloat16) {
    seqlab::backward(shape, static_cast<const BFloat16*>(x), weight, bias, static_cast<BFloat16*>(dy),
                     static_cast<BFloat16*>(dx), parts, num_threads);
  } else {
    seqlab::backward(shape, static_cast<const float*>(x), weight, bias, static_cast<float*>(dy), static_cast<float*>(dx),
                     parts, num_threads);
  }
}
}
