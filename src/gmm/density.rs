//! The two inner loops of EM for mixtures: log-densities with responsibilities, and weighted moments. Both process a
//! block of samples, one lane per sample.

use crate::compute::simd::{
    BLOCK, Chunk, F64s, InstructionSet, Lanes, Plain, Simd, TILE, Vector, WithSimd, ZERO_LANES, dot, exp_f64,
    load_tile, tiles_mut, transpose,
};

/// A model prepared for the E-step.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) components: usize,
    pub(super) dimensions: usize,
    /// mu_k, the means, k x d.
    pub(super) means: Vec<f64>,
    pub(super) whitening: Whitening,
    /// log pi_k - d/2 log 2 pi - log det L_k, k.
    pub(super) log_constants: Vec<f64>,
}

/// The transformations that turn x - mu_k into uncorrelated numbers of variance 1.
#[derive(Debug, Clone)]
pub(super) enum Whitening {
    /// W_k = L_k^-1 with L_k L_k^T the covariance: lower triangular, k x d x d.
    Full(Vec<f64>),
    /// 1 / sigma_kj, k x d.
    Diagonal(Vec<f64>),
}

impl Whitening {
    /// Returns log det W_k = - log det L_k.
    pub(super) fn log_determinant(&self, component: usize, dimensions: usize) -> f64 {
        let d = dimensions;
        match self {
            Whitening::Full(all) => (0..d).map(|i| all[(component * d + i) * d + i].ln()).sum(),
            Whitening::Diagonal(all) => all[component * d..][..d].iter().map(|w| w.ln()).sum(),
        }
    }
}

/// The buffers and results for one block of samples.
pub(super) struct Workspace {
    /// The samples of the block, d x `BLOCK` lanes.
    pub(super) x: Vec<Lanes>,
    /// The number of samples in the block.
    samples: usize,
    /// x - mu of one component; in the M-step, also times the square root of the weights. Padded with zeros to a multiple
    /// of 4.
    shifted: Vec<Lanes>,
    /// First log pi_k p(x | k), later the responsibilities; one `Lanes` per component.
    pub(super) responsibilities: Vec<Lanes>,
    /// log p(x).
    log_density: Lanes,
}

impl Workspace {
    pub(super) fn new(components: usize, dimensions: usize) -> Workspace {
        Workspace {
            x: vec![ZERO_LANES; dimensions],
            samples: 0,
            shifted: vec![ZERO_LANES; dimensions.next_multiple_of(ROWS)],
            responsibilities: vec![ZERO_LANES; components],
            log_density: ZERO_LANES,
        }
    }

    /// Loads up to `BLOCK` rows; unused lanes repeat the last row.
    pub(super) fn load(&mut self, rows: &[f64]) {
        self.samples = rows.len() / self.x.len();
        transpose(Plain, rows, &mut self.x);
    }

    /// Loads up to `BLOCK` of the rows of a chunk; unused lanes repeat the last row.
    pub(super) fn load_rows(&mut self, rows: &[f64], indices: &[usize]) {
        let dimensions = self.x.len();
        if indices.is_sorted() && indices[indices.len() - 1] - indices[0] + 1 == indices.len() {
            return self.load(&rows[indices[0] * dimensions..][..indices.len() * dimensions]);
        }
        self.samples = indices.len();
        for lane in 0..BLOCK {
            let row = &rows[indices[lane.min(indices.len() - 1)] * dimensions..][..dimensions];
            self.x.iter_mut().zip(row).for_each(|(x, value)| x[lane] = *value);
        }
    }

    /// Returns the number of samples in the block.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Returns log p(x) of each sample.
    pub(super) fn log_density(&self) -> &[f64] {
        &self.log_density[..self.samples]
    }

    /// Returns r_k of each sample.
    pub(super) fn responsibilities(&self, component: usize) -> &[f64] {
        &self.responsibilities[component][..self.samples]
    }
}

/// The moments of one component, with z = x - origin and the weight w = (weight of the sample) r.
pub(super) struct Sums<'a> {
    /// sum w
    pub(super) count: &'a mut f64,
    /// sum w z, d
    pub(super) first: &'a mut [f64],
    /// sum w z_i z_j: the lower triangle row by row, or only the diagonal (d)
    pub(super) second: &'a mut [f64],
}

/// Runs the E-step of the loaded block: computes log-densities and responsibilities.
///
/// A sample that is impossible under every component gets a log-density of minus infinity or NaN.
pub(super) fn expectation(instructions: InstructionSet, model: &Prepared, space: &mut Workspace) {
    instructions.run(Expectation { model, space });
}

struct Expectation<'a> {
    model: &'a Prepared,
    space: &'a mut Workspace,
}

impl WithSimd for Expectation<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        expectation_body(simd, self.model, self.space);
    }
}

/// Adds the loaded block to the moments of a component, each sample with its weight times its responsibility.
pub(super) fn accumulate(
    instructions: InstructionSet,
    component: usize,
    origin: &[f64],
    sample_weights: &Lanes,
    space: &mut Workspace,
    sums: Sums,
) {
    instructions.run(Accumulation { component, origin, sample_weights, space, sums });
}

struct Accumulation<'a> {
    component: usize,
    origin: &'a [f64],
    sample_weights: &'a Lanes,
    space: &'a mut Workspace,
    sums: Sums<'a>,
}

impl WithSimd for Accumulation<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        accumulate_body(simd, self.component, self.origin, self.sample_weights, self.space, self.sums);
    }
}

/// ```text
/// log pi_k p(x | k) = log pi_k - d/2 log 2 pi - log det L_k - |y|^2 / 2,      y = W_k (x - mu_k)
/// r_k = exp(log pi_k p(x | k) - log p(x)),      log p(x) = log sum_k pi_k p(x | k)
/// ```
#[inline(always)]
fn expectation_body<S: Simd>(simd: S, model: &Prepared, space: &mut Workspace) {
    let d = model.dimensions;
    for component in 0..model.components {
        let mean = &model.means[component * d..][..d];
        let constant = model.log_constants[component];
        if let Whitening::Full(_) = model.whitening {
            for ((z, x), &mean) in space.shifted.iter_mut().zip(&space.x).zip(mean) {
                for (z, x) in z.iter_mut().zip(x) {
                    *z = x - mean;
                }
            }
        }
        for tile in 0..BLOCK / (TILE * S::F64_WIDTH) {
            let square = match &model.whitening {
                Whitening::Full(w) => {
                    full_square(simd, &w[component * d * d..][..d * d], &space.shifted[..d], tile)
                }
                Whitening::Diagonal(w) => {
                    diagonal_square(simd, &w[component * d..][..d], mean, &space.x, tile)
                }
            };
            let joint = &mut tiles_mut::<S>(&mut space.responsibilities[component])[tile];
            for t in 0..TILE {
                square[t].store(&mut joint[t]);
                for joint in joint[t].as_mut() {
                    // A square that overflows (or is NaN, since its parts overflow) means a density of 0.
                    *joint = if *joint < f64::INFINITY { constant - 0.5 * *joint } else { f64::NEG_INFINITY };
                }
            }
        }
    }
    normalise(simd, space);
}

/// Returns |W z|^2 of a tile. Takes two rows of W at a time: each loaded z is used twice, and eight sums run in parallel.
#[inline(always)]
fn full_square<S: Simd>(simd: S, w: &[f64], z: &[Lanes], tile: usize) -> [S::F64; TILE] {
    let d = z.len();
    let mut square = [simd.splat_f64(0.0); TILE];
    let mut i = 0;
    while i + 1 < d {
        let (upper, lower) = (&w[i * d..][..i + 1], &w[(i + 1) * d..][..i + 2]);
        let (mut y, mut next) = ([simd.splat_f64(0.0); TILE], [simd.splat_f64(0.0); TILE]);
        for ((z, &upper), &lower) in z.iter().zip(upper).zip(lower) {
            let (z, upper, lower) = (load_tile(simd, z, tile), simd.splat_f64(upper), simd.splat_f64(lower));
            for t in 0..TILE {
                y[t] = upper.multiply_add(z[t], y[t]);
                next[t] = lower.multiply_add(z[t], next[t]);
            }
        }
        let (z, last) = (load_tile(simd, &z[i + 1], tile), simd.splat_f64(lower[i + 1]));
        for t in 0..TILE {
            next[t] = last.multiply_add(z[t], next[t]);
            square[t] = y[t].multiply_add(y[t], square[t]);
            square[t] = next[t].multiply_add(next[t], square[t]);
        }
        i += 2;
    }
    if i < d {
        let mut y = [simd.splat_f64(0.0); TILE];
        for (z, &w) in z.iter().zip(&w[i * d..]) {
            let (z, w) = (load_tile(simd, z, tile), simd.splat_f64(w));
            for t in 0..TILE {
                y[t] = w.multiply_add(z[t], y[t]);
            }
        }
        for t in 0..TILE {
            square[t] = y[t].multiply_add(y[t], square[t]);
        }
    }
    square
}

/// Returns sum_j ((x_j - mu_j) / sigma_j)^2 of a tile.
#[inline(always)]
fn diagonal_square<S: Simd>(simd: S, w: &[f64], mean: &[f64], x: &[Lanes], tile: usize) -> [S::F64; TILE] {
    let mut square = [simd.splat_f64(0.0); TILE];
    for ((x, &mean), &w) in x.iter().zip(mean).zip(w) {
        let (x, mean, w) = (load_tile(simd, x, tile), simd.splat_f64(mean), simd.splat_f64(w));
        for t in 0..TILE {
            let y = (x[t] - mean) * w;
            square[t] = y.multiply_add(y, square[t]);
        }
    }
    square
}

/// Computes responsibilities and log-densities by log-sum-exp: subtracting the largest term first prevents underflow of
/// all terms and overflow of any term.
#[inline(always)]
pub(super) fn normalise<S: Simd>(simd: S, space: &mut Workspace) {
    let (joint, log_density) = (&mut space.responsibilities, &mut space.log_density);
    let mut largest = [f64::NEG_INFINITY; BLOCK];
    for joint in joint.iter() {
        for (largest, &joint) in largest.iter_mut().zip(joint) {
            *largest = if joint > *largest { joint } else { *largest };
        }
    }
    let mut total = [0.0; BLOCK];
    for joint in joint.iter_mut() {
        for ((joint, &largest), total) in joint.iter_mut().zip(&largest).zip(&mut total) {
            *joint = exp_f64(simd, *joint - largest);
            *total += *joint;
        }
    }
    for ((log_density, largest), total) in log_density.iter_mut().zip(largest).zip(&mut total) {
        *log_density = largest + total.ln();
        *total = 1.0 / *total;
    }
    for joint in joint.iter_mut() {
        for (joint, total) in joint.iter_mut().zip(&total) {
            *joint *= total;
        }
    }
}

/// The size of a block of products, whose sums stay in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 2;

#[inline(always)]
fn accumulate_body<S: Simd>(
    simd: S,
    component: usize,
    origin: &[f64],
    sample_weights: &Lanes,
    space: &mut Workspace,
    sums: Sums,
) {
    let d = origin.len();
    let responsibilities = &space.responsibilities[component];
    *sums.count += dot(simd, sample_weights, responsibilities);
    let mut root = ZERO_LANES;
    let weights = sample_weights.iter().zip(responsibilities);
    for (root, (weight, responsibility)) in root.iter_mut().zip(weights) {
        *root = (weight * responsibility).sqrt();
    }
    // u = sqrt(w) z, so that w z_i z_j = u_i u_j
    for (((u, x), &origin), first) in space.shifted.iter_mut().zip(&space.x).zip(origin).zip(sums.first) {
        for ((u, x), root) in u.iter_mut().zip(x).zip(&root) {
            *u = root * (x - origin);
        }
        *first += dot(simd, u, &root);
    }
    if sums.second.len() == d {
        for (u, second) in space.shifted.iter().zip(sums.second) {
            *second += dot(simd, u, u);
        }
        return;
    }
    for rows in (0..d).step_by(ROWS) {
        for columns in (0..rows + ROWS).step_by(COLUMNS) {
            let products = products(simd, &space.shifted, space.samples, rows, columns);
            for (i, products) in (rows..d).zip(products) {
                for (j, product) in (columns..=i).zip(products) {
                    sums.second[i * (i + 1) / 2 + j] += product;
                }
            }
        }
    }
}

/// Returns sum_s u_is u_js for a block of ROWS x COLUMNS pairs (i, j).
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    u: &[Lanes],
    samples: usize,
    rows: usize,
    columns: usize,
) -> [[f64; COLUMNS]; ROWS] {
    let left: &[Lanes; ROWS] = u[rows..].first_chunk().expect("rows up to a multiple of 4");
    let right: &[Lanes; COLUMNS] = u[columns..].first_chunk().expect("columns within them");
    let mut sums = [[simd.splat_f64(0.0); COLUMNS]; ROWS];
    for s in 0..samples.div_ceil(S::F64_WIDTH).min(BLOCK / S::F64_WIDTH) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                let (left, right) = (&S::F64Array::all(&left[i])[s], &S::F64Array::all(&right[j])[s]);
                sums[i][j] = simd.load_f64(left).multiply_add(simd.load_f64(right), sums[i][j]);
            }
        }
    }
    // Plain loops, because a closure is a separate function that may be compiled without these instructions.
    let mut totals = [[0.0; COLUMNS]; ROWS];
    for i in 0..ROWS {
        for j in 0..COLUMNS {
            totals[i][j] = sums[i][j].sum();
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: usize) -> f64 {
        ((i as u64 * 2654435761) % 1009) as f64 / 500.0 - 1.0
    }

    /// A model with means in [-1, 1] and whitening matrices near the identity.
    fn model(components: usize, dimensions: usize, full: bool) -> Prepared {
        let (k, d) = (components, dimensions);
        let whitening = if full {
            Whitening::Full(
                (0..k * d * d).map(|i| number(i) / 2.0 + f64::from(u8::from(i % (d + 1) == 0))).collect(),
            )
        } else {
            Whitening::Diagonal((0..k * d).map(|i| 1.2 + number(i)).collect())
        };
        let means = (0..k * d).map(|i| number(i + 99)).collect();
        Prepared { components, dimensions, means, whitening, log_constants: (0..k).map(number).collect() }
    }

    fn close(found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(error <= 1e-12 * expected.abs().max(1.0), "{found} instead of {expected}");
    }

    #[test]
    fn every_instruction_set_matches_the_formulas_of_the_e_step_and_the_sums() {
        for instructions in InstructionSet::all() {
            for samples in 1..=67 {
                for (k, d, full) in
                    [(1, 1, true), (3, 2, true), (2, 5, true), (5, 7, true), (4, 8, true), (3, 6, false)]
                {
                    let model = model(k, d, full);
                    let rows: Vec<f64> = (0..samples * d).map(|i| number(i + 5)).collect();
                    for block in rows.chunks(BLOCK * d) {
                        check(instructions, &model, block);
                    }
                }
            }
        }
    }

    fn check(instructions: InstructionSet, model: &Prepared, rows: &[f64]) {
        let (k, d) = (model.components, model.dimensions);
        let samples = rows.len() / d;
        let mut space = Workspace::new(k, d);
        // nothing of an earlier block may remain
        space.load(&vec![3.0; BLOCK * d]);
        expectation(instructions, model, &mut space);
        space.load(rows);
        expectation(instructions, model, &mut space);
        let mut weights = ZERO_LANES;
        weights[..samples].iter_mut().enumerate().for_each(|(s, w)| *w = 0.5 + s as f64);
        for component in 0..k {
            let mean = &model.means[component * d..][..d];
            let log_joint = |row: &[f64], component: usize| -> f64 {
                let mean = &model.means[component * d..][..d];
                let z: Vec<f64> = row.iter().zip(mean).map(|(x, m)| x - m).collect();
                let y = |i: usize| -> f64 {
                    match &model.whitening {
                        Whitening::Full(w) => (0..=i).map(|j| w[(component * d + i) * d + j] * z[j]).sum(),
                        Whitening::Diagonal(w) => w[component * d + i] * z[i],
                    }
                };
                model.log_constants[component] - 0.5 * (0..d).map(|i| y(i) * y(i)).sum::<f64>()
            };
            let (mut count, mut first, mut second) = (0.0, vec![0.0; d], vec![0.0; d * (d + 1) / 2]);
            for (s, row) in rows.chunks(d).enumerate() {
                let density: f64 = (0..k).map(|component| log_joint(row, component).exp()).sum();
                let r = log_joint(row, component).exp() / density;
                close(space.log_density()[s], density.ln());
                close(space.responsibilities(component)[s], r);
                let w = r * (0.5 + s as f64);
                count += w;
                for i in 0..d {
                    first[i] += w * (row[i] - mean[i]);
                    for j in 0..=i {
                        second[i * (i + 1) / 2 + j] += w * (row[i] - mean[i]) * (row[j] - mean[j]);
                    }
                }
            }
            for products in [true, false] {
                let expected: Vec<f64> = match products {
                    true => second.clone(),
                    false => (0..d).map(|i| second[i * (i + 3) / 2]).collect(),
                };
                let (mut found, mut moments, mut products) = (0.0, vec![0.0; d], vec![0.0; expected.len()]);
                let sums = Sums { count: &mut found, first: &mut moments, second: &mut products };
                accumulate(instructions, component, mean, &weights, &mut space, sums);
                close(found, count);
                moments.iter().zip(&first).for_each(|(&found, &expected)| close(found, expected));
                products.iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected));
            }
        }
    }

    #[test]
    fn log_densities_stay_exact_where_densities_underflow() {
        let model = Prepared {
            components: 2,
            dimensions: 1,
            means: vec![0.0, 1.0],
            whitening: Whitening::Full(vec![1.0, 1.0]),
            log_constants: vec![0.5f64.ln(); 2],
        };
        for instructions in InstructionSet::all() {
            let mut space = Workspace::new(2, 1);
            space.load(&[1001.0, -1000.0]);
            expectation(instructions, &model, &mut space);
            close(space.log_density()[0], -500_000.0 + 0.5f64.ln());
            close(space.log_density()[1], -500_000.0 + 0.5f64.ln());
            assert_eq!((space.responsibilities(0)[0], space.responsibilities(1)[0]), (0.0, 1.0));
        }
    }

    #[test]
    fn impossible_samples_have_no_finite_log_density() {
        let model = model(2, 2, true);
        for instructions in InstructionSet::all() {
            let mut space = Workspace::new(2, 2);
            space.load(&[1e200, -1e200]);
            expectation(instructions, &model, &mut space);
            assert!(!space.log_density()[0].is_finite());
        }
    }
}
