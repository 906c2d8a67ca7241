//! A fused capsule layer in f32: the forward pass from poses and transforms to the parents, and its gradient.
//!
//! [`Kernel::new`] prepares a layer for a [`LayerShape`]. [`Kernel::forward`] maps a [`LayerInput`] to a [`LayerOutput`], and
//! [`Kernel::backward`] computes the [`LayerGradient`].
//!
//! The results are those of [`super::CapsuleLayer`], which computes in f64, equation by equation. In the fused layer, one thread
//! computes, routes and drops the votes of one output position. Votes are never written to main memory; the gradient computes them
//! again.
//!
//! | what | why |
//! |---|---|
//! | sixteen parents side by side, the last sixteen padded and masked | only the softmax sums across a vector |
//! | eight children at a time: E-step, then their part of the next M-step | their votes are still in the first-level cache |
//! | sums of R a (V - mu_before) and R a (V - mu_before)^2 | mean and variance in the same pass, without cancellation |
//! | one source, generic over the instruction set | is compiled for AVX-512 and for AVX2 with FMA (the same bits), for WebAssembly and for any processor |
//! | chunks of positions, merged in order | the same bits for any number of threads |
//!
//! With [`RoutingOptions::default`], all results are finite for votes, activations and betas up to 1e8 in size. Gradients are
//! clamped so that their products do not overflow.

mod check;
mod lanes;
mod position;

pub(crate) use self::check::check_numbers;
use self::check::{check_length, largest};
use self::lanes::{from_lanes, from_tiles, in_lanes, to_lanes, to_tiles};
use self::position::{Backward, Forward, Found, Limits, ParameterSums, Parameters, Plan, Space};
use super::layer::Places;
use super::{Competition, ELEMENTS, Reach, RoutingOptions, RoutingStart, SIDE};
pub use crate::compute::simd::InstructionSet;
use crate::compute::simd::{WIDTH, ZEROS};
use crate::compute::{Team, for_each_chunk, gather, message_of_fields, sum_over_ranks};
use crate::error::{Error, Result};

/// The smallest number of chunks for the threads to share. If there are fewer images, each image is split.
const CHUNKS: usize = 8;

message_of_fields!(ParameterSums { transforms, beta_v, beta_a });

/// The sizes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Images in the batch.
    pub images: usize,
    /// The number of rows of positions in the layer below.
    pub height: usize,
    /// The number of columns of positions in the layer below.
    pub width: usize,
    /// The number of capsules at each position of the layer below.
    pub capsules: usize,
    /// The number of parents at each output position.
    pub parents: usize,
    /// Which capsules below vote for a parent.
    pub reach: Reach,
}

/// The input and the parameters of a layer, flat in the order of the shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerInput<'a> {
    /// The poses below, images x height x width x capsules x 16. Each pose is a 4 x 4 matrix, row by row.
    pub poses: &'a [f32],
    /// The activations below, images x height x width x capsules. None is negative.
    pub activations: &'a [f32],
    /// The transforms W, children x parents x 4 x 4 as in [`super::CapsuleLayer`].
    pub transforms: &'a [f32],
    /// beta_v, one number for each parent.
    pub beta_v: &'a [f32],
    /// beta_a, one number for each parent.
    pub beta_a: &'a [f32],
}

/// The parents' poses and activations, flat in the order of the shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOutput {
    /// The parents' poses, images x rows x columns x parents x 16.
    pub poses: Vec<f32>,
    /// The parents' activations, images x rows x columns x parents.
    pub activations: Vec<f32>,
}

/// The routing results of a forward pass at each position, kept for [`Kernel::backward_kept`].
#[derive(Debug, Clone)]
pub struct Kept {
    shape: LayerShape,
    /// The results by image, row and column, then by iteration.
    positions: Vec<Vec<Found>>,
}

impl Kept {
    /// Checks that the results belong to this shape and number of iterations.
    fn check(&self, shape: &LayerShape, plan: &Plan) -> Result<()> {
        let sizes = |shape: &LayerShape, iterations: usize| {
            let LayerShape { images, height, width, capsules, parents, reach } = *shape;
            let (size, stride) = match reach {
                Reach::Neighbourhood { size, stride } => (size, stride),
                Reach::Everywhere => (0, 0),
            };
            vec![images, height, width, capsules, parents, size, stride, iterations]
        };
        let expected = sizes(shape, plan.inverse_temperatures.len());
        let found = sizes(&self.shape, self.positions[0].len());
        if found == expected { Ok(()) } else { Err(Error::Shape { name: "what is kept", expected, found }) }
    }
}

/// Gradients with respect to the parts of a [`LayerInput`], with the same shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerGradient {
    /// The gradient of the poses below.
    pub d_poses: Vec<f32>,
    /// The gradient of the activations below.
    pub d_activations: Vec<f32>,
    /// The gradient of the transforms.
    pub d_transforms: Vec<f32>,
    /// The gradient of beta_v.
    pub d_beta_v: Vec<f32>,
    /// The gradient of beta_a.
    pub d_beta_a: Vec<f32>,
}

/// A layer prepared for a shape and routing options.
#[derive(Debug, Clone)]
pub struct Kernel {
    shape: LayerShape,
    /// Rows and columns of the neighbourhood.
    tiles: (usize, usize),
    stride: usize,
    /// Rows and columns of the parents' grid.
    grid: (usize, usize),
    plan: Plan,
    threads: usize,
    instructions: InstructionSet,
}

/// The gradients of the poses and the activations of some capsules below.
type Below = (Vec<f32>, Vec<f32>);

/// A chunk of work: the positions of one image in some rows of the grid.
struct Chunk {
    image: usize,
    rows: std::ops::Range<usize>,
}

impl Kernel {
    /// Prepares a kernel for a shape and options. `threads` is the number of threads (0: one per core).
    ///
    /// # Errors
    ///
    /// Returns an error if a size is 0, if the neighbourhood is larger than the layer, if an option is out of its range, or if only
    /// the reference supports an option: [`Competition::AllPositions`] or [`RoutingStart::Parents`].
    pub fn new(shape: LayerShape, options: &RoutingOptions, threads: usize) -> Result<Kernel> {
        let LayerShape { images, height, width, capsules, parents, reach } = shape;
        for (size, what) in [
            (images, "images"),
            (height, "rows"),
            (width, "columns"),
            (capsules, "capsules"),
            (parents, "parents"),
            (options.iterations, "iterations"),
        ] {
            if size == 0 {
                return Err(Error::Empty { what });
            }
        }
        options.check()?;
        if options.competition == Competition::AllPositions {
            return Err(Error::OnlyReference { option: "Competition::AllPositions" });
        }
        let first_responsibility = match options.start {
            RoutingStart::Uniform => 1.0 / parents as f32,
            RoutingStart::One => 1.0,
            RoutingStart::Parents(_) => {
                return Err(Error::OnlyReference { option: "RoutingStart::Parents" });
            }
        };
        let Places { tiles, stride, grid } = reach.places(height, width)?;
        let children = tiles.0 * tiles.1 * capsules;
        let blocks = parents.div_ceil(WIDTH);
        let lambda = |iteration| options.inverse_temperature.at(iteration, options.iterations) as f32;
        let plan = Plan {
            children,
            parents,
            blocks,
            transforms: if reach == Reach::Everywhere { capsules } else { children },
            coordinates: (reach == Reach::Everywhere && options.coordinate_addition)
                .then_some((height, width)),
            inverse_temperatures: (0..options.iterations).map(lambda).collect(),
            first_responsibility,
            normalise_costs: options.normalise_costs,
            cost_scale: options.cost_scale.factor(children, parents) as f32,
            deviation_epsilon: options.deviation_epsilon as f32,
            cost_epsilon: options.cost_epsilon as f32,
            activation_epsilon: options.activation_epsilon as f32,
            mass_epsilon: options.mass_epsilon as f32,
            variance_floor: options.variance_floor as f32,
            mean_damping: options.mean_damping as f32,
            stop_gradient: options.stop_gradient_at_responsibilities,
            mask: in_lanes(&vec![1.0; parents]),
        };
        for (name, number) in
            [("mass_epsilon", options.mass_epsilon), ("variance_floor", options.variance_floor)]
        {
            if number > 0.0 && number as f32 == 0.0 {
                let expected = "0 or at least 1e-45, since the fused kernel computes in f32";
                return Err(Error::Setting { name, expected, value: number });
            }
        }
        if let Some((name, number)) = plan.first_infinite() {
            let expected = "at most 3e38, since the fused kernel computes in f32";
            return Err(Error::Setting { name, expected, value: f64::from(number) });
        }
        Ok(Kernel { shape, tiles, stride, grid, plan, threads, instructions: InstructionSet::detect() })
    }

    /// Returns the same kernel with another instruction set.
    pub fn with_instructions(self, instructions: InstructionSet) -> Kernel {
        Kernel { instructions, ..self }
    }

    /// Returns the rows and columns of the parents' grid.
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// Returns the number of transforms for each parent: the length of the first axis of W.
    pub fn transforms(&self) -> usize {
        self.plan.transforms
    }

    /// Computes the parents' poses and activations.
    ///
    /// # Errors
    ///
    /// Returns an error if a length does not fit the shape, if a number is not finite, or if an activation is negative. Also
    /// returns an error if a result is not finite, unless the options lead to 0 / 0 as described in [`RoutingOptions::blog`].
    pub fn forward(&self, input: &LayerInput) -> Result<LayerOutput> {
        Ok(self.forward_and(input, |_| ())?.0)
    }

    /// Runs [`Kernel::forward`] and keeps the routing results, so that [`Kernel::backward_kept`] need not compute them again. They
    /// take 5.4 KiB for each sixteen parents of a position and each iteration.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::forward`].
    pub fn forward_keeping(&self, input: &LayerInput) -> Result<(LayerOutput, Kept)> {
        let (output, positions) = self.forward_and(input, Space::keep)?;
        Ok((output, Kept { shape: self.shape, positions }))
    }

    /// Runs the forward pass and also returns the result of `keep` at each position.
    fn forward_and<K: Send + Clone + Default>(
        &self,
        input: &LayerInput,
        keep: impl Fn(&Space) -> K + Sync,
    ) -> Result<(LayerOutput, Vec<K>)> {
        self.check(input)?;
        let parameters = self.parameters(input, largest(input.poses));
        let (positions, parents) = (self.shape.images * self.grid.0 * self.grid.1, self.plan.parents);
        let mut poses = vec![0.0; positions * parents * ELEMENTS];
        let mut activations = vec![0.0; positions * parents];
        let mut kept = vec![K::default(); positions];
        let images = self.shape.images;
        let chunks = self.chunks(&(0..images).collect::<Vec<_>>(), images);
        // each chunk with its part of the outputs
        let (mut all_poses, mut all_activations, mut all_kept) =
            (&mut poses[..], &mut activations[..], &mut kept[..]);
        let chunks = chunks.into_iter().map(|chunk| {
            let positions = chunk.rows.len() * self.grid.1;
            let poses =
                all_poses.split_off_mut(..positions * parents * ELEMENTS).expect("as long as all chunks");
            let activations =
                all_activations.split_off_mut(..positions * parents).expect("as long as all chunks");
            let kept = all_kept.split_off_mut(..positions).expect("as long as all chunks");
            (chunk, poses, activations, kept)
        });
        let work =
            |space: &mut Space,
             (chunk, poses, activations, kept): (Chunk, &mut [f32], &mut [f32], &mut [K])| {
                let outputs =
                    poses.chunks_exact_mut(parents * ELEMENTS).zip(activations.chunks_exact_mut(parents));
                for (((row, column), (poses, activations)), kept) in
                    self.positions(&chunk).zip(outputs).zip(kept)
                {
                    self.gather(input, chunk.image, row, column, space);
                    self.instructions.run(Forward { plan: &self.plan, parameters: &parameters, space });
                    let (tiles, lanes): (Vec<_>, Vec<_>) = space.parents().unzip();
                    from_tiles(&tiles, poses);
                    from_lanes(&lanes, activations);
                    *kept = keep(space);
                }
                Ok(())
            };
        for_each_chunk(chunks, self.threads, || Space::new(&self.plan, false), work)?;
        self.check_result(input, &[("poses above", &poses), ("activations above", &activations)])?;
        Ok((LayerOutput { poses, activations }, kept))
    }

    /// Checks that the results are finite. If not, the error names an input number that is too large.
    fn check_result(&self, input: &LayerInput, results: &[(&'static str, &[f32])]) -> Result<()> {
        let is_finite = |numbers: &[f32]| numbers.iter().fold(true, |good, number| good & number.is_finite());
        let Some((name, numbers)) = results.iter().find(|(_, numbers)| !is_finite(numbers)) else {
            return Ok(());
        };
        const PROMISED: f32 = 1e8;
        let (pose, transform) = (largest(input.poses), largest(input.transforms));
        // Votes are sums of four products.
        let (poses, transforms) = match 4.0 * pose * transform > PROMISED {
            true if pose > transform => (pose, f32::INFINITY),
            true => (f32::INFINITY, transform),
            false => (f32::INFINITY, f32::INFINITY),
        };
        let votes = "smaller: votes, the products of poses and transforms, may be up to 1e8 in size";
        let LayerShape { images, height, width, capsules, parents, .. } = self.shape;
        let below = [images, height, width, capsules, ELEMENTS];
        check_numbers("poses", &below, input.poses, votes, |pose| pose.abs() < poses)?;
        let shape = [self.plan.transforms, parents, SIDE, SIDE];
        check_numbers("transforms", &shape, input.transforms, votes, |w| w.abs() < transforms)?;
        let within = "within 1e8 of 0";
        check_numbers("activations", &below[..4], input.activations, within, |a| a <= PROMISED)?;
        check_numbers("beta_v", &[parents], input.beta_v, within, |beta| beta.abs() <= PROMISED)?;
        check_numbers("beta_a", &[parents], input.beta_a, within, |beta| beta.abs() <= PROMISED)?;
        if self.plan.mass_epsilon == 0.0 || self.plan.variance_floor == 0.0 {
            return Ok(()); // 0 / 0, as documented
        }
        let expected = "finite: use smaller inputs, a larger variance_floor or, with normalised costs, a larger cost_epsilon";
        check_numbers(name, &[numbers.len()], numbers, expected, f32::is_finite)
    }

    /// Computes the gradient of a loss. `d_poses` and `d_activations` are the gradients of the parents, in the shapes of a
    /// [`LayerOutput`].
    ///
    /// Computes the forward pass again, position by position; [`Kernel::backward_kept`] avoids this and gives the same bits. Skips
    /// images whose gradient with respect to the parents is 0. Late in training, most images have a loss of 0 and are skipped.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::forward`], and an error if a gradient has another length, or if finite gradients give a
    /// result that is not finite. A NaN in the gradients is passed on; infinite numbers are clamped like other large numbers.
    pub fn backward(
        &self,
        input: &LayerInput,
        d_poses: &[f32],
        d_activations: &[f32],
    ) -> Result<LayerGradient> {
        self.backward_in_team(None, input, None, d_poses, d_activations)
    }

    /// Computes the gradient for a training step, as [`Kernel::backward`] does, from the results that [`Kernel::forward_keeping`]
    /// kept for the same input.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::backward`], and an error if `kept` is from a kernel of another shape.
    pub fn backward_kept(
        &self,
        input: &LayerInput,
        kept: &Kept,
        d_poses: &[f32],
        d_activations: &[f32],
    ) -> Result<LayerGradient> {
        self.backward_in_team(None, input, Some(kept), d_poses, d_activations)
    }

    /// Computes the gradient as [`Kernel::backward`] does, or as [`Kernel::backward_kept`] if there is something kept. If a team
    /// shares the images of a batch, the gradients of the parameters are those of all images, in the same bits as in one process.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::backward_kept`], and [`Error::OtherRank`] if another process fails in the sum.
    pub(crate) fn backward_in_team(
        &self,
        team: Option<&dyn Team>,
        input: &LayerInput,
        kept: Option<&Kept>,
        d_poses: &[f32],
        d_activations: &[f32],
    ) -> Result<LayerGradient> {
        self.check(input)?;
        let LayerShape { images, height, width, capsules, parents, .. } = self.shape;
        let (rows, columns) = self.grid;
        check_length("d_poses", &[images, rows, columns, parents, ELEMENTS], d_poses)?;
        check_length("d_activations", &[images, rows, columns, parents], d_activations)?;
        if let Some(kept) = kept {
            kept.check(&self.shape, &self.plan)?;
        }
        // the parents of one image
        let capsules_above = rows * columns * parents;
        let d_above =
            d_poses.chunks_exact(capsules_above * ELEMENTS).zip(d_activations.chunks_exact(capsules_above));
        let is_pushed = |(d_poses, d_activations): (&[f32], &[f32])| {
            d_poses.iter().chain(d_activations).any(|&d| d != 0.0)
        };
        let pushed: Vec<usize> =
            d_above.enumerate().filter(|&(_, d)| is_pushed(d)).map(|(image, _)| image).collect();
        // what the sums below depend on besides this process's images
        let own = (pushed.len(), largest(input.poses));
        let all = team.map_or(Ok(vec![own]), |team| gather(team, Ok(own)))?;
        let (pushed_of_all, pose) =
            all.into_iter().fold((0, 0.0f32), |(count, pose), one| (count + one.0, pose.max(one.1)));
        let parameters = self.parameters(input, pose);
        let chunks = self.chunks(&pushed, pushed_of_all);
        let mut parts: Vec<Option<Below>> = chunks.iter().map(|_| None).collect();
        let row_length = width * capsules;
        // the first capsule of a chunk's part of the layer below
        let first_capsule =
            |chunk: &Chunk| (chunk.image * height + chunk.rows.start * self.stride) * row_length;
        let sums = sum_over_ranks(
            team,
            chunks.iter().zip(&mut parts).collect(),
            self.threads,
            || Space::new(&self.plan, true),
            |space, (chunk, part)| {
                let mut sums = ParameterSums::new(&self.plan);
                let capsules_below = ((chunk.rows.len() - 1) * self.stride + self.tiles.0) * row_length;
                let mut below = (vec![0.0; capsules_below * ELEMENTS], vec![0.0; capsules_below]);
                for (row, column) in self.positions(chunk) {
                    self.gather(input, chunk.image, row, column, space);
                    let position = (chunk.image * rows + row) * columns + column;
                    match kept {
                        Some(kept) => space.restore(&kept.positions[position]),
                        None => self.instructions.run(Forward {
                            plan: &self.plan,
                            parameters: &parameters,
                            space,
                        }),
                    }
                    let parent = position * parents;
                    let d_parents = &d_poses[parent * ELEMENTS..][..parents * ELEMENTS];
                    to_tiles(d_parents, parents, &mut space.d_parent_poses);
                    to_lanes(&d_activations[parent..][..parents], &mut space.d_parent_activations);
                    let (parameters, sums) = (&parameters, &mut sums);
                    self.instructions.run(Backward { plan: &self.plan, parameters, space, sums });
                    self.scatter(row - chunk.rows.start, column, space, &mut below);
                }
                *part = Some(below);
                Ok(sums)
            },
            |all, more| all.merge(&more),
        )?;
        let sums = sums.unwrap_or_else(|| ParameterSums::new(&self.plan));
        let parts = chunks.iter().map(first_capsule).zip(parts.into_iter().flatten());
        let gradient = self.assemble(input, &sums, parts);
        if d_poses.iter().chain(d_activations).fold(true, |good, d| good & d.is_finite()) {
            self.check_gradient(input, &gradient)?;
        }
        Ok(gradient)
    }

    /// Checks that a gradient is finite, as [`Kernel::check_result`] does.
    fn check_gradient(&self, input: &LayerInput, gradient: &LayerGradient) -> Result<()> {
        let results: [(&'static str, &[f32]); 5] = [
            ("the gradient of the poses", &gradient.d_poses),
            ("the gradient of the activations", &gradient.d_activations),
            ("the gradient of the transforms", &gradient.d_transforms),
            ("the gradient of beta_v", &gradient.d_beta_v),
            ("the gradient of beta_a", &gradient.d_beta_a),
        ];
        self.check_result(input, &results)
    }

    /// Assembles the gradient from the sums over positions and the parts of the gradient of the layer below. Each part comes with
    /// its first capsule.
    fn assemble(
        &self,
        input: &LayerInput,
        sums: &ParameterSums,
        parts: impl Iterator<Item = (usize, Below)>,
    ) -> LayerGradient {
        let parents = self.shape.parents;
        // parts of one image overlap if their neighbourhoods overlap
        let (mut d_poses, mut d_activations) =
            (vec![0.0; input.poses.len()], vec![0.0; input.activations.len()]);
        for (first, (part_of_poses, part_of_activations)) in parts {
            let pairs = d_poses[first * ELEMENTS..].iter_mut().zip(part_of_poses);
            pairs.for_each(|(all, more)| *all += more);
            let pairs = d_activations[first..].iter_mut().zip(part_of_activations);
            pairs.for_each(|(all, more)| *all += more);
        }
        let mut d_transforms = vec![0.0; input.transforms.len()];
        let tiles = sums.transforms.chunks_exact(self.plan.blocks);
        d_transforms
            .chunks_exact_mut(parents * ELEMENTS)
            .zip(tiles)
            .for_each(|(numbers, tiles)| from_tiles(tiles, numbers));
        let (mut d_beta_v, mut d_beta_a) = (vec![0.0; parents], vec![0.0; parents]);
        from_lanes(&sums.beta_v, &mut d_beta_v);
        from_lanes(&sums.beta_a, &mut d_beta_a);
        LayerGradient { d_poses, d_activations, d_transforms, d_beta_v, d_beta_a }
    }

    /// Divides these images into chunks: one for each image, or several if `all`, the number of images in all processes, is small.
    /// The chunks do not depend on the number of threads.
    fn chunks(&self, images: &[usize], all: usize) -> Vec<Chunk> {
        let rows = self.grid.0;
        let parts = CHUNKS.div_ceil(all.max(1)).min(rows);
        let part =
            |image: usize, at: usize| Chunk { image, rows: rows * at / parts..rows * (at + 1) / parts };
        images.iter().flat_map(|&image| (0..parts).map(move |at| part(image, at))).collect()
    }

    fn positions(&self, chunk: &Chunk) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.grid.1;
        chunk.rows.clone().flat_map(move |row| (0..columns).map(move |column| (row, column)))
    }

    /// Yields the runs of capsules that are contiguous both in the layer below and among the children: (first capsule below, first
    /// child, length).
    fn runs(&self, row: usize, column: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let (width, capsules) = (self.shape.width, self.shape.capsules);
        let (first, run) = (row * self.stride * width + column * self.stride, self.tiles.1 * capsules);
        (0..self.tiles.0).map(move |tile| ((first + tile * width) * capsules, tile * run, run))
    }

    fn gather(&self, input: &LayerInput, image: usize, row: usize, column: usize, space: &mut Space) {
        let image = image * self.shape.height * self.shape.width * self.shape.capsules;
        let poses = input.poses.as_chunks::<ELEMENTS>().0;
        for (below, child, count) in self.runs(row, column) {
            space.poses[child..][..count].copy_from_slice(&poses[image + below..][..count]);
            space.activations[child..][..count].copy_from_slice(&input.activations[image + below..][..count]);
        }
    }

    /// Adds the gradient of each child to the gradient of its capsule below. `row` counts from the first row of the chunk.
    fn scatter(&self, row: usize, column: usize, space: &Space, below: &mut Below) {
        for (capsule, child, count) in self.runs(row, column) {
            let from = space.d_poses[child..][..count].as_flattened();
            let to = &mut below.0[capsule * ELEMENTS..][..count * ELEMENTS];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            let (from, to) = (&space.d_activations[child..][..count], &mut below.1[capsule..][..count]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }

    /// Lays out the parameters for the vector code. `largest_pose` is the largest pose in size of all processes.
    fn parameters(&self, input: &LayerInput, largest_pose: f32) -> Parameters {
        let (parents, blocks) = (self.plan.parents, self.plan.blocks);
        let mut transforms = vec![ZEROS; self.plan.transforms * blocks];
        let numbers = input.transforms.chunks_exact(parents * ELEMENTS);
        for (tiles, numbers) in transforms.chunks_exact_mut(blocks).zip(numbers) {
            to_tiles(numbers, parents, tiles);
        }
        let limits = Limits::new(&self.plan, largest_pose, largest(input.transforms));
        Parameters { transforms, beta_v: in_lanes(input.beta_v), beta_a: in_lanes(input.beta_a), limits }
    }

    fn check(&self, input: &LayerInput) -> Result<()> {
        let LayerShape { images, height, width, capsules, parents, .. } = self.shape;
        let poses = [images, height, width, capsules, ELEMENTS];
        check_numbers("poses", &poses, input.poses, "finite", f32::is_finite)?;
        check_numbers("activations", &poses[..4], input.activations, "finite and not negative", |a| {
            (0.0..f32::INFINITY).contains(&a)
        })?;
        let transforms = [self.plan.transforms, parents, SIDE, SIDE];
        check_numbers("transforms", &transforms, input.transforms, "finite", f32::is_finite)?;
        check_numbers("beta_v", &[parents], input.beta_v, "finite", f32::is_finite)?;
        check_numbers("beta_a", &[parents], input.beta_a, "finite", f32::is_finite)
    }
}
