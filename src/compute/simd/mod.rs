//! Arithmetic on several numbers at a time, in f64 and f32.
//!
//! A kernel is written once, as a [`WithSimd`], generic over a [`Simd`], and compiled for each instruction set:
//!
//! | instruction set | token | f64 at once | f32 at once | multiply-add |
//! |---|---|---|---|---|
//! | any processor | [`Plain`] | 4 | 8 | two roundings |
//! | AVX2 and FMA | `Avx2` | 4 | 8 | fused |
//! | AVX-512F with AVX2 and FMA | `Avx512` | 8 | 16 | fused |
//! | WebAssembly's simd128 | `Simd128` | 4 | 4 | two roundings |
//!
//! [`InstructionSet::detect`] picks an instruction set at run time and [`InstructionSet::run`] runs the kernel with it.
//!
//! Only detection makes a token, so a token proves that the processor has the instructions. Only a token makes a vector,
//! so a vector proves the same. All operations need a token or a vector and are therefore safe.
//!
//! In f32, AVX2 and AVX-512 give the same bits, and so do [`Plain`] and simd128. In f64, [`Plain`] and simd128 give the
//! same bits. (A NaN may have other bits.)
//!
//! Scalar loops are left to the compiler to vectorise. The functions they call ([`exp_f64`]) have no branches, which
//! vectorising requires.

mod blocks;
mod functions;
mod plain;
#[cfg(test)]
#[path = "../../../tests/unit/simd.rs"]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::{Add, Div, Mul, Sub};

pub(crate) use blocks::{BLOCK, Lanes, TILE, ZERO_LANES, dot, load_tile, tiles, tiles_mut, transpose};
pub(crate) use functions::{clamp, exp, exp_f64, ln, sigmoid};
pub(crate) use plain::Plain;

/// A token: proof that the processor has an instruction set.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Whether a multiply-add is one instruction, which rounds once.
    const FUSED: bool;
    /// The number of vector registers.
    const REGISTERS: usize;
    /// The number of f64 in a vector ([`F64s`]).
    const F64_WIDTH: usize;
    /// The number of [`F32s`] in a [`Lane`].
    const PARTS: usize;
    /// The array from which an [`F64s`] is loaded: `[f64; F64_WIDTH]`.
    type F64Array: Chunk;
    type F64: F64s<Array = Self::F64Array>;
    type F32: F32s;

    /// Runs a computation, compiled with these instructions.
    fn run<O: WithSimd>(self, operation: O) -> O::Output;

    fn splat_f64(self, value: f64) -> Self::F64;
    fn load_f64(self, from: &Self::F64Array) -> Self::F64;
    /// Transposes four rows of four numbers. The size is the same for all vector widths, so that few columns are left over.
    fn transpose_f64(self, rows: [&[f64; 4]; 4]) -> [[f64; 4]; 4];

    fn splat_f32(self, value: f32) -> Self::F32;
    fn load_f32(self, from: &Lane, part: usize) -> Self::F32;
    /// Adds a lane's numbers, in the same order for all instruction sets: the two halves, then the halves of the result, and
    /// so on.
    fn sum_f32(self, lane: &Lane) -> f32;
    /// Adds the numbers of each lane of a tile. AVX2 and AVX-512 add the halves, then neighbours; the other sets add as
    /// in [`Simd::sum_f32`].
    fn sums_f32(self, tile: &Tile) -> [f32; WIDTH];
}

/// The operations that vectors of f64 and of f32 share. The operators work element by element.
pub(crate) trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Returns self * factor + term, element by element.
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// Returns, element by element, `yes` if self < other, else `no`.
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self;
}

/// A vector of f64.
pub(crate) trait F64s: Vector {
    type Array;
    fn store(self, to: &mut Self::Array);
    /// Stores the numbers as integers. The numbers must be whole, at least 0 and below 2^31.
    fn store_whole(self, to: &mut [u32]);
    /// Adds the numbers of the vector: the two halves, then the halves of the result, and so on.
    fn sum(self) -> f64;
}

/// A vector of f32: a part of a [`Lane`].
pub(crate) trait F32s: Vector + Div<Output = Self> {
    fn store(self, to: &mut Lane, part: usize);
    /// Returns the elementwise maximum: the element of `other` where either is NaN.
    fn larger(self, other: Self) -> Self;
    /// Returns the elementwise minimum: the element of `other` where either is NaN.
    fn smaller(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// Returns 2^n, where self is n + 1.5 * 2^23 and n lies in -126..=127.
    fn power_of_two(self) -> Self;
    /// Returns (m, e) with self = m 2^e, m in [1/2, 1), for normal positive numbers.
    fn split(self) -> (Self, Self);
    /// Returns the largest number of the vector; any number of it if one is NaN.
    fn largest(self) -> f32;
}

/// An array with the length of a vector.
pub(crate) trait Chunk: Copy + AsMut<[f64]> {
    /// Splits a slice into whole vectors and the rest.
    fn split(numbers: &[f64]) -> (&[Self], &[f64]);
    fn split_mut(numbers: &mut [f64]) -> (&mut [Self], &mut [f64]);
    /// Splits the lanes of a block into whole vectors.
    fn all(lanes: &Lanes) -> &[Self];
    fn all_mut(lanes: &mut Lanes) -> &mut [Self];
}

/// A computation that [`InstructionSet::run`] compiles for each instruction set.
pub(crate) trait WithSimd {
    /// The type of the result.
    type Output;

    /// Runs the computation. This method, and every function it calls with a vector, must be `#[inline(always)]`: only code
    /// inlined into [`Simd::run`] is compiled with the instructions. No closure may capture a vector, since a closure is a
    /// function of its own.
    fn with<S: Simd>(self, simd: S) -> Self::Output;
}

impl<const W: usize> Chunk for [f64; W] {
    #[inline(always)]
    fn split(numbers: &[f64]) -> (&[Self], &[f64]) {
        numbers.as_chunks()
    }

    #[inline(always)]
    fn split_mut(numbers: &mut [f64]) -> (&mut [Self], &mut [f64]) {
        numbers.as_chunks_mut()
    }

    #[inline(always)]
    fn all(lanes: &Lanes) -> &[Self] {
        lanes.as_chunks().0
    }

    #[inline(always)]
    fn all_mut(lanes: &mut Lanes) -> &mut [Self] {
        lanes.as_chunks_mut().0
    }
}

/// The number of f32 in a [`Lane`].
pub(crate) const WIDTH: usize = 16;

/// Sixteen f32: one cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub [f32; WIDTH]);

/// Sixteen lanes.
pub(crate) type Tile = [Lane; WIDTH];

pub(crate) const ZERO: Lane = Lane([0.0; WIDTH]);
pub(crate) const ZEROS: Tile = [ZERO; WIDTH];

impl Lane {
    /// Splits the lane into parts of N numbers.
    #[inline(always)]
    fn parts<const N: usize>(&self) -> &[[f32; N]] {
        self.0.as_chunks().0
    }

    #[inline(always)]
    fn parts_mut<const N: usize>(&mut self) -> &mut [[f32; N]] {
        self.0.as_chunks_mut().0
    }
}

/// Prefetches a tile into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch(tile: &Tile) {
    for line in tile {
        prefetch_line::<false>(line.0.as_ptr().cast());
    }
}

/// Prefetches one cache line into the first-level (NEAREST) or second-level cache. The address is not read and need not be
/// valid.
#[inline(always)]
fn prefetch_line<const NEAREST: bool>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: each x86-64 processor has the instruction, and it has no effect but on the caches.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match NEAREST {
            true => _mm_prefetch::<_MM_HINT_T0>(address.cast()),
            false => _mm_prefetch::<_MM_HINT_T1>(address.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// An instruction set of this processor. A value exists only if the processor has the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionSet(Token);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Plain(Plain),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(wasm::Simd128),
}

impl InstructionSet {
    /// Returns the best instruction set of this processor, or the one that the environment variable
    /// `EM_ROUTING_INSTRUCTIONS` names (see [`InstructionSet::name`]). With the variable, a program can reproduce the bits
    /// of another machine. The library ignores a name that this processor does not have
    /// ([`crate::instruction_set`] returns the one in use); the program ends with an error.
    pub fn detect() -> InstructionSet {
        static DETECTED: std::sync::OnceLock<InstructionSet> = std::sync::OnceLock::new();
        *DETECTED.get_or_init(|| {
            let wanted = std::env::var("EM_ROUTING_INSTRUCTIONS").unwrap_or_default();
            let all = InstructionSet::all();
            let named = all.iter().find(|instructions| instructions.name() == wanted);
            *named.or(all.last()).expect("every processor has the portable ones")
        })
    }

    /// Returns the set's name in `EM_ROUTING_INSTRUCTIONS`: `portable`, `avx2`, `avx512` or `simd128`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Token::Plain(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "avx512",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Token::Simd128(_) => "simd128",
        }
    }

    /// Whether a multiply-add is one instruction, which rounds once.
    pub(crate) fn is_fused(self) -> bool {
        match self.0 {
            Token::Plain(_) => Plain::FUSED,
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => x86::Avx2::FUSED,
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => x86::Avx512::FUSED,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Token::Simd128(_) => wasm::Simd128::FUSED,
        }
    }

    /// Returns all instruction sets of this processor, the best last.
    pub fn all() -> Vec<InstructionSet> {
        #[allow(unused_mut, reason = "on some targets there is no other")]
        let mut all = vec![Token::Plain(Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(x86::Avx2::detect().map(Token::Avx2));
            all.extend(x86::Avx512::detect().map(Token::Avx512));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        all.push(Token::Simd128(wasm::Simd128::detect()));
        all.into_iter().map(InstructionSet).collect()
    }

    /// Runs a computation compiled for these instructions.
    #[inline]
    pub(crate) fn run<O: WithSimd>(self, operation: O) -> O::Output {
        match self.0 {
            Token::Plain(token) => token.run(operation),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.run(operation),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.run(operation),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Token::Simd128(token) => token.run(operation),
        }
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Token::Plain(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "AVX2 and FMA",
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "AVX-512",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Token::Simd128(_) => "simd128",
        })
    }
}
