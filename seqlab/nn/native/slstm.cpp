// The recurrence of an sLSTM layer (Beck et al. 2024, "xLSTM", equations 8 to 17) over packed sequences, forward and
// backward, for CPUs.
//
// A task is a block of kRows sequences and a head, with sequences in the lanes, so that they share each load of the
// recurrent weights. Sequences are ordered by length, longest first: those of a block are nearly equally long, and those that are not over are the first lanes.
// Gradients of parameters are summed over a block, then over blocks: a fixed order, whatever the number of threads.
//
// N steps of all sequences one after another, of which sequence s has starts[s] .. starts[s + 1] - 1; B sequences; H
// heads of width D; F = 4 D gates in the order input, forget, cell, output.

#include <cmath>

#include "lanes.h"

namespace seqlab {
namespace {

constexpr int64_t kRows = 2 * kLanes;

struct Sizes {
  int64_t tokens, sequences, heads, width;
  const int64_t *starts, *order;

  int64_t gates() const { return 4 * width; }
  int64_t gate_room() const { return padded(gates()); }
  int64_t blocks() const { return (sequences + kRows - 1) / kRows; }
  int64_t step_size() const { return 8 * width * kRows; }  // of what a block and a head keep of a step
};

// A block's sequences and a head; kept: (steps, 8 D, kRows), the gates before their activation and the four states.
struct Rows {
  int64_t first[kRows], length[kRows];
  int64_t steps, head;
  float* kept;

  int64_t count(int64_t step) const {  // sequences that have this step
    int64_t result = 0;
    while (result < kRows && length[result] > step) ++result;
    return result;
  }
};

Rows make_rows(const Sizes& sizes, int64_t block, int64_t head, float* kept) {
  Rows rows{};
  rows.head = head;
  for (int64_t index = 0; index < (block + 1) * kRows && index < sizes.sequences; ++index) {
    const int64_t s = sizes.order[index], length = sizes.starts[s + 1] - sizes.starts[s];
    if (index >= block * kRows) {
      rows.first[index - block * kRows] = sizes.starts[s];
      rows.length[index - block * kRows] = length;
    } else if (index % kRows == 0) {
      kept += length * sizes.heads * sizes.step_size();
    }
  }
  rows.steps = rows.length[0];
  rows.kept = kept + rows.steps * head * sizes.step_size();
  return rows;
}

// The place of a step in arrays (H, N, 2 D), of the gates that come early or late in F.
inline int64_t gate_place(const Sizes& sizes, int64_t head, int64_t token) {
  return (head * sizes.tokens + token) * 2 * sizes.width;
}

// States of a step: (D, kRows) each, output, cell, normaliser and stabiliser.
struct States {
  float *output, *cell, *normaliser, *maximum;
};

inline States states_of(const Sizes& sizes, float* step) {
  const int64_t size = sizes.width * kRows;
  return {step + 4 * size, step + 5 * size, step + 6 * size, step + 7 * size};
}

// The two weights of a step: of the candidate that enters, and of what is kept; none is kept before the first step.
struct Weighed {
  Vec maximum, entering, kept;
};

inline Weighed weigh(Vec input, Vec forget, const float* maximum_before) {
  if (!maximum_before) return {input, Vec(1.0f), Vec(0.0f)};
  const Vec log_kept = Vec::loadu(maximum_before) + log_sigmoid(forget);
  const Vec maximum = at::vec::maximum(input, log_kept);
  return {maximum, exponential(input - maximum), exponential(log_kept - maximum)};
}

// early, late (H, N, 2 D), recurrent (H, D, F), bias (H, F), out (N, H, D).
void forward_rows(const Sizes& sizes, const Rows& rows, const float* early, const float* late, const float* recurrent,
                  const float* bias, float* out) {
  const int64_t D = sizes.width, F = sizes.gates(), size = D * kRows;
  recurrent += rows.head * D * F;
  bias += rows.head * F;
  for (int64_t t = 0; t < rows.steps; ++t) {
    float* const step = rows.kept + t * sizes.step_size();
    const int64_t count = rows.count(t), lanes = padded(count);
    for (int64_t row = 0; row < lanes; ++row) {
      const int64_t place = gate_place(sizes, rows.head, rows.first[row] + t);
      for (int64_t f = 0; f < 2 * D; ++f) {
        step[f * kRows + row] = bias[f] + (row < count ? early[place + f] : 0.0f);
        step[(2 * D + f) * kRows + row] = bias[2 * D + f] + (row < count ? late[place + f] : 0.0f);
      }
    }
    const States after = states_of(sizes, step), before = states_of(sizes, step - (t ? sizes.step_size() : 0));
    if (t) multiply<true>({recurrent, 1, F}, F, D, before.output, kRows, step, kRows, lanes);
    for (int64_t d = 0; d < D; ++d) {
      for (int64_t place = d * kRows; place < d * kRows + lanes; place += kLanes) {
        const Weighed weights =
            weigh(Vec::loadu(step + place), Vec::loadu(step + size + place), t ? before.maximum + place : nullptr);
        const Vec candidate = tanh_of(Vec::loadu(step + 2 * size + place));
        Vec cell = weights.entering * candidate, normaliser = weights.entering;
        if (t) {
          cell = at::vec::fmadd(weights.kept, Vec::loadu(before.cell + place), cell);
          normaliser = at::vec::fmadd(weights.kept, Vec::loadu(before.normaliser + place), normaliser);
        }
        (sigmoid(Vec::loadu(step + 3 * size + place)) * cell / normaliser).store(after.output + place);
        cell.store(after.cell + place);
        normaliser.store(after.normaliser + place);
        weights.maximum.store(after.maximum + place);
      }
    }
    for (int64_t row = 0; row < count; ++row) {
      float* const target = out + ((rows.first[row] + t) * sizes.heads + rows.head) * D;
      for (int64_t d = 0; d < D; ++d) target[d] = after.output[d * kRows + row];
    }
  }
}

// dearly, dlate (H, N, 2 D); drecurrent (D, gate_room) and dbias (F) of the block and the head.
//
// Outputs do not depend on the stabiliser, so it counts as a constant.
void backward_rows(const Sizes& sizes, const Rows& rows, const float* recurrent, const float* dout, float* dearly,
                   float* dlate, float* drecurrent, float* dbias, Workspace& memory) {
  const int64_t D = sizes.width, F = sizes.gates(), room = sizes.gate_room(), size = D * kRows;
  recurrent += rows.head * D * F;
  memory.restart();
  float *const doutput = memory.take(size), *const dcell = memory.take(size), *const dnormaliser = memory.take(size);
  float *const dstep = memory.take(4 * size), *const bias_sums = memory.take(4 * size);  // (F, kRows) each
  float* const dstep_rows = memory.take(kRows * room);                                   // (kRows, room)
  for (float* array : {doutput, dcell, dnormaliser}) std::memset(array, 0, size * sizeof(float));
  std::memset(bias_sums, 0, 4 * size * sizeof(float));
  std::memset(dstep_rows, 0, kRows * room * sizeof(float));
  std::memset(drecurrent, 0, D * room * sizeof(float));
  for (int64_t t = rows.steps - 1; t >= 0; --t) {
    float* const step = rows.kept + t * sizes.step_size();
    const int64_t count = rows.count(t), lanes = padded(count);
    const States after = states_of(sizes, step), before = states_of(sizes, step - (t ? sizes.step_size() : 0));
    for (int64_t row = 0; row < count; ++row) {
      const float* const source = dout + ((rows.first[row] + t) * sizes.heads + rows.head) * D;
      for (int64_t d = 0; d < D; ++d) doutput[d * kRows + row] += source[d];
    }
    for (int64_t d = 0; d < D; ++d) {
      for (int64_t place = d * kRows; place < d * kRows + lanes; place += kLanes) {
        const Vec input = Vec::loadu(step + place), forget = Vec::loadu(step + size + place);
        const Weighed weights = weigh(input, forget, t ? before.maximum + place : nullptr);
        const Vec candidate = tanh_of(Vec::loadu(step + 2 * size + place)),
                  opened = sigmoid(Vec::loadu(step + 3 * size + place));
        const Vec output = Vec::loadu(after.output + place), normaliser = Vec::loadu(after.normaliser + place);
        const Vec gradient = Vec::loadu(doutput + place), along = gradient * output;
        const Vec by_cell = at::vec::fmadd(gradient, opened / normaliser, Vec::loadu(dcell + place));
        const Vec by_normaliser = Vec::loadu(dnormaliser + place) - along / normaliser;
        Vec dforget(0.0f);
        if (t) {
          const Vec lost =
              by_cell * Vec::loadu(before.cell + place) + by_normaliser * Vec::loadu(before.normaliser + place);
          dforget = weights.kept * lost * sigmoid(Vec(0.0f) - forget);
        }
        (weights.entering * at::vec::fmadd(by_cell, candidate, by_normaliser)).store(dstep + place);
        dforget.store(dstep + size + place);
        (by_cell * weights.entering * (Vec(1.0f) - candidate * candidate)).store(dstep + 2 * size + place);
        (along * (Vec(1.0f) - opened)).store(dstep + 3 * size + place);
        (by_cell * weights.kept).store(dcell + place);
        (by_normaliser * weights.kept).store(dnormaliser + place);
      }
    }
    for (int64_t row = 0; row < count; ++row) {
      float* const dstep_row = dstep_rows + row * room;
      const int64_t place = gate_place(sizes, rows.head, rows.first[row] + t);
      for (int64_t f = 0; f < F; ++f) dstep_row[f] = dstep[f * kRows + row];
      std::memcpy(dearly + place, dstep_row, 2 * D * sizeof(float));
      std::memcpy(dlate + place, dstep_row + 2 * D, 2 * D * sizeof(float));
    }
    for (int64_t f = 0; f < F; ++f) {
      for (int64_t place = f * kRows; place < f * kRows + lanes; place += kLanes) {
        (Vec::loadu(bias_sums + place) + Vec::loadu(dstep + place)).store(bias_sums + place);
      }
    }
    if (t) {
      multiply<true>({before.output, kRows, 1}, D, count, dstep_rows, room, drecurrent, room, F);
      multiply<false>({recurrent, F, 1}, D, F, dstep, kRows, doutput, kRows, lanes);
    }
  }
  for (int64_t f = 0; f < F; ++f) {
    dbias[f] = sum_of(Vec::loadu(bias_sums + f * kRows) + Vec::loadu(bias_sums + f * kRows + kLanes));
  }
}

}  // namespace
}  // namespace seqlab

extern "C" {

int64_t slstm_rows() { return seqlab::kRows; }

// sizes: N, B, H, D; early, late (H, N, 2 D), recurrent (H, D, 4 D), bias (H, 4 D), out (N, H, D); kept (steps, H, 8 D,
// rows), where steps is the sum of the blocks' longest lengths.
void slstm_forward(const int64_t* sizes, const int64_t* starts, const int64_t* order, const float* early,
                   const float* late, const float* recurrent, const float* bias, float* out, float* kept,
                   int num_threads) {
  const seqlab::Sizes shape{sizes[0], sizes[1], sizes[2], sizes[3], starts, order};
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t block = 0; block < shape.blocks(); ++block) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      seqlab::forward_rows(shape, seqlab::make_rows(shape, block, head, kept), early, late, recurrent, bias, out);
    }
  }
}

// drecurrent (blocks, H, D, gate_room), dbias (blocks, H, 4 D), where gate_room is 4 D rounded up to vectors.
void slstm_backward(const int64_t* sizes, const int64_t* starts, const int64_t* order, const float* recurrent,
                    float* kept, const float* dout, float* dearly, float* dlate, float* drecurrent, float* dbias,
                    int num_threads) {
  const seqlab::Sizes shape{sizes[0], sizes[1], sizes[2], sizes[3], starts, order};
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(dynamic)
  for (int64_t block = 0; block < shape.blocks(); ++block) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      static thread_local seqlab::Workspace memory;
      const int64_t index = block * shape.heads + head, room = shape.gate_room();
      seqlab::backward_rows(shape, seqlab::make_rows(shape, block, head, kept), recurrent, dout, dearly, dlate,
                            drecurrent + index * shape.width * room, dbias + index * shape.gates(), memory);
    }
  }
}
}
