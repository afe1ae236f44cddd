// THE list: a loss that is not named here does not exist.
#pragma once

#include <array>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "../kernels/parameters.hpp"
#include "adversarial.hpp"
#include "binary.hpp"
#include "boxes.hpp"
#include "likelihood.hpp"
#include "metric_learning.hpp"
#include "multiclass.hpp"
#include "penalties.hpp"
#include "ranking.hpp"
#include "regression.hpp"
#include "reinforcement.hpp"
#include "segmentation.hpp"

namespace pyloss {

template <class... Losses>
struct List {};

template <class... Losses>
std::span<const Signature> signatures(List<Losses...>) {
  static constexpr std::array<Signature, sizeof...(Losses)> table{Signature{Losses::name, parameters_of<Losses>}...};
  return table;
}

/// Returns use.operator()<Loss>() of the loss called `name`.
template <class Use, class First, class... Others>
auto with_named(std::string_view name, List<First, Others...>, Use&& use) {
  bool known = false;
  decltype(use.template operator()<First>()) result {};
  const auto consider = [&]<class Loss>(std::type_identity<Loss>) {
    if (name == Loss::name) known = true, result = use.template operator()<Loss>();
  };
  consider(std::type_identity<First>{});
  (consider(std::type_identity<Others>{}), ...);
  if (!known) throw std::invalid_argument("unknown name");
  return result;
}

using Elementwise = List<MSE, RMSE, MAE, Huber, Quantile, LogCosh, MSLE, MAPE, SMAPE, SmoothL1, PseudoHuber, Expectile, EpsilonInsensitive,
                         Tukey, Cauchy, Welsch, GemanMcClure, Barron, BarronOfAlpha, BarronOfC, BarronOfBoth,  // regression
                         PoissonNLL, GaussianNLL, BetaNLL, LaplaceNLL, StudentTNLL, NegativeBinomialNLL, GammaDeviance, TweedieDeviance,
                         GaussianCRPS, GaussianKL,  // likelihood
                         BCE, BCEWithLogits, Focal, AsymmetricFocal, Hinge, SquaredHinge, ModifiedHuber, Exponential,
                         Logistic,                                 // binary
                         GANDiscriminator, GANGenerator,           // adversarial
                         PolicyGradient, PPOClip, GRPO, TDHuber>;  // reinforcement

// multiclass

using Rowwise = List<CrossEntropy, SoftmaxFocal, PolyCrossEntropy, GeneralizedCrossEntropy, SymmetricCrossEntropy,  // of the softmax
                     ArcFace, CosFace, SphereFace, AdaCos>;  // of the softmax of cosines, the label's with a margin

using RowwiseSums = List<NLL, CategoricalCrossEntropy, KLDiv, JSDiv, Entropy, MultiHinge, Distillation,  // sums over a row's elements
                         SoftmaxFocalOfProbabilities, PolyCrossEntropyOfProbabilities, GeneralizedCrossEntropyOfProbabilities,
                         SymmetricCrossEntropyOfProbabilities,
                         GradientPenalty>;  // adversarial

// reinforcement

using OfQuantiles = List<QuantileHuber>;  // rows of quantiles against rows of samples

using RankingLosses = List<RankLogistic, RankHinge, RankSquaredHinge, LambdaRank, ListNet, ListMLE>;

// metric learning

using Embedding = List<Contrastive, Triplet, LiftedStructure, Circle, MultiSimilarity, NCA, LMNN, NTXent, SupCon,  // one batch
                       ProxyNCA, ProxyAnchor,                                                                      // proxies
                       InfoNCE, SigLIP,                                                                            // two views
                       Gaussian, Laplacian, Distance>;  // what MMD and EnergyDistance add up

using OfTuples = List<GivenPairs, GivenTriplets, Quadruplet, Center, CosineEmbedding>;

using OfCovariances = List<BarlowTwins, VICReg, CORAL>;

using Penalties = List<L1, L2, ElasticNet, EWC>;

// segmentation

using OfOverlaps = List<Dice, Jaccard, Tversky, FocalTversky>;

using OfSortedErrors = List<LovaszHinge, LovaszSoftmax>;

// detection

using OfBoxes = List<IoU, GIoU, DIoU, CIoU>;

}  // namespace pyloss
