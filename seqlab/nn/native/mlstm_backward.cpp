// The gradients of mlstm.cpp, whose letters of shapes are those of mlstm.h.

#include "mlstm.h"

namespace seqlab {
namespace {

// What the backward pass adds to a block: (I, stride) unless said otherwise.
struct Gradients {
  float *active, *query, *key, *value, *hidden;
  float *gates, *gate_rows;        // (G, stride), (T, gate_room)
  float *first, *second;           // (stride)
  float *scores, *levels;          // (longest, kTile), (longest, kLanes)
  float *score_rows, *value_rows;  // (kTile, key_room): a tile of gradients of scores, and of weights of values
  int64_t key_room;
};

Gradients make_gradients(const Shape& shape, const Block& block, Workspace& memory) {
  Gradients grads{};
  for (float** array : {&grads.active, &grads.hidden}) *array = memory.take(shape.inner * block.stride);
  for (float** array : {&grads.query, &grads.key, &grads.value}) {
    *array = memory.take(shape.inner * block.stride);
    std::memset(*array, 0, shape.inner * block.stride * sizeof(float));
  }
  grads.gates = memory.take(2 * shape.heads * block.stride);
  std::memset(grads.gates, 0, 2 * shape.heads * block.stride * sizeof(float));
  grads.gate_rows = memory.take(block.tokens * shape.gate_room());
  std::memset(grads.gate_rows, 0, block.tokens * shape.gate_room() * sizeof(float));
  for (float** array : {&grads.first, &grads.second}) *array = memory.take(block.stride);
  grads.scores = memory.take(block.longest * kTile);
  grads.levels = memory.take(block.longest * kLanes);
  grads.key_room = padded(block.longest);
  for (float** array : {&grads.score_rows, &grads.value_rows}) *array = memory.take(kTile * grads.key_room);
  return grads;
}

inline void add(Vec value, float* target) { (Vec::loadu(target) + value).store(target); }

// Through output gate, skip and norm of a head; dx (2 I, N), dnorm and dskip (I).
void finish_backward(const Shape& shape, const Weights& weights, const Block& block, const Gradients& grads,
                     int64_t head, const float* x, const float* dout, float* dx, float* dnorm, float* dskip) {
  const int64_t D = shape.width(), stride = block.stride, row_bytes = stride * sizeof(float);
  std::memset(grads.first, 0, row_bytes);
  std::memset(grads.second, 0, row_bytes);
  for (int64_t c = head * D; c < (head + 1) * D; ++c) {
    const int64_t place = c * shape.tokens + block.first, gate_place = place + shape.inner * shape.tokens;
    const Vec norm(weights.norm[c]), skip(weights.skip[c]);
    Vec norm_sum(0.0f), skip_sum(0.0f);
    for (int64_t p = 0; p < block.tokens; p += kLanes) {
      const int64_t count = block.tokens - p;
      const Vec unit =
          (Vec::loadu(block.hidden + c * stride + p) - Vec::loadu(block.mean + p)) * Vec::loadu(block.rate + p);
      const Vec active = Vec::loadu(block.active + c * stride + p), gate = load(x + gate_place + p, count);
      const Vec opened = sigmoid(gate), silu = gate * opened, gradient = load(dout + place + p, count);
      const Vec whole = at::vec::fmadd(unit, norm, skip * active), dwhole = gradient * silu;
      store(gradient * whole * (opened + silu * (Vec(1.0f) - opened)), dx + gate_place + p, count);
      norm_sum = at::vec::fmadd(dwhole, unit, norm_sum);
      skip_sum = at::vec::fmadd(dwhole, active, skip_sum);
      (dwhole * skip).store(grads.active + c * stride + p);
      const Vec dunit = dwhole * norm;
      dunit.store(grads.hidden + c * stride + p);
      add(dunit, grads.first + p);
      add(dunit * unit, grads.second + p);
    }
    dnorm[c] = sum_of(norm_sum);
    dskip[c] = sum_of(skip_sum);
  }
  const Vec share(1.0f / static_cast<float>(D));
  for (int64_t c = head * D; c < (head + 1) * D; ++c) {
    for (int64_t p = 0; p < block.tokens; p += kLanes) {
      const Vec rate = Vec::loadu(block.rate + p);
      const Vec unit = (Vec::loadu(block.hidden + c * stride + p) - Vec::loadu(block.mean + p)) * rate;
      const Vec mean = (Vec::loadu(grads.first + p) + unit * Vec::loadu(grads.second + p)) * share;
      (rate * (Vec::loadu(grads.hidden + c * stride + p) - mean)).store(grads.hidden + c * stride + p);
    }
  }
}

// Through a tile: adds to the gradients of queries, keys, values and levels. Of each query, dexponents is the sum of
// the gradients of its exponents, and pull the inner product of output and gradient. The latter is summed over keys, so
// that gradients of exponents cancel in their sum as they should.
void tile_backward(const Shape& shape, const Block& block, const Gradients& grads, Tile tile, const float* rate,
                   const float* sign, float* pull, float* dexponents) {
  const int64_t D = shape.width(), stride = block.stride, keys = tile.keys(), key_room = padded(keys);
  const float* const dhidden = grads.hidden + tile.at(block) + tile.query;
  multiply<false>({block.value + tile.at(block), 1, stride}, keys, D, dhidden, stride, grads.scores, kTile,
                  tile.queries());
  for (int64_t lane = 0; lane < tile.queries(); lane += kLanes) {
    const Vec by_query = Vec::loadu(rate + lane);
    Vec sum(0.0f);
    for (int64_t j = 0; j < keys; ++j) {
      const int64_t place = j * kTile + lane;
      sum = at::vec::fmadd(Vec::loadu(grads.scores + place), Vec::loadu(block.scores + place), sum);
    }
    sum = sum * by_query;
    sum.store(pull + lane);
    const Vec shared = Vec::loadu(sign + lane) * sum * by_query;
    sum = Vec(0.0f);
    for (int64_t j = 0; j < keys; ++j) {
      float *const place = grads.scores + j * kTile + lane, *const score_place = block.scores + j * kTile + lane;
      const Vec decay = Vec::loadu(block.decay + j * kTile + lane), score = Vec::loadu(score_place);
      const Vec seen = decay != Vec(0.0f);
      const Vec dscore = (Vec::loadu(place) * by_query - shared) & seen;  // lanes beyond the sequence hold anything
      (dscore * decay).store(place);
      const Vec dexponent = dscore * score;
      sum = sum + dexponent;
      add(dexponent, grads.levels + j * kLanes);
      ((score * by_query) & seen).store(score_place);
    }
    sum.store(dexponents + lane);
  }
  for (int64_t i = 0; i < tile.queries(); ++i) {
    float *const score_row = grads.score_rows + i * grads.key_room, *const value_row =
                                                                        grads.value_rows + i * grads.key_room;
    for (int64_t j = 0; j < keys; ++j) {
      score_row[j] = grads.scores[j * kTile + i];
      value_row[j] = block.scores[j * kTile + i];
    }
    for (int64_t j = keys; j < key_room; ++j) score_row[j] = value_row[j] = 0.0f;
  }
  multiply<false>({block.key + tile.at(block), stride, 1}, D, keys, grads.scores, kTile,
                  grads.query + tile.at(block) + tile.query, stride, tile.queries());
  multiply<true>({block.query + tile.at(block) + tile.query, stride, 1}, D, tile.queries(), grads.score_rows,
                 grads.key_room, grads.key + tile.at(block), stride, keys);
  multiply<true>({dhidden, stride, 1}, D, tile.queries(), grads.value_rows, grads.key_room,
                 grads.value + tile.at(block), stride, keys);
}

// Through the cell of a sequence and a head, to its queries, keys, values and gates.
void read_head_backward(const Shape& shape, Block& block, const Gradients& grads, int64_t head, int64_t start,
                        int64_t L) {
  find_decays(shape, block, head, start, L);
  std::memset(grads.levels, 0, L * kLanes * sizeof(float));
  std::vector<double> dlevel(L), dkept(L);  // kept: the sum F of mlstm.h
  for (int64_t i = 0; i < L; i += kTile) {
    const Tile tile{head * shape.width(), start, L, i};
    float rate[kTile], sign[kTile], pull[kTile], dexponents[kTile];
    score_tile(shape, block, tile, rate, sign);
    tile_backward(shape, block, grads, tile, rate, sign, pull, dexponents);
    for (int64_t q = i; q < i + tile.queries(); ++q) {
      // an exponent is F of the query - F of the key + input gate - the stabiliser F + peak; the stabiliser cancels in
      // the output, but for the epsilon of the normaliser
      const double dstabiliser = -static_cast<double>(pull[q - i]) * kEpsilon * rate[q - i];
      dkept[q] = dexponents[q - i] + dstabiliser;
      dlevel[block.peak_at[q]] += dstabiliser;
    }
  }
  const float* const forget = block.gates + (shape.heads + head) * block.stride + start;
  float* const dinput = grads.gates + head * block.stride + start;
  float* const dforget = dinput + shape.heads * block.stride;
  double after = 0.0;
  for (int64_t t = L - 1; t >= 0; --t) {
    dlevel[t] += sum_of(Vec::loadu(grads.levels + t * kLanes));
    after += dkept[t] - dlevel[t];
    dinput[t] = static_cast<float>(dlevel[t]);
    dforget[t] = static_cast<float>(after / (1.0 + std::exp(static_cast<double>(forget[t]))));
  }
}

// Through the gates; dgate (3 I, gate_room), dgate_bias (gate_room).
void gates_backward(const Shape& shape, const Weights& weights, const Block& block, const Gradients& grads,
                    float* dgate, float* dgate_bias) {
  const int64_t I = shape.inner, G = 2 * shape.heads, room = shape.gate_room(), T = block.tokens, stride = block.stride;
  std::memset(dgate_bias, 0, room * sizeof(float));
  for (int64_t g = 0; g < G; ++g) {
    Vec sum(0.0f);
    for (int64_t p = 0; p < T; p += kLanes) sum = sum + Vec::loadu(grads.gates + g * stride + p);
    dgate_bias[g] = sum_of(sum);
    for (int64_t p = 0; p < T; ++p) grads.gate_rows[p * room + g] = grads.gates[g * stride + p];
  }
  const float* gate = weights.gate;
  const float* const inputs[3] = {block.query, block.key, block.value};
  float* const dinputs[3] = {grads.query, grads.key, grads.value};
  for (int input = 0; input < 3; ++input, gate += I, dgate += I * room) {
    multiply<false>({inputs[input], stride, 1}, I, T, grads.gate_rows, room, dgate, room, room);
    multiply<true>({gate, 1, 3 * I}, I, G, grads.gates, stride, dinputs[input], stride, T);
  }
}

// x and dx (2 I, N), hidden and dout (I, N); parts: gradients of the parameters in the order of num_parameters.
void backward_block(const Shape& shape, const Weights& weights, Block& block, const Gradients& grads, const float* x,
                    const float* hidden, const float* dout, float* dx, float* parts) {
  const int64_t I = shape.inner, P = shape.group, T = block.tokens, stride = block.stride;
  float *const dconv = parts, *const dconv_bias = dconv + I * shape.taps, *const dquery = dconv_bias + I;
  float *const dkey = dquery + I * P, *const dvalue = dkey + I * P, *const dgate = dvalue + I * P;
  float *const dgate_bias = dgate + 3 * I * shape.gate_room(), *const dnorm = dgate_bias + shape.gate_room();
  project(shape, weights, x, block);
  for (int64_t c = 0; c < I; ++c) {
    copy_row(hidden + c * shape.tokens + block.first, T, 0, padded(T), block.hidden + c * stride);
  }
  for (int64_t head = 0; head < shape.heads; ++head) {
    find_statistics(shape, block, head);
    finish_backward(shape, weights, block, grads, head, x, dout, dx, dnorm, dnorm + I);
  }
  for (int64_t s = 0; s < block.sequences; ++s) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      read_head_backward(shape, block, grads, head, block.starts[s] - block.first,
                         block.starts[s + 1] - block.starts[s]);
    }
  }
  gates_backward(shape, weights, block, grads, dgate, dgate_bias);
  float *const dconvolved = grads.first, *const dinput = grads.second;
  for (int64_t base = 0; base < I; base += P) {
    const int64_t place = base * stride, weight_place = base * P;
    read_rows(shape, block, x, base);
    products(grads.query + place, stride, block.active + place, stride, P, P, T, dquery + weight_place);
    products(grads.key + place, stride, block.active + place, stride, P, P, T, dkey + weight_place);
    products(grads.value + place, stride, block.row(0), block.row_length(), P, P, T, dvalue + weight_place);
    multiply<true>({weights.query + weight_place, 1, P}, P, P, grads.query + place, stride, grads.active + place,
                   stride, T);
    multiply<true>({weights.key + weight_place, 1, P}, P, P, grads.key + place, stride, grads.active + place, stride,
                   T);
    for (int64_t o = 0; o < P; ++o) {
      const int64_t c = base + o;
      std::memset(dconvolved, 0, stride * sizeof(float));
      for (int64_t p = 0; p < T; p += kLanes) {
        (Vec::loadu(grads.active + c * stride + p) * Vec::loadu(block.slope + c * stride + p)).store(dconvolved + p);
      }
      multiply<false>({weights.value + weight_place + o, 0, P}, 1, P, grads.value + place, stride, dinput, stride, T);
      convolved_backward(block.taps, block.row(o), dconvolved, T, weights.conv + c * shape.taps, dinput,
                         dconv + c * shape.taps, dconv_bias + c);
      std::memcpy(dx + c * shape.tokens + block.first, dinput, T * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace seqlab

extern "C" {

// dx (2 I, N); parts (blocks, parameters).
void mlstm_backward(const int64_t* sizes, const int64_t* starts, float eps, const float* const* weights, const float* x,
                    const float* hidden, const float* dout, float* dx, float* parts, int num_threads) {
  const seqlab::Shape shape = seqlab::shape_of(sizes, starts, eps);
  const std::vector<int64_t> firsts = seqlab::cut_blocks(starts, shape.sequences);
  const int64_t num_blocks = static_cast<int64_t>(firsts.size()) - 1;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
  for (int64_t index = 0; index < num_blocks; ++index) {
    static thread_local seqlab::Workspace memory;
    seqlab::Block block = seqlab::make_block(shape, firsts[index], firsts[index + 1], memory);
    const seqlab::Gradients grads = seqlab::make_gradients(shape, block, memory);
    seqlab::backward_block(shape, seqlab::weights_of(weights), block, grads, x, hidden, dout, dx,
                           parts + index * shape.num_parameters());
  }
}
}
