//! WebAssembly's simd128. simd128 has no fused multiply-add, so results have the bits of [`super::Plain`].
//!
//! An engine without simd128 rejects any module that contains one of its instructions. So this module is compiled only if
//! the whole program is compiled with simd128 (`-C target-feature=+simd128`), and running code proves that the
//! instructions exist.

use std::arch::wasm32::*;
use std::ops::{Add, Div, Mul, Sub};

use super::{F32s, F64s, Lane, Simd, Tile, Vector, WIDTH, WithSimd};

/// The token of simd128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Simd128(());

impl Simd128 {
    /// Returns the token. A program compiled with simd128 can run only on engines that have simd128.
    pub(crate) fn detect() -> Simd128 {
        Simd128(())
    }
}

/// Four f64, so that sums have the same order as in [`super::Plain`].
#[derive(Clone, Copy)]
pub(crate) struct F64x4(v128, v128);

/// Four f32.
#[derive(Clone, Copy)]
pub(crate) struct F32x4(v128);

impl Simd for Simd128 {
    const FUSED: bool = false;
    const REGISTERS: usize = 16;
    const F64_WIDTH: usize = 4;
    const PARTS: usize = 4;
    type F64Array = [f64; 4];
    type F64 = F64x4;
    type F32 = F32x4;

    #[inline(always)]
    fn run<O: WithSimd>(self, operation: O) -> O::Output {
        operation.with(self)
    }

    #[inline(always)]
    fn splat_f64(self, value: f64) -> F64x4 {
        F64x4(f64x2_splat(value), f64x2_splat(value))
    }

    #[inline(always)]
    fn load_f64(self, from: &[f64; 4]) -> F64x4 {
        let [low, high] = from.as_chunks::<2>().0 else { unreachable!("four numbers are two pairs") };
        // SAFETY: each array that is read is borrowed and as large as a v128, which needs no alignment.
        unsafe { F64x4(v128_load(low.as_ptr().cast()), v128_load(high.as_ptr().cast())) }
    }

    #[inline(always)]
    fn transpose_f64(self, rows: [&[f64; 4]; 4]) -> [[f64; 4]; 4] {
        std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
    }

    #[inline(always)]
    fn splat_f32(self, value: f32) -> F32x4 {
        F32x4(f32x4_splat(value))
    }

    #[inline(always)]
    fn load_f32(self, from: &Lane, part: usize) -> F32x4 {
        let numbers: &[f32; 4] = &from.parts()[part];
        // SAFETY: the array that is read is borrowed and as large as a v128, which needs no alignment.
        F32x4(unsafe { v128_load(numbers.as_ptr().cast()) })
    }

    #[inline(always)]
    fn sum_f32(self, lane: &Lane) -> f32 {
        let part = |part: usize| self.load_f32(lane, part).0;
        let sum = f32x4_add(f32x4_add(part(0), part(2)), f32x4_add(part(1), part(3)));
        let [a, b, c, d] = numbers(sum);
        (a + c) + (b + d)
    }

    #[inline(always)]
    fn sums_f32(self, tile: &Tile) -> [f32; WIDTH] {
        std::array::from_fn(|h| self.sum_f32(&tile[h]))
    }
}

#[inline(always)]
fn numbers(v: v128) -> [f32; 4] {
    [
        f32x4_extract_lane::<0>(v),
        f32x4_extract_lane::<1>(v),
        f32x4_extract_lane::<2>(v),
        f32x4_extract_lane::<3>(v),
    ]
}

macro_rules! operators {
    ($($operator:ident, $function:ident, $f64:ident, $f32:ident;)*) => {$(
        impl $operator for F64x4 {
            type Output = F64x4;

            #[inline(always)]
            fn $function(self, other: F64x4) -> F64x4 {
                F64x4($f64(self.0, other.0), $f64(self.1, other.1))
            }
        }

        impl $operator for F32x4 {
            type Output = F32x4;

            #[inline(always)]
            fn $function(self, other: F32x4) -> F32x4 {
                F32x4($f32(self.0, other.0))
            }
        }
    )*};
}
operators! {
    Add, add, f64x2_add, f32x4_add;
    Sub, sub, f64x2_sub, f32x4_sub;
    Mul, mul, f64x2_mul, f32x4_mul;
    Div, div, f64x2_div, f32x4_div;
}

impl Vector for F64x4 {
    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        self * factor + term
    }

    #[inline(always)]
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
        let pick = |a, b, yes, no| v128_bitselect(yes, no, f64x2_lt(a, b));
        F64x4(pick(self.0, other.0, yes.0, no.0), pick(self.1, other.1, yes.1, no.1))
    }
}

impl F64s for F64x4 {
    type Array = [f64; 4];

    #[inline(always)]
    fn store(self, to: &mut [f64; 4]) {
        let [low, high] = to.as_chunks_mut::<2>().0 else { unreachable!("four numbers are two pairs") };
        // SAFETY: each array that is written is borrowed and as large as a v128, which needs no alignment.
        unsafe {
            v128_store(low.as_mut_ptr().cast(), self.0);
            v128_store(high.as_mut_ptr().cast(), self.1);
        }
    }

    #[inline(always)]
    fn store_whole(self, to: &mut [u32]) {
        let to: &mut [u32; 4] = to.try_into().expect("as many numbers as the vector has");
        let (low, high) = (i32x4_trunc_sat_f64x2_zero(self.0), i32x4_trunc_sat_f64x2_zero(self.1));
        // SAFETY: the array that is written is borrowed and as large as a v128, which needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), i64x2_shuffle::<0, 2>(low, high)) }
    }

    #[inline(always)]
    fn sum(self) -> f64 {
        let halves = f64x2_add(self.0, self.1);
        f64x2_extract_lane::<0>(halves) + f64x2_extract_lane::<1>(halves)
    }
}

impl Vector for F32x4 {
    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        self * factor + term
    }

    #[inline(always)]
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
        F32x4(v128_bitselect(yes.0, no.0, f32x4_lt(self.0, other.0)))
    }
}

impl F32s for F32x4 {
    #[inline(always)]
    fn store(self, to: &mut Lane, part: usize) {
        let numbers: &mut [f32; 4] = &mut to.parts_mut()[part];
        // SAFETY: the array that is written is borrowed and as large as a v128, which needs no alignment.
        unsafe { v128_store(numbers.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        F32x4(f32x4_pmax(other.0, self.0)) // other < self ? self : other
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        F32x4(f32x4_pmin(other.0, self.0)) // self < other ? self : other
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        F32x4(f32x4_sqrt(self.0))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        F32x4(i32x4_shl(i32x4_add(self.0, i32x4_splat(127)), 23))
    }

    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let m = v128_or(v128_and(self.0, i32x4_splat(0x007f_ffff)), i32x4_splat(0x3f00_0000));
        let e = i32x4_sub(u32x4_shr(self.0, 23), i32x4_splat(126));
        (F32x4(m), F32x4(f32x4_convert_i32x4(e)))
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let [a, b, c, d] = numbers(self.0);
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        larger(larger(larger(a, b), c), d)
    }
}
