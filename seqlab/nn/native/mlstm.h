// What mlstm.cpp and mlstm_backward.cpp share: shapes, a block of sequences, and what both compute in it.
//
// N steps of all sequences one after another, of which sequence s has starts[s] .. starts[s + 1] - 1; I inner channels,
// c one of them; H heads of width D; G = 2 H gates, input before forget gates; K width of the convolution; P block size
// of the projections to queries, keys and values; L length of a sequence; T steps of a block. A block's arrays are
// (rows, stride) and start at its first step; what lies beyond T is zero or not used.

#pragma once

#include <cmath>

#include "lanes.h"

namespace seqlab {

constexpr int64_t kTokens = 128;
constexpr int64_t kTile = 2 * kLanes;  // queries that read the keys together
constexpr float kEpsilon = 1e-6f;      // of the normaliser

struct Shape {
  int64_t tokens, sequences, inner, heads, taps, group;
  const int64_t* starts;
  float eps;  // of the norm

  int64_t width() const { return inner / heads; }
  int64_t gate_room() const { return padded(2 * heads); }
  // conv (I, K), its bias (I), query, key, value (I, P), gates (3 I, gate_room), their bias, norm (I), skip (I)
  int64_t num_parameters() const { return inner * (taps + 3 + 3 * group + 3 * gate_room()) + gate_room(); }
};

// conv (I, K), conv_bias (I); query, key, value (I, P); gate (G, 3 I), gate_bias (G); norm (I), skip (I).
struct Weights {
  const float *conv, *conv_bias, *query, *key, *value, *gate, *gate_bias, *norm, *skip;
};

inline Shape shape_of(const int64_t* sizes, const int64_t* starts, float eps) {
  return {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], starts, eps};
}

inline Weights weights_of(const float* const* weights) {
  return {weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7], weights[8]};
}

// The first sequence of each block, and the number of sequences.
inline std::vector<int64_t> cut_blocks(const int64_t* starts, int64_t sequences) {
  std::vector<int64_t> firsts{0};
  for (int64_t s = 1; s < sequences; ++s) {
    if (starts[s] - starts[firsts.back()] >= kTokens) firsts.push_back(s);
  }
  firsts.push_back(sequences);
  return firsts;
}

// A block and what both passes compute in it: (I, stride) unless said otherwise.
struct Block {
  const int64_t* starts;
  int64_t sequences, first, tokens, stride, longest;
  Taps taps;
  float* rows;            // (P, lead + stride) of the layer's input, with lead zeros before each
  float *active, *slope;  // silu(convolution), and its derivative
  float *query, *key, *value;
  float* gates;                     // (G, stride)
  float* hidden;                    // the cell's output
  float *mean, *rate;               // (stride) of `hidden` in a head
  float *scores, *decay;            // (longest, kTile): see score_tile
  std::vector<double> level, peak;  // (longest): see find_decays
  std::vector<int64_t> peak_at;
  std::vector<float> floor, offset;

  int64_t row_length() const { return stride + taps.count - 1; }
  float* row(int64_t index) const { return rows + index * row_length() + taps.count - 1; }
};

inline Block make_block(const Shape& shape, int64_t first, int64_t last, Workspace& memory) {
  const int64_t* const starts = shape.starts + first;
  Block block{};
  block.starts = starts;
  block.sequences = last - first;
  block.first = starts[0];
  block.tokens = starts[last - first] - starts[0];
  for (int64_t s = 0; s < block.sequences; ++s) {
    const int64_t length = starts[s + 1] - starts[s];
    block.longest = block.longest < length ? length : block.longest;
  }
  block.stride = row_stride(block.tokens + shape.taps);
  memory.restart();
  float* const masks = memory.take(shape.taps * block.stride);
  block.taps = make_taps(shape.taps, starts, block.sequences, block.stride, masks);
  block.rows = memory.take(shape.group * block.row_length());
  for (float** array : {&block.active, &block.slope, &block.query, &block.key, &block.value, &block.hidden}) {
    *array = memory.take(shape.inner * block.stride);
  }
  block.gates = memory.take(2 * shape.heads * block.stride);
  for (float** array : {&block.mean, &block.rate}) *array = memory.take(block.stride);
  for (float** array : {&block.scores, &block.decay}) *array = memory.take(block.longest * kTile);
  block.level.resize(block.longest);
  block.peak.resize(block.longest);
  block.peak_at.resize(block.longest);
  block.floor.resize(block.longest);
  block.offset.resize(block.longest);
  return block;
}

// Read rows base .. base + P - 1 of the layer's input.
inline void read_rows(const Shape& shape, const Block& block, const float* x, int64_t base) {
  for (int64_t o = 0; o < shape.group; ++o) {
    copy_row(x + (base + o) * shape.tokens + block.first, block.tokens, shape.taps - 1, block.stride, block.row(o));
  }
}

// Convolution, queries, keys, values and gates of a block; x (2 I, N).
inline void project(const Shape& shape, const Weights& weights, const float* x, const Block& block) {
  const int64_t I = shape.inner, P = shape.group, T = block.tokens, stride = block.stride, G = 2 * shape.heads;
  for (int64_t base = 0; base < I; base += P) {
    read_rows(shape, block, x, base);
    for (int64_t c = base; c < base + P; ++c) {
      for (int64_t p = 0; p < T; p += kLanes) {
        const Vec value =
            convolved(block.taps, block.row(c - base), p, weights.conv + c * shape.taps, weights.conv_bias[c]);
        const Vec gate = sigmoid(value), active = value * gate;
        active.store(block.active + c * stride + p);
        (gate + active * (Vec(1.0f) - gate)).store(block.slope + c * stride + p);
      }
    }
    const float* const active = block.active + base * stride;
    multiply<false>({weights.query + base * P, P, 1}, P, P, active, stride, block.query + base * stride, stride, T);
    multiply<false>({weights.key + base * P, P, 1}, P, P, active, stride, block.key + base * stride, stride, T);
    multiply<false>({weights.value + base * P, P, 1}, P, P, block.row(0), block.row_length(),
                    block.value + base * stride, stride, T);
  }
  for (int64_t g = 0; g < G; ++g) {
    for (int64_t p = 0; p < T; p += kLanes) Vec(weights.gate_bias[g]).store(block.gates + g * stride + p);
  }
  const float* gate = weights.gate;
  for (const float* input : {block.query, block.key, block.value}) {
    multiply<true>({gate, 3 * I, 1}, G, I, input, stride, block.gates, stride, T);
    gate += I;
  }
}

// With F the running sum of a head's logarithms of forget gates: level = input gate - F, peak = its running maximum,
// and floor = exp(-(F + peak)). A key's weight for a query is exp(level of the key - peak of the query).
inline void find_decays(const Shape& shape, Block& block, int64_t head, int64_t start, int64_t L) {
  const float* const input = block.gates + head * block.stride + start;
  const float* const forget = input + shape.heads * block.stride;
  double kept = 0.0;
  for (int64_t t = 0; t < L; ++t) {
    kept += std::fmin(forget[t], 0.0) - std::log1p(std::exp(-std::fabs(static_cast<double>(forget[t]))));
    block.level[t] = input[t] - kept;
    block.peak_at[t] = t && block.level[t] <= block.peak[t - 1] ? block.peak_at[t - 1] : t;
    block.peak[t] = block.level[block.peak_at[t]];
    block.floor[t] = static_cast<float>(std::exp(std::fmin(-kept - block.peak[t], 80.0)));
  }
}

// The tile of queries i .. i + kTile - 1 of a sequence and a head.
struct Tile {
  int64_t head_row, start, length, query;

  int64_t keys() const { return query + kTile < length ? query + kTile : length; }
  int64_t queries() const { return keys() - query; }
  int64_t at(const Block& block) const { return head_row * block.stride + start; }
};

// decay (keys, kTile): exp(level - peak) / sqrt(D), zero for later keys and beyond the sequence; scores: q k' * decay.
// rate[i]: 1 / the normaliser of a query; sign[i]: the derivative of the normaliser by the sum of scores.
inline void score_tile(const Shape& shape, Block& block, Tile tile, float* rate, float* sign) {
  const float* const keys = block.key + tile.at(block);
  const float* const queries = block.query + tile.at(block) + tile.query;
  multiply<false>({keys, 1, block.stride}, tile.keys(), shape.width(), queries, block.stride, block.scores, kTile,
                  tile.queries());
  const double reference = block.peak[tile.query];  // differences in double, since F grows with the length
  for (int64_t j = 0; j < tile.keys(); ++j) block.offset[j] = static_cast<float>(block.level[j] - reference);
  const Vec scale(1.0f / std::sqrt(static_cast<float>(shape.width())));
  for (int64_t lane = 0; lane < tile.queries(); lane += kLanes) {
    float peaks[kLanes] = {}, floors[kLanes] = {}, places[kLanes];
    for (int64_t v = 0; v < kLanes; ++v) {
      const int64_t i = tile.query + lane + v;
      places[v] = i < tile.length ? static_cast<float>(i) : -1.0f;
      if (i < tile.length) peaks[v] = static_cast<float>(block.peak[i] - reference), floors[v] = block.floor[i];
    }
    const Vec peak = Vec::loadu(peaks), floor = Vec::loadu(floors), place = Vec::loadu(places);
    Vec sum(0.0f);
    for (int64_t j = 0; j < tile.keys(); ++j) {
      const Vec exponent = Vec(block.offset[j]) - peak;
      const Vec seen = place >= Vec(static_cast<float>(j)), nothing = exponent < Vec(-80.0f);  // else denormals
      const Vec decay = Vec::blendv(exponential(exponent) * scale, Vec(0.0f), nothing) & seen;
      const Vec score = (Vec::loadu(block.scores + j * kTile + lane) * decay) & seen;
      decay.store(block.decay + j * kTile + lane);
      score.store(block.scores + j * kTile + lane);
      sum = sum + score;
    }
    const Vec size = sum.abs();
    (Vec(1.0f) / (at::vec::maximum(size, floor) + Vec(kEpsilon))).store(rate + lane);
    (Vec::blendv(Vec(1.0f), Vec(-1.0f), sum < Vec(0.0f)) & (size > floor)).store(sign + lane);
  }
}

// Mean and 1 / standard deviation of a head's outputs, for each step.
inline void find_statistics(const Shape& shape, const Block& block, int64_t head) {
  const float* const hidden = block.hidden + head * shape.width() * block.stride;
  const Vec share(1.0f / static_cast<float>(shape.width()));
  for (int64_t p = 0; p < block.tokens; p += kLanes) {
    Vec sum(0.0f), squares(0.0f);
    for (int64_t d = 0; d < shape.width(); ++d) sum = sum + Vec::loadu(hidden + d * block.stride + p);
    const Vec mean = sum * share;
    for (int64_t d = 0; d < shape.width(); ++d) {
      const Vec distance = Vec::loadu(hidden + d * block.stride + p) - mean;
      squares = at::vec::fmadd(distance, distance, squares);
    }
    mean.store(block.mean + p);
    (Vec(1.0f) / at::vec::fmadd(squares, share, Vec(shape.eps)).sqrt()).store(block.rate + p);
  }
}

}  // namespace seqlab
