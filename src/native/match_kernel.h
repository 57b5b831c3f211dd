// The best key of each query by dot product. Scores stay in registers: none is ever written. Included
// once for each set of instructions.

namespace {

// As wide as registers are: wider ones would be compared lane by lane.
#ifdef WIDE
constexpr int SCORES = 16, QUERIES = 12;
#else
constexpr int SCORES = 8, QUERIES = 6;
#endif
constexpr int PARTS = BLOCK / SCORES;
typedef float scores_t __attribute__((vector_size(4 * SCORES)));
typedef scores_t scores_any __attribute__((aligned(4), may_alias));
typedef int numbers_t __attribute__((vector_size(4 * SCORES)));

// The best score of each lane of a query, and the block that it is in.
struct Best {
  scores_t score[PARTS];
  numbers_t block[PARTS];

  INLINE void see(const float* sums, int number) {
    for (int part = 0; part < PARTS; part++) {
      const scores_t found = *(const scores_any*)(sums + part * SCORES);
      const numbers_t here = numbers_t{} + number;
      block[part] = found > score[part] ? here : block[part];
      score[part] = found > score[part] ? found : score[part];
    }
  }
};

// MATCH_ROWS queries from `first` on. The numbers of their best keys go to `best`, but for the first `skip`.
static void NAME(const Matching& job, long first, int skip) {
  static_assert(MATCH_ROWS % QUERIES == 0, "whole groups of queries");
  const int depth = job.depth;
  const long blocks = (job.keys + BLOCK - 1) / BLOCK;
  const int lanes = (int)(job.keys - (blocks - 1) * BLOCK);
  Best best[MATCH_ROWS];
  for (Best& of : best)
    for (int part = 0; part < PARTS; part++) {
      of.score[part] = scores_t{} - 1e30f;
      of.block[part] = numbers_t{};
    }
  // A part of the keys at a time, which stays in a core's own cache for all queries.
  const long part = 24 * 1024 / (depth * BLOCK) / 2 * 2 + 2;
  for (long from = 0; from < blocks; from += part) {
    const long end = from + part < blocks ? from + part : blocks;
    for (int r = 0; r < MATCH_ROWS; r += QUERIES) {
      const float* q = job.query + (first + r) * depth;
      for (long b = from; b < end;) {
        float sums[2][QUERIES * BLOCK];
        const float* key = job.key + b * depth * BLOCK;
        int n = 1;
#ifdef WIDE
        if (b + 1 < end) {
          multiply_two<QUERIES>(q, depth, key, key + depth * BLOCK, depth, sums[0], sums[1]);
          n = 2;
        } else
#endif
          multiply<BLOCK, QUERIES>(q, depth, key, depth, sums[0]);
        if (b + n == blocks)
          for (int i = 0; i < QUERIES; i++)
            for (int lane = lanes; lane < BLOCK; lane++) sums[n - 1][i * BLOCK + lane] = -2e30f;
        for (int j = 0; j < n; j++, b++)
          for (int i = 0; i < QUERIES; i++) best[r + i].see(sums[j] + i * BLOCK, (int)b);
      }
    }
  }
  for (int r = skip; r < MATCH_ROWS; r++) {
    long winner = best[r].block[0][0] * (long)BLOCK;
    float score = best[r].score[0][0];
    for (int lane = 1; lane < BLOCK; lane++) {
      const float other = best[r].score[lane / SCORES][lane % SCORES];
      const long number = best[r].block[lane / SCORES][lane % SCORES] * (long)BLOCK + lane;
      // The first of equals wins.
      if (other > score || (other == score && number < winner)) {
        score = other;
        winner = number;
      }
    }
    job.best[first + r] = winner;
  }
}

}  // namespace
