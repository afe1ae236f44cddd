// Detection: how far two boxes overlap, with corners (x1, y1) and (x2, y2), x1 <= x2 and y1 <= y2.
#pragma once

#include <limits>

#include "terms.hpp"

namespace pyloss {

/// The corners of boxes, or derivatives by them.
template <class V>
struct Box {
  V x1, y1, x2, y2;
};

/// How alike two boxes are, 1 if they are the same (the loss is 1 less it), and the derivatives by the first.
template <class V>
struct BoxTerms {
  V score;
  Box<V> slope;
};

namespace boxes {

/// 0 / 0 is 0, of boxes without an area and without eps.
template <class V>
PYLOSS_INLINE V ratio(V a, V b) {
  return select(b == 0.0, 0.0, a / b);
}

/// 1 / a, but finite: what it multiplies may be 0.
template <class V>
PYLOSS_INLINE V reciprocal(V a) {
  return min(ratio(V(1.0), a), static_cast<double>(std::numeric_limits<typename V::Scalar>::max()));
}

/// The derivative of max(a, b) by a: of equals, half.
template <class V>
PYLOSS_INLINE V share(V a, V b) {
  return select(a > b, 1.0, select(a == b, 0.5, 0.0));
}

/// One axis of two boxes: their lengths, what they share (at least 0), and what spans both; with the derivatives by the first's ends.
template <class V>
struct Extent {
  V own, other, both, hull, between;  // `between` their centres
  V both_low, both_high, hull_low, hull_high;

  PYLOSS_INLINE Extent(V low, V high, V other_low, V other_high) {
    own = high - low, other = other_high - other_low;
    const V common = min(high, other_high) - max(low, other_low);
    both = max(common, 0.0);
    hull = max(high, other_high) - min(low, other_low);
    between = 0.5 * ((low - other_low) + (high - other_high));
    both_low = -share(low, other_low), both_high = share(other_high, high);
    hull_low = -share(other_low, low), hull_high = share(high, other_high);
  }
};

enum class Kind { iou, giou, diou, ciou };

/// The formulas of torchvision, inlined so that who wants no slopes does not pay for them. Their eps stands beside each area and each
/// square of a length in a denominator.
template <Kind kind, class V>
PYLOSS_INLINE BoxTerms<V> compare(const Box<V>& a, const Box<V>& b, double eps) {
  const Extent<V> x(a.x1, a.x2, b.x1, b.x2), y(a.y1, a.y2, b.y1, b.y2);
  const V area = x.both * y.both, whole = x.own * y.own + x.other * y.other - area, guarded = whole + eps, iou = ratio(area, guarded);
  const auto meet = (x.both > 0.0) & (y.both > 0.0);
  // d iou = (d area (guarded + area) - area d own) / guarded², where own is the first's area.
  const V inverse = reciprocal(guarded), by_area = select(meet, (1.0 + iou) * inverse, 0.0), by_own = -iou * inverse;
  BoxTerms<V> to{.score = iou,
                 .slope = {.x1 = by_area * y.both * x.both_low - by_own * y.own,
                           .y1 = by_area * x.both * y.both_low - by_own * x.own,
                           .x2 = by_area * y.both * x.both_high + by_own * y.own,
                           .y2 = by_area * x.both * y.both_high + by_own * x.own}};
  const auto add = [&](V score, V x1, V y1, V x2, V y2) {
    to.score += score;
    to.slope.x1 += x1, to.slope.y1 += y1, to.slope.x2 += x2, to.slope.y2 += y2;
  };
  if constexpr (kind == Kind::giou) {
    // Less the part of the hull that neither covers, (hull - whole) / hull.
    const V hull = x.hull * y.hull, full = hull + eps, empty = ratio(hull - whole, full);
    const V by_whole = reciprocal(full), by_hull = -(1.0 - empty) * by_whole, shared = select(meet, by_whole, 0.0);
    add(-empty, by_hull * y.hull * x.hull_low - by_whole * y.own - shared * y.both * x.both_low,
        by_hull * x.hull * y.hull_low - by_whole * x.own - shared * x.both * y.both_low,
        by_hull * y.hull * x.hull_high + by_whole * y.own - shared * y.both * x.both_high,
        by_hull * x.hull * y.hull_high + by_whole * x.own - shared * x.both * y.both_high);
  }
  if constexpr (kind == Kind::diou || kind == Kind::ciou) {
    // Less the squared distance of the centres over the squared diagonal of the hull.
    const V diagonal = x.hull * x.hull + y.hull * y.hull + eps;
    const V away = ratio(x.between * x.between + y.between * y.between, diagonal), over = ratio(V(1.0), diagonal), fall = 2.0 * away * over;
    add(-away, fall * x.hull * x.hull_low - over * x.between, fall * y.hull * y.hull_low - over * y.between,
        fall * x.hull * x.hull_high - over * x.between, fall * y.hull * y.hull_high - over * y.between);
  }
  if constexpr (kind == Kind::ciou) {
    // Less alpha v, v = (2 angle / pi)², where alpha is held constant. The angle between the diagonals of both: a point has none.
    const V across = x.other * y.own - x.own * y.other, along = y.other * y.own + x.other * x.own;
    const V angle = atan(select(across == 0.0, 0.0, across / along));
    constexpr double over_pi = 0.63661977236758134308;
    const V v = (over_pi * angle) * (over_pi * angle), alpha = ratio(v, 1.0 - iou + v + eps);
    const V turn = ratio(2.0 * over_pi * over_pi * alpha * angle, x.own * x.own + y.own * y.own);
    const V by_x = turn * y.own, by_y = -turn * x.own;
    add(-alpha * v, -by_x, -by_y, by_x, by_y);
  }
  return to;
}

}  // namespace boxes

template <boxes::Kind kind>
struct BoxScore {
  double eps;

  template <class V>
  PYLOSS_INLINE BoxTerms<V> operator()(const Box<V>& a, const Box<V>& b) const {
    return boxes::compare<kind>(a, b, eps);
  }
};

/// Intersection over union.
struct IoU : BoxScore<boxes::Kind::iou> {
  static constexpr auto name = "iou";
};

/// Generalised (Rezatofighi 2019).
struct GIoU : BoxScore<boxes::Kind::giou> {
  static constexpr auto name = "giou";
};

/// With the distance of the centres (Zheng 2020).
struct DIoU : BoxScore<boxes::Kind::diou> {
  static constexpr auto name = "diou";
};

/// With that and the aspect ratio.
struct CIoU : BoxScore<boxes::Kind::ciou> {
  static constexpr auto name = "ciou";
};

}  // namespace pyloss
