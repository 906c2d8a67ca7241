//! Arithmetic that the compiler takes several numbers at a time.
//!
//! A kernel is written once, in plain loops over samples, and compiled twice: as it stands, and inside a function that may
//! use AVX2 and FMA. [`Simd::detect`] picks one of them at run time. What a loop calls is here: without a branch, so
//! that the loop can become vector instructions.

/// The instructions that a kernel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simd {
    /// Those that every processor of the target has.
    Portable,
    /// 256-bit vectors and fused multiply-add. Only [`Simd::detect`] and [`Simd::all`] make it, where the processor has
    /// them: the calls of the kernels rely on that.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Simd {
    /// The best that this processor has.
    pub(crate) fn detect() -> Simd {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Simd::Avx2;
        }
        Simd::Portable
    }

    /// Each that this processor has, for the tests.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Simd> {
        let mut all = vec![Simd::Portable];
        if Simd::detect() != Simd::Portable {
            all.push(Simd::detect());
        }
        all
    }
}

/// a b + c, with one rounding where the processor does it in one instruction; a call of the C library is many times slower.
#[inline(always)]
pub(crate) fn multiply_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x for x <= 709; 0 for x < -708, where the result would be subnormal. Within 1 unit in the last place.
///
/// ```text
/// e^x = 2^m e^r,    m = round(x / ln 2),    r = x - m ln 2,    |r| <= 0.347,    e^r = sum_{i<=13} r^i / i!
/// ```
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f64) -> f64 {
    const SMALLEST: f64 = -708.0;
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUNDER: f64 = 6755399441055744.0; // 1.5 * 2^52
    /// ln 2 in two parts; the first has so few digits that its product with m is exact.
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe62e42fee00000);
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    let rounded = multiply_add::<FMA>(clamped, std::f64::consts::LOG2_E, ROUNDER);
    let power = rounded - ROUNDER;
    let r = multiply_add::<FMA>(power, -LN_2_HIGH, clamped);
    let r = multiply_add::<FMA>(power, -LN_2_LOW, r);
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
        sum = multiply_add::<FMA>(sum, r, coefficient);
    }
    // 1 + r + r^2 (...), the largest terms last
    let sum = multiply_add::<FMA>(sum, r * r, r) + 1.0;
    let exponent = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    if x >= SMALLEST { sum * exponent } else { 0.0 }
}

/// The number of samples that a kernel takes at a time.
pub(crate) const BLOCK: usize = 64;

/// The part of a block whose sums stay in registers.
pub(crate) const TILE: usize = 16;

/// Turns up to [`BLOCK`] rows of d numbers into d rows of `BLOCK` numbers, one for each sample: lanes. The lanes that are
/// left over repeat the last sample; whoever sums gives them the weight 0.
#[inline(always)]
pub(crate) fn transpose(rows: &[f64], dimensions: usize, transposed: &mut [f64]) {
    let samples = rows.len() / dimensions;
    assert!((1..=BLOCK).contains(&samples), "{samples} rows in a block of {BLOCK}");
    assert_eq!(transposed.len(), dimensions * BLOCK);
    if samples == BLOCK {
        // Four columns at a time: a cache line that is read is used at once.
        let whole = dimensions / 4 * 4;
        for j in (0..whole).step_by(4) {
            let (first, rest) = transposed[j * BLOCK..][..4 * BLOCK].split_at_mut(BLOCK);
            let (second, rest) = rest.split_at_mut(BLOCK);
            let (third, fourth) = rest.split_at_mut(BLOCK);
            for s in 0..BLOCK {
                let four = &rows[s * dimensions + j..][..4];
                (first[s], second[s], third[s], fourth[s]) = (four[0], four[1], four[2], four[3]);
            }
        }
        for j in whole..dimensions {
            for s in 0..BLOCK {
                transposed[j * BLOCK + s] = rows[s * dimensions + j];
            }
        }
    } else {
        for s in 0..BLOCK {
            let row = &rows[s.min(samples - 1) * dimensions..][..dimensions];
            for (j, &value) in row.iter().enumerate() {
                transposed[j * BLOCK + s] = value;
            }
        }
    }
}

/// sum_s a_s b_s over a block, always in the same order.
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f64; BLOCK], b: &[f64; BLOCK]) -> f64 {
    let mut sums = [0.0; TILE];
    for (a, b) in a.as_chunks::<TILE>().0.iter().zip(b.as_chunks::<TILE>().0) {
        for s in 0..TILE {
            sums[s] = multiply_add::<FMA>(a[s], b[s], sums[s]);
        }
    }
    sum(&sums)
}

/// The sum of a tile, in pairs.
#[inline(always)]
pub(crate) fn sum(tile: &[f64; TILE]) -> f64 {
    let mut sums = *tile;
    let mut width = TILE / 2;
    while width > 0 {
        for s in 0..width {
            sums[s] += sums[s + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of `right`.
    fn ulps(left: f64, right: f64) -> f64 {
        (left - right).abs() / (f64::from_bits(right.to_bits() + 1) - right)
    }

    #[test]
    fn exp_is_within_one_unit_in_the_last_place() {
        let points = (0..400_000).map(|i| -708.0 + f64::from(i) * 0.003_541_7);
        for x in points.filter(|&x| x < 709.0).chain([0.0, -0.0, 1.0, -1e-300, 1e-9, -0.3465735902799726]) {
            for value in [exp::<false>(x), exp::<true>(x)] {
                let error = ulps(value, x.exp());
                assert!(error <= 1.0, "exp({x}) = {value}, {error} units from {}", x.exp());
            }
        }
        for x in [-708.5, -1e6, f64::NEG_INFINITY] {
            assert_eq!((exp::<false>(x), exp::<true>(x)), (0.0, 0.0));
        }
    }
}
