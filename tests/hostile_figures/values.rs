//! Hostile values, reproducible from a seed.

use em_routing::capsnet::{Architecture, Evaluation};
use em_routing::figures::chapter03::Objective;
use em_routing::figures::chapter06;
use em_routing::prelude::*;
use em_routing::routing::{LadderStep, RoutingStep};

/// Numbers that are likely to break drawing: zeros, subnormals, values near overflow, values that are not finite.
const NUMBERS: [f64; 31] = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e-300,
    -1e-300,
    1e-130,
    1e-17,
    -1e-9,
    0.1,
    0.25,
    0.5,
    1.0,
    -1.0,
    2.0,
    -3.0,
    1e9,
    -1e9,
    1e16,
    1e100,
    1e130,
    -1e130,
    1e131,
    8e307,
    -8e307,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1e308,
];

/// Generates hostile values, reproducibly from a seed.
pub struct Hostile {
    state: u64,
    /// The numbers of this case. A limited choice keeps some cases from being rejected at once.
    palette: Vec<f64>,
}

impl Hostile {
    pub fn new(seed: u64) -> Hostile {
        let mut hostile =
            Hostile { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, palette: Vec::new() };
        hostile.palette = match hostile.below(10) {
            0 => NUMBERS.to_vec(),
            1 => NUMBERS.into_iter().filter(|value| value.is_finite()).collect(),
            2 => NUMBERS.into_iter().filter(|value| value.abs() <= 1e130).collect(),
            3 => NUMBERS.into_iter().filter(|value| (1e-140..=1e130).contains(value)).collect(),
            4 => vec![hostile.pick(&NUMBERS)],
            5 => vec![hostile.pick(&NUMBERS), hostile.pick(&NUMBERS)],
            6 => vec![1e6, 1e6 + 1e-9, 1e6 + 1.0],
            7 => vec![0.0, 0.25, 0.5, 1.0, 1e-300],
            8 => vec![0.5],
            _ => (0..40).map(|i| f64::from(i) / 40.0).collect(),
        };
        hostile
    }

    pub fn below(&mut self, count: usize) -> usize {
        // xorshift; statistical quality does not matter here
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % count
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True, except once in `count` times on average.
    pub fn odds(&mut self, count: usize) -> bool {
        self.below(count) > 0
    }

    pub fn number(&mut self) -> f64 {
        let palette = std::mem::take(&mut self.palette);
        let number = self.pick(&palette);
        self.palette = palette;
        number
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.number()).collect()
    }

    pub fn floats(&mut self) -> Vec<f32> {
        (0..self.size()).map(|_| self.number() as f32).collect()
    }

    pub fn range(&mut self) -> (f64, f64) {
        match self.odds(3) {
            true => (self.number().min(0.0), self.number().max(0.0)),
            false => (self.number(), self.number()),
        }
    }

    pub fn size(&mut self) -> usize {
        self.pick(&[0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 13, 41])
    }

    pub fn two(&mut self) -> usize {
        self.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 0, 1, 3])
    }

    pub fn index(&mut self) -> usize {
        self.pick(&[0, 0, 0, 0, 0, 1, 2, 7, usize::MAX])
    }

    pub fn name(&mut self) -> String {
        let names = [
            "",
            "a",
            "<&\"'>",
            "x_&",
            "_",
            "__{",
            "a\0\u{1b}b\nc\td",
            "\u{ffff}\u{fffe}\u{85}",
            "θ_{",
            "]]>",
            "&lt;_<",
        ];
        match self.below(14) {
            0 => "<W_&".repeat(2500),
            1 => "\u{1f600}".repeat(300),
            _ => self.pick(&names).to_string(),
        }
    }

    pub fn objective(&mut self) -> Objective {
        self.pick(&[Objective::Inertia, Objective::LogLikelihood])
    }

    pub fn counts(&mut self) -> Vec<usize> {
        let first = self.pick(&[0, 1, 2, 1000, usize::MAX - 100]);
        (0..self.size()).map(|i| first.wrapping_add(i * (1 + i))).filter(|&count| count >= first).collect()
    }

    pub fn bars(&mut self) -> Vec<(String, f64)> {
        (0..self.size()).map(|_| (self.name(), self.number().abs())).collect()
    }

    pub fn curves(&mut self) -> Vec<(String, Vec<(f64, f64)>)> {
        let rising = self.odds(3);
        (0..self.size())
            .map(|_| {
                let mut points: Vec<(f64, f64)> =
                    (0..self.size()).map(|_| (self.number(), self.number())).collect();
                if rising {
                    points.sort_by(|a, b| a.0.total_cmp(&b.0));
                    points.dedup_by_key(|point| point.0);
                }
                (self.name(), points)
            })
            .collect()
    }

    /// An array whose memory layout varies.
    pub fn shuffled(&mut self, rows: usize, columns: usize) -> Array2<f64> {
        let numbers = self.numbers(rows * columns);
        match self.below(3) {
            0 => Array2::from_shape_vec((columns, rows), numbers).unwrap().reversed_axes(),
            1 => {
                let mut array = Array2::from_shape_vec((rows, columns), numbers).unwrap();
                array.invert_axis(Axis(0));
                array.invert_axis(Axis(1));
                array
            }
            _ => Array2::from_shape_vec((rows, columns), numbers).unwrap(),
        }
    }

    pub fn table(&mut self, columns: usize) -> Array2<f64> {
        let rows = self.size();
        self.shuffled(rows, columns)
    }

    pub fn plane(&mut self) -> Array2<f64> {
        let columns = self.two();
        self.table(columns)
    }

    pub fn labels(&mut self, count: usize) -> Vec<usize> {
        let clusters = self.pick(&[1, 2, 3, 60]);
        let mut labels: Vec<usize> = (0..count).map(|_| self.below(clusters)).collect();
        if let Some(label) = labels.first_mut().filter(|_| !self.odds(5)) {
            *label = self.pick(&[count, 9_999, usize::MAX]);
        }
        labels.truncate(if self.odds(9) { count } else { 1 });
        labels
    }

    /// A fit with a random number of steps.
    pub fn fit<M>(&mut self, mut model: impl FnMut(&mut Hostile) -> M) -> Fit<M> {
        let steps = self.size();
        let objectives = (0..steps).map(|_| self.number()).collect();
        // one fit in nine has kept too few models, or none
        let kept = if self.odds(9) { steps } else { self.pick(&[0, 1]) };
        let models = (0..kept).map(|_| model(self)).collect();
        Fit { model: model(self), objectives, models, converged: self.odds(2) }
    }

    pub fn coins(&mut self) -> Coins {
        match self.odds(3) {
            true => Coins { thetas: self.numbers(2), weights: vec![0.5, 0.5] },
            false => {
                let coins = self.two();
                Coins { thetas: self.numbers(coins), weights: self.numbers(coins) }
            }
        }
    }

    pub fn kmeans(&mut self) -> KMeans {
        let clusters = if self.odds(4) { 2 } else { self.size() };
        KMeans { centroids: self.shuffled(clusters, 2) }
    }

    pub fn mixture(&mut self) -> Gmm {
        let components = if self.odds(4) { 2 } else { self.size() };
        let means = self.shuffled(components, 2);
        let weights = match self.odds(3) {
            true => Array1::from_elem(components, 1.0 / components as f64),
            false => Array1::from(self.numbers(components)),
        };
        let covariances = match self.below(4) {
            0 => Covariances::Tied(self.shuffled(2, 2)),
            1 => Covariances::Diagonal(self.shuffled(components, 2)),
            2 => Covariances::Full(Array3::from_shape_simple_fn((components, 2, 2), || self.number())),
            _ => Covariances::Spherical(Array1::from(self.numbers(components)).mapv(f64::abs)),
        };
        Gmm { weights, means, covariances }
    }

    pub fn experiments(&mut self) -> Experiments {
        let tosses = self.pick(&[1, 10, 10, 1_000_000, u64::MAX]);
        let count = self.pick(&[1, 2, 5, 41, 500]);
        let heads: Vec<u64> = (0..count).map(|_| self.pick(&[0, tosses, tosses / 2, tosses / 3])).collect();
        Experiments::new(&heads, tosses).unwrap()
    }

    pub fn evaluation(&mut self) -> (Evaluation, Images) {
        let (count, classes) = (self.size(), self.pick(&[0, 1, 2, 10, 16, 17, usize::MAX]));
        let class = |h: &mut Hostile| h.below(classes.clamp(1, 20));
        let labels: Vec<usize> = (0..count).map(|_| class(self)).collect();
        let predictions: Vec<usize> = (0..count).map(|_| class(self)).collect();
        let activations: Vec<f32> = (0..count * classes.min(20)).map(|_| self.number() as f32).collect();
        let (height, width) = (self.pick(&[0, 1, 2, 28, 300, usize::MAX]), self.pick(&[0, 1, 2, 28, 300]));
        let images = Images {
            pixels: vec![9; count * height.saturating_mul(width).min(90_000)],
            labels: labels.iter().map(|&label| label as u8).collect(),
            height,
            width,
            classes,
        };
        (Evaluation { activations, predictions, labels, classes }, images)
    }

    /// A network with few channels, kinds and classes.
    pub fn net(&mut self) -> Architecture {
        let deep_features = self.pick(&[0, 0, 1, 2]);
        Architecture { deep_features, primary: 1, first: 2, second: 1, classes: 2, ..Architecture::default() }
    }

    pub fn routing(&mut self) -> (RoutingInput, Routing) {
        let shape = (1, self.size(), self.size(), self.two());
        let (positions, children, parents, elements) = shape;
        let bad = !self.odds(8);
        let input = RoutingInput::new(
            Array4::from_shape_simple_fn(shape, || self.number()),
            self.shuffled(positions, children),
            Array1::ones(parents),
            Array1::ones(parents),
        );
        let step = |h: &mut Hostile| {
            let parents = if bad { h.size() } else { parents };
            RoutingStep {
                responsibilities: Array3::from_shape_simple_fn((positions, children, parents), || h.number()),
                masses: h.shuffled(positions, parents),
                means: Array3::from_shape_simple_fn((positions, parents, elements), || h.number()),
                variances: Array3::from_shape_simple_fn((positions, parents, elements), || h.number()),
                costs: h.shuffled(positions, parents),
                logits: h.shuffled(positions, parents),
                activations: h.shuffled(positions, parents),
                inverse_temperature: h.number(),
            }
        };
        let trace = (0..self.size()).map(|_| step(self)).collect();
        (input, Routing { trace })
    }

    pub fn rungs(&mut self, children: usize, parents: usize) -> chapter06::Ladder {
        let parents = if self.odds(9) { parents } else { self.size() };
        [(); 5].map(|_| self.ladder(children, parents))
    }

    pub fn ladder(&mut self, children: usize, parents: usize) -> Vec<LadderStep> {
        let step = |h: &mut Hostile| LadderStep {
            responsibilities: h.shuffled(children, parents),
            shares: h.shuffled(children, parents),
            parents: Parents {
                means: h.shuffled(parents, 2),
                variances: h.shuffled(parents, 2),
                weights: Array1::from(h.numbers(parents)),
            },
            costs: h.odds(2).then(|| Array1::from(h.numbers(parents))),
            inverse_temperature: h.odds(2).then(|| h.number()),
            log_likelihood: h.number(),
        };
        (0..self.size().max(usize::from(self.odds(20)))).map(|_| step(self)).collect()
    }
}
