// SPDX-License-Identifier: Apache-2.0
// The forward pass's attention: the chunks' segments and contexts, page by page, as the kernels
// take them.
#include <algorithm>
#include <cmath>

#include "libs/model/forward.h"

namespace dki::model {
namespace {

// A page is a tile of the kernels': cutting there changes no bit.
static_assert(kPageTokens == kernels::kAttentionTile);

// Rows that are worth waking a thread for, in row-wise functions.
constexpr int kRowGrain = 8;

kernels::RopePairs ToPairs(RopePairing pairing) {
  return pairing == RopePairing::kInterleaved ? kernels::RopePairs::kInterleaved
                                              : kernels::RopePairs::kHalves;
}

// Sums rows' shares over rows and heads, in their order; a segment's pages go to its column.
void Accumulate(const std::vector<double>& shares, int n_rows, int n_heads,
                const std::vector<int>& columns, int layer, AttentionMass* mass) {
  const size_t at = static_cast<size_t>(layer) * mass->n_columns;
  const double* share = shares.data();
  for (size_t i = 0; i < static_cast<size_t>(n_rows) * n_heads; ++i) {
    for (const int column : columns) {
      mass->biased[at + column] += *share++;
      mass->unbiased[at + column] += *share++;
    }
  }
}

}  // namespace

// Rotations depend on positions alone, so one table serves all layers and heads. The context's is
// computed from the token's index, without its offset: it is the very rotation of the key.
void ForwardPass::PrepareAttention(Piece* piece) {
  const Chunk& chunk = *piece->chunk;
  const int n_rot = config_.rope.n_rot;
  const size_t table = static_cast<size_t>(piece->n_rows) * n_rot;
  const size_t n_columns = chunk.segments.size() + 1;
  piece->rotations.resize(n_columns * table);
  for (size_t s = 0; s < n_columns; ++s) {
    const bool own = s + 1 == n_columns;
    if (!own && chunk.segments[s].alpha == 0) continue;
    pool_.ForRanges(piece->n_rows, kRowGrain, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) {
        const double index = piece->first_index + row;
        const double position =
            own ? index : chunk.context_offset + index - chunk.segments[s].offset;
        kernels::RopeTable(position, frequencies_,
                           piece->rotations.data() + s * table + static_cast<size_t>(row) * n_rot);
      }
    });
  }
  for (int first = 0; first < piece->n_rows;) {
    const int left_in_page = kPageTokens - (piece->first_index + first) % kPageTokens;
    Rows rows;
    rows.first = first;
    rows.n = std::min(left_in_page, piece->n_rows - first);
    PrepareRows(*piece, &rows);
    first += rows.n;
    piece->rows.push_back(std::move(rows));
  }
  if (chunk.mass != nullptr && chunk.mass->n_columns == 0) {
    chunk.mass->n_layers = config_.n_layers;
    chunk.mass->n_columns = static_cast<int>(n_columns);
    chunk.mass->biased.assign(n_columns * config_.n_layers, 0.0);
    chunk.mass->unbiased.assign(n_columns * config_.n_layers, 0.0);
  }
}

void ForwardPass::PrepareRows(const Piece& piece, Rows* rows) {
  const Chunk& chunk = *piece.chunk;
  const size_t n_rot = config_.rope.n_rot;
  // Tokens [begin, end) of `kv`; of the last page, row r sees r more where `causal`.
  const auto add = [&](const KvBuffer& kv, int column, int begin, int end, float log_alpha,
                       bool causal) {
    while (begin < end) {
      const int first = begin / kPageTokens * kPageTokens;
      kernels::KvSegment segment;
      segment.begin = begin - first;
      segment.n_tokens = std::min(end, first + kPageTokens) - begin;
      segment.causal = causal && begin + segment.n_tokens == end;
      segment.log_alpha = log_alpha;
      segment.rotations = piece.rotations.data() +
                          (static_cast<size_t>(column) * piece.n_rows + rows->first) * n_rot;
      rows->segments.push_back(segment);
      rows->pages.push_back(kv.pages()[first / kPageTokens].get());
      rows->columns.push_back(column);
      begin += segment.n_tokens;
    }
  };
  int column = 0;
  for (const Segment& segment : chunk.segments) {
    if (segment.alpha != 0) {
      add(*segment.kv, column, segment.begin, segment.begin + segment.n_tokens,
          static_cast<float>(std::log(segment.alpha)), false);
    }
    ++column;
  }
  add(*chunk.context, column, 0, piece.first_index + rows->first + 1, 0.0f, true);
  if (chunk.mass != nullptr) {
    rows->mass.resize(static_cast<size_t>(rows->n) * config_.n_heads * rows->segments.size() * 2);
  }
}

void ForwardPass::StoreKv(int layer) {
  const int n_kv = config_.n_kv_heads;
  const int head_dim = config_.head_dim;
  const int n_rot = config_.rope.n_rot;
  const size_t row_size = static_cast<size_t>(n_kv) * head_dim;
  for (Piece& piece : pieces_) {
    KvBuffer& context = *piece.chunk->context;
    const float* rotations =
        piece.rotations.data() + piece.chunk->segments.size() * piece.n_rows * n_rot;
    pool_.ForRanges(piece.n_rows, 4 * kRowGrain, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) {
        const size_t from = (piece.first_row + i) * row_size;
        kernels::ApplyRope(ToPairs(config_.rope.pairing), rotations + size_t{1} * i * n_rot, n_rot,
                           n_kv, head_dim, k_.data() + from,
                           context.keys(layer, piece.first_index + i));
        std::copy_n(v_.data() + from, row_size, context.values(layer, piece.first_index + i));
      }
    });
  }
}

void ForwardPass::Attend(int layer) {
  const size_t row_size = static_cast<size_t>(config_.n_heads) * config_.head_dim;
  for (Piece& piece : pieces_) {
    for (Rows& rows : piece.rows) {
      for (size_t s = 0; s < rows.segments.size(); ++s) {
        rows.segments[s].keys = rows.pages[s]->keys(layer);
        rows.segments[s].values = rows.pages[s]->values(layer);
      }
    }
  }
  const int n_threads = pool_.n_threads();
  pool_.Run([&](int thread) {
    int dealt = 0;  // items so far: deal the batch's items out like cards
    for (Piece& piece : pieces_) {
      for (Rows& rows : piece.rows) {
        kernels::AttentionOp op;
        op.n_rows = rows.n;
        op.n_heads = config_.n_heads;
        op.n_kv_heads = config_.n_kv_heads;
        op.head_dim = config_.head_dim;
        op.n_rot = config_.rope.n_rot;
        op.pairs = ToPairs(config_.rope.pairing);
        op.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
        op.q = q_.data() + (piece.first_row + rows.first) * row_size;
        op.out = attended_.data() + (piece.first_row + rows.first) * row_size;
        op.segments = rows.segments.data();
        op.n_segments = static_cast<int>(rows.segments.size());
        op.mass = rows.mass.empty() ? nullptr : rows.mass.data();
        const int begin = (thread - dealt % n_threads + n_threads) % n_threads;
        kernels::Attention(isa_, op, begin, n_threads);
        dealt += op.n_items();
      }
    }
  });
  for (Piece& piece : pieces_) {
    if (piece.chunk->mass == nullptr) continue;
    for (const Rows& rows : piece.rows) {
      Accumulate(rows.mass, rows.n, config_.n_heads, rows.columns, layer, piece.chunk->mass);
    }
  }
}

}  // namespace dki::model
