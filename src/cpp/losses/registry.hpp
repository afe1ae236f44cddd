// THE list: a loss that is not named here does not exist.
#pragma once

#include "binary.hpp"
#include "likelihood.hpp"
#include "multiclass.hpp"
#include "regression.hpp"

namespace pyloss {

template <class... Losses>
struct List {};

using Elementwise = List<MSE, MAE, Huber, Quantile, LogCosh,  // regression
                         PoissonNLL,                          // likelihood
                         BCEWithLogits, Hinge>;               // binary

using Rowwise = List<CrossEntropy>;  // multiclass

}  // namespace pyloss
