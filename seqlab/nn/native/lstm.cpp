// An LSTM layer (Hochreiter & Schmidhuber 1997) over rows of different lengths, forward and backward, for CPUs.
//
//     i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)    g = tanh(z_g)    z = gates + W h_before + bias
//     c = f c_before + i g                                  h = o tanh(c)
//
// In float32 all steps, their matrix products included (recurrent.h). In bfloat16 one step without its product, which
// torch computes with the processor's units for bfloat16.
//
// Gates come in torch's order i, f, g, o. Sizes and the order of steps: recurrent.h.

#include "recurrent.h"

namespace seqlab {
namespace {

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

// gates (N, 4 H), overwritten by the activations if `keep`. cells (N, H) if `keep`, else (counts[0], H).
void forward(Steps steps, bool keep, const float* weight, const float* bias, float* gates, float* cells, float* out,
             float* panels, int num_threads) {
  const int64_t H = steps.hidden;
  forward_steps<4>(steps, weight, out, panels, num_threads, [=](Place place, int64_t j, Vec(&z)[4]) {
    float* const row_gates = gates + place.now * 4 * H + j;
    for (int gate = 0; gate < 4; ++gate) z[gate] = z[gate] + load(row_gates + gate * H, H - j);
    const int64_t now = keep ? place.now : place.row, before = keep ? place.before : place.row;
    step_forward(z, H, H - j, bias + j, place.before < 0 ? nullptr : cells + before * H + j, cells + now * H + j,
                 out + place.now * H + j, keep ? row_gates : nullptr);
  });
}

// dgates (N, 4 H) from dout (N, H). dcell: room for (counts[0], H).
void backward(Steps steps, const float* weight, const float* activations, const float* cells, const float* dout,
              float* dcell, float* dgates, float* panels, int num_threads) {
  const int64_t H = steps.hidden;
  backward_steps<4>(steps, weight, dgates, panels, num_threads, [=](Place place, bool ends, int64_t j, Vec sum) {
    const int64_t here = place.now * H + j, gates_here = place.now * 4 * H + j;
    step_backward(sum + load(dout + here, H - j), ends, H, H - j, activations + gates_here,
                  place.before < 0 ? nullptr : cells + place.before * H + j, cells + here, dcell + place.row * H + j,
                  dgates + gates_here);
  });
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;
using seqlab::Vec;

extern "C" {

// Room in numbers for the weights as `lstm_forward` or `lstm_backward` lays them out.
int64_t lstm_room(int backward, int64_t H) { return seqlab::room(backward, 4, H); }

// Arrays: see above. panels: the room.
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
