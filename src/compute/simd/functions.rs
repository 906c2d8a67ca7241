//! Polynomial approximations of the exponential and the logarithm, and the sigmoid.

use super::{F32s, Simd, Vector};

/// Returns a b + c, fused if the processor has the instruction. Otherwise `mul_add` would be a slow call of the C
/// library.
#[inline(always)]
fn multiply_add<S: Simd>(_: S, a: f64, b: f64, c: f64) -> f64 {
    if S::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Returns e^x for x <= 709; 0 for x < -708, where the result would be subnormal. The error is within 1 unit in the last
/// place. Scalar and without a branch, so that the compiler vectorises loops over it.
///
/// ```text
/// e^x = 2^m e^r,    m = round(x / ln 2),    r = x - m ln 2,    |r| <= 0.347,    e^r = sum_{i<=13} r^i / i!
/// ```
#[inline(always)]
pub(crate) fn exp_f64<S: Simd>(simd: S, x: f64) -> f64 {
    const SMALLEST: f64 = -708.0;
    /// Adding this constant rounds a number to an integer, which is then in the low bits.
    const ROUNDER: f64 = 6755399441055744.0; // 1.5 * 2^52
    /// ln 2 in two parts; the first has few enough digits that its product with m is exact.
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe62e42fee00000);
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    let rounded = multiply_add(simd, clamped, std::f64::consts::LOG2_E, ROUNDER);
    let power = rounded - ROUNDER;
    let r = multiply_add(simd, power, -LN_2_HIGH, clamped);
    let r = multiply_add(simd, power, -LN_2_LOW, r);
    const INVERSE_FACTORIALS: [f64; 11] = [
        1.0 / 479001600.0,
        1.0 / 39916800.0,
        1.0 / 3628800.0,
        1.0 / 362880.0,
        1.0 / 40320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    let mut sum = 1.0 / 6227020800.0;
    for coefficient in INVERSE_FACTORIALS {
        sum = multiply_add(simd, sum, r, coefficient);
    }
    // 1 + r + r^2 (...), the largest terms last
    let sum = multiply_add(simd, sum, r * r, r) + 1.0;
    let exponent = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    if x >= SMALLEST { sum * exponent } else { 0.0 }
}

/// Returns e^x for x <= 88; 0 for x < -60; NaN for NaN. The error is within 2 units in the last place.
///
/// Results below e^-60, about 1e-26, are 0, because their products would become subnormal numbers, with which processors compute up to
/// 30 times slower.
///
/// ```text
/// e^x = 2^n e^r,    n = round(x / ln 2),    r = x - n ln 2
/// ```
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    /// Adding this constant rounds a number to an integer, which is then in the low bits.
    const ROUNDER: f32 = 12582912.0; // 1.5 * 2^23
    let smallest = simd.splat_f32(-60.0);
    let clamped = smallest.larger(x);
    let rounded = clamped.multiply_add(simd.splat_f32(std::f32::consts::LOG2_E), simd.splat_f32(ROUNDER));
    let power = rounded - simd.splat_f32(ROUNDER);
    // ln 2 in two parts; the first has few enough digits that its product with n is exact
    let r = power.multiply_add(simd.splat_f32(-0.693_359_4), clamped);
    let r = power.multiply_add(simd.splat_f32(2.121_944_4e-4), r);
    let mut sum = simd.splat_f32(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.500_000_1] {
        sum = sum.multiply_add(r, simd.splat_f32(coefficient));
    }
    let sum = sum.multiply_add(r * r, r) + simd.splat_f32(1.0);
    x.if_less(smallest, simd.splat_f32(0.0), sum * rounded.power_of_two())
}

/// Returns ln x for normal positive x; minus infinity for 0; NaN for NaN. The error is within 2 units in the last place.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let (one, half) = (simd.splat_f32(1.0), simd.splat_f32(0.5));
    let (m, e) = x.split();
    // m in [sqrt(1/2), sqrt(2))
    let low = simd.splat_f32(std::f32::consts::FRAC_1_SQRT_2);
    let e = m.if_less(low, e - one, e);
    let r = m.if_less(low, m + m, m) - one;
    let mut sum = simd.splat_f32(7.037_683_6e-2);
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        0.333_333_3,
    ] {
        sum = sum.multiply_add(r, simd.splat_f32(coefficient));
    }
    let square = r * r;
    let tail = sum * r * square;
    let tail = e.multiply_add(simd.splat_f32(-2.121_944_4e-4), tail) - half * square;
    let value = e.multiply_add(simd.splat_f32(0.693_359_4), r + tail);
    // split() does not keep NaN: the last comparison is false for NaN and returns x itself
    let value = x.if_less(simd.splat_f32(f32::MIN_POSITIVE), simd.splat_f32(f32::NEG_INFINITY), value);
    simd.splat_f32(-1.0).if_less(x, value, x)
}

/// Returns 1 / (1 + e^-x), at least e^-60.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat_f32(1.0);
    one / (one + exp(simd, simd.splat_f32(60.0).smaller(simd.splat_f32(0.0) - x)))
}

/// Clamps x to [-limit, limit]. NaN stays NaN.
#[inline(always)]
pub(crate) fn clamp<S: Simd>(simd: S, x: S::F32, limit: f32) -> S::F32 {
    simd.splat_f32(limit).smaller(simd.splat_f32(-limit).larger(x))
}
