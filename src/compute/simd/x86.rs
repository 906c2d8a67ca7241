//! The vectors of x86-64: AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::{F32s, F64s, Lane, Simd, Tile, Vector, WIDTH, WithSimd};

/// The token of AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Returns the token if the processor has the instructions.
    pub(crate) fn detect() -> Option<Avx2> {
        let is_there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if is_there { Some(Avx2(())) } else { None }
    }
}

/// The token of AVX-512F, with AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// Returns the token if the processor has the instructions.
    pub(crate) fn detect() -> Option<Avx512> {
        Avx2::detect().filter(|_| is_x86_feature_detected!("avx512f")).map(Avx512)
    }
}

/// Four f64, made by an [`Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct F64x4(__m256d);

/// Eight f32, made by an [`Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

/// Eight f64, made by an [`Avx512`].
#[derive(Clone, Copy)]
pub(crate) struct F64x8(__m512d);

/// Sixteen f32, made by an [`Avx512`].
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// Defines methods of tokens and vectors whose bodies are compiled with an instruction set. In these bodies, the set's
/// intrinsics are safe, and the compiler rejects intrinsics of other sets.
macro_rules! methods {
    (
        $features:literal
        $(fn $name:ident($self:ident as $this:ident: $own:ty $(, $argument:ident: $type:ty)*) $(-> $output:ty)? $body:block)*
    ) => {$(
        #[inline(always)]
        fn $name($self $(, $argument: $type)*) $(-> $output)? {
            #[inline]
            #[target_feature(enable = $features)]
            fn body($this: $own $(, $argument: $type)*) $(-> $output)? {
                $body
            }
            // SAFETY: `self` is a token of these features or a vector that such a token made, so the processor has them.
            unsafe { body($self $(, $argument)*) }
        }
    )*};
}

macro_rules! avx2 {
    ($($methods:tt)*) => { methods! { "avx2,fma" $($methods)* } };
}

macro_rules! avx512 {
    ($($methods:tt)*) => { methods! { "avx512f,avx2,fma" $($methods)* } };
}

impl Simd for Avx2 {
    const FUSED: bool = true;
    const REGISTERS: usize = 16;
    const F64_WIDTH: usize = 4;
    const PARTS: usize = 2;
    type F64Array = [f64; 4];
    type F64 = F64x4;
    type F32 = F32x8;

    #[inline(always)]
    fn run<O: WithSimd>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx2,fma")]
        fn body<O: WithSimd>(simd: Avx2, operation: O) -> O::Output {
            operation.with(simd)
        }
        // SAFETY: `self` exists only where the processor has the features.
        unsafe { body(self, operation) }
    }

    avx2! {
        fn splat_f64(self as _simd: Avx2, value: f64) -> F64x4 {
            F64x4(_mm256_set1_pd(value))
        }

        fn load_f64(self as _simd: Avx2, from: &[f64; 4]) -> F64x4 {
            // SAFETY: the array is borrowed and as large as the vector.
            F64x4(unsafe { _mm256_loadu_pd(from.as_ptr()) })
        }

        fn transpose_f64(self as simd: Avx2, rows: [&[f64; 4]; 4]) -> [[f64; 4]; 4] {
            let [a, b, c, d] = rows;
            let (a, b) = (simd.load_f64(a).0, simd.load_f64(b).0);
            let (c, d) = (simd.load_f64(c).0, simd.load_f64(d).0);
            let (ab_even, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (cd_even, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            let mut columns = [[0.0; 4]; 4];
            F64x4(_mm256_permute2f128_pd::<0x20>(ab_even, cd_even)).store(&mut columns[0]);
            F64x4(_mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd)).store(&mut columns[1]);
            F64x4(_mm256_permute2f128_pd::<0x31>(ab_even, cd_even)).store(&mut columns[2]);
            F64x4(_mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd)).store(&mut columns[3]);
            columns
        }

        fn splat_f32(self as _simd: Avx2, value: f32) -> F32x8 {
            F32x8(_mm256_set1_ps(value))
        }

        fn load_f32(self as _simd: Avx2, from: &Lane, part: usize) -> F32x8 {
            let numbers: &[f32; 8] = &from.parts()[part];
            // SAFETY: the array is borrowed and as large as the vector. A lane is aligned to 64 bytes, so each half to 32
            // bytes.
            F32x8(unsafe { _mm256_load_ps(numbers.as_ptr()) })
        }

        fn sum_f32(self as simd: Avx2, lane: &Lane) -> f32 {
            let eight = (simd.load_f32(lane, 0) + simd.load_f32(lane, 1)).0;
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }

        fn sums_f32(self as simd: Avx2, tile: &Tile) -> [f32; WIDTH] {
            let mut sums = Lane([0.0; WIDTH]);
            for part in 0..Avx2::PARTS {
                let mut eight = [simd.splat_f32(0.0); 8];
                for h in 0..8 {
                    let lane = &tile[part * 8 + h];
                    eight[h] = simd.load_f32(lane, 0) + simd.load_f32(lane, 1);
                }
                let [a, b, c, d, e, f, g, h] = eight;
                let ab_cd = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
                let ef_gh = _mm256_hadd_ps(_mm256_hadd_ps(e.0, f.0), _mm256_hadd_ps(g.0, h.0));
                let low = _mm256_permute2f128_ps::<0x20>(ab_cd, ef_gh);
                let high = _mm256_permute2f128_ps::<0x31>(ab_cd, ef_gh);
                F32x8(_mm256_add_ps(low, high)).store(&mut sums, part);
            }
            sums.0
        }
    }
}

impl Simd for Avx512 {
    const FUSED: bool = true;
    const REGISTERS: usize = 32;
    const F64_WIDTH: usize = 8;
    const PARTS: usize = 1;
    type F64Array = [f64; 8];
    type F64 = F64x8;
    type F32 = F32x16;

    #[inline(always)]
    fn run<O: WithSimd>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn body<O: WithSimd>(simd: Avx512, operation: O) -> O::Output {
            operation.with(simd)
        }
        // SAFETY: `self` exists only where the processor has the features.
        unsafe { body(self, operation) }
    }

    avx512! {
        fn splat_f64(self as _simd: Avx512, value: f64) -> F64x8 {
            F64x8(_mm512_set1_pd(value))
        }

        fn load_f64(self as _simd: Avx512, from: &[f64; 8]) -> F64x8 {
            // SAFETY: the array is borrowed and as large as the vector.
            F64x8(unsafe { _mm512_loadu_pd(from.as_ptr()) })
        }

        fn splat_f32(self as _simd: Avx512, value: f32) -> F32x16 {
            F32x16(_mm512_set1_ps(value))
        }

        fn load_f32(self as _simd: Avx512, from: &Lane, _part: usize) -> F32x16 {
            // SAFETY: the lane is borrowed, as large as the vector, and aligned to 64 bytes.
            F32x16(unsafe { _mm512_load_ps(from.0.as_ptr()) })
        }
    }

    // These methods return fewer than 512 bits; 256-bit instructions are as fast.

    #[inline(always)]
    fn transpose_f64(self, rows: [&[f64; 4]; 4]) -> [[f64; 4]; 4] {
        self.0.transpose_f64(rows)
    }

    #[inline(always)]
    fn sum_f32(self, lane: &Lane) -> f32 {
        self.0.sum_f32(lane)
    }

    #[inline(always)]
    fn sums_f32(self, tile: &Tile) -> [f32; WIDTH] {
        self.0.sums_f32(tile)
    }
}

macro_rules! operators {
    ($methods:ident, $vector:ident: $($operator:ident, $function:ident, $instruction:ident;)*) => {$(
        impl $operator for $vector {
            type Output = $vector;

            $methods! {
                fn $function(self as own: $vector, other: $vector) -> $vector {
                    $vector($instruction(own.0, other.0))
                }
            }
        }
    )*};
}
operators! { avx2, F64x4: Add, add, _mm256_add_pd; Sub, sub, _mm256_sub_pd; Mul, mul, _mm256_mul_pd; }
operators! { avx512, F64x8: Add, add, _mm512_add_pd; Sub, sub, _mm512_sub_pd; Mul, mul, _mm512_mul_pd; }
operators! {
    avx2, F32x8: Add, add, _mm256_add_ps; Sub, sub, _mm256_sub_ps; Mul, mul, _mm256_mul_ps; Div, div, _mm256_div_ps;
}
operators! {
    avx512, F32x16: Add, add, _mm512_add_ps; Sub, sub, _mm512_sub_ps; Mul, mul, _mm512_mul_ps; Div, div, _mm512_div_ps;
}

impl Vector for F64x4 {
    avx2! {
        fn multiply_add(self as own: F64x4, factor: F64x4, term: F64x4) -> F64x4 {
            F64x4(_mm256_fmadd_pd(own.0, factor.0, term.0))
        }

        fn if_less(self as own: F64x4, other: F64x4, yes: F64x4, no: F64x4) -> F64x4 {
            F64x4(_mm256_blendv_pd(no.0, yes.0, _mm256_cmp_pd::<_CMP_LT_OQ>(own.0, other.0)))
        }
    }
}

impl Vector for F64x8 {
    avx512! {
        fn multiply_add(self as own: F64x8, factor: F64x8, term: F64x8) -> F64x8 {
            F64x8(_mm512_fmadd_pd(own.0, factor.0, term.0))
        }

        fn if_less(self as own: F64x8, other: F64x8, yes: F64x8, no: F64x8) -> F64x8 {
            F64x8(_mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(own.0, other.0), no.0, yes.0))
        }
    }
}

impl Vector for F32x8 {
    avx2! {
        fn multiply_add(self as own: F32x8, factor: F32x8, term: F32x8) -> F32x8 {
            F32x8(_mm256_fmadd_ps(own.0, factor.0, term.0))
        }

        fn if_less(self as own: F32x8, other: F32x8, yes: F32x8, no: F32x8) -> F32x8 {
            F32x8(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(own.0, other.0)))
        }
    }
}

impl Vector for F32x16 {
    avx512! {
        fn multiply_add(self as own: F32x16, factor: F32x16, term: F32x16) -> F32x16 {
            F32x16(_mm512_fmadd_ps(own.0, factor.0, term.0))
        }

        fn if_less(self as own: F32x16, other: F32x16, yes: F32x16, no: F32x16) -> F32x16 {
            F32x16(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(own.0, other.0), no.0, yes.0))
        }
    }
}

impl F64s for F64x4 {
    type Array = [f64; 4];

    avx2! {
        fn store(self as own: F64x4, to: &mut [f64; 4]) {
            // SAFETY: the array is borrowed and as large as the vector.
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), own.0) }
        }

        fn store_whole(self as own: F64x4, to: &mut [u32]) {
            let to: &mut [u32; 4] = to.try_into().expect("as many numbers as the vector has");
            // SAFETY: the array is borrowed and as large as four integers of 32 bits.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_cvttpd_epi32(own.0)) }
        }

        fn sum(self as own: F64x4) -> f64 {
            let mut numbers = [0.0; 4];
            own.store(&mut numbers);
            let [a, b, c, d] = numbers;
            (a + c) + (b + d)
        }
    }
}

impl F64s for F64x8 {
    type Array = [f64; 8];

    avx512! {
        fn store(self as own: F64x8, to: &mut [f64; 8]) {
            // SAFETY: the array is borrowed and as large as the vector.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), own.0) }
        }

        fn store_whole(self as own: F64x8, to: &mut [u32]) {
            let to: &mut [u32; 8] = to.try_into().expect("as many numbers as the vector has");
            // SAFETY: the array is borrowed and as large as eight integers of 32 bits.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvttpd_epi32(own.0)) }
        }

        fn sum(self as own: F64x8) -> f64 {
            let (low, high) = (_mm512_castpd512_pd256(own.0), _mm512_extractf64x4_pd::<1>(own.0));
            F64x4(_mm256_add_pd(low, high)).sum()
        }
    }
}

/// Defines the methods that differ between the two vectors of f32 only in the names of intrinsics.
macro_rules! f32_methods {
    (
        $methods:ident, $vector:ident,
        max: $max:ident, min: $min:ident, sqrt: $sqrt:ident,
        to_int: $to_int:ident, from_int: $from_int:ident, int: $int:ident, convert: $convert:ident,
        plus: $plus:ident, minus: $minus:ident, and: $and:ident, or: $or:ident, left: $left:ident, right: $right:ident
    ) => {
        $methods! {
            fn larger(self as own: $vector, other: $vector) -> $vector {
                $vector($max(own.0, other.0))
            }

            fn smaller(self as own: $vector, other: $vector) -> $vector {
                $vector($min(own.0, other.0))
            }

            fn sqrt(self as own: $vector) -> $vector {
                $vector($sqrt(own.0))
            }

            fn power_of_two(self as own: $vector) -> $vector {
                let biased = $plus($to_int(own.0), $int(127));
                $vector($from_int($left::<23>(biased)))
            }

            fn split(self as own: $vector) -> ($vector, $vector) {
                let bits = $to_int(own.0);
                let m = $or($and(bits, $int(0x007f_ffff)), $int(0x3f00_0000));
                let e = $minus($right::<23>(bits), $int(126));
                ($vector($from_int(m)), $vector($convert(e)))
            }
        }
    };
}

impl F32s for F32x8 {
    f32_methods! {
        avx2, F32x8,
        max: _mm256_max_ps, min: _mm256_min_ps, sqrt: _mm256_sqrt_ps,
        to_int: _mm256_castps_si256, from_int: _mm256_castsi256_ps, int: _mm256_set1_epi32, convert: _mm256_cvtepi32_ps,
        plus: _mm256_add_epi32, minus: _mm256_sub_epi32, and: _mm256_and_si256, or: _mm256_or_si256,
        left: _mm256_slli_epi32, right: _mm256_srli_epi32
    }

    avx2! {
        fn store(self as own: F32x8, to: &mut Lane, part: usize) {
            let numbers: &mut [f32; 8] = &mut to.parts_mut()[part];
            // SAFETY: the array is borrowed and as large as the vector. A lane is aligned to 64 bytes, so each half to 32
            // bytes.
            unsafe { _mm256_store_ps(numbers.as_mut_ptr(), own.0) }
        }

        fn largest(self as own: F32x8) -> f32 {
            let four = _mm_max_ps(_mm256_castps256_ps128(own.0), _mm256_extractf128_ps::<1>(own.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

impl F32s for F32x16 {
    f32_methods! {
        avx512, F32x16,
        max: _mm512_max_ps, min: _mm512_min_ps, sqrt: _mm512_sqrt_ps,
        to_int: _mm512_castps_si512, from_int: _mm512_castsi512_ps, int: _mm512_set1_epi32, convert: _mm512_cvtepi32_ps,
        plus: _mm512_add_epi32, minus: _mm512_sub_epi32, and: _mm512_and_si512, or: _mm512_or_si512,
        left: _mm512_slli_epi32, right: _mm512_srli_epi32
    }

    avx512! {
        fn store(self as own: F32x16, to: &mut Lane, _part: usize) {
            // SAFETY: the lane is borrowed, as large as the vector, and aligned to 64 bytes.
            unsafe { _mm512_store_ps(to.0.as_mut_ptr(), own.0) }
        }

        fn largest(self as own: F32x16) -> f32 {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(own.0)));
            F32x8(_mm256_max_ps(_mm512_castps512_ps256(own.0), high)).largest()
        }
    }
}
