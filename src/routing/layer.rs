//! Capsule layers: patches of the layer below, votes, coordinate addition, routing, and the gradient through all of these.

use ndarray::{Array1, Array2, Array3, Array4, Array5};

use super::{
    Routing, RoutingGradient, RoutingInput, RoutingOptions, check_activations, check_finite, check_shape,
};
use crate::error::{Error, Result};

/// The number of rows, and of columns, of a pose matrix.
pub const SIDE: usize = 4;

/// The number of elements of a pose matrix.
pub const ELEMENTS: usize = SIDE * SIDE;

/// The capsules of a layer: for each image, a grid of positions with several capsules at each.
#[derive(Debug, Clone, PartialEq)]
pub struct Capsules {
    /// The poses, images x height x width x capsules x 16. Each pose is a 4 x 4 matrix, row by row.
    pub poses: Array5<f64>,
    /// The activations, images x height x width x capsules. None is negative.
    pub activations: Array4<f64>,
}

/// Which capsules below vote for a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The capsules of a neighbourhood of size x size positions (tiles). Each tile has its own transforms. Parents are `stride`
    /// positions apart. There is no padding: each neighbourhood lies inside the layer below.
    Neighbourhood {
        /// K, the side of the neighbourhood.
        size: usize,
        /// The distance between neighbouring parents, in positions of the layer below.
        stride: usize,
    },
    /// All capsules of the image, as in the class layer. There is one position of parents. All positions share their
    /// transforms, and [`add_coordinates`] adds the position of each child to its votes, unless
    /// [`RoutingOptions::coordinate_addition`] is false.
    Everywhere,
}

/// Where the neighbourhoods lie in the layer below.
pub(super) struct Places {
    /// The rows and columns of a neighbourhood.
    pub tiles: (usize, usize),
    /// The distance between neighbouring parents, in positions of the layer below.
    pub stride: usize,
    /// The rows and columns of the parents' grid.
    pub grid: (usize, usize),
}

impl Reach {
    /// Returns where the neighbourhoods lie in a layer of `height` x `width` positions.
    ///
    /// # Errors
    ///
    /// Returns an error if the neighbourhood has size or stride 0 or is larger than the layer.
    pub(super) fn places(self, height: usize, width: usize) -> Result<Places> {
        let (tiles, stride) = match self {
            Reach::Neighbourhood { size, stride } => ((size, size), stride),
            Reach::Everywhere => ((height, width), 1),
        };
        for (name, number) in [("the neighbourhood's size", tiles.0), ("the neighbourhood's stride", stride)]
        {
            if number == 0 {
                return Err(Error::Setting { name, expected: "at least 1", value: 0.0 });
            }
        }
        if tiles.0 > height || tiles.1 > width {
            return Err(Error::NeighbourhoodTooLarge { size: tiles.0, height, width });
        }
        let grid = ((height - tiles.0) / stride + 1, (width - tiles.1) / stride + 1);
        Ok(Places { tiles, stride, grid })
    }
}

/// The children of each position of parents, gathered from the layer below.
///
/// Positions are ordered by image, row and column of the parents. Children are ordered by tile (row by row of the
/// neighbourhood) and then by capsule.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// The poses of the children, positions x children x 16.
    pub poses: Array3<f64>,
    /// The activations of the children, positions x children.
    pub activations: Array2<f64>,
    /// The index of each child's capsule in the layer below (images x height x width x capsules, flat), positions x children.
    pub capsules: Array2<usize>,
    /// Height and width of the grid of parents.
    pub grid: (usize, usize),
    /// The shape of the layer below: images, height, width, capsules.
    pub below: [usize; 4],
}

impl Capsules {
    fn check(&self) -> Result<()> {
        let (images, height, width, capsules, _) = self.poses.dim();
        check_shape("the poses", &[images, height, width, capsules, ELEMENTS], self.poses.shape())?;
        check_shape("the activations", &[images, height, width, capsules], self.activations.shape())?;
        if self.activations.is_empty() {
            return Err(Error::Empty { what: "capsules" });
        }
        check_finite("poses", &self.poses)?;
        check_activations("activations", &self.activations)
    }

    /// Gathers the children of each position of parents.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no capsules, if shapes do not fit, if a number is not finite, if an activation is negative,
    /// or if the neighbourhood has size or stride 0 or is larger than the layer.
    pub fn patches(&self, reach: Reach) -> Result<Patches> {
        self.check()?;
        let (images, height, width, below) = self.activations.dim();
        let Places { tiles, stride, grid } = reach.places(height, width)?;
        let shape = (images * grid.0 * grid.1, tiles.0 * tiles.1 * below);
        let capsules = Array2::from_shape_fn(shape, |(position, child)| {
            let (image, y, x) = (position / (grid.0 * grid.1), position / grid.1 % grid.0, position % grid.1);
            let (row, column, capsule) = (child / (tiles.1 * below), child / below % tiles.1, child % below);
            ((image * height + y * stride + row) * width + x * stride + column) * below + capsule
        });
        let all_poses = self.poses.to_shape((images * height * width * below, ELEMENTS));
        let all_poses = all_poses.expect("the same number of elements");
        let all_activations: Vec<f64> = self.activations.iter().copied().collect();
        let poses =
            Array3::from_shape_fn((shape.0, shape.1, ELEMENTS), |(p, i, h)| all_poses[(capsules[(p, i)], h)]);
        let activations = capsules.mapv(|capsule| all_activations[capsule]);
        Ok(Patches { poses, activations, capsules, grid, below: [images, height, width, below] })
    }
}

impl Patches {
    /// Computes the gradient of the layer below from the gradient of the patches. It sums over all children that are the same
    /// capsule.
    fn scatter(&self, d_poses: &Array3<f64>, d_activations: &Array2<f64>) -> (Array5<f64>, Array4<f64>) {
        let [images, height, width, below] = self.below;
        let count = images * height * width * below;
        let mut all_poses = Array2::zeros((count, ELEMENTS));
        let mut all_activations = Array1::zeros(count);
        for ((p, i), &capsule) in self.capsules.indexed_iter() {
            // the patches were: poses[p, i] = all_poses[capsule], activations[p, i] = all_activations[capsule]
            for h in 0..ELEMENTS {
                all_poses[(capsule, h)] += d_poses[(p, i, h)];
            }
            all_activations[capsule] += d_activations[(p, i)];
        }
        let poses = all_poses.into_shape_with_order((images, height, width, below, ELEMENTS));
        let activations = all_activations.into_shape_with_order((images, height, width, below));
        let same = "the same number of elements";
        (poses.expect(same), activations.expect(same))
    }
}

/// Computes the vote of each child for each parent, positions x children x parents x 16, each a 4 x 4 matrix row by row.
///
/// `poses` is positions x children x 16. `transforms` is n x parents x 4 x 4. Child i uses the transforms at index i modulo n,
/// so a kind of capsule in a class layer has the same transforms at all positions.
///
/// # Formula
///
/// ```text
/// V_ij = P_i W_ij
/// ```
///
/// If the whole turns, each part's pose is multiplied from the left by the same matrix T, and so is each vote: (T P) W = T (P W).
/// The votes agree as well as before.
///
/// # Errors
///
/// Returns an error if poses do not have 16 elements, if transforms are not 4 x 4 or their number does not divide the number of
/// children, or if a number or a vote is not finite.
pub fn votes(poses: &Array3<f64>, transforms: &Array4<f64>) -> Result<Array4<f64>> {
    check_transforms(poses, transforms)?;
    check_finite("poses", poses)?;
    check_finite("transforms", transforms)?;
    let (positions, children, _) = poses.dim();
    let (shared, parents, ..) = transforms.dim();
    let votes = Array4::from_shape_fn((positions, children, parents, ELEMENTS), |(p, i, j, h)| {
        let (row, column) = (h / SIDE, h % SIDE);
        (0..SIDE).map(|k| poses[(p, i, row * SIDE + k)] * transforms[(i % shared, j, k, column)]).sum()
    });
    check_finite("votes", &votes)?;
    Ok(votes)
}

/// Computes the gradients of poses and transforms from the gradient of the votes.
///
/// # Errors
///
/// Returns an error if shapes do not fit, or if finite arguments give a gradient that is not finite. NaN and infinity in the
/// arguments are passed on.
pub fn votes_gradient(
    poses: &Array3<f64>,
    transforms: &Array4<f64>,
    d_votes: &Array4<f64>,
) -> Result<(Array3<f64>, Array4<f64>)> {
    check_transforms(poses, transforms)?;
    let (positions, children, _) = poses.dim();
    let (shared, parents, ..) = transforms.dim();
    check_shape("d_votes", &[positions, children, parents, ELEMENTS], d_votes.shape())?;
    let mut d_poses = Array3::zeros(poses.raw_dim());
    let mut d_transforms = Array4::zeros(transforms.raw_dim());
    for ((p, i, j, h), &d_vote) in d_votes.indexed_iter() {
        let (row, column) = (h / SIDE, h % SIDE);
        for k in 0..SIDE {
            // the vote was: V[row, column] = sum_k P[row, k] W[k, column]
            d_poses[(p, i, row * SIDE + k)] += d_vote * transforms[(i % shared, j, k, column)];
            d_transforms[(i % shared, j, k, column)] += d_vote * poses[(p, i, row * SIDE + k)];
        }
    }
    let given = d_votes.iter().chain(poses).chain(transforms).all(|value| value.is_finite());
    if given {
        check_finite("the gradient of the poses", &d_poses)?;
        check_finite("the gradient of the transforms", &d_transforms)?;
    }
    Ok((d_poses, d_transforms))
}

fn check_transforms(poses: &Array3<f64>, transforms: &Array4<f64>) -> Result<()> {
    let (positions, children, _) = poses.dim();
    let (shared, parents, ..) = transforms.dim();
    check_shape("the poses", &[positions, children, ELEMENTS], poses.shape())?;
    if shared == 0 || parents == 0 {
        return Err(Error::Empty { what: "transforms" });
    }
    let per_child = if children % shared == 0 { shared } else { children };
    check_shape("the transforms", &[per_child, parents, SIDE, SIDE], transforms.shape())
}

/// Adds the position of each child to its votes: the scaled row to element 0 and the scaled column to element 1.
///
/// `votes` is images x children x parents x elements, with the children ordered by row, column and capsule of a height x width
/// grid. Backpropagation passes `d_votes` unchanged.
///
/// # Formula
///
/// ```text
/// V_ij0 += (row_i + 1/2) / height        V_ij1 += (column_i + 1/2) / width
/// ```
///
/// # Errors
///
/// Returns an error if votes have fewer than two elements, or if the children do not fill the grid.
pub fn add_coordinates(votes: &mut Array4<f64>, height: usize, width: usize) -> Result<()> {
    let (images, children, parents, elements) = votes.dim();
    if elements < 2 {
        let (expected, found) = (vec![images, children, parents, 2], votes.shape().to_vec());
        return Err(Error::Shape { name: "the votes", expected, found });
    }
    let positions = height * width;
    if positions == 0 {
        return Err(Error::Empty { what: "positions" });
    }
    let capsules = children / positions;
    check_shape("the votes", &[images, capsules * positions, parents, elements], votes.shape())?;
    for ((_, i, _, h), vote) in votes.indexed_iter_mut() {
        let position = i / capsules;
        match h {
            0 => *vote += ((position / width) as f64 + 0.5) / height as f64,
            1 => *vote += ((position % width) as f64 + 0.5) / width as f64,
            _ => {}
        }
    }
    Ok(())
}

/// A layer of capsules: its parameters, and which capsules below vote for its parents.
///
/// [`CapsuleLayer::forward`] maps the [`Capsules`] below to a [`CapsuleLayerRun`]: patches, votes, routing and the capsules above.
/// [`CapsuleLayer::gradient`] takes the gradient of a loss back to the capsules below and the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct CapsuleLayer {
    /// Which capsules below vote for a parent.
    pub reach: Reach,
    /// The transforms W, children x parents x 4 x 4, with children = size * size * capsules. For [`Reach::Everywhere`],
    /// capsules x parents x 4 x 4.
    pub transforms: Array4<f64>,
    /// beta_v, one number for each parent.
    pub beta_v: Array1<f64>,
    /// beta_a, one number for each parent.
    pub beta_a: Array1<f64>,
}

/// The results of a layer's forward pass, for inspection and for the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct CapsuleLayerRun {
    /// The children at each position.
    pub patches: Patches,
    /// The input of the routing. The votes include coordinates if the layer adds them.
    pub input: RoutingInput,
    /// The results of every iteration of the routing.
    pub routing: Routing,
    /// The parents: the output of the layer.
    pub capsules: Capsules,
}

/// Gradients with respect to the input and the parameters of a [`CapsuleLayer`].
#[derive(Debug, Clone, PartialEq)]
pub struct CapsuleLayerGradient {
    /// The gradient of the poses below, images x height x width x capsules x 16.
    pub d_poses: Array5<f64>,
    /// The gradient of the activations below, images x height x width x capsules.
    pub d_activations: Array4<f64>,
    /// The gradient of the transforms, in their shape.
    pub d_transforms: Array4<f64>,
    /// The gradient of beta_v, one number for each parent.
    pub d_beta_v: Array1<f64>,
    /// The gradient of beta_a, one number for each parent.
    pub d_beta_a: Array1<f64>,
}

impl CapsuleLayer {
    /// Computes the votes and routes them.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Capsules::patches`], [`votes`] and [`RoutingInput::route`].
    pub fn forward(&self, below: &Capsules, options: &RoutingOptions) -> Result<CapsuleLayerRun> {
        let patches = below.patches(self.reach)?; // pass 1
        self.check(&patches)?;
        let mut votes = votes(&patches.poses, &self.transforms)?; // pass 2
        let (images, height, width, _) = below.activations.dim();
        if self.reach == Reach::Everywhere && options.coordinate_addition {
            add_coordinates(&mut votes, height, width)?; // pass 3
        }
        let input = RoutingInput {
            votes,
            activations: patches.activations.clone(),
            beta_v: self.beta_v.clone(),
            beta_a: self.beta_a.clone(),
            capsules: Some(patches.capsules.clone()),
        };
        let routing = input.route(options)?; // pass 4
        let (rows, columns) = patches.grid;
        let parents = self.beta_v.len();
        let poses = routing.poses().to_shape((images, rows, columns, parents, ELEMENTS));
        let activations = routing.activations().to_shape((images, rows, columns, parents));
        let same = "the same number of elements";
        let capsules = Capsules {
            poses: poses.expect(same).into_owned(),
            activations: activations.expect(same).into_owned(),
        };
        Ok(CapsuleLayerRun { patches, input, routing, capsules })
    }

    /// Computes the gradient of a loss. `d_poses` and `d_activations` are the gradients of the parents' poses and activations,
    /// in the same shapes.
    ///
    /// `run` is the result of [`CapsuleLayer::forward`] with the same options.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsuleLayer::forward`], and an error if a gradient does not have the shape of the parents.
    pub fn gradient(
        &self,
        run: &CapsuleLayerRun,
        options: &RoutingOptions,
        d_poses: &Array5<f64>,
        d_activations: &Array4<f64>,
    ) -> Result<CapsuleLayerGradient> {
        self.check(&run.patches)?;
        check_shape("d_poses", run.capsules.poses.shape(), d_poses.shape())?;
        check_shape("d_activations", run.capsules.activations.shape(), d_activations.shape())?;
        let same = "the same number of elements";
        let d_poses = d_poses.to_shape(run.routing.poses().raw_dim()).expect(same).into_owned();
        let d_activations =
            d_activations.to_shape(run.routing.activations().raw_dim()).expect(same).into_owned();
        // pass 4 was: the routing
        let RoutingGradient { d_votes, d_activations, d_beta_v, d_beta_a } =
            run.input.gradient(options, &run.routing, &d_poses, &d_activations)?;
        // pass 3 was: votes + coordinates, so d_votes is unchanged; pass 2 was: votes = poses times transforms
        let (d_poses, d_transforms) = votes_gradient(&run.patches.poses, &self.transforms, &d_votes)?;
        // pass 1 was: patches
        let (d_poses, d_activations) = run.patches.scatter(&d_poses, &d_activations);
        Ok(CapsuleLayerGradient { d_poses, d_activations, d_transforms, d_beta_v, d_beta_a })
    }

    fn check(&self, patches: &Patches) -> Result<()> {
        let transforms = match self.reach {
            Reach::Neighbourhood { .. } => patches.activations.ncols(),
            Reach::Everywhere => patches.below[3],
        };
        let expected = [transforms, self.beta_v.len(), SIDE, SIDE];
        check_shape("the transforms", &expected, self.transforms.shape())?;
        check_finite("transforms", &self.transforms)
    }
}
