// One step of the recurrent form of an mLSTM (Beck et al. 2024, "xLSTM", equations 19 to 27), for CPUs: float32, without
// gradients.
//
//     m = max(log sigmoid(f) + m_before, i)     a = exp(log sigmoid(f) + m_before - m)     b = exp(i - m)
//     C = a C_before + b k v^T                  n = a n_before + b k                       h = C^T q / (max(|n q|, exp(-m)) + eps)
//
// with k scaled by the square root of its width. The memory C is read and written once, and h is summed on the way.

#include <cmath>
#include <vector>

#include "vector.h"

namespace seqlab {
namespace {

struct Cell {
  const float *query, *key, *value, *memory_before, *normaliser_before;
  float *memory, *normaliser, *out;
};

// One sequence and head of width D: scores of `keep` a, `write` b, and exp(-m).
void step_cell(const Cell& cell, int64_t D, float keep, float write, float least, float eps) {
  static thread_local std::vector<float> scratch;
  const int64_t room = padded(D);
  if (static_cast<int64_t>(scratch.size()) < room) scratch.resize(room);
  float* const sums = scratch.data();
  for (int64_t e = 0; e < room; e += kLanes) Vec(0.0f).store(sums + e);
  const float scale = write / std::sqrt(static_cast<float>(D));
  float product = 0.0f;
  for (int64_t d = 0; d < D; ++d) {
    const float key = scale * cell.key[d];
    cell.normaliser[d] = keep * cell.normaliser_before[d] + key;
    product += cell.query[d] * cell.normaliser[d];
    for (int64_t e = 0; e < D; e += kLanes) {
      const int64_t place = d * D + e, count = D - e;
      const Vec kept = Vec(keep) * load(cell.memory_before + place, count);
      const Vec memory = at::vec::fmadd(Vec(key), load(cell.value + e, count), kept);
      store(memory, cell.memory + place, count);
      at::vec::fmadd(Vec(cell.query[d]), memory, Vec::loadu(sums + e)).store(sums + e);
    }
  }
  const float size = std::max(std::abs(product), least) + eps;
  for (int64_t e = 0; e < D; e += kLanes) store(Vec::loadu(sums + e) / Vec(size), cell.out + e, D - e);
}

}  // namespace
}  // namespace seqlab

extern "C" {

// cells: sequences times heads. query, key, value, out (cells, D); input, forget, level, level_before (cells);
// memory and memory_before (cells, D, D); normaliser and normaliser_before (cells, D).
void mlstm_step(int64_t cells, int64_t D, float eps, const float* query, const float* key, const float* value,
                const float* input, const float* forget, const float* memory_before, const float* normaliser_before,
                const float* level_before, float* memory, float* normaliser, float* level, float* out,
                int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(static)
  for (int64_t c = 0; c < cells; ++c) {
    const float f = forget[c];
    const float decayed = std::min(f, 0.0f) - std::log1p(std::exp(-std::abs(f))) + level_before[c];
    level[c] = decayed >= input[c] ? decayed : input[c];  // a NaN in either is one in the level, as in torch
    if (std::isnan(decayed)) level[c] = decayed;
    const seqlab::Cell cell{query + c * D,        key + c * D,        value + c * D, memory_before + c * D * D,
                            normaliser_before + c * D, memory + c * D * D, normaliser + c * D, out + c * D};
    seqlab::step_cell(cell, D, std::exp(decayed - level[c]), std::exp(input[c] - level[c]), std::exp(-level[c]), eps);
  }
}
}
