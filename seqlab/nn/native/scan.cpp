// The selective scan of seqlab/nn/scan.py, forward and backward, for CPUs: float32 and bfloat16.
//
// Plain C functions on plain pointers: without torch's headers it compiles in seconds and fits any version of torch.
// One task is a sequence times a block of channels. All sums have a fixed order, whatever the number of threads.
//
// B batch, T time, D channels, N states a channel; arrays are contiguous. x, dy, y, dx and the two bc inputs have the type
// of `x`, everything else is float32.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t kBlock = 32;  // channels a task: scan_block() tells Python

struct BFloat16 {
  uint16_t bits;
};

inline float load(float value) { return value; }

inline float load(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

inline void store(float value, float* place) { *place = value; }

inline void store(float value, BFloat16* place) {  // to the nearest, ties to even; NaN stays NaN
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  place->bits = value != value ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// exp by 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes): relative error below 2e-7, and it vectorises.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;  // NaN passes both
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the integer lands in the low bits
  const float k = shifted - 12582912.0f;
  const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t power, bits;
  std::memcpy(&power, &shifted, sizeof power);
  std::memcpy(&bits, &p, sizeof bits);
  bits += power << 23;
  std::memcpy(&p, &bits, sizeof p);
  return p;
}

struct Sizes {
  int64_t B, T, D, N;
};

// The (T, N) rows of one sequence as float32: themselves, or converted into `kept`.
inline const float* rows(const float* source, int64_t, std::vector<float>&) { return source; }

inline const float* rows(const BFloat16* source, int64_t count, std::vector<float>& kept) {
  kept.resize(count);
  for (int64_t i = 0; i < count; ++i) kept[i] = load(source[i]);
  return kept.data();
}

// kN is the number of states where the compiler may know it, else 0.
template <typename Type, int kN>
void forward(Sizes size, const Type* x, const float* delta, const float* a, const Type* b_in, const Type* c_in,
             const float* h_first, Type* y, float* h_last, int num_threads) {
  const int64_t T = size.T, D = size.D, N = kN ? kN : size.N, num_blocks = (D + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < size.B; ++row) {
    for (int64_t block = 0; block < num_blocks; ++block) {
      std::vector<float> b_kept, c_kept;
      const float* b = rows(b_in + row * T * N, T * N, b_kept);
      const float* c = rows(c_in + row * T * N, T * N, c_kept);
      const int64_t stop = D < (block + 1) * kBlock ? D : (block + 1) * kBlock;
      for (int64_t d = block * kBlock; d < stop; ++d) {
        const float* a_d = a + d * N;
        float* h = h_last + (row * D + d) * N;
        std::memcpy(h, h_first + (row * D + d) * N, N * sizeof(float));
        for (int64_t t = 0; t < T; ++t) {
          const int64_t place = (row * T + t) * D + d;
          const float step = delta[place], input = step * load(x[place]);
          const float *b_t = b + t * N, *c_t = c + t * N;
          float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
          for (int64_t n = 0; n < N; ++n) {
            const float state = exponential(step * a_d[n]) * h[n] + input * b_t[n];
            h[n] = state;
            sum += state * c_t[n];
          }
          store(sum, y + place);
        }
      }
    }
  }
}

// Gradients from dy and dh_last. The states are computed again, for one channel at a time. da comes a sequence, db and
// dc a block of channels: whoever calls sums them.
template <typename Type, int kN>
void backward(Sizes size, const Type* dy, const float* dh_last, const Type* x, const float* delta, const float* a,
              const Type* b_in, const Type* c_in, const float* h_first, Type* dx, float* ddelta, float* da_B,
              float* db_G, float* dc_G, float* dh_first, int num_threads) {
  const int64_t T = size.T, D = size.D, N = kN ? kN : size.N, num_blocks = (D + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) num_threads(num_threads) schedule(static)
  for (int64_t row = 0; row < size.B; ++row) {
    for (int64_t block = 0; block < num_blocks; ++block) {
      std::vector<float> b_kept, c_kept, states((T + 1) * N), decays(T * N), db(T * N), dc(T * N);
      const float* b = rows(b_in + row * T * N, T * N, b_kept);
      const float* c = rows(c_in + row * T * N, T * N, c_kept);
      const int64_t stop = D < (block + 1) * kBlock ? D : (block + 1) * kBlock;
      for (int64_t d = block * kBlock; d < stop; ++d) {
        const float* a_d = a + d * N;
        std::memcpy(states.data(), h_first + (row * D + d) * N, N * sizeof(float));
        for (int64_t t = 0; t < T; ++t) {
          const int64_t place = (row * T + t) * D + d;
          const float step = delta[place], input = step * load(x[place]);
          const float *h = states.data() + t * N, *b_t = b + t * N;
          float *next = states.data() + (t + 1) * N, *decay = decays.data() + t * N;
#pragma omp simd
          for (int64_t n = 0; n < N; ++n) {
            decay[n] = exponential(step * a_d[n]);
            next[n] = decay[n] * h[n] + input * b_t[n];
          }
        }
        float* da = da_B + (row * D + d) * N;
        float* dh = dh_first + (row * D + d) * N;  // the running gradient; what is left at t = 0 is the first state's
        std::memset(da, 0, N * sizeof(float));
        std::memcpy(dh, dh_last + (row * D + d) * N, N * sizeof(float));
        for (int64_t t = T - 1; t >= 0; --t) {
          const int64_t place = (row * T + t) * D + d;
          const float step = delta[place], value = load(x[place]), input = step * value, dy_t = load(dy[place]);
          const float *h = states.data() + t * N, *next = h + N, *decay = decays.data() + t * N;
          const float *b_t = b + t * N, *c_t = c + t * N;
          float *db_t = db.data() + t * N, *dc_t = dc.data() + t * N;
          float dinput = 0.0f, dstep = 0.0f;
#pragma omp simd reduction(+ : dinput, dstep)
          for (int64_t n = 0; n < N; ++n) {
            const float dstate = dh[n] + dy_t * c_t[n];
            dc_t[n] += dy_t * next[n];
            db_t[n] += dstate * input;
            dinput += dstate * b_t[n];
            const float back = dstate * decay[n];
            const float dlog = back * h[n];  // the gradient of step * a
            dstep += dlog * a_d[n];
            da[n] += dlog * step;
            dh[n] = back;
          }
          store(dinput * step, dx + place);
          ddelta[place] = dstep + dinput * value;
        }
      }
      const int64_t part = (block * size.B + row) * T * N;
      std::memcpy(db_G + part, db.data(), T * N * sizeof(float));
      std::memcpy(dc_G + part, dc.data(), T * N * sizeof(float));
    }
  }
}

template <typename Type>
void forward_any(Sizes size, const void* x, const float* delta, const float* a, const void* b, const void* c,
                 const float* h_first, void* y, float* h_last, int num_threads) {
  const auto run = size.N == 16 ? forward<Type, 16> : size.N == 32 ? forward<Type, 32> : forward<Type, 0>;
  run(size, static_cast<const Type*>(x), delta, a, static_cast<const Type*>(b), static_cast<const Type*>(c), h_first,
      static_cast<Type*>(y), h_last, num_threads);
}

template <typename Type>
void backward_any(Sizes size, const void* dy, const float* dh_last, const void* x, const float* delta, const float* a,
                  const void* b, const void* c, const float* h_first, void* dx, float* ddelta, float* da_B,
                  float* db_G, float* dc_G, float* dh_first, int num_threads) {
  const auto run = size.N == 16 ? backward<Type, 16> : size.N == 32 ? backward<Type, 32> : backward<Type, 0>;
  run(size, static_cast<const Type*>(dy), dh_last, static_cast<const Type*>(x), delta, a, static_cast<const Type*>(b),
      static_cast<const Type*>(c), h_first, static_cast<Type*>(dx), ddelta, da_B, db_G, dc_G, dh_first, num_threads);
}

}  // namespace

extern "C" {

int64_t scan_block() { return kBlock; }

void scan_forward(int bfloat16, int64_t B, int64_t T, int64_t D, int64_t N, const void* x, const float* delta,
                  const float* a, const void* b, const void* c, const float* h_first, void* y, float* h_last,
                  int num_threads) {
  const auto run = bfloat16 ? forward_any<BFloat16> : forward_any<float>;
  run({B, T, D, N}, x, delta, a, b, c, h_first, y, h_last, num_threads);
}

void scan_backward(int bfloat16, int64_t B, int64_t T, int64_t D, int64_t N, const void* dy, const float* dh_last,
                   const void* x, const float* delta, const float* a, const void* b, const void* c,
                   const float* h_first, void* dx, float* ddelta, float* da_B, float* db_G, float* dc_G,
                   float* dh_first, int num_threads) {
  const auto run = bfloat16 ? backward_any<BFloat16> : backward_any<float>;
  run({B, T, D, N}, dy, dh_last, x, delta, a, b, c, h_first, dx, ddelta, da_B, db_G, dc_G, dh_first, num_threads);
}
}
