//! Sixteen f32, one for each of sixteen parents, and the vectors that compute with them: a plain array or a register of AVX2 for
//! each half, a register of AVX-512 for all.

use std::ops::{Add, Div, Mul, Sub};

/// The numbers of a [`Lane`].
pub(super) const WIDTH: usize = 16;

/// Those of half a lane.
const HALF: usize = WIDTH / 2;

/// One number for each of sixteen parents: a line of the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Lane(pub [f32; WIDTH]);

/// The 16 elements of a pose, for each of sixteen parents.
pub(super) type Tile = [Lane; super::ELEMENTS];

impl Lane {
    #[inline(always)]
    fn halves(&self) -> &[[f32; HALF]; 2] {
        self.0.as_chunks().0.try_into().expect("two halves")
    }

    #[inline(always)]
    fn halves_mut(&mut self) -> &mut [[f32; HALF]; 2] {
        self.0.as_chunks_mut().0.try_into().expect("two halves")
    }
}

pub(super) const ZERO: Lane = Lane([0.0; WIDTH]);
pub(super) const ZEROS: Tile = [ZERO; super::ELEMENTS];

/// The numbers of a lane's part. [`Vector::sum`] and [`Vector::sums`] each add a lane up in an order that does not depend on the
/// parts: AVX2 and AVX-512 have the same bits, but in a NaN.
pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The parts of a lane.
    const PARTS: usize;
    fn splat(value: f32) -> Self;
    fn load(from: &Lane, part: usize) -> Self;
    fn store(self, to: &mut Lane, part: usize);
    /// self * factor + term
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// The larger; `other` where either is NaN.
    fn larger(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN.
    fn smaller(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// Number by number: `yes` where self < other, else `no`.
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self;
    /// 2^n, where self is n + 1.5 * 2^23 and n lies in -126..=127.
    fn power_of_two(self) -> Self;
    /// (m, e) with self = m 2^e, m in [1/2, 1), for normal positive numbers.
    fn split(self) -> (Self, Self);
    /// The largest of its numbers; any of them where one is NaN, which then makes all responsibilities of its child NaN.
    fn largest(self) -> f32;
    /// The sum of a lane's numbers.
    fn sum(lane: &Lane) -> f32;
    /// The sum of each lane's numbers.
    fn sums(tile: &Tile) -> [f32; super::ELEMENTS];

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
pub(super) struct Plain([f32; HALF]);

macro_rules! each_lane {
    ($lane:ident => $value:expr) => {{
        let mut lanes = [0.0; HALF];
        for $lane in 0..HALF {
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
    const PARTS: usize = 2;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Plain([value; HALF])
    }

    #[inline(always)]
    fn load(from: &Lane, part: usize) -> Self {
        Plain(from.halves()[part])
    }

    #[inline(always)]
    fn store(self, to: &mut Lane, part: usize) {
        to.halves_mut()[part] = self.0;
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
        for lane in 1..HALF {
            largest = if largest > self.0[lane] { largest } else { self.0[lane] };
        }
        largest
    }

    #[inline(always)]
    fn sum(lane: &Lane) -> f32 {
        let [a, b, c, d, e, f, g, h] = (Plain::load(lane, 0) + Plain::load(lane, 1)).0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn sums(tile: &Tile) -> [f32; super::ELEMENTS] {
        std::array::from_fn(|h| Plain::sum(&tile[h]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ops::{Add, Div, Mul, Sub};

    use super::{HALF, Lane, Tile, Vector};

    /// For AVX2 and FMA: only functions with these target features, which `Simd::Avx2` guards, may use it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    /// For AVX-512 (its part F) beside AVX2 and FMA: only functions that `Simd::Avx512` guards may use it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    // SAFETY, of each block here: the types, and their functions that take no value of them, are used only where the processor
    // has the instructions, as it says above, and what is read and written lies in the array that is borrowed, which is aligned.

    macro_rules! operator {
        ($vector:ident, $operator:ident, $function:ident, $instruction:ident) => {
            impl $operator for $vector {
                type Output = $vector;
                #[inline(always)]
                fn $function(self, other: $vector) -> $vector {
                    $vector(unsafe { $instruction(self.0, other.0) })
                }
            }
        };
    }
    operator!(Avx2, Add, add, _mm256_add_ps);
    operator!(Avx2, Sub, sub, _mm256_sub_ps);
    operator!(Avx2, Mul, mul, _mm256_mul_ps);
    operator!(Avx2, Div, div, _mm256_div_ps);
    operator!(Avx512, Add, add, _mm512_add_ps);
    operator!(Avx512, Sub, sub, _mm512_sub_ps);
    operator!(Avx512, Mul, mul, _mm512_mul_ps);
    operator!(Avx512, Div, div, _mm512_div_ps);

    /// What the two do alike, but for the instruction's name.
    macro_rules! operations {
        (
            $vector:ident,
            splat: $splat:ident, fma: $fma:ident, max: $max:ident, min: $min:ident,
            sqrt: $sqrt:ident, to_int: $to_int:ident, from_int: $from_int:ident, int: $int:ident,
            plus: $plus:ident, minus: $minus:ident, and: $and:ident, or: $or:ident,
            left: $left:ident, right: $right:ident, convert: $convert:ident
        ) => {
            #[inline(always)]
            fn splat(value: f32) -> Self {
                $vector(unsafe { $splat(value) })
            }

            #[inline(always)]
            fn multiply_add(self, factor: Self, term: Self) -> Self {
                $vector(unsafe { $fma(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                $vector(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                $vector(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector(unsafe { $sqrt(self.0) })
            }

            #[inline(always)]
            fn power_of_two(self) -> Self {
                unsafe {
                    let biased = $plus($to_int(self.0), $int(127));
                    $vector($from_int($left::<23>(biased)))
                }
            }

            #[inline(always)]
            fn split(self) -> (Self, Self) {
                unsafe {
                    let bits = $to_int(self.0);
                    let m = $or($and(bits, $int(0x007f_ffff)), $int(0x3f00_0000));
                    let e = $minus($right::<23>(bits), $int(126));
                    ($vector($from_int(m)), $vector($convert(e)))
                }
            }

            #[inline(always)]
            fn fetch(tile: &Tile) {
                for line in tile {
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast()) }
                }
            }

            #[inline(always)]
            fn sum(lane: &Lane) -> f32 {
                unsafe {
                    let eight = halves_together(lane);
                    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
                }
            }

            #[inline(always)]
            fn sums(tile: &Tile) -> [f32; super::super::ELEMENTS] {
                unsafe { sums(tile) }
            }
        };
    }

    impl Vector for Avx2 {
        const PARTS: usize = 2;

        operations! {
            Avx2,
            splat: _mm256_set1_ps, fma: _mm256_fmadd_ps, max: _mm256_max_ps, min: _mm256_min_ps,
            sqrt: _mm256_sqrt_ps, to_int: _mm256_castps_si256, from_int: _mm256_castsi256_ps, int: _mm256_set1_epi32,
            plus: _mm256_add_epi32, minus: _mm256_sub_epi32, and: _mm256_and_si256, or: _mm256_or_si256,
            left: _mm256_slli_epi32, right: _mm256_srli_epi32, convert: _mm256_cvtepi32_ps
        }

        #[inline(always)]
        fn load(from: &Lane, part: usize) -> Self {
            Avx2(unsafe { _mm256_load_ps(from.halves()[part].as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut Lane, part: usize) {
            unsafe { _mm256_store_ps(to.halves_mut()[part].as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let is = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0);
                Avx2(_mm256_blendv_ps(no.0, yes.0, is))
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
    }

    impl Vector for Avx512 {
        const PARTS: usize = 1;

        operations! {
            Avx512,
            splat: _mm512_set1_ps, fma: _mm512_fmadd_ps, max: _mm512_max_ps, min: _mm512_min_ps,
            sqrt: _mm512_sqrt_ps, to_int: _mm512_castps_si512, from_int: _mm512_castsi512_ps, int: _mm512_set1_epi32,
            plus: _mm512_add_epi32, minus: _mm512_sub_epi32, and: _mm512_and_si512, or: _mm512_or_si512,
            left: _mm512_slli_epi32, right: _mm512_srli_epi32, convert: _mm512_cvtepi32_ps
        }

        #[inline(always)]
        fn load(from: &Lane, _: usize) -> Self {
            Avx512(unsafe { _mm512_load_ps(from.0.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut Lane, _: usize) {
            unsafe { _mm512_store_ps(to.0.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let is = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0);
                Avx512(_mm512_mask_blend_ps(is, no.0, yes.0))
            }
        }

        #[inline(always)]
        fn largest(self) -> f32 {
            unsafe {
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0)));
                Avx2(_mm512_castps512_ps256(self.0)).larger(Avx2(high)).largest()
            }
        }
    }

    /// # Safety
    ///
    /// Wants AVX.
    #[inline(always)]
    unsafe fn halves_together(lane: &Lane) -> __m256 {
        let [first, second] = lane.halves();
        unsafe { _mm256_add_ps(_mm256_load_ps(first.as_ptr()), _mm256_load_ps(second.as_ptr())) }
    }

    /// # Safety
    ///
    /// Wants AVX.
    #[inline(always)]
    unsafe fn sums(tile: &Tile) -> [f32; super::super::ELEMENTS] {
        let mut sums = [0.0; super::super::ELEMENTS];
        for (sums, lanes) in sums.as_chunks_mut::<HALF>().0.iter_mut().zip(tile.as_chunks::<HALF>().0) {
            unsafe {
                let [a, b, c, d, e, f, g, h] = lanes;
                let (a, b) = (halves_together(a), halves_together(b));
                let (c, d) = (halves_together(c), halves_together(d));
                let (e, f) = (halves_together(e), halves_together(f));
                let (g, h) = (halves_together(g), halves_together(h));
                let ab_cd = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let ef_gh = _mm256_hadd_ps(_mm256_hadd_ps(e, f), _mm256_hadd_ps(g, h));
                let low = _mm256_permute2f128_ps::<0x20>(ab_cd, ef_gh);
                let high = _mm256_permute2f128_ps::<0x31>(ab_cd, ef_gh);
                _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(low, high));
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Simd;

    /// Calls a function of one vector as each path does.
    macro_rules! every_path {
        ($function:ident, $x:expr) => {{
            #[inline(always)]
            fn body<V: Vector>(x: &mut Lane) {
                for part in 0..V::PARTS {
                    $function(V::load(x, part)).store(x, part);
                }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(x: &mut Lane) {
                body::<Avx2>(x);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn avx512(x: &mut Lane) {
                body::<Avx512>(x);
            }
            let path = |simd: Simd| {
                let mut lane = Lane($x);
                match simd {
                    Simd::Portable => body::<Plain>(&mut lane),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY, of both: such a value exists only where the processor has the features.
                    Simd::Avx2 => unsafe { avx2(&mut lane) },
                    #[cfg(target_arch = "x86_64")]
                    Simd::Avx512 => unsafe { avx512(&mut lane) },
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
        for start in 0..25_000 {
            let x = std::array::from_fn(|lane| -87.0 + (start * WIDTH + lane) as f32 * 0.000_437);
            for values in every_path!(exp, x) {
                for (value, x) in values.into_iter().zip(x) {
                    let error = ulps(value, f64::from(x).exp());
                    assert!(error <= 2.0, "exp({x}) = {value}: {error} units");
                }
            }
        }
        let x = [f32::NEG_INFINITY, -88.0, f32::NAN, 0.0, -0.0, -1e30, 1.0, -1e-30];
        for values in every_path!(exp, std::array::from_fn(|lane| x[lane % 8])) {
            for values in values.as_chunks::<8>().0 {
                assert!(values[2].is_nan());
                assert_eq!(
                    [values[0], values[1], values[3], values[4], values[5], values[7]],
                    [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]
                );
            }
        }
    }

    #[test]
    fn ln_is_within_two_units_in_the_last_place() {
        for start in 0..25_000 {
            let bits = |lane: usize| f32::MIN_POSITIVE.to_bits() + (start * WIDTH + lane) as u32 * 5_000;
            let x = std::array::from_fn(|lane| f32::from_bits(bits(lane)));
            for values in every_path!(ln, x) {
                for (value, x) in values.into_iter().zip(x).filter(|(_, x)| x.is_finite()) {
                    let error = ulps(value, f64::from(x).ln());
                    assert!(error <= 2.0, "ln({x}) = {value}: {error} units");
                }
            }
        }
        for values in every_path!(ln, std::array::from_fn(|lane| [0.0, f32::NAN, 1.0, 2.0][lane % 4])) {
            for values in values.as_chunks::<4>().0 {
                assert_eq!((values[0], values[2]), (f32::NEG_INFINITY, 0.0));
                assert!(values[1].is_nan());
            }
        }
    }
}
