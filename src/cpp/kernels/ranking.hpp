// Losses of lists: the scores of a query's items against their relevance, each query by itself.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

/// Which items belong together, the queries by ascending id.
class Queries {
 public:
  /// All of one query.
  explicit Queries(std::size_t size);
  /// An id for each item, in any order, read as int64 even where they are of uint64. Unfinished if interrupted.
  Queries(const View& ids, bool is_unsigned, Interrupt& interrupt);

  std::size_t items() const { return starts_.back(); }
  std::size_t count() const { return starts_.size() - 1; }
  std::size_t start(std::size_t query) const { return starts_[query]; }
  std::size_t size(std::size_t query) const { return starts_[query + 1] - starts_[query]; }
  /// Whether the items lie query by query.
  bool in_order() const { return order_.empty(); }
  /// The item at this place of all queries' items one after the other.
  std::size_t item(std::size_t place) const { return in_order() ? place : order_[place]; }

 private:
  std::vector<std::size_t> starts_{0};
  std::vector<std::size_t> order_;
};

struct RankingCall {
  std::string_view loss;
  std::vector<double> parameters;
  View pred, target;  // of each item
  View weight;        // of each query, or null for 1
  View value;         // of each query, or null
  View grad, hess;    // of each item, or null
  bool mean = true;
  Want want = Want::value;
  bool float64 = false;
  int threads = 1;
};

std::span<const Signature> ranking_losses();

struct RankingResult {
  double value = 0.0;
  std::optional<std::size_t> bad_item;  // the first one whose relevance the loss does not allow; nothing is written then
};

/// The reduced value; unfinished if interrupted. Each query's results are written after its inputs have been read.
RankingResult run_ranking(const RankingCall& call, const Queries& queries, Interrupt& interrupt);

}  // namespace pyloss
