// The best key of each query by dot product. Scores stay in registers: none is ever written. Included
// once for each set of instructions.

namespace {

// Half a block: wider ones are compared lane by lane where registers are not so wide.
typedef float scores_t __attribute__((vector_size(4 * LANES)));
typedef scores_t scores_any __attribute__((aligned(4), may_alias));
typedef int numbers_t __attribute__((vector_size(4 * LANES)));

#ifdef WIDE
constexpr int QUERIES = 12;
#else
constexpr int QUERIES = 6;
#endif

// MATCH_ROWS queries from `first` on. The numbers of their best keys go to `best`, but for the first `skip`.
static void NAME(const Matching& job, long first, int skip) {
  static_assert(MATCH_ROWS % QUERIES == 0, "whole groups of queries");
  const int depth = job.depth;
  const long blocks = (job.keys + BLOCK - 1) / BLOCK;
  const int lanes = (int)(job.keys - (blocks - 1) * BLOCK);
  // The best score of each lane, and the block that it is in.
  scores_t top[MATCH_ROWS][2];
  numbers_t at[MATCH_ROWS][2];
  for (int r = 0; r < 2 * MATCH_ROWS; r++) {
    top[r / 2][r % 2] = scores_t{} - 1e30f;
    at[r / 2][r % 2] = numbers_t{};
  }
  // A part of the keys at a time, which stays in a core's own cache for all queries.
  const long part = 24 * 1024 / (depth * BLOCK) + 1;
  for (long from = 0; from < blocks; from += part) {
    const long end = from + part < blocks ? from + part : blocks;
    for (int r = 0; r < MATCH_ROWS; r += QUERIES) {
      const float* q = job.query + (first + r) * depth;
      for (long b = from; b < end; b++) {
        float sums[QUERIES * BLOCK];
        multiply<BLOCK, QUERIES>(q, depth, job.key + b * depth * BLOCK, depth, sums);
        if (b + 1 == blocks)
          for (int i = 0; i < QUERIES; i++)
            for (int lane = lanes; lane < BLOCK; lane++) sums[i * BLOCK + lane] = -2e30f;
        const numbers_t here = numbers_t{} + (int)b;
        for (int i = 0; i < QUERIES; i++)
          for (int half = 0; half < 2; half++) {
            const scores_t score = *(const scores_any*)(sums + i * BLOCK + half * LANES);
            scores_t& best = top[r + i][half];
            numbers_t& number = at[r + i][half];
            number = score > best ? here : number;
            best = score > best ? score : best;
          }
      }
    }
  }
  for (int r = skip; r < MATCH_ROWS; r++) {
    long best = at[r][0][0] * (long)BLOCK;
    float score = top[r][0][0];
    for (int lane = 1; lane < BLOCK; lane++) {
      const float other = top[r][lane / LANES][lane % LANES];
      const long number = at[r][lane / LANES][lane % LANES] * (long)BLOCK + lane;
      // The first of equals wins.
      if (other > score || (other == score && number < best)) {
        score = other;
        best = number;
      }
    }
    job.best[first + r] = best;
  }
}

}  // namespace
