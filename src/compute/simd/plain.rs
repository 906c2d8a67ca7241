//! The portable vectors: arrays whose loops the compiler vectorises.

use std::ops::{Add, Div, Mul, Sub};

use super::{F32s, F64s, Lane, Simd, Tile, Vector, WIDTH, WithSimd};

/// The token of the portable instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain;

/// Four f64.
#[derive(Clone, Copy)]
pub(crate) struct F64x4([f64; 4]);

/// Eight f32.
#[derive(Clone, Copy)]
pub(crate) struct F32x8([f32; 8]);

impl Simd for Plain {
    const FUSED: bool = false;
    const REGISTERS: usize = 16;
    const F64_WIDTH: usize = 4;
    const PARTS: usize = 2;
    type F64Array = [f64; 4];
    type F64 = F64x4;
    type F32 = F32x8;

    #[inline(always)]
    fn run<O: WithSimd>(self, operation: O) -> O::Output {
        operation.with(self)
    }

    #[inline(always)]
    fn splat_f64(self, value: f64) -> F64x4 {
        F64x4([value; 4])
    }

    #[inline(always)]
    fn load_f64(self, from: &[f64; 4]) -> F64x4 {
        F64x4(*from)
    }

    #[inline(always)]
    fn transpose_f64(self, rows: [&[f64; 4]; 4]) -> [[f64; 4]; 4] {
        std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
    }

    #[inline(always)]
    fn splat_f32(self, value: f32) -> F32x8 {
        F32x8([value; 8])
    }

    #[inline(always)]
    fn load_f32(self, from: &Lane, part: usize) -> F32x8 {
        F32x8(from.parts()[part])
    }

    #[inline(always)]
    fn sum_f32(self, lane: &Lane) -> f32 {
        let [a, b, c, d, e, f, g, h] = (self.load_f32(lane, 0) + self.load_f32(lane, 1)).0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn sums_f32(self, tile: &Tile) -> [f32; WIDTH] {
        std::array::from_fn(|h| self.sum_f32(&tile[h]))
    }
}

/// Computes a vector from an expression of the index. The macro makes a plain loop, which the compiler vectorises more
/// readily than closures.
macro_rules! each {
    ($vector:ident, $index:ident => $value:expr) => {{
        let mut numbers = $vector(Default::default());
        for $index in 0..numbers.0.len() {
            numbers.0[$index] = $value;
        }
        numbers
    }};
}

macro_rules! operators {
    ($vector:ident: $($operator:ident, $function:ident, $symbol:tt;)*) => {$(
        impl $operator for $vector {
            type Output = $vector;

            #[inline(always)]
            fn $function(self, other: $vector) -> $vector {
                each!($vector, i => self.0[i] $symbol other.0[i])
            }
        }
    )*};
}
operators! { F64x4: Add, add, +; Sub, sub, -; Mul, mul, *; }
operators! { F32x8: Add, add, +; Sub, sub, -; Mul, mul, *; Div, div, /; }

macro_rules! vector {
    ($vector:ident) => {
        impl Vector for $vector {
            #[inline(always)]
            fn multiply_add(self, factor: Self, term: Self) -> Self {
                each!($vector, i => self.0[i] * factor.0[i] + term.0[i])
            }

            #[inline(always)]
            fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
                each!($vector, i => if self.0[i] < other.0[i] { yes.0[i] } else { no.0[i] })
            }
        }
    };
}
vector!(F64x4);
vector!(F32x8);

impl F64s for F64x4 {
    type Array = [f64; 4];

    #[inline(always)]
    fn store(self, to: &mut [f64; 4]) {
        *to = self.0;
    }

    #[inline(always)]
    fn store_whole(self, to: &mut [u32]) {
        let to: &mut [u32; 4] = to.try_into().expect("as many numbers as the vector has");
        for (to, number) in to.iter_mut().zip(self.0) {
            // after adding 2^52, the whole number is in the low bits
            *to = (number + 4503599627370496.0).to_bits() as u32;
        }
    }

    #[inline(always)]
    fn sum(self) -> f64 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
}

impl F32s for F32x8 {
    #[inline(always)]
    fn store(self, to: &mut Lane, part: usize) {
        to.parts_mut()[part] = self.0;
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        each!(F32x8, i => if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] })
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        each!(F32x8, i => if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        each!(F32x8, i => self.0[i].sqrt())
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        each!(F32x8, i => f32::from_bits(self.0[i].to_bits().wrapping_add(127) << 23))
    }

    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let m = each!(F32x8, i => f32::from_bits((self.0[i].to_bits() & 0x007f_ffff) | 0x3f00_0000));
        let e = each!(F32x8, i => ((self.0[i].to_bits() >> 23) as i32 - 126) as f32);
        (m, e)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let mut largest = self.0[0];
        for &number in &self.0[1..] {
            largest = if largest > number { largest } else { number };
        }
        largest
    }
}
