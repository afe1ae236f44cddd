// THE list: a loss that is not named here does not exist.
#pragma once

#include "binary.hpp"
#include "likelihood.hpp"
#include "metric_learning.hpp"
#include "multiclass.hpp"
#include "regression.hpp"

namespace pyloss {

template <class... Losses>
struct List {};

using Elementwise = List<MSE, MAE, Huber, Quantile, LogCosh,  // regression
                         PoissonNLL,                          // likelihood
                         BCEWithLogits, Hinge>;               // binary

// multiclass

using Rowwise = List<CrossEntropy, SoftmaxFocal, PolyCrossEntropy, GeneralizedCrossEntropy, SymmetricCrossEntropy,  // of the softmax
                     ArcFace, CosFace, SphereFace, AdaCos>;  // of the softmax of cosines, the label's with a margin

using RowwiseSums = List<NLL, CategoricalCrossEntropy, KLDiv, JSDiv, Entropy, MultiHinge, Distillation>;  // sums over a row's elements

// metric learning

using Embedding = List<Contrastive, Triplet, LiftedStructure, Circle, MultiSimilarity, NCA, LMNN, NTXent, SupCon,  // one batch
                       ProxyNCA, ProxyAnchor,                                                                      // proxies
                       InfoNCE, SigLIP,                                                                            // two views
                       Gaussian, Laplacian, Distance>;  // what MMD and EnergyDistance add up

using OfTuples = List<GivenPairs, GivenTriplets, Quadruplet, Center, CosineEmbedding>;

using OfCovariances = List<BarlowTwins, VICReg, CORAL>;

}  // namespace pyloss
