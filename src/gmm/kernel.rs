//! The two inner loops, a block of samples at a time with one lane for each sample: log-densities and responsibilities, and
//! the weighted sums of products.

use crate::lanes::{BLOCK, Simd, TILE, dot, exp, multiply_add, sum, transpose};

/// A block with one lane for each sample.
type Lanes = [f64; BLOCK];

/// A model made ready for the E-step.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) components: usize,
    pub(super) dimensions: usize,
    /// mu_k, k x d.
    pub(super) means: Vec<f64>,
    pub(super) whitening: Whitening,
    /// log pi_k - d/2 log 2 pi - log det L_k, k.
    pub(super) log_constants: Vec<f64>,
}

/// What turns x - mu_k into numbers of variance 1 without correlation.
#[derive(Debug, Clone)]
pub(super) enum Whitening {
    /// W_k = L_k^-1 with L_k L_k^T the covariance: lower triangular, k x d x d.
    Full(Vec<f64>),
    /// 1 / sigma_kj, k x d.
    Diagonal(Vec<f64>),
}

/// Space for one block, and what is found of it.
pub(super) struct Workspace {
    /// The block, d lanes.
    x: Vec<Lanes>,
    /// x - mu of one component, times the root of its weights in the M-step; then lanes of 0 up to a multiple of 4.
    shifted: Vec<Lanes>,
    /// log pi_k p(x | k), then the responsibilities; k lanes.
    pub(super) responsibilities: Vec<Lanes>,
    /// log p(x).
    pub(super) log_density: Lanes,
}

impl Workspace {
    pub(super) fn new(components: usize, dimensions: usize) -> Workspace {
        Workspace {
            x: vec![[0.0; BLOCK]; dimensions],
            shifted: vec![[0.0; BLOCK]; dimensions.next_multiple_of(ROWS)],
            responsibilities: vec![[0.0; BLOCK]; components],
            log_density: [0.0; BLOCK],
        }
    }

    /// Takes up to `BLOCK` rows; the lanes that are left over repeat the last of them.
    pub(super) fn load(&mut self, rows: &[f64]) {
        transpose(rows, self.x.len(), self.x.as_flattened_mut());
    }
}

/// The sums of one component over samples, with z = x - origin and the weight w = (weight of the sample) r.
pub(super) struct Sums<'a> {
    /// sum w
    pub(super) count: &'a mut f64,
    /// sum w z, d
    pub(super) first: &'a mut [f64],
    /// sum w z_i z_j: the lower triangle row by row, or its diagonal alone (d).
    pub(super) second: &'a mut [f64],
}

/// E-step of the loaded block: log-densities and responsibilities.
///
/// A sample that no component can have made gets a log-density of minus infinity or NaN.
pub(super) fn expectation(simd: Simd, model: &Prepared, space: &mut Workspace) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where the processor has AVX2 and FMA.
        Simd::Avx2 => unsafe { expectation_avx2(model, space) },
        Simd::Portable => expectation_body::<false>(model, space),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn expectation_avx2(model: &Prepared, space: &mut Workspace) {
    expectation_body::<true>(model, space);
}

/// Adds the loaded block to the sums of a component, with the weight of each sample times its responsibility.
pub(super) fn accumulate(
    simd: Simd,
    component: usize,
    origin: &[f64],
    sample_weights: &Lanes,
    space: &mut Workspace,
    sums: Sums,
) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where the processor has AVX2 and FMA.
        Simd::Avx2 => unsafe { accumulate_avx2(component, origin, sample_weights, space, sums) },
        Simd::Portable => accumulate_body::<false>(component, origin, sample_weights, space, sums),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2(
    component: usize,
    origin: &[f64],
    sample_weights: &Lanes,
    space: &mut Workspace,
    sums: Sums,
) {
    accumulate_body::<true>(component, origin, sample_weights, space, sums);
}

#[inline(always)]
fn tile_of(lanes: &Lanes, tile: usize) -> &[f64; TILE] {
    &lanes.as_chunks().0[tile]
}

/// ```text
/// log pi_k p(x | k) = log pi_k - d/2 log 2 pi - log det L_k - |y|^2 / 2,      y = W_k (x - mu_k)
/// r_k = exp(log pi_k p(x | k) - log p(x)),      log p(x) = log sum_k pi_k p(x | k)
/// ```
#[inline(always)]
fn expectation_body<const FMA: bool>(model: &Prepared, space: &mut Workspace) {
    let d = model.dimensions;
    for component in 0..model.components {
        let mean = &model.means[component * d..][..d];
        let constant = model.log_constants[component];
        match &model.whitening {
            Whitening::Full(inverse_factors) => {
                for ((z, x), &mean) in space.shifted.iter_mut().zip(&space.x).zip(mean) {
                    for s in 0..BLOCK {
                        z[s] = x[s] - mean;
                    }
                }
                let w = &inverse_factors[component * d * d..][..d * d];
                for tile in 0..BLOCK / TILE {
                    let square = full_square::<FMA>(w, &space.shifted[..d], tile);
                    write_log_joint(&mut space.responsibilities[component], tile, &square, constant);
                }
            }
            Whitening::Diagonal(inverse_deviations) => {
                let inverse = &inverse_deviations[component * d..][..d];
                for tile in 0..BLOCK / TILE {
                    let mut square = [0.0; TILE];
                    for ((x, &mean), &inverse) in space.x.iter().zip(mean).zip(inverse) {
                        let x = tile_of(x, tile);
                        for s in 0..TILE {
                            let y = (x[s] - mean) * inverse;
                            square[s] = multiply_add::<FMA>(y, y, square[s]);
                        }
                    }
                    write_log_joint(&mut space.responsibilities[component], tile, &square, constant);
                }
            }
        }
    }
    normalise::<FMA>(&mut space.responsibilities, &mut space.log_density);
}

/// |W z|^2 of a tile. Two rows of W at a time: what is loaded of z serves twice, and eight sums run side by side.
#[inline(always)]
fn full_square<const FMA: bool>(w: &[f64], z: &[Lanes], tile: usize) -> [f64; TILE] {
    let d = z.len();
    let mut square = [0.0; TILE];
    let mut i = 0;
    while i + 1 < d {
        let (upper, lower) = (&w[i * d..][..i + 1], &w[(i + 1) * d..][..i + 2]);
        let (mut y, mut next) = ([0.0; TILE], [0.0; TILE]);
        for ((z, &upper), &lower) in z.iter().zip(upper).zip(lower) {
            let z = tile_of(z, tile);
            for s in 0..TILE {
                y[s] = multiply_add::<FMA>(upper, z[s], y[s]);
                next[s] = multiply_add::<FMA>(lower, z[s], next[s]);
            }
        }
        let last = tile_of(&z[i + 1], tile);
        for s in 0..TILE {
            next[s] = multiply_add::<FMA>(lower[i + 1], last[s], next[s]);
            square[s] = multiply_add::<FMA>(y[s], y[s], square[s]);
            square[s] = multiply_add::<FMA>(next[s], next[s], square[s]);
        }
        i += 2;
    }
    if i < d {
        let row = &w[i * d..][..d];
        let mut y = [0.0; TILE];
        for (z, &w) in z.iter().zip(row) {
            let z = tile_of(z, tile);
            for s in 0..TILE {
                y[s] = multiply_add::<FMA>(w, z[s], y[s]);
            }
        }
        for s in 0..TILE {
            square[s] = multiply_add::<FMA>(y[s], y[s], square[s]);
        }
    }
    square
}

#[inline(always)]
fn write_log_joint(joint: &mut Lanes, tile: usize, square: &[f64; TILE], constant: f64) {
    let joint = &mut joint.as_chunks_mut::<TILE>().0[tile];
    for s in 0..TILE {
        // A square that does not fit (or is NaN, since its parts don't) is a density of 0.
        joint[s] = if square[s] < f64::INFINITY { constant - 0.5 * square[s] } else { f64::NEG_INFINITY };
    }
}

/// Log-sum-exp: with the largest term taken out, neither all terms underflow nor does one overflow.
#[inline(always)]
fn normalise<const FMA: bool>(joint: &mut [Lanes], log_density: &mut Lanes) {
    let mut largest = [f64::NEG_INFINITY; BLOCK];
    for joint in joint.iter() {
        for s in 0..BLOCK {
            largest[s] = if joint[s] > largest[s] { joint[s] } else { largest[s] };
        }
    }
    let mut total = [0.0; BLOCK];
    for joint in joint.iter_mut() {
        for s in 0..BLOCK {
            joint[s] = exp::<FMA>(joint[s] - largest[s]);
            total[s] += joint[s];
        }
    }
    for s in 0..BLOCK {
        log_density[s] = largest[s] + total[s].ln();
        total[s] = 1.0 / total[s];
    }
    for joint in joint.iter_mut() {
        for s in 0..BLOCK {
            joint[s] *= total[s];
        }
    }
}

/// Rows and columns of the products that are summed side by side in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 2;
/// Lanes of each of these sums.
const WIDTH: usize = 4;

#[inline(always)]
fn accumulate_body<const FMA: bool>(
    component: usize,
    origin: &[f64],
    sample_weights: &Lanes,
    space: &mut Workspace,
    sums: Sums,
) {
    let d = origin.len();
    let mut weight = [0.0; BLOCK];
    let mut root = [0.0; BLOCK];
    let mut tile_sum = [0.0; TILE];
    for s in 0..BLOCK {
        weight[s] = sample_weights[s] * space.responsibilities[component][s];
        root[s] = weight[s].sqrt();
    }
    for weight in weight.as_chunks::<TILE>().0 {
        for s in 0..TILE {
            tile_sum[s] += weight[s];
        }
    }
    *sums.count += sum(&tile_sum);
    // u = sqrt(w) z, so that w z_i z_j = u_i u_j
    for (((u, x), &origin), first) in space.shifted.iter_mut().zip(&space.x).zip(origin).zip(sums.first) {
        for s in 0..BLOCK {
            u[s] = root[s] * (x[s] - origin);
        }
        *first += dot::<FMA>(u, &root);
    }
    if sums.second.len() == d {
        for (u, second) in space.shifted.iter().zip(sums.second) {
            *second += dot::<FMA>(u, u);
        }
        return;
    }
    for rows in (0..d).step_by(ROWS) {
        for columns in (0..rows + ROWS).step_by(COLUMNS) {
            let products = products::<FMA>(&space.shifted, rows, columns);
            for (i, products) in (rows..d).zip(products) {
                for (j, product) in (columns..=i).zip(products) {
                    sums.second[i * (i + 1) / 2 + j] += product;
                }
            }
        }
    }
}

/// sum_s u_is u_js for some i and j.
#[inline(always)]
fn products<const FMA: bool>(u: &[Lanes], rows: usize, columns: usize) -> [[f64; COLUMNS]; ROWS] {
    let (left, right): (&[Lanes; ROWS], &[Lanes; COLUMNS]) = (
        u[rows..].first_chunk().expect("rows up to a multiple of 4"),
        u[columns..].first_chunk().expect("columns within them"),
    );
    let mut sums = [[[0.0; WIDTH]; COLUMNS]; ROWS];
    for s in (0..BLOCK).step_by(WIDTH) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                for lane in 0..WIDTH {
                    sums[i][j][lane] =
                        multiply_add::<FMA>(left[i][s + lane], right[j][s + lane], sums[i][j][lane]);
                }
            }
        }
    }
    sums.map(|row| row.map(|lanes| (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])))
}
