// The selective scan, backward: see scan.h.

#include "scan.h"

namespace seqlab {
namespace {

// What the backward pass writes.
template <typename Type>
struct ScanGradients {
  Type* x;        // (N, D)
  void* delta;    // (N, D) of delta's type
  float* a;       // (tasks, D, S): sum over tasks
  float *b, *c;   // (blocks, N, S): sum over blocks
  Type* gate;     // (N, D), with the stride of gate; null without one
  float* vector;  // (tasks, 2, D): of skip and bias, sum over tasks
  float* h;       // (B, D, S), may be null: not wanted
};

// The gradients of states n .. n + kV kLanes - 1 of channel j. dinput and dstep (T, kScanBlock), db and dc (T, padded S)
// and da (padded S) are added to. history: room for the states and decays of these lanes, (2 T + 1) kV kLanes.
template <int kV, typename Type>
void unscan_states(const ScanBlock<Type>& block, int64_t j, int64_t n, int64_t S, const float* a, const float* h,
                   const float* dh_last, float* dh, float* dinput, float* dstep, float* db, float* dc, float* da,
                   float* history) {
  constexpr int64_t kWide = kV * kLanes;
  float* const decays = history + (block.T + 1) * kWide;
  Vec rate[kV], state[kV], dstate[kV], drate[kV];
  for (int v = 0; v < kV; ++v) {
    const int64_t place = n + v * kLanes;
    rate[v] = load(a + place, S - place);
    state[v] = h ? load(h + place, S - place) : Vec(0.0f);
    state[v].store(history + v * kLanes);
    dstate[v] = dh_last ? load(dh_last + place, S - place) : Vec(0.0f);
    drate[v] = Vec(0.0f);
  }
  for (int64_t t = 0; t < block.T; ++t) {
    const Vec step(block.steps[t * kScanBlock + j]), input(block.inputs[t * kScanBlock + j]);
    const float* const b = block.b + t * block.states + n;
    Vec decay[kV];
    for (int v = 0; v < kV; ++v) decay[v] = step * rate[v];
    block.decays(decay);
    for (int v = 0; v < kV; ++v) {
      state[v] = at::vec::fmadd(decay[v], state[v], input * Vec::loadu(b + v * kLanes));
      decay[v].store(decays + t * kWide + v * kLanes);
      state[v].store(history + (t + 1) * kWide + v * kLanes);
    }
  }
  for (int64_t t = block.T - 1; t >= 0; --t) {
    const int64_t place = t * kScanBlock + j, row = t * block.states + n;
    const Vec step(block.steps[place]), input(block.inputs[place]), dy(block.y[place]);
    Vec input_sum(0.0f), step_sum(0.0f);
    for (int v = 0; v < kV; ++v) {
      const int64_t lane = v * kLanes;
      float *const db_place = db + row + lane, *const dc_place = dc + row + lane;
      const Vec gradient = at::vec::fmadd(dy, Vec::loadu(block.c + row + lane), dstate[v]);
      at::vec::fmadd(dy, Vec::loadu(history + (t + 1) * kWide + lane), Vec::loadu(dc_place)).store(dc_place);
      at::vec::fmadd(gradient, input, Vec::loadu(db_place)).store(db_place);
      input_sum = at::vec::fmadd(gradient, Vec::loadu(block.b + row + lane), input_sum);
      dstate[v] = gradient * Vec::loadu(decays + t * kWide + lane);
      // the derivative of exp is the decay, that of 2 exp - 1 is the decay + 1
      const Vec ddecay = block.is_signed ? dstate[v] + gradient : dstate[v];
      const Vec dlog = ddecay * Vec::loadu(history + t * kWide + lane);  // the gradient of step * a
      step_sum = at::vec::fmadd(dlog, rate[v], step_sum);
      drate[v] = at::vec::fmadd(dlog, step, drate[v]);
    }
    dinput[place] += sum_of(input_sum);
    dstep[place] += sum_of(step_sum);
  }
  for (int v = 0; v < kV; ++v) {
    const int64_t place = n + v * kLanes;
    (drate[v] + Vec::loadu(da + place)).store(da + place);
    if (dh) store(dstate[v], dh + place, S - place);
  }
}

// The gradients of the block's dout: of the gate at once, of y into block.y.
template <typename Type>
void gradient_of_y(const ScanShape& shape, const ScanInputs<Type>& in, const ScanBlock<Type>& block, const Type* dout,
                   const Type* inner, Type* dgate) {
  for (int64_t t = 0; t < block.T; ++t) {
    for (int64_t j = 0; j < block.width; j += kLanes) {
      const int64_t count = block.width - j, d = block.start + j, place = (block.first + t) * shape.channels + d;
      Vec gradient = load(dout + place, count);
      if (in.gate) {
        const int64_t gate_place = (block.first + t) * shape.gate_stride + d;
        const Vec gate = load(in.gate + gate_place, count), open = sigmoid(gate);
        const Vec slope = open * at::vec::fmadd(gate, Vec(1.0f) - open, Vec(1.0f));
        store(gradient * load(inner + place, count) * slope, dgate + gate_place, count);
        gradient = gradient * gate * open;
      }
      gradient.store(block.y + t * kScanBlock + j);
    }
  }
}

// The gradients of x and delta from those of input and step; those of skip and bias are added to vector (2, kScanBlock).
template <typename Type>
void gradient_of_x(const ScanShape& shape, const ScanInputs<Type>& in, const ScanBlock<Type>& block, const float* dinput,
                   const float* dstep, const ScanGradients<Type>& to, float* vector) {
  for (int64_t t = 0; t < block.T; ++t) {
    for (int64_t j = 0; j < block.width; j += kLanes) {
      const int64_t count = block.width - j, d = block.start + j, place = (block.first + t) * shape.channels + d;
      const Vec x = load(in.x + place, count), input = Vec::loadu(dinput + t * kScanBlock + j);
      const Vec dy = Vec::loadu(block.y + t * kScanBlock + j);
      Vec dx = input * Vec::loadu(block.steps + t * kScanBlock + j);
      Vec ddelta = at::vec::fmadd(input, x, Vec::loadu(dstep + t * kScanBlock + j));
      if (in.skip) {
        dx = at::vec::fmadd(dy, load(in.skip + d, count), dx);
        at::vec::fmadd(dy, x, Vec::loadu(vector + j)).store(vector + j);
      }
      store(dx, to.x + place, count);
      if (in.bias) {
        ddelta = ddelta * sigmoid(in.before_softplus(place, d, count));
        (ddelta + Vec::loadu(vector + kScanBlock + j)).store(vector + kScanBlock + j);
        store(ddelta, static_cast<Type*>(to.delta) + place, count);
      } else {
        store(ddelta, static_cast<float*>(to.delta) + place, count);
      }
    }
  }
}

// inner: see forward. dh_last (B, D, S) may be null: zeros.
template <typename Type>
void backward(ScanShape shape, ScanInputs<Type> in, const Type* dout, const Type* inner, const float* dh_last,
              ScanGradients<Type> to, int num_threads) {
  const int64_t D = shape.channels, S = shape.states, S_room = padded(S);
  const int64_t num_blocks = (D + kScanBlock - 1) / kScanBlock, num_tasks = (shape.rows + kScanRows - 1) / kScanRows;
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t task = 0; task < num_tasks; ++task) {
    for (int64_t number = 0; number < num_blocks; ++number) {
      const int64_t stop = std::min(shape.rows, (task + 1) * kScanRows), width = std::min(kScanBlock, D - number * kScanBlock);
      int64_t T = 0;
      for (int64_t row = task * kScanRows; row < stop; ++row) T = std::max(T, shape.starts[row + 1] - shape.starts[row]);
      const int64_t sums = kScanBlock * (S_room + 2), each = T * (2 * kScanBlock + 2 * S_room);
      float* const da = scan_memory(sums + each + (2 * T + 1) * 4 * kLanes + ScanBlock<Type>::room(T, S));
      float *const vector = da + kScanBlock * S_room, *const dinput = vector + 2 * kScanBlock, *const dstep = dinput + T * kScanBlock;
      float *const db = dstep + T * kScanBlock, *const dc = db + T * S_room, *const history = dc + T * S_room;
      std::fill(da, da + sums, 0.0f);
      for (int64_t row = task * kScanRows; row < stop; ++row) {
        const ScanBlock<Type> block(shape, in, row, number, history + (2 * T + 1) * 4 * kLanes);
        std::fill(dinput, dinput + each, 0.0f);
        gradient_of_y(shape, in, block, dout, inner, to.gate);
        for (int64_t j = 0; j < width; ++j) {
          const int64_t d = block.start + j, place = (row * D + d) * S;
          for (int64_t n = 0; n < S;) {
            const int group = group_of(padded(S - n) / kLanes);
            const auto run =
                group == 4 ? unscan_states<4, Type> : group == 2 ? unscan_states<2, Type> : unscan_states<1, Type>;
            run(block, j, n, S, in.a + d * S, in.h ? in.h + place : nullptr, dh_last ? dh_last + place : nullptr,
                to.h ? to.h + place : nullptr, dinput, dstep, db, dc, da + j * S_room, history);
            n += group * kLanes;
          }
        }
        gradient_of_x(shape, in, block, dinput, dstep, to, vector);
        for (int64_t t = 0; t < block.T; ++t) {
          const int64_t place = (number * shape.steps + block.first + t) * S;
          std::copy_n(db + t * S_room, S, to.b + place);
          std::copy_n(dc + t * S_room, S, to.c + place);
        }
      }
      for (int64_t j = 0; j < width; ++j) std::copy_n(da + j * S_room, S, to.a + (task * D + number * kScanBlock + j) * S);
      for (int which = 0; to.vector && which < 2; ++which) {
        std::copy_n(vector + which * kScanBlock, width, to.vector + (2 * task + which) * D + number * kScanBlock);
      }
    }
  }
}

template <typename Type>
ScanGradients<Type> gradients(void* const* to) {
  return {static_cast<Type*>(to[0]), to[1], static_cast<float*>(to[2]), static_cast<float*>(to[3]),
          static_cast<float*>(to[4]), static_cast<Type*>(to[5]), static_cast<float*>(to[6]), static_cast<float*>(to[7])};
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;

extern "C" {

// to: the fields of ScanGradients.
void scan_backward(int bfloat16, const int64_t* sizes, const int64_t* starts, const void* const* from, const void* dout,
                   const void* inner, const float* dh_last, void* const* to, int num_threads) {
  const seqlab::ScanShape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], starts};
  if (bfloat16) {
    seqlab::backward(shape, seqlab::scan_inputs<BFloat16>(from), static_cast<const BFloat16*>(dout),
                     static_cast<const BFloat16*>(inner), dh_last, seqlab::gradients<BFloat16>(to), num_threads);
  } else {
    seqlab::backward(shape, seqlab::scan_inputs<float>(from), static_cast<const float*>(dout),
                     static_cast<const float*>(inner), dh_last, seqlab::gradients<float>(to), num_threads);
  }
}
}
