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

/// a / b, and the finite number that stands for 1 / b in derivatives, by one division, since divisions are what takes the time.
template <bool alone, class V>
struct Fraction {
  V value, inverse;

  PYLOSS_INLINE Fraction(V a, V b) {
    if constexpr (alone || !simd::has_fma) {
      value = ratio(a, b), inverse = finite_inverse(b);
      return;
    }
    inverse = 1.0 / b;
    // What a product with the rounded inverse lacks is added: the quotient is rounded once, and that of equals 1.
    const V near = a * inverse;
    value = fma(fma(-near, b, a), inverse, near);
    // Of 0, of numbers so small that their inverse is infinite, and of infinity.
    const auto beyond = value != value;
    if (bits_of(beyond) != 0) [[unlikely]] {
      value = select(beyond, ratio(a, b), value), inverse = select(beyond, finite_inverse(b), inverse);
    }
  }

 private:
  static PYLOSS_INLINE V finite_inverse(V b) {
    return min(ratio(V(1.0), b), static_cast<double>(std::numeric_limits<typename V::Scalar>::max()));
  }
};

enum class Kind { iou, giou, diou, ciou };

/// One axis of two boxes: their lengths, what they share (at least 0), what spans both, and from the other's centre to the first's; with
/// the derivatives of the score by all these, which give those by the first's ends.
template <Kind kind, class V>
struct Axis {
  V low, high, other_low, other_high;
  V own = high - low, other = other_high - other_low, both = max(min(high, other_high) - max(low, other_low), 0.0);
  V hull = max(high, other_high) - min(low, other_low), between = 0.5 * ((low - other_low) + (high - other_high));
  V by_own = 0.0, by_both = 0.0, by_hull = 0.0, by_between = 0.0;

  PYLOSS_INLINE V by_low() const {
    const V slope = without(-by_own, by_both, low, other_low);
    if constexpr (kind == Kind::iou) return slope;
    return without(slope + 0.5 * by_between, by_hull, other_low, low);
  }
  PYLOSS_INLINE V by_high() const {
    const V slope = without(by_own, -by_both, other_high, high);
    if constexpr (kind == Kind::iou) return slope;
    return without(slope + 0.5 * by_between, -by_hull, high, other_high);
  }

 private:
  /// Less `all` where a > b, and half of it where a == b: max(a, b) then has half a derivative by either.
  static PYLOSS_INLINE V without(V from, V all, V a, V b) {
    const V half = 0.5 * all, some = select(a > b, from - half, from);
    return select(a >= b, some - half, some);
  }
};

/// The formulas of torchvision, inlined so that who wants the score alone does not pay for slopes. Their eps stands beside each area and
/// each square of a length in a denominator.
template <Kind kind, bool alone, class V>
PYLOSS_INLINE BoxTerms<V> compare(const Box<V>& a, const Box<V>& b, double eps) {
  Axis<kind, V> x{a.x1, a.x2, b.x1, b.x2}, y{a.y1, a.y2, b.y1, b.y2};
  const V area = x.both * y.both, whole = x.own * y.own + x.other * y.other - area;
  const Fraction<alone, V> iou(area, whole + eps);
  const auto meet = (x.both > 0.0) & (y.both > 0.0);
  // d iou = (d area (guarded + area) - area d own) / guarded², where own is the first's area and guarded the denominator.
  V score = iou.value, by_area = (1.0 + iou.value) * iou.inverse, by_own = -iou.value * iou.inverse;
  if constexpr (kind == Kind::giou) {
    // Less the part of the hull that neither covers, (hull - whole) / hull.
    const V hull = x.hull * y.hull;
    const Fraction<alone, V> empty(hull - whole, hull + eps);
    const V by_hull = (empty.value - 1.0) * empty.inverse;
    score += -empty.value, by_area += -empty.inverse, by_own += empty.inverse;
    x.by_hull = by_hull * y.hull, y.by_hull = by_hull * x.hull;
  }
  if constexpr (kind == Kind::diou || kind == Kind::ciou) {
    // Less the squared distance of the centres over the squared diagonal of the hull.
    const Fraction<alone, V> away(x.between * x.between + y.between * y.between, x.hull * x.hull + y.hull * y.hull + eps);
    const V over = away.inverse, fall = 2.0 * (away.value * over);
    score += -away.value;
    x.by_hull = fall * x.hull, y.by_hull = fall * y.hull;
    x.by_between = -2.0 * (over * x.between), y.by_between = -2.0 * (over * y.between);
  }
  by_area = select(meet, by_area, 0.0);
  x.by_both = by_area * y.both, y.by_both = by_area * x.both;
  x.by_own = by_own * y.own, y.by_own = by_own * x.own;
  if constexpr (kind == Kind::ciou) {
    // Less alpha v, v = (2 angle / pi)², where alpha is held constant. The angle between the diagonals of both: a point has none.
    const V across = x.other * y.own - x.own * y.other, along = y.other * y.own + x.other * x.own;
    const V angle = atan(select(across == 0.0, 0.0, across / along));
    constexpr double over_pi = 0.63661977236758134308;
    const V v = (over_pi * angle) * (over_pi * angle), alpha = ratio(v, 1.0 - iou.value + v + eps);
    const V turn = ratio(2.0 * over_pi * over_pi * alpha * angle, x.own * x.own + y.own * y.own);
    score += -alpha * v;
    x.by_own += turn * y.own, y.by_own += -turn * x.own;
  }
  return {.score = score, .slope = {.x1 = x.by_low(), .y1 = y.by_low(), .x2 = x.by_high(), .y2 = y.by_high()}};
}

}  // namespace boxes

template <boxes::Kind kind>
struct BoxScore {
  double eps;

  template <class V>
  PYLOSS_INLINE BoxTerms<V> operator()(const Box<V>& a, const Box<V>& b) const {
    return boxes::compare<kind, false>(a, b, eps);
  }
  template <class V>
  PYLOSS_INLINE V alone(const Box<V>& a, const Box<V>& b) const {
    return boxes::compare<kind, true>(a, b, eps).score;
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
