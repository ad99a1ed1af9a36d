// SPDX-License-Identifier: Apache-2.0
// The forward pass's attention: the chunks' segments and contexts, page by page, as the kernels
// take them.
#include <algorithm>
#include <cmath>

#include "kernels/kv_codec.h"
#include "libs/model/forward.h"

namespace dki::model {
namespace {

// A page is a tile of the kernels': cutting there changes no bit.
static_assert(kPageTokens == kernels::kAttentionTile);

// Rows that are worth waking a thread for, in row-wise functions.
constexpr int kRowGrain = 8;

// Sums rows' shares, in their order; a segment's pages go to its column.
void Accumulate(const std::vector<double>& shares, int n_rows, int n_heads,
                const std::vector<int>& columns, int layer, AttentionMass* mass) {
  const double* share = shares.data();
  for (int row = 0; row < n_rows; ++row) {
    for (int head = 0; head < n_heads; ++head) {
      const size_t at = mass->at(layer, head, 0);
      for (const int column : columns) {
        mass->biased[at + column] += *share++;
        mass->unbiased[at + column] += *share++;
      }
    }
  }
}

}  // namespace

void ForwardPass::PrepareAttention(Piece* piece) {
  const int n_kinds = config_.window > 0 ? 2 : 1;
  for (int kind = 0; kind < n_kinds; ++kind) Rotate(kind, piece);
  for (int first = 0; first < piece->n_rows;) {
    const int left_in_page = kPageTokens - (piece->first_index + first) % kPageTokens;
    Rows rows;
    rows.first = first;
    rows.n = std::min(left_in_page, piece->n_rows - first);
    for (int kind = 0; kind < n_kinds; ++kind) PrepareView(*piece, rows, kind, &rows.views[kind]);
    first += rows.n;
    piece->rows.push_back(std::move(rows));
  }
  AttentionMass* mass = piece->chunk->mass;
  if (mass != nullptr && mass->n_columns == 0) {
    mass->n_layers = config_.n_layers;
    mass->n_heads = config_.n_heads;
    mass->n_columns = static_cast<int>(piece->chunk->segments.size()) + 1;
    mass->biased.assign(mass->size(), 0.0);
    mass->unbiased.assign(mass->size(), 0.0);
  }
}

// Rotations depend on positions alone, so one table serves all heads and the layers of a kind. The
// context's is computed from the token's index, without its offset: it is the very rotation of the
// key.
void ForwardPass::Rotate(int kind, Piece* piece) {
  const Chunk& chunk = *piece->chunk;
  const int n_rot = rope(kind).n_rot;
  const size_t table = static_cast<size_t>(piece->n_rows) * n_rot;
  const size_t n_columns = chunk.segments.size() + 1;
  std::vector<float>& rotations = piece->rotations[kind];
  rotations.resize(n_columns * table);
  for (size_t s = 0; s < n_columns; ++s) {
    const bool own = s + 1 == n_columns;
    if (!own && chunk.segments[s].alpha == 0) continue;
    pool_.ForRanges(piece->n_rows, kRowGrain, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) {
        const double index = piece->first_index + row;
        const double position =
            own ? index : chunk.context_offset + index - chunk.segments[s].offset;
        kernels::RopeTable(position, frequencies_[kind],
                           rotations.data() + s * table + static_cast<size_t>(row) * n_rot);
      }
    });
  }
}

void ForwardPass::PrepareView(const Piece& piece, const Rows& rows, int kind, View* view) {
  const Chunk& chunk = *piece.chunk;
  const size_t n_rot = rope(kind).n_rot;
  const int window = kind == 0 ? 0 : config_.window;
  // Tokens [begin, end) of `kv`, in whose frame the first row stands at `position`; of the last
  // page, row r sees r more where `causal`.
  const auto add = [&](const KvBuffer& kv, int column, int begin, int end, double position,
                       float log_alpha, bool causal) {
    if (window > 0) {  // pages that not even the first row sees are left out
      const double first_visible = std::floor(position - window) + 1;
      begin = static_cast<int>(std::clamp<double>(first_visible, begin, end));
    }
    while (begin < end) {
      const int first = begin / kPageTokens * kPageTokens;
      kernels::KvSegment segment;
      segment.begin = begin - first;
      segment.n_tokens = std::min(end, first + kPageTokens) - begin;
      segment.causal = causal && begin + segment.n_tokens == end;
      segment.log_alpha = log_alpha;
      segment.rotations = piece.rotations[kind].data() +
                          (static_cast<size_t>(column) * piece.n_rows + rows.first) * n_rot;
      KvPage* const page = kv.pages()[first / kPageTokens].get();
      // The chunk's own page is read as it is, whatever it will become.
      const bool coded =
          kv.shape().codec.codes_any() && !segment.causal && first + kPageTokens <= end;
      KvCodes* const codes = coded ? CodesOf(page, first / kPageTokens) : nullptr;
      if (codes != nullptr) {
        const KvCodec& codec = kv.shape().codec;
        segment.key_format = codec.keys;
        segment.value_format = codec.values;
        segment.key_groups = codec.key_groups;
        segment.key_rotations = KeyRotationsOf(first / kPageTokens);
      }
      view->segments.push_back(segment);
      view->pages.push_back(page);
      view->codes.push_back(codes);
      view->columns.push_back(column);
      view->firsts.push_back(first);
      if (window > 0) Window(position - first, window, rows.n, view);
      begin += segment.n_tokens;
    }
  };
  const int first_index = piece.first_index + rows.first;
  int column = 0;
  for (const Segment& segment : chunk.segments) {
    if (segment.alpha != 0) {
      add(*segment.kv, column, segment.begin, segment.begin + segment.n_tokens,
          chunk.context_offset + first_index - segment.offset,
          static_cast<float>(std::log(segment.alpha)), false);
    }
    ++column;
  }
  add(*chunk.context, column, 0, first_index + 1, first_index, 0.0f, true);
  for (size_t s = 0; window > 0 && s < view->segments.size(); ++s)
    view->segments[s].first_visible = view->first_visible.data() + s * rows.n;
  if (chunk.mass != nullptr || chunk.rule.law == AttentionLaw::kValues) {
    view->mass.resize(static_cast<size_t>(rows.n) * config_.n_heads * view->segments.size() * 2);
  }
}

// Appends what each row sees of a page, in whose frame the first row stands at `position`: a token
// at a distance of `window` positions and more is out of sight. Positions are real numbers.
void ForwardPass::Window(double position, int window, int n_rows, View* view) {
  for (int row = 0; row < n_rows; ++row) {
    const double first = std::floor(position + row - window) + 1;
    view->first_visible.push_back(static_cast<int>(std::clamp<double>(first, 0, kPageTokens)));
  }
}

// Before any pointer into the table is taken.
void ForwardPass::PrepareKeyRotations() {
  size_t n_pages = 0;
  const auto need = [&](const KvBuffer& kv) {
    if (kv.shape().codec.key_groups == kernels::KeyGroups::kChannelFirst)
      n_pages = std::max(n_pages, kv.pages().size());
  };
  for (const Piece& piece : pieces_) {
    need(*piece.chunk->context);
    for (const Segment& segment : piece.chunk->segments) need(*segment.kv);
  }
  const size_t page_size = static_cast<size_t>(config_.rope.n_rot) * kPageTokens;
  const size_t have = key_rotations_ == nullptr ? 0 : key_rotations_->size();
  if (n_pages * page_size > have) {
    key_rotations_ = std::make_shared<const std::vector<float>>(
        kernels::KeyRotations(frequencies_[0], static_cast<int>(2 * n_pages)));
  }
}

const float* ForwardPass::KeyRotationsOf(int page_index) const {
  const size_t page_size = static_cast<size_t>(config_.rope.n_rot) * kPageTokens;
  return key_rotations_ == nullptr ? nullptr : key_rotations_->data() + page_index * page_size;
}

KvCodes* ForwardPass::CodesOf(KvPage* page, int page_index) {
  if (page->codes() != nullptr) return page->codes();
  page->MakeCodes();
  pool_.ForRanges(config_.n_layers, 1, [&](int begin, int end) {
    for (int layer = begin; layer < end; ++layer) {
      page->codes()->Encode(isa_, layer, page->keys(layer), page->values(layer),
                            KeyRotationsOf(page_index));
    }
  });
  return page->codes();
}

void ForwardPass::EncodeFullPages(int layer) {
  for (Piece& piece : pieces_) {
    const KvBuffer& context = *piece.chunk->context;
    if (!context.shape().codec.codes_any()) continue;
    const int first = piece.first_index / kPageTokens;
    const int end = (piece.first_index + piece.n_rows) / kPageTokens;
    pool_.ForRanges(end - first, 1, [&](int from, int to) {
      for (int i = first + from; i < first + to; ++i) {
        const KvPage& page = *context.pages()[i];
        page.codes()->Encode(isa_, layer, page.keys(layer), page.values(layer), KeyRotationsOf(i));
      }
    });
  }
}

void ForwardPass::StoreKv(int layer) {
  const int n_kv = config_.n_kv_heads;
  const int head_dim = config_.head_dim;
  const int kind = kind_of(layer);
  const int n_rot = rope(kind).n_rot;
  const size_t row_size = static_cast<size_t>(n_kv) * head_dim;
  for (Piece& piece : pieces_) {
    KvBuffer& context = *piece.chunk->context;
    const float* rotations =
        piece.rotations[kind].data() + piece.chunk->segments.size() * piece.n_rows * n_rot;
    pool_.ForRanges(piece.n_rows, 4 * kRowGrain, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) {
        const size_t from = (piece.first_row + i) * row_size;
        kernels::ApplyRope(ToPairs(rope(kind).pairing), rotations + size_t{1} * i * n_rot, n_rot,
                           n_kv, head_dim, k_.data() + from,
                           context.keys(layer, piece.first_index + i));
        std::copy_n(v_.data() + from, row_size, context.values(layer, piece.first_index + i));
      }
    });
  }
}

void ForwardPass::RoundKv(int layer) {
  for (Piece& piece : pieces_) {
    const RoundedKv& rounded = piece.chunk->rounded;
    if (rounded.kv == nullptr) continue;
    const int n_groups = (piece.n_rows + PlaneCodec::kGroup - 1) / PlaneCodec::kGroup;
    pool_.ForRanges(n_groups, 1, [&](int begin, int end) {
      for (int group = begin; group < end; ++group) {
        rounded.codec->RoundGroup(rounded.format, layer, group, piece.n_rows, *piece.chunk->context,
                                  rounded.kv);
      }
    });
  }
}

void ForwardPass::Attend(int layer) {
  const size_t row_size = static_cast<size_t>(config_.n_heads) * config_.head_dim;
  const int kind = kind_of(layer);
  for (Piece& piece : pieces_) {
    for (Rows& rows : piece.rows) {
      View& view = rows.views[kind];
      for (size_t s = 0; s < view.segments.size(); ++s) {
        const KvCodes* codes = view.codes[s];
        const void* keys = codes == nullptr ? nullptr : codes->keys(layer);
        const void* values = codes == nullptr ? nullptr : codes->values(layer);
        view.segments[s].keys = keys == nullptr ? view.pages[s]->keys(layer) : keys;
        view.segments[s].values = values == nullptr ? view.pages[s]->values(layer) : values;
      }
    }
  }
  SetWeights(layer);
  // All units of all rows in a row, each as long as its work: dealt out by length, they keep the
  // threads equally busy, and hardly ever part query heads that share a K/V head.
  ops_.clear();
  int64_t length = 0;
  for (Piece& piece : pieces_) {
    for (Rows& rows : piece.rows) {
      View& view = rows.views[kind];
      kernels::AttentionOp op;
      op.n_rows = rows.n;
      op.n_heads = config_.n_heads;
      op.n_kv_heads = config_.n_kv_heads;
      op.head_dim = config_.head_dim;
      op.n_rot = rope(kind).n_rot;
      op.pairs = ToPairs(rope(kind).pairing);
      op.scale = config_.attention_scale;
      op.q = q_.data() + (piece.first_row + rows.first) * row_size;
      op.out = attended_.data() + (piece.first_row + rows.first) * row_size;
      op.segments = view.segments.data();
      op.n_segments = static_cast<int>(view.segments.size());
      op.mass = view.mass.empty() ? nullptr : view.mass.data();
      const int64_t unit = std::min(rows.n, kernels::kAttentionRowBlock) * op.n_segments;
      ops_.push_back({op, length, unit});
      view.op = op;
      length += unit * op.n_units();
    }
  }
  // Few units are worth one range a thread only.
  const int64_t n_ranges = (n_rows_ > kernels::kAttentionRowBlock ? 4 : 1) * pool_.n_threads();
  pool_.ForRanges(static_cast<int>(n_ranges), 1, [&](int first, int last) {
    const int64_t begin = length * first / n_ranges;
    const int64_t end = length * last / n_ranges;
    for (const DealtOp& dealt : ops_) {
      const auto unit_at = [&](int64_t place) {
        const int64_t units = (place - dealt.begin + dealt.unit - 1) / dealt.unit;
        return static_cast<int>(std::clamp<int64_t>(units, 0, dealt.op.n_units()));
      };
      if (dealt.begin >= end) break;
      kernels::Attention(isa_, dealt.op, unit_at(begin), unit_at(end));
    }
  });
  ApplyLaws(layer);
  for (Piece& piece : pieces_) {
    if (piece.chunk->mass == nullptr) continue;
    for (const Rows& rows : piece.rows) {
      const View& view = rows.views[kind];
      Accumulate(view.mass, rows.n, config_.n_heads, view.columns, layer, piece.chunk->mass);
    }
  }
}

}  // namespace dki::model
