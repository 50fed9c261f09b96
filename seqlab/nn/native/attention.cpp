// Causal attention with dropout over packed sequences, forward and backward, for CPUs: float32 and bfloat16.
//
// One task is a sequence and a head. Scores have the keys in the lanes, outputs the channels of a head; four queries
// share each load. The probabilities are computed again in the backward pass from the logarithm of their sum. All sums
// have a fixed order, whatever the number of threads.
//
// N tokens of all sequences one after another; B sequences, of which b holds tokens starts[b] .. starts[b + 1] - 1; H
// heads of width D; L length of a sequence.

#include <cmath>
#include <limits>
#include <vector>

#include "dropout.h"
#include "vector.h"

namespace seqlab {
namespace {

constexpr int kQueries = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Shape {
  int64_t tokens, sequences, heads, width;
  const int64_t* starts;
  const float* slopes;  // of each head, or null: what a score loses with each step of distance (Press et al. 2022)

  float slope(int64_t head) const { return slopes ? slopes[head] : 0.0f; }
};

// A part of a thread's memory that grows and is never given back.
class Scratch {
 public:
  float* get(int64_t count) {
    if (static_cast<int64_t>(memory_.size()) < count) memory_.resize(count);
    return memory_.data();
  }

 private:
  std::vector<float> memory_;
};

// Rows of a head, `stride` apart, to (L, padded D) with zeros in the padding.
template <typename Type>
void copy_rows(const Type* source, int64_t stride, int64_t length, int64_t width, float scale, float* target) {
  const int64_t room = padded(width);
  for (int64_t row = 0; row < length; ++row) {
    for (int64_t d = 0; d < width; d += kLanes) {
      (load(source + row * stride + d, width - d) * Vec(scale)).store(target + row * room + d);
    }
  }
}

// The same transposed, (D, padded L).
template <typename Type>
void copy_columns(const Type* source, int64_t stride, int64_t length, int64_t width, float* target) {
  const int64_t room = padded(length);
  for (int64_t d = 0; d < width; ++d) {
    for (int64_t row = 0; row < length; ++row) target[d * room + row] = static_cast<float>(source[row * stride + d]);
    for (int64_t row = length; row < room; ++row) target[d * room + row] = 0.0f;
  }
}

// All bits set in the lanes of keys key .. key + kLanes - 1 that come after the query.
inline Vec later(int64_t key, int64_t query) {
  return Vec::arange(static_cast<float>(key), 1.0f) > Vec(static_cast<float>(query));
}

// What is added to the scores of a query with keys key .. key + kLanes - 1: minus the slope times the distance.
inline Vec bias_of(float slope, int64_t key, int64_t query) {
  return Vec::arange(static_cast<float>(key - query), 1.0f) * Vec(slope);
}

template <typename Type>
void forward_head(Shape shape, int64_t sequence, int64_t head, const Type* qkv, Type* out, float* log_sums, Dropout dropout) {
  const int64_t first = shape.starts[sequence], L = shape.starts[sequence + 1] - first, D = shape.width;
  const int64_t C = shape.heads * D, stride = 3 * C, L_room = padded(L), D_room = padded(D);
  static thread_local Scratch scratch;
  float* const keys = scratch.get(D * L_room + (L + kQueries) * D_room + kQueries * L_room);
  float* const values = keys + D * L_room;
  float* const queries = values + L * D_room;
  float* const scores = queries + kQueries * D_room;
  const Type* const source = qkv + first * stride + head * D;
  copy_columns(source + C, stride, L, D, keys);
  copy_rows(source + 2 * C, stride, L, D, 1.0f, values);
  const float scale = 1.0f / std::sqrt(static_cast<float>(D)), slope = shape.slope(head);
  for (int64_t start = 0; start < L; start += kQueries) {
    const int64_t rows = L - start < kQueries ? L - start : kQueries, limit = start + rows;
    std::memset(queries, 0, kQueries * D_room * sizeof(float));
    copy_rows(source + start * stride, stride, rows, D, scale, queries);
    Vec largest[kQueries] = {Vec(-kInfinity), Vec(-kInfinity), Vec(-kInfinity), Vec(-kInfinity)};
    for (int64_t key = 0; key < limit; key += kLanes) {
      Vec sums[kQueries] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
      for (int64_t d = 0; d < D; ++d) {
        const Vec column = Vec::loadu(keys + d * L_room + key);
        for (int r = 0; r < kQueries; ++r) sums[r] = at::vec::fmadd(Vec(queries[r * D_room + d]), column, sums[r]);
      }
      for (int r = 0; r < kQueries; ++r) {
        if (slope) sums[r] = sums[r] + bias_of(slope, key, start + r);
        if (key + kLanes > start + r + 1) sums[r] = Vec::blendv(sums[r], Vec(-kInfinity), later(key, start + r));
        sums[r].store(scores + r * L_room + key);
        largest[r] = at::vec::maximum(largest[r], sums[r]);
      }
    }
    float factors[kQueries] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t token = first + start + r;
      const float most = largest_of(largest[r]);
      const uint32_t key_of_row = row_key(dropout.seed, head * shape.tokens + token);
      Vec sum(0.0f);
      for (int64_t key = 0; key < limit; key += kLanes) {
        float* const place = scores + r * L_room + key;
        Vec weight = exponential(Vec::loadu(place) - Vec(most));
        if (key + kLanes > start + r + 1) weight = Vec::blendv(weight, Vec(0.0f), later(key, start + r));
        sum = sum + weight;
        if (dropout.threshold) weight = weight & kept(key_of_row, key, dropout.threshold);
        weight.store(place);
      }
      const float total = sum_of(sum);
      factors[r] = dropout.scale / total;
      log_sums[head * shape.tokens + token] = most + std::log(total);
    }
    for (int64_t d = 0; d < D; d += kLanes) {
      Vec sums[kQueries] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
      for (int64_t key = 0; key < limit; ++key) {
        const Vec value = Vec::loadu(values + key * D_room + d);
        for (int r = 0; r < kQueries; ++r) sums[r] = at::vec::fmadd(Vec(scores[r * L_room + key]), value, sums[r]);
      }
      for (int64_t r = 0; r < rows; ++r) {
        store(sums[r] * Vec(factors[r]), out + (first + start + r) * C + head * D + d, D - d);
      }
    }
  }
}

template <typename Type>
void backward_head(Shape shape, int64_t sequence, int64_t head, const Type* qkv, const Type* out, const float* log_sums,
                   const Type* dout, Type* dqkv, Dropout dropout) {
  const int64_t first = shape.starts[sequence], L = shape.starts[sequence + 1] - first, D = shape.width;
  const int64_t C = shape.heads * D, stride = 3 * C, L_room = padded(L), D_room = padded(D);
  static thread_local Scratch scratch;
  float* const keys = scratch.get(2 * D * L_room + 3 * L * D_room + kQueries * (2 * D_room + 2 * L_room));
  float* const values = keys + D * L_room;
  float* const key_rows = values + D * L_room;
  float* const dkeys = key_rows + L * D_room;
  float* const dvalues = dkeys + L * D_room;
  float* const queries = dvalues + L * D_room;
  float* const douts = queries + kQueries * D_room;
  float* const weights = douts + kQueries * D_room;  // those that were kept
  float* const dscores = weights + kQueries * L_room;
  const Type* const source = qkv + first * stride + head * D;
  Type* const target = dqkv + first * stride + head * D;
  copy_columns(source + C, stride, L, D, keys);
  copy_columns(source + 2 * C, stride, L, D, values);
  copy_rows(source + C, stride, L, D, 1.0f, key_rows);
  std::memset(dkeys, 0, 2 * L * D_room * sizeof(float));
  const float scale = 1.0f / std::sqrt(static_cast<float>(D)), slope = shape.slope(head);
  for (int64_t start = 0; start < L; start += kQueries) {
    const int64_t rows = L - start < kQueries ? L - start : kQueries, limit = start + rows;
    const int64_t place = (first + start) * C + head * D;
    std::memset(queries, 0, 2 * kQueries * D_room * sizeof(float));
    copy_rows(source + start * stride, stride, rows, D, scale, queries);
    copy_rows(dout + place, C, rows, D, dropout.scale, douts);
    float log_sum[kQueries], mean[kQueries];  // mean: of the gradients of a query's weights, weighted by them
    uint32_t key_of_row[kQueries];
    for (int r = 0; r < kQueries; ++r) {
      const int64_t token = first + start + r;
      log_sum[r] = r < rows ? log_sums[head * shape.tokens + token] : kInfinity;
      key_of_row[r] = row_key(dropout.seed, head * shape.tokens + token);
      Vec sum(0.0f);
      for (int64_t d = 0; r < rows && d < D; d += kLanes) {
        sum = at::vec::fmadd(load(dout + place + r * C + d, D - d), load(out + place + r * C + d, D - d), sum);
      }
      mean[r] = sum_of(sum);
    }
    for (int64_t key = 0; key < limit; key += kLanes) {
      Vec sums[kQueries] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
      Vec dsums[kQueries] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
      for (int64_t d = 0; d < D; ++d) {
        const Vec key_column = Vec::loadu(keys + d * L_room + key), value_column = Vec::loadu(values + d * L_room + key);
        for (int r = 0; r < kQueries; ++r) {
          sums[r] = at::vec::fmadd(Vec(queries[r * D_room + d]), key_column, sums[r]);
          dsums[r] = at::vec::fmadd(Vec(douts[r * D_room + d]), value_column, dsums[r]);
        }
      }
      for (int r = 0; r < kQueries; ++r) {
        if (slope) sums[r] = sums[r] + bias_of(slope, key, start + r);
        Vec weight = exponential(sums[r] - Vec(log_sum[r]));
        if (r >= rows) weight = Vec(0.0f);
        if (key + kLanes > start + r + 1) weight = Vec::blendv(weight, Vec(0.0f), later(key, start + r));
        Vec dweight = dsums[r], used = weight;
        if (dropout.threshold) {
          const Vec mask = kept(key_of_row[r], key, dropout.threshold);
          dweight = dweight & mask;
          used = used & mask;
        }
        used.store(weights + r * L_room + key);
        (weight * (dweight - Vec(mean[r]))).store(dscores + r * L_room + key);
      }
    }
    for (int64_t d = 0; d < D; d += kLanes) {
      Vec query[kQueries], dquery[kQueries], dout_[kQueries];
      for (int r = 0; r < kQueries; ++r) {
        query[r] = Vec::loadu(queries + r * D_room + d);
        dout_[r] = Vec::loadu(douts + r * D_room + d);
        dquery[r] = Vec(0.0f);
      }
      for (int64_t key = 0; key < limit; ++key) {
        float *const dkey_place = dkeys + key * D_room + d, *const dvalue_place = dvalues + key * D_room + d;
        const Vec key_row = Vec::loadu(key_rows + key * D_room + d);
        Vec dkey = Vec::loadu(dkey_place), dvalue = Vec::loadu(dvalue_place);
        for (int r = 0; r < kQueries; ++r) {
          const Vec dscore(dscores[r * L_room + key]), weight(weights[r * L_room + key]);
          dquery[r] = at::vec::fmadd(dscore, key_row, dquery[r]);
          dkey = at::vec::fmadd(dscore, query[r], dkey);
          dvalue = at::vec::fmadd(weight, dout_[r], dvalue);
        }
        dkey.store(dkey_place);
        dvalue.store(dvalue_place);
      }
      for (int64_t r = 0; r < rows; ++r) store(dquery[r] * Vec(scale), target + (start + r) * stride + d, D - d);
    }
  }
  for (int64_t row = 0; row < L; ++row) {
    for (int64_t d = 0; d < D; d += kLanes) {
      store(Vec::loadu(dkeys + row * D_room + d), target + row * stride + C + d, D - d);
      store(Vec::loadu(dvalues + row * D_room + d), target + row * stride + 2 * C + d, D - d);
    }
  }
}

template <typename Type>
void forward(Shape shape, const void* qkv, void* out, float* log_sums, Dropout dropout, int num_threads) {
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      forward_head(shape, sequence, head, static_cast<const Type*>(qkv), static_cast<Type*>(out), log_sums, dropout);
    }
  }
}

template <typename Type>
void backward(Shape shape, const void* qkv, const void* out, const float* log_sums, const void* dout, void* dqkv,
              Dropout dropout, int num_threads) {
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      backward_head(shape, sequence, head, static_cast<const Type*>(qkv), static_cast<const Type*>(out), log_sums,
                    static_cast<const Type*>(dout), static_cast<Type*>(dqkv), dropout);
    }
  }
}

}  // namespace
}  // namespace seqlab

extern "C" {

// slopes (H) or null, qkv and dqkv (N, 3, H, D), out and dout (N, H, D), log_sums (H, N); sizes: N, B, H, D.
void attention_forward(int bfloat16, const int64_t* sizes, const int64_t* starts, const float* slopes, const void* qkv,
                       void* out, float* log_sums, uint64_t seed, uint32_t threshold, float scale, int num_threads) {
  const auto run = bfloat16 ? seqlab::forward<seqlab::BFloat16> : seqlab::forward<float>;
  run({sizes[0], sizes[1], sizes[2], sizes[3], starts, slopes}, qkv, out, log_sums, {seed, threshold, scale}, num_threads);
}

void attention_backward(int bfloat16, const int64_t* sizes, const int64_t* starts, const float* slopes, const void* qkv,
                        const void* out, const float* log_sums, const void* dout, void* dqkv, uint64_t seed,
                        uint32_t threshold, float scale, int num_threads) {
  const auto run = bfloat16 ? seqlab::backward<seqlab::BFloat16> : seqlab::backward<float>;
  run({sizes[0], sizes[1], sizes[2], sizes[3], starts, slopes}, qkv, out, log_sums, dout, dqkv, {seed, threshold, scale},
      num_threads);
}
}
