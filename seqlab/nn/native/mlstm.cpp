// The inside of an mLSTM layer (Beck et al. 2024, "xLSTM", equations 19 to 27) over packed sequences, for CPUs:
// convolution, queries, keys and values, gates, the parallel form, norm, skip and output gate. mlstm_backward.cpp has
// its gradients.
//
// One task is a block of whole sequences with time in the lanes: short sequences of kTokens steps together, or a long
// one. Of the forward pass, only the cell's output is kept; the backward pass computes the rest again. Gradients of
// parameters are summed over a block, then over blocks: a fixed order, whatever the number of threads.
//
// The letters of shapes are those of mlstm.h.

#include "mlstm.h"

namespace seqlab {
namespace {

// The cell's output of a sequence and a head. A tile may write beyond its sequence; the next one overwrites that.
void read_head(const Shape& shape, Block& block, int64_t head, int64_t start, int64_t L) {
  find_decays(shape, block, head, start, L);
  for (int64_t i = 0; i < L; i += kTile) {
    const Tile tile{head * shape.width(), start, L, i};
    float rate[kTile], sign[kTile];
    score_tile(shape, block, tile, rate, sign);
    float* const hidden = block.hidden + tile.at(block) + i;
    multiply<false>({block.value + tile.at(block), block.stride, 1}, shape.width(), tile.keys(), block.scores, kTile,
                    hidden, block.stride, tile.queries());
    for (int64_t d = 0; d < shape.width(); ++d) {
      for (int64_t lane = 0; lane < tile.queries(); lane += kLanes) {
        float* const place = hidden + d * block.stride + lane;
        (Vec::loadu(place) * Vec::loadu(rate + lane)).store(place);
      }
    }
  }
}

// x (2 I, N), out and hidden (I, N).
void forward_block(const Shape& shape, const Weights& weights, Block& block, const float* x, float* out,
                   float* hidden) {
  project(shape, weights, x, block);
  for (int64_t s = 0; s < block.sequences; ++s) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      read_head(shape, block, head, block.starts[s] - block.first, block.starts[s + 1] - block.starts[s]);
    }
  }
  for (int64_t c = 0; c < shape.inner; ++c) {
    if (c % shape.width() == 0) find_statistics(shape, block, c / shape.width());
    const int64_t place = c * shape.tokens + block.first;
    for (int64_t p = 0; p < block.tokens; p += kLanes) {
      const int64_t count = block.tokens - p;
      const Vec output = Vec::loadu(block.hidden + c * block.stride + p);
      const Vec unit = (output - Vec::loadu(block.mean + p)) * Vec::loadu(block.rate + p);
      const Vec skipped = Vec(weights.skip[c]) * Vec::loadu(block.active + c * block.stride + p);
      const Vec gate = load(x + shape.inner * shape.tokens + place + p, count);
      store(at::vec::fmadd(unit, Vec(weights.norm[c]), skipped) * gate * sigmoid(gate), out + place + p, count);
      store(output, hidden + place + p, count);
    }
  }
}

}  // namespace
}  // namespace seqlab

extern "C" {

int64_t mlstm_blocks(const int64_t* starts, int64_t sequences) {
  return static_cast<int64_t>(seqlab::cut_blocks(starts, sequences).size()) - 1;
}

int64_t mlstm_parameters(const int64_t* sizes) { return seqlab::shape_of(sizes, nullptr, 0.0f).num_parameters(); }

// sizes: N, B, I, H, K, P; weights: those of `Weights` in mlstm.h; x (2 I, N), out and hidden (I, N).
void mlstm_forward(const int64_t* sizes, const int64_t* starts, float eps, const float* const* weights, const float* x,
                   float* out, float* hidden, int num_threads) {
  const seqlab::Shape shape = seqlab::shape_of(sizes, starts, eps);
  const std::vector<int64_t> firsts = seqlab::cut_blocks(starts, shape.sequences);
  const int64_t num_blocks = static_cast<int64_t>(firsts.size()) - 1;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
  for (int64_t index = 0; index < num_blocks; ++index) {
    static thread_local seqlab::Workspace memory;
    seqlab::Block block = seqlab::make_block(shape, firsts[index], firsts[index + 1], memory);
    seqlab::forward_block(shape, seqlab::weights_of(weights), block, x, out, hidden);
  }
}
}
