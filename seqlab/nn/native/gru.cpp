// A GRU layer (Cho et al. 2014, the reset gate behind the recurrent product) over rows of different lengths, forward
// and backward, for CPUs, in float32.
//
//     r, z = sigmoid(gates + W h_before + bias)    m = W_n h_before + bias_m    n = tanh(gates_n + bias_n + r m)
//     h = (1 - z) n + z h_before
//
// Gates come in torch's order r, z, n. A bias has 4 H numbers: those of r and z, of n, of m. The gradients of r, z, n
// and those of r, z, m are two arrays: the first go to the inputs, the second to the hidden state before. Sizes and the
// order of steps: recurrent.h.

#include "recurrent.h"

namespace seqlab {
namespace {

// `count` units of one row at one step, from the products of the hidden state before. m and hidden_before may be null:
// not wanted, then gates are kept as they are, and zeros.
inline void step_forward(const Vec (&sums)[3], int64_t H, int64_t count, const float* bias, const float* hidden_before,
                         float* gates, float* m, float* out) {
  const Vec r = sigmoid(sums[0] + load(gates, count) + load(bias, count));
  const Vec z = sigmoid(sums[1] + load(gates + H, count) + load(bias + H, count));
  const Vec product = sums[2] + load(bias + 3 * H, count);
  const Vec n = hyperbolic_tangent(
      at::vec::fmadd(r, product, load(gates + 2 * H, count) + load(bias + 2 * H, count)));
  const Vec before = hidden_before ? load(hidden_before, count) : Vec(0.0f);
  store(at::vec::fmadd(z, before - n, n), out, count);
  if (m) {
    store(r, gates, count);
    store(z, gates + H, count);
    store(n, gates + 2 * H, count);
    store(product, m, count);
  }
}

// The gradients of the gates from that of h, without what it gets by way of z from the step after: that is dhidden,
// which is overwritten by the same of the step before; `ends`: the row has no later step, and dhidden does not count.
inline void step_backward(Vec dh, bool ends, int64_t H, int64_t count, const float* activations, const float* m,
                          const float* hidden_before, float* dhidden, float* dinput, float* drecurrent) {
  const Vec one(1.0f);
  const Vec r = load(activations, count), z = load(activations + H, count), n = load(activations + 2 * H, count);
  const Vec before = hidden_before ? load(hidden_before, count) : Vec(0.0f);
  if (!ends) dh = dh + load(dhidden, count);
  store(dh * z, dhidden, count);
  const Vec dn = dh * (one - z) * (one - n * n);
  const Vec dr = dn * load(m, count) * r * (one - r);
  const Vec dz = dh * (before - n) * z * (one - z);
  for (float* const gradients : {dinput, drecurrent}) {
    store(dr, gradients, count);
    store(dz, gradients + H, count);
  }
  store(dn, dinput + 2 * H, count);
  store(dn * r, drecurrent + 2 * H, count);
}

// gates (N, 3 H), overwritten by the activations unless m, (N, H), is null. out (N, H).
void forward(Steps steps, const float* weight, const float* bias, float* gates, float* m, float* out, float* panels,
             int num_threads) {
  const int64_t H = steps.hidden;
  forward_steps<3>(steps, weight, out, panels, num_threads, [=](Place place, int64_t j, const Vec(&sums)[3]) {
    const int64_t here = place.now * H + j;
    step_forward(sums, H, H - j, bias + j, place.before < 0 ? nullptr : out + place.before * H + j,
                 gates + place.now * 3 * H + j, m ? m + here : nullptr, out + here);
  });
}

// dinput and drecurrent (N, 3 H) from dout (N, H). dhidden: room for (counts[0], H).
void backward(Steps steps, const float* weight, const float* activations, const float* m, const float* out,
              const float* dout, float* dhidden, float* dinput, float* drecurrent, float* panels, int num_threads) {
  const int64_t H = steps.hidden;
  backward_steps<3>(steps, weight, drecurrent, panels, num_threads, [=](Place place, bool ends, int64_t j, Vec sum) {
    const int64_t here = place.now * H + j, gates_here = place.now * 3 * H + j;
    step_backward(sum + load(dout + here, H - j), ends, H, H - j, activations + gates_here, m + here,
                  place.before < 0 ? nullptr : out + place.before * H + j, dhidden + place.row * H + j,
                  dinput + gates_here, drecurrent + gates_here);
  });
}

}  // namespace
}  // namespace seqlab

extern "C" {

// Room in numbers for the weights as `gru_forward` or `gru_backward` lays them out.
int64_t gru_room(int backward, int64_t H) { return seqlab::room(backward, 3, H); }

// Arrays: see above. panels: the room.
void gru_forward(int64_t T, int64_t H, const int64_t* counts, const int64_t* starts, const float* weight,
                 const float* bias, float* gates, float* m, float* out, float* panels, int num_threads) {
  seqlab::forward({T, H, counts, starts}, weight, bias, gates, m, out, panels, num_threads);
}

void gru_backward(int64_t T, int64_t H, const int64_t* counts, const int64_t* starts, const float* weight,
                  const float* activations, const float* m, const float* out, const float* dout, float* dhidden,
                  float* dinput, float* drecurrent, float* panels, int num_threads) {
  seqlab::backward({T, H, counts, starts}, weight, activations, m, out, dout, dhidden, dinput, drecurrent, panels,
                   num_threads);
}
}
