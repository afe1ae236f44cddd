// THE list: a loss that is not named here does not exist.
#pragma once

#include "adversarial.hpp"
#include "binary.hpp"
#include "likelihood.hpp"
#include "metric_learning.hpp"
#include "multiclass.hpp"
#include "regression.hpp"
#include "reinforcement.hpp"

namespace pyloss {

template <class... Losses>
struct List {};

using Elementwise = List<MSE, MAE, Huber, Quantile, LogCosh,  // regression
                         PoissonNLL,                          // likelihood
                         BCE, BCEWithLogits, Focal, AsymmetricFocal, Hinge, SquaredHinge, ModifiedHuber, Exponential,
                         Logistic,                                 // binary
                         GANDiscriminator, GANGenerator,           // adversarial
                         PolicyGradient, PPOClip, GRPO, TDHuber>;  // reinforcement

using Rowwise = List<CrossEntropy>;  // multiclass

// metric learning

using Embedding = List<Contrastive, Triplet, LiftedStructure, Circle, MultiSimilarity, NCA, LMNN, NTXent, SupCon,  // one batch
                       ProxyNCA, ProxyAnchor,                                                                      // proxies
                       InfoNCE, SigLIP,                                                                            // two views
                       Gaussian, Laplacian, Distance>;  // what MMD and EnergyDistance add up

using OfTuples = List<GivenPairs, GivenTriplets, Quadruplet, Center, CosineEmbedding>;

using OfCovariances = List<BarlowTwins, VICReg, CORAL>;

}  // namespace pyloss
