//! Each operation with each instruction set of this machine. (tests/wasm runs WebAssembly in Node.)

use super::*;

/// Returns the bits of the lanes that an operation computes from two lanes.
fn lanes<const RESULTS: usize>(
    instructions: InstructionSet,
    a: &Lane,
    b: &Lane,
    operation: impl Operation<RESULTS>,
) -> [[u32; WIDTH]; RESULTS] {
    instructions.run(OnLanes { a, b, operation }).map(|lane| lane.0.map(f32::to_bits))
}

/// An operation on the vectors of two lanes.
trait Operation<const RESULTS: usize> {
    fn of<S: Simd>(&self, simd: S, a: S::F32, b: S::F32) -> [S::F32; RESULTS];
}

struct OnLanes<'a, O, const RESULTS: usize> {
    a: &'a Lane,
    b: &'a Lane,
    operation: O,
}

impl<O: Operation<RESULTS>, const RESULTS: usize> WithSimd for OnLanes<'_, O, RESULTS> {
    type Output = [Lane; RESULTS];

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> [Lane; RESULTS] {
        let mut results = [ZERO; RESULTS];
        for part in 0..S::PARTS {
            let (a, b) = (simd.load_f32(self.a, part), simd.load_f32(self.b, part));
            for (result, vector) in results.iter_mut().zip(self.operation.of(simd, a, b)) {
                vector.store(result, part);
            }
        }
        results
    }
}

macro_rules! operation {
    ($name:ident, $results:literal, |$simd:ident, $a:ident, $b:ident| $body:expr) => {
        struct $name;

        impl Operation<$results> for $name {
            #[inline(always)]
            fn of<S: Simd>(&self, $simd: S, $a: S::F32, $b: S::F32) -> [S::F32; $results] {
                $body
            }
        }
    };
}

operation!(Arithmetic, 10, |simd, a, b| {
    let (zero, one) = (simd.splat_f32(0.0), simd.splat_f32(1.0));
    [
        a + b,
        a - b,
        a * b,
        a / b,
        a.larger(b),
        a.smaller(b),
        a.if_less(b, a, one),
        a.if_less(zero, zero, a).sqrt(),
        clamp(simd, a, 2.5),
        a,
    ]
});
operation!(Bits, 3, |_simd, a, b| {
    let (m, e) = a.split();
    [m, e, b.power_of_two()]
});
operation!(MultiplyAdd, 1, |_simd, a, b| [a.multiply_add(b, a)]);
operation!(Functions, 3, |simd, a, b| [exp(simd, a), ln(simd, b), sigmoid(simd, a)]);

/// A million different numbers of all sizes and signs.
fn number(i: usize) -> f64 {
    let fraction = ((i as u64 * 2_654_435_761) % 1_000_003) as f64 / 500_000.0 - 1.0;
    fraction * [1.0, 1e-3, 1e3, 1e-20, 1e20, 3.0, 0.1, 30.0][i % 8]
}

fn lane(seed: usize) -> Lane {
    Lane(std::array::from_fn(|i| number(seed * WIDTH + i) as f32))
}

const ODD: [f32; 8] = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1e-40, -1.0];

/// Returns whether two numbers have the same bits or are both NaN.
fn same(found: f32, expected: f32) -> bool {
    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan()
}

#[test]
fn f32_arithmetic_equals_scalar_code_bit_for_bit_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for seed in 0..2000 {
            let (mut a, mut b) = (lane(seed), lane(seed + 5000));
            if seed < 64 {
                a.0 = std::array::from_fn(|i| ODD[(i + seed) % 8]);
                b.0 = std::array::from_fn(|i| ODD[(i * 3 + seed / 8) % 8]);
            }
            let found = lanes(instructions, &a, &b, Arithmetic);
            for i in 0..WIDTH {
                let (a, b) = (a.0[i], b.0[i]);
                let larger = |a: f32, b: f32| if a > b { a } else { b };
                let smaller = |a: f32, b: f32| if a < b { a } else { b };
                let expected = [
                    a + b,
                    a - b,
                    a * b,
                    a / b,
                    larger(a, b),
                    smaller(a, b),
                    if a < b { a } else { 1.0 },
                    (if a < 0.0 { 0.0 } else { a }).sqrt(),
                    smaller(2.5, larger(-2.5, a)),
                    a,
                ];
                for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let found = f32::from_bits(found[i]);
                    assert!(same(found, expected), "{instructions}, {which} of {a} and {b}: {found}");
                }
            }
        }
    }
}

#[test]
fn a_multiply_add_rounds_once_if_fused_and_twice_otherwise() {
    for instructions in InstructionSet::all() {
        for seed in 0..2000 {
            let (a, b) = (lane(seed), lane(seed + 5000));
            let [found] = lanes(instructions, &a, &b, MultiplyAdd);
            for (found, (a, b)) in found.into_iter().zip(a.0.into_iter().zip(b.0)) {
                let expected = if instructions.is_fused() { a.mul_add(b, a) } else { a * b + a };
                assert!(same(f32::from_bits(found), expected), "{instructions}: {a} {b}");
            }
        }
    }
}

#[test]
fn split_and_power_of_two_match_mantissa_and_exponent_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for n in -126..=127 {
            let a = Lane(lane((n + 200) as usize).0.map(|x| x.abs().max(f32::MIN_POSITIVE)));
            let power = Lane([n as f32 + 12582912.0; WIDTH]);
            let [m, e, power] = lanes(instructions, &a, &power, Bits);
            for i in 0..WIDTH {
                let (m, e) = (f32::from_bits(m[i]), f32::from_bits(e[i]));
                assert!((0.5..1.0).contains(&m), "{instructions}: {m}");
                assert_eq!((f64::from(m) * f64::from(e).exp2()) as f32, a.0[i], "{instructions}");
                assert_eq!(f64::from(f32::from_bits(power[i])), f64::from(n).exp2(), "{instructions}");
            }
        }
    }
}

#[test]
fn f32_functions_are_equal_bit_for_bit_if_multiply_adds_round_alike() {
    for seed in 0..20_000 {
        let a = Lane(std::array::from_fn(|i| number(seed * WIDTH + i) as f32));
        let b = Lane(a.0.map(|x| x.abs().max(f32::MIN_POSITIVE)));
        for fused in [false, true] {
            let all = InstructionSet::all().into_iter().filter(|set| set.is_fused() == fused);
            let bits: Vec<_> = all.map(|set| (set, lanes(set, &a, &b, Functions))).collect();
            for (set, found) in &bits {
                assert!(found == &bits[0].1, "{set} and {}: {a:?} {b:?}", bits[0].0);
            }
        }
    }
}

/// sum_f32 of a lane, the largest of a lane's parts, and sums_f32 of a tile.
struct Reductions<'a>(&'a Tile);

impl WithSimd for Reductions<'_> {
    type Output = (f32, f32, [f32; WIDTH]);

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> Self::Output {
        prefetch(self.0);
        let mut largest = simd.load_f32(&self.0[0], 0);
        for part in 1..S::PARTS {
            largest = largest.larger(simd.load_f32(&self.0[0], part));
        }
        (simd.sum_f32(&self.0[0]), largest.largest(), simd.sums_f32(self.0))
    }
}

/// Sums by adding halves, x_i + x_{i + n/2}, until one number is left.
fn folded<const N: usize>(mut x: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            x[i] += x[i + half];
        }
        half /= 2;
    }
    x[0]
}

#[test]
fn f32_sums_add_in_the_same_order_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for seed in 0..2000 {
            let tile: Tile = std::array::from_fn(|h| lane(seed + h * 7));
            let (sum, largest, sums) = instructions.run(Reductions(&tile));
            assert_eq!(sum, folded(tile[0].0), "{instructions}");
            assert_eq!(largest, tile[0].0.into_iter().fold(f32::NEG_INFINITY, f32::max), "{instructions}");
            for (sum, lane) in sums.into_iter().zip(&tile) {
                let h: [f32; 8] = std::array::from_fn(|i| lane.0[i] + lane.0[i + 8]);
                let neighbours = ((h[0] + h[1]) + (h[2] + h[3])) + ((h[4] + h[5]) + (h[6] + h[7]));
                let expected = if instructions.is_fused() { neighbours } else { folded(lane.0) };
                assert_eq!(sum, expected, "{instructions}");
            }
        }
    }
}

/// The error in units in the last place of the expected value.
fn ulps_f32(found: f32, expected: f64) -> f64 {
    let nearest = (expected as f32).abs().max(f32::MIN_POSITIVE);
    (f64::from(found) - expected).abs() / f64::from(f32::from_bits(nearest.to_bits() + 1) - nearest)
}

#[test]
fn exp_in_f32_is_within_two_units_in_the_last_place() {
    for instructions in InstructionSet::all() {
        for start in 0..25_000 {
            let x = Lane(std::array::from_fn(|i| -60.0 + (start * WIDTH + i) as f32 * 0.000_37));
            let [values, ..] = lanes(instructions, &x, &ZERO, Functions);
            for (value, x) in values.map(f32::from_bits).into_iter().zip(x.0) {
                let error = ulps_f32(value, f64::from(x).exp());
                assert!(error <= 2.0, "{instructions}: exp({x}) = {value}: {error} units");
            }
        }
        let x = [f32::NEG_INFINITY, -60.1, f32::NAN, 0.0, -0.0, -1e30, 1.0, -1e-30];
        let x = Lane(std::array::from_fn(|i| x[i % 8]));
        let [values, ..] = lanes(instructions, &x, &ZERO, Functions);
        for values in values.map(f32::from_bits).as_chunks::<8>().0 {
            assert!(values[2].is_nan());
            assert_eq!(
                [values[0], values[1], values[3], values[4], values[5], values[7]],
                [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]
            );
        }
    }
}

#[test]
fn ln_in_f32_is_within_two_units_in_the_last_place() {
    for instructions in InstructionSet::all() {
        for start in 0..25_000 {
            let bits = |i: usize| f32::MIN_POSITIVE.to_bits() + (start * WIDTH + i) as u32 * 5_000;
            let x = Lane(std::array::from_fn(|i| f32::from_bits(bits(i))));
            let [_, values, _] = lanes(instructions, &ZERO, &x, Functions);
            let pairs = values.map(f32::from_bits).into_iter().zip(x.0);
            for (value, x) in pairs.filter(|(_, x)| x.is_finite()) {
                let error = ulps_f32(value, f64::from(x).ln());
                assert!(error <= 2.0, "{instructions}: ln({x}) = {value}: {error} units");
            }
        }
        let x = Lane(std::array::from_fn(|i| [0.0, f32::NAN, 1.0, 2.0][i % 4]));
        let [_, values, _] = lanes(instructions, &ZERO, &x, Functions);
        for values in values.map(f32::from_bits).as_chunks::<4>().0 {
            assert_eq!((values[0], values[2]), (f32::NEG_INFINITY, 0.0));
            assert!(values[1].is_nan());
        }
    }
}

/// Each operation on vectors of a, b and c, and the sums of the vectors of a.
struct DoubleOperations<'a>(&'a [Lanes; 3]);

const DOUBLE_OPERATIONS: usize = 5;

impl WithSimd for DoubleOperations<'_> {
    type Output = ([Lanes; DOUBLE_OPERATIONS], Vec<f64>);

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> Self::Output {
        let mut found = [ZERO_LANES; DOUBLE_OPERATIONS];
        let mut sums = Vec::new();
        for tile in 0..BLOCK / (TILE * S::F64_WIDTH) {
            let [a, b, c] = [0, 1, 2].map(|i| load_tile(simd, &self.0[i], tile));
            for t in 0..TILE {
                let (a, b, c) = (a[t], b[t], c[t]);
                let one = simd.splat_f64(1.0);
                let all = [a + b, a - b, a * b, a.multiply_add(b, c), a.if_less(b, c, one)];
                for (found, vector) in found.iter_mut().zip(all) {
                    vector.store(&mut tiles_mut::<S>(found)[tile][t]);
                }
                sums.push(a.sum());
            }
        }
        (found, sums)
    }
}

#[test]
fn f64_operations_equal_scalar_code_bit_for_bit_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for seed in 0..2000 {
            let mut numbers: [Lanes; 3] =
                std::array::from_fn(|n| std::array::from_fn(|i| number((seed * 3 + n) * BLOCK + i)));
            if seed < 8 {
                numbers[0] = std::array::from_fn(|i| f64::from(ODD[(i + seed) % 8]));
                numbers[1] = std::array::from_fn(|i| f64::from(ODD[(i / 8) % 8]));
            }
            let (found, sums) = instructions.run(DoubleOperations(&numbers));
            for i in 0..BLOCK {
                let [a, b, c] = [0, 1, 2].map(|n| numbers[n][i]);
                let multiply_add = if instructions.is_fused() { a.mul_add(b, c) } else { a * b + c };
                let expected = [a + b, a - b, a * b, multiply_add, if a < b { c } else { 1.0 }];
                for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let found = found[i];
                    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                    assert!(same, "{instructions}, {which} of {a}, {b}, {c}: {found}");
                }
            }
            for (sum, numbers) in sums.iter().zip(numbers[0].chunks(BLOCK / sums.len())) {
                let fours: Vec<f64> = match numbers.len() {
                    8 => (0..4).map(|i| numbers[i] + numbers[i + 4]).collect(),
                    _ => numbers.to_vec(),
                };
                let expected = (fours[0] + fours[2]) + (fours[1] + fours[3]);
                let same = sum.to_bits() == expected.to_bits() || sum.is_nan() && expected.is_nan();
                assert!(same, "{instructions}: {sum} for {expected}");
            }
        }
    }
}

struct Whole<'a>(&'a Lanes);

impl WithSimd for Whole<'_> {
    type Output = [u32; BLOCK];

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> [u32; BLOCK] {
        let mut found = [0; BLOCK];
        for (numbers, found) in S::F64Array::all(self.0).iter().zip(found.chunks_exact_mut(S::F64_WIDTH)) {
            simd.load_f64(numbers).store_whole(found);
        }
        found
    }
}

#[test]
fn whole_numbers_below_2_31_become_integers_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for first in [0, 1, 1000, 123_456_789, (1 << 31) - 64] {
            let expected: [u32; BLOCK] = std::array::from_fn(|i| first + i as u32);
            assert_eq!(instructions.run(Whole(&expected.map(f64::from))), expected, "{instructions}");
        }
    }
}

struct Transposition<'a>(&'a [f64], usize);

impl WithSimd for Transposition<'_> {
    type Output = Vec<Lanes>;

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> Vec<Lanes> {
        let mut transposed = vec![ZERO_LANES; self.1];
        transpose(simd, self.0, &mut transposed);
        transposed
    }
}

#[test]
fn every_instruction_set_pads_a_transposed_block_with_its_last_row() {
    for instructions in InstructionSet::all() {
        for samples in 1..=BLOCK {
            for dimensions in 1..=9 {
                let rows: Vec<f64> = (0..samples * dimensions).map(number).collect();
                let found = instructions.run(Transposition(&rows, dimensions));
                for (h, lanes) in found.iter().enumerate() {
                    for (s, &value) in lanes.iter().enumerate() {
                        let row = s.min(samples - 1);
                        assert_eq!(
                            value,
                            rows[row * dimensions + h],
                            "{instructions}: {samples} x {dimensions}"
                        );
                    }
                }
            }
        }
    }
}

struct Dot<'a>(&'a Lanes, &'a Lanes);

impl WithSimd for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> f64 {
        dot(simd, self.0, self.1)
    }
}

#[test]
fn a_dot_product_equals_the_sum_of_products_on_every_instruction_set() {
    for instructions in InstructionSet::all() {
        for seed in 0..500 {
            let numbers = |n: usize| -> Lanes { std::array::from_fn(|i| number((seed * 2 + n) * BLOCK + i)) };
            let (a, b) = (numbers(0), numbers(1));
            let (mut expected, mut scale) = (0.0, 0.0);
            for (a, b) in a.iter().zip(&b) {
                expected += a * b;
                scale += (a * b).abs();
            }
            let error = (instructions.run(Dot(&a, &b)) - expected).abs();
            assert!(error <= 64.0 * f64::EPSILON * scale, "{instructions}: {error}");
        }
    }
}

struct Exponentials<'a>(&'a mut [f64]);

impl WithSimd for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        for x in self.0 {
            *x = exp_f64(simd, *x);
        }
    }
}

#[test]
fn exp_in_f64_is_within_one_unit_in_the_last_place() {
    let ulps = |left: f64, right: f64| (left - right).abs() / (f64::from_bits(right.to_bits() + 1) - right);
    let points = (0..400_000).map(|i| -708.0 + f64::from(i) * 0.003_541_7).filter(|&x| x < 709.0);
    let points: Vec<f64> = points.chain([0.0, -0.0, 1.0, -1e-300, 1e-9, -0.3465735902799726]).collect();
    for instructions in InstructionSet::all() {
        let mut values = points.clone();
        instructions.run(Exponentials(&mut values));
        for (value, x) in values.into_iter().zip(&points) {
            let error = ulps(value, x.exp());
            assert!(error <= 1.0, "{instructions}: exp({x}) = {value}, {error} units from {}", x.exp());
        }
        let mut small = [-708.5, -1e6, f64::NEG_INFINITY];
        instructions.run(Exponentials(&mut small));
        assert_eq!(small, [0.0; 3]);
    }
}

#[test]
fn detect_returns_the_last_instruction_set_of_the_list() {
    let all = InstructionSet::all();
    assert_eq!(all.last(), Some(&InstructionSet::detect()));
    assert_eq!(all[0].to_string(), "portable");
}
