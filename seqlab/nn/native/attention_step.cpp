// One step of causal attention over a cache of keys and values, for CPUs: float32, without gradients.
//
// One task is a sequence and a head. The new key and value are written into the cache, then the query attends to all
// steps up to them.

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "vector.h"

namespace seqlab {
namespace {

// slope: what a score loses with each step of distance.
void attend(const float* query, const float* keys, const float* values, int64_t num_steps, int64_t width, float slope,
            float* out) {
  static thread_local std::vector<float> scratch;
  const int64_t room = padded(num_steps);
  if (static_cast<int64_t>(scratch.size()) < room) scratch.resize(room);
  float* const weights = scratch.data();
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t step = 0; step < num_steps; ++step) {
    Vec products(0.0f);
    for (int64_t d = 0; d < width; d += kLanes) {
      products = at::vec::fmadd(load(query + d, width - d), load(keys + step * width + d, width - d), products);
    }
    weights[step] = sum_of(products) * scale;
    if (slope) weights[step] += slope * static_cast<float>(step - num_steps + 1);
    largest = largest < weights[step] ? weights[step] : largest;
  }
  for (int64_t step = num_steps; step < room; ++step) weights[step] = -std::numeric_limits<float>::infinity();
  float total = 0.0f;
  for (int64_t step = 0; step < room; step += kLanes) {
    exponential(Vec::loadu(weights + step) - Vec(largest)).store(weights + step);
  }
  for (int64_t step = 0; step < num_steps; ++step) total += weights[step];
  for (int64_t d = 0; d < width; d += kLanes) {
    Vec sum(0.0f);
    for (int64_t step = 0; step < num_steps; ++step) {
      sum = at::vec::fmadd(Vec(weights[step]), load(values + step * width + d, width - d), sum);
    }
    store(sum * Vec(1.0f / total), out + d, width - d);
  }
}

}  // namespace
}  // namespace seqlab

extern "C" {

// qkv (B, 3, H, D), slopes (H) or null, out (B, H, D); keys and values: (H, S, D) for each sequence, `stride` apart; length: steps in them.
void attention_step(int64_t B, int64_t H, int64_t S, int64_t D, int64_t stride, int64_t length, const float* qkv,
                    const float* slopes, float* keys, float* values, float* out, int num_threads) {
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(static)
  for (int64_t sequence = 0; sequence < B; ++sequence) {
    for (int64_t head = 0; head < H; ++head) {
      const float* const query = qkv + (sequence * 3 * H + head) * D;
      float *const my_keys = keys + sequence * stride + head * S * D, *const my_values = values + sequence * stride + head * S * D;
      std::memcpy(my_keys + length * D, query + H * D, D * sizeof(float));
      std::memcpy(my_values + length * D, query + 2 * H * D, D * sizeof(float));
      const float slope = slopes ? slopes[head] : 0.0f;
      seqlab::attend(query, my_keys, my_values, length + 1, D, slope, out + (sequence * H + head) * D);
    }
  }
}
}
