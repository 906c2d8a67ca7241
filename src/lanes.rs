//! Arithmetic on several numbers at a time.
//!
//! A kernel is written once, generic over a [`Vector`], and compiled three times: with plain arrays of four numbers, inside a
//! function that may use AVX2 and FMA (four), and inside one that may use AVX-512 (eight). [`Simd::detect`] picks one of them at
//! run time. Loops that only work on one number after another are left to the compiler; what they call ([`exp`]) has no branch,
//! so that it can take several.

/// The instructions that a kernel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simd {
    /// Those that every processor of the target has.
    Portable,
    /// 256-bit vectors and fused multiply-add. Only [`Simd::detect`] and [`Simd::all`] make it, where the processor has
    /// them: the calls of the kernels rely on that.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The same and 512-bit vectors, made in the same places alone.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// The best that this processor has, or what the environment variable `EM_ROUTING_INSTRUCTIONS` asks for: `portable`, `avx2` or
    /// `avx512`. It serves to get the bits of another machine; what this processor lacks is not taken.
    pub(crate) fn detect() -> Simd {
        static DETECTED: std::sync::OnceLock<Simd> = std::sync::OnceLock::new();
        *DETECTED.get_or_init(|| {
            let wanted = std::env::var("EM_ROUTING_INSTRUCTIONS").unwrap_or_default();
            let all = Simd::all();
            let found = all.iter().find(|simd| simd.name() == wanted).or(all.last());
            *found.expect("one that every processor has")
        })
    }

    /// Its name in `EM_ROUTING_INSTRUCTIONS`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Simd::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => "avx512",
        }
    }

    /// Each that this processor has, the best last.
    pub(crate) fn all() -> &'static [Simd] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return match is_x86_feature_detected!("avx512f") {
                true => &[Simd::Portable, Simd::Avx2, Simd::Avx512],
                false => &[Simd::Portable, Simd::Avx2],
            };
        }
        &[Simd::Portable]
    }
}

/// Numbers that are computed with at once, four or eight.
///
/// The compiler makes vectors of plain loops, but not where a kernel keeps several sums side by side: hence this.
pub(crate) trait Vector<const WIDTH: usize>: Copy {
    /// Whether a multiply-add is one instruction.
    const FMA: bool;
    fn splat(value: f64) -> Self;
    fn load(from: &[f64; WIDTH]) -> Self;
    fn store(self, to: &mut [f64; WIDTH]);
    fn minus(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// self * factor + term
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// Lane by lane: (self, own) where self < other, else (other, others).
    fn smaller(self, own: Self, other: Self, others: Self) -> (Self, Self);

    /// Four rows of four numbers as four columns.
    fn turned(rows: [&[f64; SQUARE]; SQUARE]) -> [[f64; SQUARE]; SQUARE];

    /// The sum of its lanes.
    fn sum(self) -> f64;
}

/// Rows and columns that [`Vector::turned`] turns, whatever the vector's width: so that few columns are left over.
const SQUARE: usize = 4;

/// For any processor.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f64; 4]);

impl Vector<4> for Plain {
    const FMA: bool = false;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Plain([value; 4])
    }

    #[inline(always)]
    fn load(from: &[f64; 4]) -> Self {
        Plain(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; 4]) {
        *to = self.0;
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Plain(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Plain(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Plain(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }

    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        Plain(std::array::from_fn(|lane| self.0[lane] * factor.0[lane] + term.0[lane]))
    }

    #[inline(always)]
    fn smaller(self, own: Self, other: Self, others: Self) -> (Self, Self) {
        let pick = |yes: [f64; 4], no: [f64; 4]| {
            Plain(std::array::from_fn(|lane| if self.0[lane] < other.0[lane] { yes[lane] } else { no[lane] }))
        };
        (pick(self.0, other.0), pick(own.0, others.0))
    }

    #[inline(always)]
    fn turned(rows: [&[f64; SQUARE]; SQUARE]) -> [[f64; SQUARE]; SQUARE] {
        std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
    }

    #[inline(always)]
    fn sum(self) -> f64 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{SQUARE, Vector};

    /// For AVX2 and FMA: only functions with these target features, which a [`super::Simd::Avx2`] guards, may use it.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256d);

    /// For AVX-512 (its part F) beside AVX2 and FMA: only functions that a [`super::Simd::Avx512`] guards may use it.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512d);

    // SAFETY, of each block here: the types are used only where the processor has the instructions, as it says above, and what is
    // read and written lies in the array that is borrowed.

    /// What the two do alike, but for the instruction's name.
    macro_rules! operations {
        ($vector:ident, $width:literal, $splat:ident, $load:ident, $store:ident, $sub:ident, $add:ident, $mul:ident, $fma:ident) => {
            const FMA: bool = true;

            #[inline(always)]
            fn splat(value: f64) -> Self {
                $vector(unsafe { $splat(value) })
            }

            #[inline(always)]
            fn load(from: &[f64; $width]) -> Self {
                $vector(unsafe { $load(from.as_ptr()) })
            }

            #[inline(always)]
            fn store(self, to: &mut [f64; $width]) {
                unsafe { $store(to.as_mut_ptr(), self.0) }
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                $vector(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $vector(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                $vector(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            fn multiply_add(self, factor: Self, term: Self) -> Self {
                $vector(unsafe { $fma(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn turned(rows: [&[f64; SQUARE]; SQUARE]) -> [[f64; SQUARE]; SQUARE] {
                unsafe { turned(rows) }
            }
        };
    }

    impl Vector<4> for Avx2 {
        operations! {
            Avx2, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_sub_pd, _mm256_add_pd, _mm256_mul_pd,
            _mm256_fmadd_pd
        }

        #[inline(always)]
        fn smaller(self, own: Self, other: Self, others: Self) -> (Self, Self) {
            unsafe {
                let is = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, other.0);
                (Avx2(_mm256_blendv_pd(other.0, self.0, is)), Avx2(_mm256_blendv_pd(others.0, own.0, is)))
            }
        }

        #[inline(always)]
        fn sum(self) -> f64 {
            let mut lanes = [0.0; 4];
            self.store(&mut lanes);
            (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
        }
    }

    impl Vector<8> for Avx512 {
        operations! {
            Avx512, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_sub_pd, _mm512_add_pd, _mm512_mul_pd,
            _mm512_fmadd_pd
        }

        #[inline(always)]
        fn smaller(self, own: Self, other: Self, others: Self) -> (Self, Self) {
            unsafe {
                let is = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0);
                let pick =
                    (_mm512_mask_blend_pd(is, other.0, self.0), _mm512_mask_blend_pd(is, others.0, own.0));
                (Avx512(pick.0), Avx512(pick.1))
            }
        }

        #[inline(always)]
        fn sum(self) -> f64 {
            let halves = unsafe { (_mm512_castpd512_pd256(self.0), _mm512_extractf64x4_pd::<1>(self.0)) };
            Avx2(halves.0).plus(Avx2(halves.1)).sum()
        }
    }

    /// # Safety
    ///
    /// Wants AVX2.
    #[inline(always)]
    unsafe fn turned(rows: [&[f64; SQUARE]; SQUARE]) -> [[f64; SQUARE]; SQUARE] {
        let mut columns = [[0.0; SQUARE]; SQUARE];
        unsafe {
            let [a, b, c, d] = rows;
            let (a, b) = (_mm256_loadu_pd(a.as_ptr()), _mm256_loadu_pd(b.as_ptr()));
            let (c, d) = (_mm256_loadu_pd(c.as_ptr()), _mm256_loadu_pd(d.as_ptr()));
            let (ab_even, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (cd_even, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            _mm256_storeu_pd(columns[0].as_mut_ptr(), _mm256_permute2f128_pd::<0x20>(ab_even, cd_even));
            _mm256_storeu_pd(columns[1].as_mut_ptr(), _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd));
            _mm256_storeu_pd(columns[2].as_mut_ptr(), _mm256_permute2f128_pd::<0x31>(ab_even, cd_even));
            _mm256_storeu_pd(columns[3].as_mut_ptr(), _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd));
        }
        columns
    }
}

/// a b + c, with one rounding where the processor does it in one instruction; a call of the C library is many times slower.
#[inline(always)]
fn multiply_add<V: Vector<W>, const W: usize>(a: f64, b: f64, c: f64) -> f64 {
    if V::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x for x <= 709; 0 for x < -708, where the result would be subnormal. Within 1 unit in the last place.
///
/// ```text
/// e^x = 2^m e^r,    m = round(x / ln 2),    r = x - m ln 2,    |r| <= 0.347,    e^r = sum_{i<=13} r^i / i!
/// ```
#[inline(always)]
pub(crate) fn exp<V: Vector<W>, const W: usize>(x: f64) -> f64 {
    const SMALLEST: f64 = -708.0;
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUNDER: f64 = 6755399441055744.0; // 1.5 * 2^52
    /// ln 2 in two parts; the first has so few digits that its product with m is exact.
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe62e42fee00000);
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    let rounded = multiply_add::<V, W>(clamped, std::f64::consts::LOG2_E, ROUNDER);
    let power = rounded - ROUNDER;
    let r = multiply_add::<V, W>(power, -LN_2_HIGH, clamped);
    let r = multiply_add::<V, W>(power, -LN_2_LOW, r);
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
        sum = multiply_add::<V, W>(sum, r, coefficient);
    }
    // 1 + r + r^2 (...), the largest terms last
    let sum = multiply_add::<V, W>(sum, r * r, r) + 1.0;
    let exponent = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    if x >= SMALLEST { sum * exponent } else { 0.0 }
}

/// The number of samples that a kernel takes at a time.
pub(crate) const BLOCK: usize = 64;

/// A block with one lane for each sample.
pub(crate) type Lanes = [f64; BLOCK];

/// Lanes of 0.
pub(crate) const NOTHING: Lanes = [0.0; BLOCK];

/// The vectors of a block whose sums stay in registers side by side.
pub(crate) const TILE: usize = 4;

/// The lanes' vectors, tile after tile.
#[inline(always)]
pub(crate) fn tiles<const W: usize>(lanes: &Lanes) -> &[[[f64; W]; TILE]] {
    lanes.as_chunks::<W>().0.as_chunks::<TILE>().0
}

/// The same, to be written to.
#[inline(always)]
pub(crate) fn tiles_mut<const W: usize>(lanes: &mut Lanes) -> &mut [[[f64; W]; TILE]] {
    lanes.as_chunks_mut::<W>().0.as_chunks_mut::<TILE>().0
}

/// Turns up to [`BLOCK`] rows of d numbers into d lanes of `BLOCK` numbers, one for each sample. The lanes that are
/// left over repeat the last sample; whoever sums gives them the weight 0.
#[inline(always)]
pub(crate) fn transpose<V: Vector<W>, const W: usize>(rows: &[f64], transposed: &mut [Lanes]) {
    let dimensions = transposed.len();
    let samples = rows.len() / dimensions;
    assert!((1..=BLOCK).contains(&samples), "{samples} rows in a block of {BLOCK}");
    if samples == BLOCK {
        for (square, rows) in rows.chunks_exact(SQUARE * dimensions).enumerate() {
            let (a, rest) = rows.split_at(dimensions);
            let (b, rest) = rest.split_at(dimensions);
            let (c, d) = rest.split_at(dimensions);
            for at in (0..rows.len()).step_by(8) {
                prefetch(rows.as_ptr().wrapping_add(BLOCK * dimensions + at)); // a cache line is 8 numbers
            }
            let ((a, last_a), (b, last_b)) = (a.as_chunks(), b.as_chunks());
            let ((c, last_c), (d, last_d)) = (c.as_chunks(), d.as_chunks());
            let (columns, last) = transposed.as_chunks_mut::<SQUARE>();
            for ((((columns, a), b), c), d) in columns.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                for (column, turned) in columns.iter_mut().zip(V::turned([a, b, c, d])) {
                    column.as_chunks_mut().0[square] = turned;
                }
            }
            for ((((column, a), b), c), d) in last.iter_mut().zip(last_a).zip(last_b).zip(last_c).zip(last_d)
            {
                column.as_chunks_mut().0[square] = [*a, *b, *c, *d];
            }
        }
    } else {
        for s in 0..BLOCK {
            let row = &rows[s.min(samples - 1) * dimensions..][..dimensions];
            for (lanes, &value) in transposed.iter_mut().zip(row) {
                lanes[s] = value;
            }
        }
    }
}

/// Asks for a cache line ahead of its use: of the rows of the next block while this one is computed with. Whether there is one
/// does not matter, for the address is not read.
#[inline(always)]
fn prefetch(address: *const f64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: each x86-64 processor has the instruction, and it has no effect but on the caches.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// sum_s a_s b_s over a block, always in the same order.
#[inline(always)]
pub(crate) fn dot<V: Vector<W>, const W: usize>(a: &Lanes, b: &Lanes) -> f64 {
    let mut sums = [V::splat(0.0); TILE];
    for (a, b) in tiles(a).iter().zip(tiles(b)) {
        for t in 0..TILE {
            sums[t] = V::load(&a[t]).multiply_add(V::load(&b[t]), sums[t]);
        }
    }
    (sums[0].plus(sums[2])).plus(sums[1].plus(sums[3])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of `right`.
    fn ulps(left: f64, right: f64) -> f64 {
        (left - right).abs() / (f64::from_bits(right.to_bits() + 1) - right)
    }

    /// Calls `exp` as each path does.
    fn every_exp(x: f64) -> Vec<f64> {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn four(x: f64) -> f64 {
            exp::<Avx2, 4>(x)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn eight(x: f64) -> f64 {
            exp::<Avx512, 8>(x)
        }
        let path = |simd: Simd| match simd {
            Simd::Portable => exp::<Plain, 4>(x),
            #[cfg(target_arch = "x86_64")]
            // SAFETY, of both: such a value exists only where the processor has the features.
            Simd::Avx2 => unsafe { four(x) },
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => unsafe { eight(x) },
        };
        Simd::all().iter().copied().map(path).collect()
    }

    #[test]
    fn exp_is_within_one_unit_in_the_last_place() {
        let points = (0..400_000).map(|i| -708.0 + f64::from(i) * 0.003_541_7);
        for x in points.filter(|&x| x < 709.0).chain([0.0, -0.0, 1.0, -1e-300, 1e-9, -0.3465735902799726]) {
            for value in every_exp(x) {
                let error = ulps(value, x.exp());
                assert!(error <= 1.0, "exp({x}) = {value}, {error} units from {}", x.exp());
            }
        }
        for x in [-708.5, -1e6, f64::NEG_INFINITY] {
            assert!(every_exp(x).iter().all(|&value| value == 0.0));
        }
    }
}
