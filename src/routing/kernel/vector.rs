//! Eight f32 at a time, one for each of eight parents: as a plain array, and as a register of AVX2.

use std::ops::{Add, Div, Mul, Sub};

/// The numbers of a [`Vector`].
pub(super) const WIDTH: usize = 8;

/// One number for each of eight parents.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Lane(pub [f32; WIDTH]);

/// The 16 elements of a pose, for each of eight parents.
pub(super) type Tile = [Lane; super::ELEMENTS];

pub(super) const ZERO: Lane = Lane([0.0; WIDTH]);
pub(super) const ZEROS: Tile = [ZERO; super::ELEMENTS];

pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    fn splat(value: f32) -> Self;
    fn load(from: &Lane) -> Self;
    fn store(self, to: &mut Lane);
    /// self * factor + term
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// The larger; `other` where either is NaN.
    fn larger(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN.
    fn smaller(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// Lane by lane: `yes` where self < other, else `no`.
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self;
    /// 2^n, where self is n + 1.5 * 2^23 and n lies in -126..=127.
    fn power_of_two(self) -> Self;
    /// (m, e) with self = m 2^e, m in [1/2, 1), for normal positive numbers.
    fn split(self) -> (Self, Self);
    /// The largest of its lanes.
    fn largest(self) -> f32;
    /// The sum of its lanes.
    fn sum(self) -> f32;
    /// The sum of the lanes of each, as one vector.
    fn sums(all: [Self; WIDTH]) -> Self;

    /// Asks for memory that is read soon.
    #[inline(always)]
    fn fetch(_: &Tile) {}

    /// Between -limit and limit; NaN stays.
    #[inline(always)]
    fn within(self, limit: f32) -> Self {
        Self::splat(limit).smaller(Self::splat(-limit).larger(self))
    }
}

/// e^x for x <= 88; 0 for x < -87. NaN stays. Within 2 units in the last place.
///
/// ```text
/// e^x = 2^n e^r,    n = round(x / ln 2),    r = x - n ln 2
/// ```
#[inline(always)]
pub(super) fn exp<V: Vector>(x: V) -> V {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUNDER: f32 = 12582912.0; // 1.5 * 2^23
    let smallest = V::splat(-87.0);
    let clamped = smallest.larger(x);
    let rounded = clamped.multiply_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUNDER));
    let power = rounded - V::splat(ROUNDER);
    // ln 2 in two parts; the first has so few digits that its product with n is exact
    let r = power.multiply_add(V::splat(-0.693_359_4), clamped);
    let r = power.multiply_add(V::splat(2.121_944_4e-4), r);
    let mut sum = V::splat(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.500_000_1] {
        sum = sum.multiply_add(r, V::splat(coefficient));
    }
    let sum = sum.multiply_add(r * r, r) + V::splat(1.0);
    x.if_less(smallest, V::splat(0.0), sum * rounded.power_of_two())
}

/// ln x for x = 0 (minus infinity) and normal positive x. NaN stays. Within 2 units in the last place.
#[inline(always)]
pub(super) fn ln<V: Vector>(x: V) -> V {
    let (one, half) = (V::splat(1.0), V::splat(0.5));
    let (m, e) = x.split();
    // m in [sqrt(1/2), sqrt(2))
    let low = V::splat(std::f32::consts::FRAC_1_SQRT_2);
    let e = m.if_less(low, e - one, e);
    let r = m.if_less(low, m + m, m) - one;
    let mut sum = V::splat(7.037_683_6e-2);
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
        sum = sum.multiply_add(r, V::splat(coefficient));
    }
    let square = r * r;
    let tail = sum * r * square;
    let tail = e.multiply_add(V::splat(-2.121_944_4e-4), tail) - half * square;
    let value = e.multiply_add(V::splat(0.693_359_4), r + tail);
    // NaN is not split: it comes back through the comparison, which is then false
    let value = x.if_less(V::splat(f32::MIN_POSITIVE), V::splat(f32::NEG_INFINITY), value);
    V::splat(-1.0).if_less(x, value, x)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    one / (one + exp(V::splat(88.0).smaller(V::splat(0.0) - x)))
}

/// For any processor.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; WIDTH]);

macro_rules! each_lane {
    ($lane:ident => $value:expr) => {{
        let mut lanes = [0.0; WIDTH];
        for $lane in 0..WIDTH {
            lanes[$lane] = $value;
        }
        Plain(lanes)
    }};
}

macro_rules! plain_operator {
    ($operator:ident, $function:ident, $symbol:tt) => {
        impl $operator for Plain {
            type Output = Plain;
            #[inline(always)]
            fn $function(self, other: Plain) -> Plain {
                each_lane!(lane => self.0[lane] $symbol other.0[lane])
            }
        }
    };
}
plain_operator!(Add, add, +);
plain_operator!(Sub, sub, -);
plain_operator!(Mul, mul, *);
plain_operator!(Div, div, /);

impl Vector for Plain {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Plain([value; WIDTH])
    }

    #[inline(always)]
    fn load(from: &Lane) -> Self {
        Plain(from.0)
    }

    #[inline(always)]
    fn store(self, to: &mut Lane) {
        to.0 = self.0;
    }

    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        each_lane!(lane => self.0[lane] * factor.0[lane] + term.0[lane])
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        each_lane!(lane => if self.0[lane] > other.0[lane] { self.0[lane] } else { other.0[lane] })
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        each_lane!(lane => if self.0[lane] < other.0[lane] { self.0[lane] } else { other.0[lane] })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        each_lane!(lane => self.0[lane].sqrt())
    }

    #[inline(always)]
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
        each_lane!(lane => if self.0[lane] < other.0[lane] { yes.0[lane] } else { no.0[lane] })
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        each_lane!(lane => f32::from_bits(self.0[lane].to_bits().wrapping_add(127) << 23))
    }

    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let m = each_lane!(lane => f32::from_bits((self.0[lane].to_bits() & 0x007f_ffff) | 0x3f00_0000));
        let e = each_lane!(lane => ((self.0[lane].to_bits() >> 23) as i32 - 126) as f32);
        (m, e)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let mut largest = self.0[0];
        for lane in 1..WIDTH {
            largest = if largest > self.0[lane] { largest } else { self.0[lane] };
        }
        largest
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn sums(all: [Self; WIDTH]) -> Self {
        each_lane!(lane => all[lane].sum())
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;
    use std::ops::{Add, Div, Mul, Sub};

    use super::{Lane, Tile, Vector, WIDTH};

    /// For AVX2 and FMA: only functions with these target features, which `Simd::Avx2` guards, may use it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    // SAFETY, of each block here: the type is used only where the processor has the instructions, as it says above, and what is
    // read and written lies in the array that is borrowed, which is aligned.
    macro_rules! operator {
        ($operator:ident, $function:ident, $instruction:ident) => {
            impl $operator for Avx2 {
                type Output = Avx2;
                #[inline(always)]
                fn $function(self, other: Avx2) -> Avx2 {
                    Avx2(unsafe { $instruction(self.0, other.0) })
                }
            }
        };
    }
    operator!(Add, add, _mm256_add_ps);
    operator!(Sub, sub, _mm256_sub_ps);
    operator!(Mul, mul, _mm256_mul_ps);
    operator!(Div, div, _mm256_div_ps);

    impl Vector for Avx2 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Avx2(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &Lane) -> Self {
            Avx2(unsafe { _mm256_load_ps(from.0.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut Lane) {
            unsafe { _mm256_store_ps(to.0.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn multiply_add(self, factor: Self, term: Self) -> Self {
            Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn smaller(self, other: Self) -> Self {
            Avx2(unsafe { _mm256_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            Avx2(unsafe { _mm256_sqrt_ps(self.0) })
        }

        #[inline(always)]
        fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let is = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0);
                Avx2(_mm256_blendv_ps(no.0, yes.0, is))
            }
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            unsafe {
                let biased = _mm256_add_epi32(_mm256_castps_si256(self.0), _mm256_set1_epi32(127));
                Avx2(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
            }
        }

        #[inline(always)]
        fn split(self) -> (Self, Self) {
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                let digits = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
                let m = _mm256_or_si256(digits, _mm256_set1_epi32(0x3f00_0000));
                let e = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(126));
                (Avx2(_mm256_castsi256_ps(m)), Avx2(_mm256_cvtepi32_ps(e)))
            }
        }

        #[inline(always)]
        fn fetch(tile: &Tile) {
            // a line of the cache holds two lanes
            for line in tile.chunks_exact(2) {
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
            }
        }

        #[inline(always)]
        fn largest(self) -> f32 {
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }

        #[inline(always)]
        fn sums(all: [Self; WIDTH]) -> Self {
            unsafe {
                let [a, b, c, d, e, f, g, h] = all;
                let ab_cd = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
                let ef_gh = _mm256_hadd_ps(_mm256_hadd_ps(e.0, f.0), _mm256_hadd_ps(g.0, h.0));
                let low = _mm256_permute2f128_ps::<0x20>(ab_cd, ef_gh);
                let high = _mm256_permute2f128_ps::<0x31>(ab_cd, ef_gh);
                Avx2(_mm256_add_ps(low, high))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Simd;

    /// Calls a function of one vector as each path does.
    macro_rules! every_path {
        ($function:ident, $x:expr) => {{
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn fused(x: &mut Lane) {
                $function(Avx2::load(x)).store(x);
            }
            let path = |simd: Simd| {
                let mut lane = Lane($x);
                match simd {
                    Simd::Portable => $function(Plain::load(&lane)).store(&mut lane),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: this value exists only where the processor has AVX2 and FMA.
                    Simd::Avx2 | Simd::Avx512 => unsafe { fused(&mut lane) },
                }
                lane.0
            };
            Simd::all().iter().copied().map(path).collect::<Vec<[f32; WIDTH]>>()
        }};
    }

    /// Distance in units in the last place of the right value.
    fn ulps(found: f32, expected: f64) -> f64 {
        let nearest = (expected as f32).abs().max(f32::MIN_POSITIVE);
        (f64::from(found) - expected).abs() / f64::from(f32::from_bits(nearest.to_bits() + 1) - nearest)
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for start in 0..50_000 {
            let x: [f32; WIDTH] = std::array::from_fn(|lane| -87.0 + (start * 8 + lane) as f32 * 0.000_437);
            for values in every_path!(exp, x) {
                for (value, x) in values.into_iter().zip(x) {
                    let error = ulps(value, f64::from(x).exp());
                    assert!(error <= 2.0, "exp({x}) = {value}: {error} units");
                }
            }
        }
        let x = [f32::NEG_INFINITY, -88.0, f32::NAN, 0.0, -0.0, -1e30, 1.0, -1e-30];
        for values in every_path!(exp, x) {
            assert!(values[2].is_nan());
            assert_eq!(
                [values[0], values[1], values[3], values[4], values[5], values[7]],
                [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]
            );
        }
    }

    #[test]
    fn ln_is_within_two_units_in_the_last_place() {
        for start in 0..50_000u32 {
            let bits = |lane: usize| f32::MIN_POSITIVE.to_bits() + (start * 8 + lane as u32) * 5_000;
            let x: [f32; WIDTH] = std::array::from_fn(|lane| f32::from_bits(bits(lane)));
            for values in every_path!(ln, x) {
                for (value, x) in values.into_iter().zip(x).filter(|(_, x)| x.is_finite()) {
                    let error = ulps(value, f64::from(x).ln());
                    assert!(error <= 2.0, "ln({x}) = {value}: {error} units");
                }
            }
        }
        for values in every_path!(ln, [0.0, f32::NAN, 1.0, 2.0, 0.5, 1.0, 1.0, 1.0]) {
            assert_eq!((values[0], values[2]), (f32::NEG_INFINITY, 0.0));
            assert!(values[1].is_nan());
        }
    }
}
