// Pairs of boxes in, one term for each out; or the scores of all pairs: the losses of the registry's OfBoxes list.
#pragma once

#include <span>
#include <string_view>

#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

/// What the four numbers of a box are: two corners, a corner and lengths, or the centre and lengths.
enum class BoxFormat : int { xyxy, xywh, cxcywh };

std::span<const Signature> box_losses();

/// The caller's arrays: pred, target and grad of boxes x 4; weight and value of boxes.
struct BoxCall {
  std::string_view kind;
  BoxFormat format = BoxFormat::xyxy;
  double eps = 0.0;
  std::size_t boxes = 0;
  View pred, target, weight, value, grad;
  double scale = 1.0;  // of the stored results
  int threads = 1;
};

/// Adds the sum of weighted values to `total`; false if interrupted.
bool run_boxes(const BoxCall& call, Interrupt& interrupt, double& total);

/// Writes the scores of all rows of `a` (rows x 4) beside all of `b`; false if interrupted.
struct BoxMatrixCall {
  std::string_view kind;
  BoxFormat format = BoxFormat::xyxy;
  std::size_t rows = 0, columns = 0;
  View a, b, out;
  bool float64 = false;
  int threads = 1;
};

bool run_box_matrix(const BoxMatrixCall& call, Interrupt& interrupt);

}  // namespace pyloss
