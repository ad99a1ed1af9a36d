// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_index.h"

#include <xapian.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>

#include "libs/search/hash.h"
#include "libs/search/words.h"

namespace dki::search {
namespace {

constexpr size_t kMaxIdBytes = 200;
// A group that keeps changing is made anew when at least this many texts have gone, and half as
// many as are left.
constexpr int64_t kManyRemoved = 64;
// Xapian adds a text's words in an order of its own, so last bits of a sum may differ.
constexpr double kShareSteps = 1 << 20;

// Eight bytes, none of which can be a text's.
std::string TermOf(const std::string& stem) {
  const uint64_t hash = Hash64(stem);
  std::string term(sizeof(hash), '\0');
  for (size_t i = 0; i < sizeof(hash); ++i) term[i] = static_cast<char>(hash >> (8 * i));
  return "W" + term;
}
// A term that this text alone has: Xapian finds, replaces and deletes by it.
std::string IdTerm(const std::string& id) {
  return "Q" + id;
}

Xapian::Document MakeDocument(const std::string& id, std::string_view text) {
  Xapian::Document document;
  document.set_data(id);
  for (const std::string& stem : ContentWords(text)) document.add_term(TermOf(stem));
  document.add_boolean_term(IdTerm(id));
  return document;
}

Xapian::WritableDatabase NewDatabase() {
  return Xapian::WritableDatabase(std::string(), Xapian::DB_BACKEND_INMEMORY);
}

// How much it says that a text has a word (Robertson and Sparck Jones; +1 keeps it above 0).
double Idf(double n_texts, double n_with_word) {
  return std::log(1 + (n_texts - n_with_word + 0.5) / (n_with_word + 0.5));
}

// BM25. Xapian's own differs in bounding a word's part by what its lists have held, which depends
// on their history; here the bound is that of any text.
class Bm25 : public Xapian::Weight {
 public:
  Bm25(double k1, double b) : k1_(k1), b_(b) {
    need_stat(COLLECTION_SIZE);
    need_stat(TERMFREQ);
    need_stat(AVERAGE_LENGTH);
    need_stat(WDF);
    need_stat(DOC_LENGTH);
  }
  Bm25* clone() const override { return new Bm25(k1_, b_); }  // Xapian takes it
  void init(double factor) override {
    idf_ = factor * Idf(get_collection_size(), get_termfreq());
    average_length_ = std::max(get_average_length(), 1.0);
  }
  double get_sumpart(Xapian::termcount wdf, Xapian::termcount length,
                     Xapian::termcount) const override {
    const double norm = 1 - b_ + b_ * length / average_length_;
    return idf_ * wdf / (wdf + k1_ * norm);
  }
  double get_maxpart() const override { return idf_; }
  double get_sumextra(Xapian::termcount, Xapian::termcount) const override { return 0; }
  double get_maxextra() const override { return 0; }

 private:
  const double k1_;
  const double b_;
  double idf_ = 0;
  double average_length_ = 1;
};

// What a text would have that says the query's words and nothing else, for ever.
double MostPossible(const Xapian::Database& texts, const WordQuery& query) {
  double sum = 0;
  for (const auto& [stem, weight] : query) {
    sum += weight * Idf(texts.get_doccount(), texts.get_termfreq(TermOf(stem)));
  }
  return sum;
}

// An OR of the words, each by its weight; of those texts alone where ids are given.
Xapian::Query QueryOf(const WordIndex::Search& search) {
  std::vector<Xapian::Query> words;
  for (const auto& [stem, weight] : search.query) {
    const Xapian::Query word(TermOf(stem));
    words.push_back(weight == 1.0 ? word
                                  : Xapian::Query(Xapian::Query::OP_SCALE_WEIGHT, word, weight));
  }
  const Xapian::Query any(Xapian::Query::OP_OR, words.begin(), words.end());
  if (search.ids.empty()) return any;
  std::vector<std::string> ids;
  for (const std::string& id : search.ids) ids.push_back(IdTerm(id));
  return {Xapian::Query::OP_FILTER, any,
          Xapian::Query(Xapian::Query::OP_OR, ids.begin(), ids.end())};
}

}  // namespace

// The texts of one group. `next_` is what it becomes: while it is being filled, every change goes
// to both.
class WordIndex::Group {
 public:
  const Xapian::Database& database() const { return database_; }
  bool empty() const { return database_.get_doccount() == 0; }

  void Put(const std::string& id, const Xapian::Document& document) {
    if (database_.term_exists(IdTerm(id))) ++n_removed_;
    ++n_changes_;
    database_.replace_document(IdTerm(id), document);
    if (compacting_) next_.replace_document(IdTerm(id), document);
  }
  void Remove(const std::string& id) {
    database_.delete_document(IdTerm(id));
    if (compacting_) next_.delete_document(IdTerm(id));
    ++n_removed_;
    ++n_changes_;
  }

  bool is_clean() const { return !compacting_ && n_removed_ == 0; }
  // Called once per round of the upkeep.
  bool IsTimeToCompact() {
    const bool is_at_rest = std::exchange(n_changes_before_, n_changes_) == n_changes_;
    const bool has_many = n_removed_ >= kManyRemoved && 2 * n_removed_ >= database_.get_doccount();
    return compacting_ || is_at_rest || has_many;
  }
  void CompactSome(int n) {
    if (!compacting_) {
      next_ = NewDatabase();
      copied_ = 0;
      n_removed_ = 0;
      compacting_ = true;
    }
    auto at = database_.postlist_begin("");
    const auto end = database_.postlist_end("");
    if (at != end) at.skip_to(copied_ + 1);
    for (; at != end && n > 0; ++at, --n) {
      copied_ = *at;
      const Xapian::Document document = database_.get_document(copied_);
      next_.replace_document(IdTerm(document.get_data()), document);
    }
    if (at != end) return;
    database_ = std::move(next_);
    next_ = Xapian::WritableDatabase();
    compacting_ = false;
  }

 private:
  Xapian::WritableDatabase database_ = NewDatabase();
  Xapian::WritableDatabase next_;
  bool compacting_ = false;
  Xapian::docid copied_ = 0;
  int64_t n_removed_ = 0;  // since the last compaction began
  int64_t n_changes_ = 0;
  int64_t n_changes_before_ = -1;  // when the upkeep last looked
};

struct WordIndex::Contents {
  std::map<std::string, Group> groups;                    // none is empty
  std::unordered_map<std::string, std::string> group_of;  // by id
  std::set<std::string> unclean;                          // groups, perhaps gone since
};

WordIndex::WordIndex(Options options)
    : options_(options), contents_(std::make_unique<Contents>()) {}
WordIndex::~WordIndex() = default;

int64_t WordIndex::size() const {
  return static_cast<int64_t>(contents_->group_of.size());
}

absl::Status WordIndex::Upsert(const std::string& id, const std::string& group,
                               std::string_view text) {
  if (id.empty() || id.size() > kMaxIdBytes) {
    return InvalidArgument("id has %d bytes; it must have 1 to %d", id.size(), kMaxIdBytes);
  }
  const auto found = contents_->group_of.find(id);
  if (found != contents_->group_of.end() && found->second != group) Remove(id);
  try {
    Group& put_in = contents_->groups[group];
    put_in.Put(id, MakeDocument(id, text));
    if (!put_in.is_clean()) contents_->unclean.insert(group);
  } catch (const Xapian::Error& error) {
    return Internal("word index: %s", error.get_msg());
  }
  contents_->group_of[id] = group;
  return absl::OkStatus();
}

bool WordIndex::Remove(const std::string& id) {
  const auto found = contents_->group_of.find(id);
  if (found == contents_->group_of.end()) return false;
  const auto group = contents_->groups.find(found->second);
  group->second.Remove(id);
  if (group->second.empty()) {
    contents_->groups.erase(group);
  } else {
    contents_->unclean.insert(group->first);
  }
  contents_->group_of.erase(found);
  return true;
}

void WordIndex::Clear() {
  contents_->groups.clear();
  contents_->group_of.clear();
  contents_->unclean.clear();
}

absl::StatusOr<std::vector<WordIndex::Match>> WordIndex::Find(const Search& search) const {
  std::vector<Match> matches;
  if (search.query.empty()) return matches;
  try {
    Xapian::Database seen;
    for (const std::string& name : search.groups) {
      const auto group = contents_->groups.find(name);
      if (group != contents_->groups.end()) seen.add_database(group->second.database());
    }
    const Xapian::doccount n_texts = seen.get_doccount();
    if (n_texts == 0) return matches;
    Xapian::Enquire enquire(seen);
    enquire.set_query(QueryOf(search));
    enquire.set_weighting_scheme(Bm25(options_.k1, options_.b));
    const double most = MostPossible(seen, search.query);
    // Some more than k, until k pass the filter and those that equal the k-th are among them:
    // Xapian orders equals by age, we by id. Filtering here leaves Xapian free to pass over texts
    // that cannot be among the first.
    const auto k = static_cast<size_t>(search.k);
    for (auto n = std::min(static_cast<Xapian::doccount>(search.k) + 16, n_texts);;
         n = std::min(4 * n, n_texts)) {
      const Xapian::MSet set = enquire.get_mset(0, n);
      matches.clear();
      for (auto at = set.begin(); at != set.end(); ++at) {
        const double share = std::round(at.get_weight() / most * kShareSteps) / kShareSteps;
        std::string id = at.get_document().get_data();
        if (share > 0 && (!search.filter || search.filter(id)))
          matches.push_back({std::move(id), share});
      }
      const bool all = set.size() < n || n == n_texts;
      if (all || (matches.size() > k && matches.back().share < matches[k - 1].share)) break;
    }
  } catch (const Xapian::Error& error) {
    return Internal("word index: %s", error.get_msg());
  }
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return a.share != b.share ? a.share > b.share : a.id < b.id;
  });
  if (matches.size() > static_cast<size_t>(search.k)) matches.resize(static_cast<size_t>(search.k));
  return matches;
}

bool WordIndex::WantsUpkeep() const {
  return !contents_->unclean.empty();
}

bool WordIndex::Upkeep() {
  auto& unclean = contents_->unclean;
  for (auto name = unclean.begin(); name != unclean.end();) {
    const auto group = contents_->groups.find(*name);
    if (group == contents_->groups.end() || group->second.is_clean()) {
      name = unclean.erase(name);
      continue;
    }
    if (group->second.IsTimeToCompact()) {
      group->second.CompactSome(options_.compact_at_once);
      return true;
    }
    ++name;
  }
  return false;
}

}  // namespace dki::search
