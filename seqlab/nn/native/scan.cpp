// The selective scan, forward: see scan.h.

#include "scan.h"

namespace seqlab {
namespace {

// States n .. n + kV kLanes - 1 of channel j of a block. y is added to, unless n is 0. h, h_last: of this channel.
template <int kV, typename Type>
void scan_states(const ScanBlock<Type>& block, int64_t j, int64_t n, int64_t S, const float* a, const float* h,
                 float* h_last) {
  Vec rate[kV], state[kV];
  for (int v = 0; v < kV; ++v) {
    const int64_t place = n + v * kLanes;
    rate[v] = load(a + place, S - place);
    state[v] = h ? load(h + place, S - place) : Vec(0.0f);
  }
  for (int64_t t = 0; t < block.T; ++t) {
    const Vec step(block.steps[t * kScanBlock + j]), input(block.inputs[t * kScanBlock + j]);
    const float *b = block.b + t * block.states + n, *c = block.c + t * block.states + n;
    Vec sum(0.0f), decay[kV];
    for (int v = 0; v < kV; ++v) decay[v] = step * rate[v];
    block.decays(decay);
    for (int v = 0; v < kV; ++v) {
      state[v] = at::vec::fmadd(decay[v], state[v], input * Vec::loadu(b + v * kLanes));
      sum = at::vec::fmadd(state[v], Vec::loadu(c + v * kLanes), sum);
    }
    float& y = block.y[t * kScanBlock + j];
    y = sum_of(sum) + (n ? y : 0.0f);
  }
  for (int v = 0; h_last && v < kV; ++v) store(state[v], h_last + n + v * kLanes, S - n - v * kLanes);
}

// out (N, D); inner (N, D), y before the gate, and h_last (B, D, S) may be null: not wanted.
template <typename Type>
void forward(ScanShape shape, ScanInputs<Type> in, Type* out, Type* inner, float* h_last, int num_threads) {
  const int64_t D = shape.channels, S = shape.states, num_blocks = (D + kScanBlock - 1) / kScanBlock;
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t number = 0; number < num_blocks; ++number) {
      float* const memory = scan_memory(ScanBlock<Type>::room(shape.starts[row + 1] - shape.starts[row], S));
      const ScanBlock<Type> block(shape, in, row, number, memory);
      for (int64_t j = 0; j < block.width; ++j) {
        const int64_t d = block.start + j, place = (row * D + d) * S;
        const float* const h = in.h ? in.h + place : nullptr;
        float* const last = h_last ? h_last + place : nullptr;
        for (int64_t n = 0; n < S;) {
          const int group = group_of(padded(S - n) / kLanes);
          const auto run = group == 4 ? scan_states<4, Type> : group == 2 ? scan_states<2, Type> : scan_states<1, Type>;
          run(block, j, n, S, in.a + d * S, h, last);
          n += group * kLanes;
        }
      }
      for (int64_t t = 0; t < block.T; ++t) {
        for (int64_t j = 0; j < block.width; j += kLanes) {
          const int64_t count = block.width - j, d = block.start + j, place = (block.first + t) * D + d;
          Vec y = Vec::loadu(block.y + t * kScanBlock + j);
          if (in.skip) y = at::vec::fmadd(load(in.skip + d, count), load(in.x + place, count), y);
          if (inner) store(y, inner + place, count);
          if (in.gate) {
            const Vec gate = load(in.gate + (block.first + t) * shape.gate_stride + d, count);
            y = y * gate * sigmoid(gate);
          }
          store(y, out + place, count);
        }
      }
    }
  }
}

}  // namespace
}  // namespace seqlab

using seqlab::BFloat16;

extern "C" {

int64_t scan_block() { return seqlab::kScanBlock; }
int64_t scan_rows() { return seqlab::kScanRows; }

// sizes: B, N, D, S, stride of b and c, stride of gate, whether decays are signed. from: the fields of ScanInputs.
void scan_forward(int bfloat16, const int64_t* sizes, const int64_t* starts, const void* const* from, void* out,
                  void* inner, float* h_last, int num_threads) {
  const seqlab::ScanShape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], starts};
  if (bfloat16) {
    seqlab::forward(shape, seqlab::scan_inputs<BFloat16>(from), static_cast<BFloat16*>(out), static_cast<BFloat16*>(inner),
                    h_last, num_threads);
  } else {
    seqlab::forward(shape, seqlab::scan_inputs<float>(from), static_cast<float*>(out), static_cast<float*>(inner), h_last,
                    num_threads);
  }
}
}
