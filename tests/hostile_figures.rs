//! Figures of hostile input: every drawing function quickly returns a figure of bounded size or an error.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use em_routing::capsnet::{Architecture, CapsNet, Evaluation};
use em_routing::draw::Along;
use em_routing::figures::chapter03::{self, Clustering, Objective};
use em_routing::figures::chapter04;
use em_routing::figures::chapter05::{self, View};
use em_routing::figures::chapter06;
use em_routing::figures::chapter07::{self, StoppedGradient};
use em_routing::figures::records::ClaimRecord;
use em_routing::figures::{self, chapter01, chapter02};
use em_routing::gmm::Criteria;
use em_routing::prelude::*;
use em_routing::routing::{CapsuleLayerRun, LadderStep, Patches, RoutingStep};
use ndarray::Array5;

#[path = "support/svg.rs"]
mod svg;

/// The time limit per figure. The slowest takes 0.7 s; the margin is for busy machines.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 });

/// The number of inputs per function.
const CASES: u64 = 300;

type Drawn = Result<Figure, Error>;

/// Draws from hostile arguments.
type Draw = fn(&mut Hostile) -> Drawn;

/// The name of a case and its drawing function.
type Named = (&'static str, fn() -> Drawn);

/// All public functions that return a figure, called with hostile arguments.
const DRAWN: &[(&str, Draw)] = &[
    ("ablation", |h| {
        let runs = |h: &mut Hostile| (0..h.size()).map(|_| h.odds(4).then(|| h.number())).collect::<Vec<_>>();
        let rows: Vec<(String, Vec<Option<f64>>)> = (0..h.size()).map(|_| (h.name(), runs(h))).collect();
        figures::chapter09::ablation(&rows)
    }),
    ("activation_histograms", |h| {
        let (networks, layers) = (h.size(), h.size());
        let values: Vec<Vec<f32>> = (0..networks * layers).map(|_| h.floats()).collect();
        let name = h.name();
        let layer = |at: usize| (name.as_str(), values[at].as_slice());
        let rows: Vec<Vec<(&str, &[f32])>> =
            (0..networks).map(|n| (0..layers).map(|l| layer(n * layers + l)).collect()).collect();
        let rows: Vec<(&str, &[figures::chapter09::LayerActivations])> =
            rows.iter().map(|row| (name.as_str(), &row[..])).collect();
        figures::chapter09::activation_histograms(&rows)
    }),
    ("affine_bars", |h| {
        let record = |h: &mut Hostile| ClaimRecord {
            claim: h.pick(&["affine", "attack", ""]).into(),
            measure: h.pick(&["clean error", "affine error", "error; 0.1"]).into(),
            arm: h.pick(&["routing-1", "routing-2", "plain", "plain-pooled", ""]).into(),
            seed: h.pick(&[0, 1, 2]),
            value: h.number(),
        };
        let claims: Vec<ClaimRecord> = (0..h.size()).map(|_| record(h)).collect();
        figures::chapter10::affine_bars(&claims)
    }),
    ("agreement", |h| {
        let routings: Vec<_> = (0..h.size()).map(|_| h.routing().1).collect();
        let name = h.name();
        let layers: Vec<_> = routings.iter().map(|routing| (name.as_str(), routing)).collect();
        figures::chapter08::agreement(&layers)
    }),
    ("animate", |h| {
        let frames: Vec<Figure> = (0..h.size())
            .map(|_| match h.odds(9) {
                true => chapter01::jensen_chord(1.0, 2.0, 0.5).unwrap(),
                false => figures::chapter08::spread_loss(&[0.5]).unwrap(),
            })
            .collect();
        figures::animate(&h.name(), &frames, h.number())
    }),
    ("architecture", |h| {
        let sizes = [13, 14, 17, 28, 33, 0, 200];
        let (height, width) = (h.pick(&sizes), h.pick(&sizes));
        let config = Architecture { height, width, channels: h.size(), features: h.size(), ..h.net() };
        figures::chapter08::architecture(&CapsNet::zeros(config)?)
    }),
    ("assignments", |h| {
        let (_, routing) = h.routing();
        chapter06::assignments(&routing, h.index())
    }),
    ("atlas", |h| {
        let side = h.size();
        let clusters = h.size();
        let fits: Vec<Fit<KMeans>> =
            (0..side * side).map(|_| h.fit(|h| KMeans { centroids: h.shuffled(clusters, 2) })).collect();
        chapter03::atlas(&h.plane(), &h.plane(), &fits, h.number().abs())
    }),
    ("bars", |h| {
        let bars = h.bars();
        draw::bars(
            &h.name(),
            &h.name(),
            &h.name(),
            &named_values(&bars),
            h.pick(&[Along::Linear, Along::Logarithmic]),
        )
    }),
    ("bound_animation", |h| {
        let fit = h.fit(Hostile::coins);
        chapter02::bound_animation(&h.experiments(), &fit, h.index(), h.size())
    }),
    ("class_masses", |h| figures::chapter08::class_masses(&class_run(h))),
    ("clusterings", |h| {
        let data = h.plane();
        let labels = Array1::from(h.labels(data.nrows()));
        let (kmeans, mixture) = (h.kmeans(), h.mixture());
        let title = h.name();
        let one = Clustering {
            title: &title,
            labels: &labels,
            kmeans: h.odds(2).then_some(&kmeans),
            mixture: h.odds(2).then_some(&mixture),
        };
        chapter03::clusterings(&h.name(), &data, &vec![one; h.size()])
    }),
    ("confusion", |h| figures::chapter09::confusion(&h.evaluation().0)),
    ("cost_curves", |h| {
        let (masses, lambdas) = (h.size(), h.size());
        chapter06::cost_curves(&h.numbers(masses), &h.numbers(lambdas))
    }),
    ("difference_errors", |h| {
        let curves = h.curves();
        chapter07::difference_errors(&borrowed(&curves))
    }),
    ("digit_routing", |h| {
        let run = class_run(h);
        let (width, rows) = (h.size(), h.size());
        let label = h.odds(2).then(|| h.index());
        figures::chapter08::digit_routing(&vec![7; width * rows + h.index() % 2], width, label, &run)
    }),
    ("elbow", |h| {
        let counts = h.counts();
        let values = h.numbers(counts.len());
        let chosen = if counts.is_empty() { 0 } else { h.pick(&counts) };
        chapter03::elbow(&counts, &values, &h.name(), chosen)
    }),
    ("epoch_panels", |h| figures::chapter09::epoch_panels(&h.curves())),
    ("error_curves", |h| {
        let curves = h.curves();
        figures::chapter09::error_curves(&h.name(), &curves)
    }),
    ("errors_by_clusters", |h| {
        let counts = h.counts();
        let curves: Vec<(String, Vec<f64>)> =
            (0..h.size()).map(|_| (h.name(), h.numbers(counts.len()))).collect();
        let curves: Vec<(&str, &[f64])> =
            curves.iter().map(|(name, errors)| (name.as_str(), errors.as_slice())).collect();
        chapter03::errors_by_clusters(&counts, &curves, &h.name())
    }),
    ("figure", |h| match h.odds(20) {
        true => figures::figure("jensen-chord"),
        false => figures::figure(&h.name()),
    }),
    ("grid", |h| {
        let trial = |h: &mut Hostile| {
            let lambda = h.pick(&["linear", "constant:1", "other"]);
            let (costs, iterations) = (h.odds(2), h.below(5));
            figures::records::Trial {
                setting: format!(
                    "normalise-costs={costs} inverse-temperature={lambda} iterations={iterations}"
                ),
                seed: 1,
                images: 1,
                saturated: None,
                kept: None,
                error: h.odds(4).then(|| h.number()),
            }
        };
        let trials: Vec<_> = (0..3 * h.size()).map(|_| trial(h)).collect();
        figures::chapter09::grid(&trials)
    }),
    ("information_criteria", |h| {
        let counts = h.counts();
        let criteria: Vec<Criteria> = (0..counts.len())
            .map(|_| Criteria {
                log_likelihood: h.number(),
                parameters: h.index(),
                aic: h.number(),
                bic: h.number(),
                icl: h.number(),
            })
            .collect();
        chapter04::information_criteria(&counts, &criteria)
    }),
    ("jensen_chord", |h| chapter01::jensen_chord(h.number().abs(), h.number().abs(), h.number())),
    ("jensen_tangent", |h| {
        let count = h.size();
        let (values, probabilities) = (h.numbers(count), h.numbers(count));
        chapter01::jensen_tangent(&values, &probabilities)
    }),
    ("kernel_speed", |h| chapter07::kernel_speed(&named_values(&h.bars()))),
    ("kmeans_animation", |h| {
        let fit = h.fit(Hostile::kmeans);
        chapter03::kmeans_animation(&h.plane(), &fit)
    }),
    ("known_likelihood", |h| {
        let experiments = h.experiments();
        let labels = h.labels(experiments.len());
        chapter01::known_likelihood(&experiments, &labels)
    }),
    ("ladder_likelihood", |h| {
        let (children, parents) = (h.size(), h.size());
        let votes = Array3::from_shape_simple_fn((children, parents, h.two()), || h.number());
        let rungs = h.rungs(children, parents);
        chapter06::ladder_likelihood(&votes, &Array1::from(h.numbers(children)), &rungs)
    }),
    ("landscape", |h| chapter02::landscape(&h.experiments())),
    ("likelihood_trace", |h| {
        let fit = h.fit(Hostile::coins);
        chapter02::likelihood_trace(&h.experiments(), &fit)
    }),
    ("maps", |h| {
        let (_, images) = h.evaluation();
        let (shown, columns, kinds) = (vec![h.index(); h.size()], h.size(), h.size());
        let count = shown.len() * columns * kinds * h.index().min(7);
        let numbers: Vec<f32> = h.numbers(count).into_iter().map(|number| number as f32).collect();
        figures::chapter08::maps(&h.name(), &images, &shown, &numbers, (columns, kinds))
    }),
    ("minimiser_path", |h| {
        let fit = h.fit(|h| h.coins().thetas);
        let experiments = h.experiments();
        let labels = h.labels(experiments.len());
        chapter01::minimiser_path(&experiments, &labels, &fit)
    }),
    ("mistakes", |h| {
        let (evaluation, images) = h.evaluation();
        figures::chapter09::mistakes(&evaluation, &images, h.size())
    }),
    ("mixture_animation", |h| {
        let fit = h.fit(Hostile::mixture);
        chapter04::mixture_animation(&h.plane(), &fit)
    }),
    ("mixture_contours", |h| {
        let (x_range, y_range) = (h.range(), h.range());
        chapter04::mixture_contours(&h.name(), &h.plane(), &h.mixture(), x_range, y_range)
    }),
    ("nearest_labels", |h| {
        let share = |h: &mut Hostile| figures::chapter08::NearestShare {
            layer: "a layer",
            activations: h.number(),
            poses: h.odds(2).then(|| h.number()),
        };
        let shares: Vec<_> = (0..h.size()).map(|_| share(h)).collect();
        figures::chapter08::nearest_labels(&shares)
    }),
    ("objective_trace", |h| {
        let fits: Vec<Fit<()>> = (0..h.size()).map(|_| h.fit(|_| ())).collect();
        chapter03::objective_trace(&h.name(), &fits, h.objective())
    }),
    ("pair_plot", |h| {
        let data = match h.odds(2) {
            true => h.plane(),
            false => {
                let columns = h.pick(&[0, 1, 3, 8, 9, 200]);
                h.table(columns)
            }
        };
        let names: Vec<String> = (0..data.ncols()).map(|_| h.name()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let labels = Array1::from(h.labels(data.nrows()));
        let clusters = vec![h.name(); h.pick(&[3, 60, 200])];
        let clusters: Vec<&str> = clusters.iter().map(String::as_str).collect();
        let rims = if h.odds(3) { vec![] } else { vec![h.index()] };
        chapter03::pair_plot(&h.name(), &data, &names, &labels, &clusters, (&h.name(), &rims))
    }),
    ("pairs", |h| {
        let columns = h.pick(&[0, 1, 2, 3, 9, 200]);
        let data = h.table(columns);
        let names: Vec<String> = (0..data.ncols()).map(|_| h.name()).collect();
        let labels = Array1::from(h.labels(data.nrows()));
        let centres = h.table(columns);
        let mixture = h.odds(2).then(|| h.mixture());
        figures::pairs::pairs(&names, &data, &labels, &centres, mixture.as_ref())
    }),
    ("pictures", |h| {
        let (width, pixels) = (h.size(), h.pick(&[0, 1, 9, 784]));
        let rows: Vec<(String, Array2<f64>, Vec<String>)> = (0..h.size())
            .map(|_| {
                let notes = if h.odds(2) { vec![] } else { vec![h.name(); h.size()] };
                (h.name(), h.table(pixels), notes)
            })
            .collect();
        let rows: Vec<chapter03::PictureRow> =
            rows.iter().map(|(name, table, notes)| (name.as_str(), table, notes.as_slice())).collect();
        chapter03::pictures(&h.name(), width, &rows)
    }),
    ("position_assignments", |h| {
        let (_, routing) = h.routing();
        figures::chapter08::position_assignments(&routing, h.index())
    }),
    ("responsibilities", |h| {
        let experiments = h.experiments();
        let coins = h.two();
        let expectation = |h: &mut Hostile| Expectation {
            responsibilities: h.shuffled(experiments.len(), coins),
            log_likelihood: h.number(),
            lower_bound: h.number(),
            expected_complete_log_likelihood: h.number(),
            expected_conditional_log_likelihood: h.number(),
        };
        let expectations: Vec<Expectation> = (0..h.size()).map(|_| expectation(h)).collect();
        chapter02::responsibilities(&experiments, &expectations)
    }),
    ("routing_animation", |h| {
        let (input, routing) = h.routing();
        chapter06::routing_animation(&input, &routing, h.index())
    }),
    ("routing_curves", |h| {
        let (_, routing) = h.routing();
        chapter06::routing_curves(&routing, h.index())
    }),
    ("routing_ladder", |h| {
        let (children, parents) = (h.size(), h.size());
        let votes = Array3::from_shape_simple_fn((children, parents, h.two()), || h.number());
        let rungs = h.rungs(children, parents);
        chapter06::routing_ladder(&votes, &Array1::from(h.numbers(children)), &rungs)
    }),
    ("share_curves", |h| {
        let curves = h.curves();
        let titles = [h.name(), h.name()];
        figures::chapter10::share_curves(&h.name(), &h.name(), [&titles[0], &titles[1]], &curves)
    }),
    ("spread_loss", |h| {
        let count = h.size();
        figures::chapter08::spread_loss(&h.numbers(count))
    }),
    ("starts", |h| {
        let fits: Vec<Fit<Coins>> = (0..h.size()).map(|_| h.fit(Hostile::coins)).collect();
        chapter02::starts(&h.experiments(), &fits)
    }),
    ("stopped_gradients", |h| {
        let draws = |h: &mut Hostile| -> Vec<StoppedGradient> {
            (0..h.size()).map(|_| StoppedGradient { cosine: h.number(), relative_size: h.number() }).collect()
        };
        let series: Vec<(String, Vec<Vec<StoppedGradient>>)> =
            (0..h.size()).map(|_| (h.name(), (0..h.size()).map(|_| draws(h)).collect())).collect();
        let series: Vec<(&str, Vec<Vec<StoppedGradient>>)> =
            series.iter().map(|(name, draws)| (name.as_str(), draws.clone())).collect();
        chapter07::stopped_gradients(&series)
    }),
    ("surface", |h| {
        let fits: Vec<Fit<Coins>> = (0..h.size()).map(|_| h.fit(Hostile::coins)).collect();
        chapter02::surface(&h.experiments(), &fits.iter().collect::<Vec<_>>())
    }),
    ("temperatures", |h| {
        let (count, parents) = (h.size(), h.size());
        let (lambdas, activations) = (h.numbers(count), h.shuffled(count, parents));
        let activations = if h.odds(2) { activations } else { Array2::from_elem((count, parents), 0.5) };
        let scheduled = if h.odds(2) { h.numbers(parents) } else { vec![0.5; parents] };
        chapter06::temperatures(&lambdas, &activations, &Array1::from(scheduled))
    }),
    ("viewpoint", |h| {
        let parts = if h.odds(6) { 4 } else { h.size() };
        let poses = h.shuffled(parts, 3);
        let title = h.name();
        let face = h.odds(2).then(|| [h.number(), h.number(), h.number()]);
        chapter05::viewpoint(&vec![View { title: &title, poses: &poses, face }; h.size()])
    }),
    ("vote_agreement", |h| {
        let (input, routing) = h.routing();
        let name = h.name();
        let parents: Vec<(&str, usize)> = (0..h.size()).map(|_| (name.as_str(), h.index())).collect();
        figures::chapter08::vote_agreement(&input, &routing, h.index(), &parents)
    }),
    ("vote_bytes", |h| chapter07::vote_bytes(&named_values(&h.bars()))),
    ("vote_gradients", |h| {
        let (input, routing) = h.routing();
        let gradient = input.votes.mapv(|_| h.number());
        let name = h.name();
        chapter07::vote_gradients(&input, &routing, h.index(), &vec![(name.as_str(), &gradient); h.size()])
    }),
    ("vote_panels", |h| {
        let (children, parents) = (h.size(), h.size());
        let votes = Array3::from_shape_simple_fn((children, parents, h.two()), || h.number());
        let wholes: Vec<Option<usize>> =
            (0..children).map(|_| h.odds(2).then(|| if h.odds(9) { h.index() } else { 0 })).collect();
        let (title, name) = (h.name(), h.name());
        let names = vec![name.as_str(); parents];
        chapter05::vote_panels(&title, &votes, &Array1::from(h.numbers(children)), &wholes, &names)
    }),
];

/// A class layer's routing whose shapes may not fit.
fn class_run(h: &mut Hostile) -> CapsuleLayerRun {
    let (input, routing) = h.routing();
    let (_, children, parents) = routing.trace.first().map_or((0, 0, 0), |step| step.responsibilities.dim());
    let below = match h.index() {
        0 => [1, 1, 1, children],
        1 => [1, children, 1, 1],
        _ => [h.index(), h.index(), h.size(), usize::MAX],
    };
    let patches = Patches {
        poses: Array3::zeros((1, children, 16)),
        activations: Array2::zeros((1, children)),
        capsules: Array2::zeros((1, children)),
        grid: (1, 1),
        below,
    };
    let capsules = Capsules {
        poses: Array5::zeros((1, 1, 1, parents, 16)),
        activations: Array4::zeros((1, 1, 1, parents)),
    };
    CapsuleLayerRun { patches, input, routing, capsules }
}

/// A pair plot with names for 200 clusters, none of them rimmed.
fn pairs(data: &Array2<f64>, names: &[&str], labels: &Array1<usize>) -> Drawn {
    chapter03::pair_plot("", data, names, labels, &["a cluster"; 200], ("", &[]))
}

fn named_values(bars: &[(String, f64)]) -> Vec<(&str, f64)> {
    bars.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

fn borrowed(curves: &[(String, Vec<(f64, f64)>)]) -> Vec<(&str, &[(f64, f64)])> {
    curves.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect()
}

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
struct Hostile {
    state: u64,
    /// The numbers of this case. A limited choice keeps some cases from being rejected at once.
    palette: Vec<f64>,
}

impl Hostile {
    fn new(seed: u64) -> Hostile {
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

    fn below(&mut self, count: usize) -> usize {
        // xorshift; statistical quality does not matter here
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % count
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True, except once in `count` times on average.
    fn odds(&mut self, count: usize) -> bool {
        self.below(count) > 0
    }

    fn number(&mut self) -> f64 {
        let palette = std::mem::take(&mut self.palette);
        let number = self.pick(&palette);
        self.palette = palette;
        number
    }

    fn numbers(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.number()).collect()
    }

    fn floats(&mut self) -> Vec<f32> {
        (0..self.size()).map(|_| self.number() as f32).collect()
    }

    fn range(&mut self) -> (f64, f64) {
        match self.odds(3) {
            true => (self.number().min(0.0), self.number().max(0.0)),
            false => (self.number(), self.number()),
        }
    }

    fn size(&mut self) -> usize {
        self.pick(&[0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 13, 41])
    }

    fn two(&mut self) -> usize {
        self.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 0, 1, 3])
    }

    fn index(&mut self) -> usize {
        self.pick(&[0, 0, 0, 0, 0, 1, 2, 7, usize::MAX])
    }

    fn name(&mut self) -> String {
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

    fn objective(&mut self) -> Objective {
        self.pick(&[Objective::Inertia, Objective::LogLikelihood])
    }

    fn counts(&mut self) -> Vec<usize> {
        let first = self.pick(&[0, 1, 2, 1000, usize::MAX - 100]);
        (0..self.size()).map(|i| first.wrapping_add(i * (1 + i))).filter(|&count| count >= first).collect()
    }

    fn bars(&mut self) -> Vec<(String, f64)> {
        (0..self.size()).map(|_| (self.name(), self.number().abs())).collect()
    }

    fn curves(&mut self) -> Vec<(String, Vec<(f64, f64)>)> {
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
    fn shuffled(&mut self, rows: usize, columns: usize) -> Array2<f64> {
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

    fn table(&mut self, columns: usize) -> Array2<f64> {
        let rows = self.size();
        self.shuffled(rows, columns)
    }

    fn plane(&mut self) -> Array2<f64> {
        let columns = self.two();
        self.table(columns)
    }

    fn labels(&mut self, count: usize) -> Vec<usize> {
        let clusters = self.pick(&[1, 2, 3, 60]);
        let mut labels: Vec<usize> = (0..count).map(|_| self.below(clusters)).collect();
        if let Some(label) = labels.first_mut().filter(|_| !self.odds(5)) {
            *label = self.pick(&[count, 9_999, usize::MAX]);
        }
        labels.truncate(if self.odds(9) { count } else { 1 });
        labels
    }

    /// A fit with a random number of steps.
    fn fit<M>(&mut self, mut model: impl FnMut(&mut Hostile) -> M) -> Fit<M> {
        let steps = self.size();
        let objectives = (0..steps).map(|_| self.number()).collect();
        // one fit in nine has kept too few models, or none
        let kept = if self.odds(9) { steps } else { self.pick(&[0, 1]) };
        let models = (0..kept).map(|_| model(self)).collect();
        Fit { model: model(self), objectives, models, converged: self.odds(2) }
    }

    fn coins(&mut self) -> Coins {
        match self.odds(3) {
            true => Coins { thetas: self.numbers(2), weights: vec![0.5, 0.5] },
            false => {
                let coins = self.two();
                Coins { thetas: self.numbers(coins), weights: self.numbers(coins) }
            }
        }
    }

    fn kmeans(&mut self) -> KMeans {
        let clusters = if self.odds(4) { 2 } else { self.size() };
        KMeans { centroids: self.shuffled(clusters, 2) }
    }

    fn mixture(&mut self) -> Gmm {
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

    fn experiments(&mut self) -> Experiments {
        let tosses = self.pick(&[1, 10, 10, 1_000_000, u64::MAX]);
        let count = self.pick(&[1, 2, 5, 41, 500]);
        let heads: Vec<u64> = (0..count).map(|_| self.pick(&[0, tosses, tosses / 2, tosses / 3])).collect();
        Experiments::new(&heads, tosses).unwrap()
    }

    fn evaluation(&mut self) -> (Evaluation, Images) {
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
    fn net(&mut self) -> Architecture {
        let deep_features = self.pick(&[0, 0, 1, 2]);
        Architecture { deep_features, primary: 1, first: 2, second: 1, classes: 2, ..Architecture::default() }
    }

    fn routing(&mut self) -> (RoutingInput, Routing) {
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

    fn rungs(&mut self, children: usize, parents: usize) -> chapter06::Ladder {
        let parents = if self.odds(9) { parents } else { self.size() };
        [(); 5].map(|_| self.ladder(children, parents))
    }

    fn ladder(&mut self, children: usize, parents: usize) -> Vec<LadderStep> {
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

/// Draws in a separate thread within the time limit. A figure must have finite numbers and a bounded size.
fn drawn_in_time(name: &str, draw: impl FnOnce() -> Drawn + Send + 'static) -> Drawn {
    let (sender, receiver) = mpsc::channel();
    let started = Instant::now();
    let thread = std::thread::spawn(move || {
        let drawn = draw();
        let _ = sender.send(started.elapsed());
        drawn
    });
    match receiver.recv_timeout(LIMIT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} has not returned after {LIMIT:?}"),
        _ => {
            let drawn = thread.join().unwrap_or_else(|_| panic!("{name} panicked"));
            match &drawn {
                Ok(figure) => {
                    svg::assert_numbers(figure);
                    let most =
                        if figure.svg(Palette::Light).contains("@keyframes") { 4_200_000 } else { 1_100_000 };
                    assert!(
                        figure.svg(Palette::Light).len() <= most,
                        "{name} has {} bytes",
                        figure.svg(Palette::Light).len()
                    );
                    assert!(figure.alt().chars().count() <= 3_001 && figure.name().len() <= 100, "{name}");
                }
                Err(error) => assert!(error.to_string().len() < 100_000, "{name}"),
            }
            drawn
        }
    }
}

#[test]
fn hostile_input_gives_a_bounded_figure_or_an_error() {
    let mut rest: Vec<_> = DRAWN.to_vec();
    let halves = [rest.split_off(DRAWN.len() / 2), rest];
    std::thread::scope(|scope| {
        for half in halves {
            scope.spawn(move || half.into_iter().for_each(hostile_input_is_bounded));
        }
    });
}

fn hostile_input_is_bounded((name, draw): (&str, Draw)) {
    let mut figures = 0;
    for seed in 1..=CASES {
        let case = format!("{name}, seed {seed}");
        figures += usize::from(drawn_in_time(&case, move || draw(&mut Hostile::new(seed))).is_ok());
    }
    assert!(figures > 0, "{name} rejected every input, so its figures are untested");
}

#[test]
fn every_function_that_returns_a_figure_is_tested_here() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root.join("draw")).into_iter().chain(sources(&root.join("figures"))) {
        found.extend(functions_of_figures(&std::fs::read_to_string(path).unwrap()));
    }
    found.sort();
    let tested: Vec<&str> = DRAWN.iter().map(|entry| entry.0).collect();
    assert_eq!(found, tested, "left: found in the sources; right: tested here");
}

/// The Rust files of a folder and its subfolders.
fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The names of the public functions (not methods) whose signatures return a figure.
fn functions_of_figures(source: &str) -> Vec<String> {
    let of = |signature: &str| {
        let signature = signature.split('{').next().unwrap();
        let returns = ["-> Result<Figure>", "-> Figure"].iter().any(|returned| signature.contains(returned));
        let method = signature.contains("self)") || signature.contains("self,");
        let name = signature.split(['(', '<']).next().unwrap();
        (returns && !method).then(|| name.to_string())
    };
    source.split("pub fn ").skip(1).filter_map(of).collect()
}

/// A small wave, so that samples, costs and curves are neither equal nor sorted.
fn wave(i: usize) -> f64 {
    (0.7 * i as f64).sin() + 0.3 * (0.11 * i as f64).cos()
}

fn samples(count: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, columns), |(i, j)| wave(i * (j + 1) + j) + (i % 3) as f64)
}

fn cycle(count: usize, classes: usize) -> Vec<usize> {
    (0..count).map(|i| i % classes).collect()
}

/// A fit with this many iterations, whose objective rises ever more slowly.
fn long_fit<M>(iterations: usize, model: impl Fn(usize) -> M) -> Fit<M> {
    let objectives = (0..=iterations).map(|t| -1.0 / (t as f64 + 1.0)).collect();
    let models = (0..=iterations).map(&model).collect();
    Fit { model: model(iterations), objectives, models, converged: false }
}

fn spiral(t: usize, k: usize) -> Array2<f64> {
    let along = |t: usize| 1.0 + 2.0 / (1.0 + 0.01 * t as f64);
    Array2::from_shape_fn((k, 2), |(k, h)| along(t) * (0.05 * t as f64 + k as f64 + 1.6 * h as f64).sin())
}

fn moving_coins(t: usize) -> Coins {
    Coins::even(&[0.5 + 0.3 / (t as f64 + 1.0), 0.5 - 0.2 / (t as f64 + 1.0)]).unwrap()
}

fn many_experiments(count: usize) -> Experiments {
    Experiments::new(&(0..count).map(|i| (i % 11) as u64).collect::<Vec<_>>(), 10).unwrap()
}

fn long_routing(children: usize, parents: usize, iterations: usize) -> (RoutingInput, Routing) {
    let votes = Array4::from_shape_fn((1, children, parents, 2), |(_, i, j, h)| wave(3 * i + 5 * j + h));
    let ones = || Array1::ones(parents);
    let input = RoutingInput::new(votes, Array2::from_elem((1, children), 0.7), ones(), ones());
    let mut routing = input.route(&RoutingOptions { iterations: 2, ..Default::default() }).unwrap();
    routing.trace = (0..iterations).map(|t| routing.trace[t % 2].clone()).collect();
    (input, routing)
}

/// Large inputs that must be subsampled and drawn.
const LARGE: &[Named] = &[
    ("pair_plot of 8 columns and 200,000 samples", || {
        pairs(&samples(200_000, 8), &["a"; 8], &Array1::from(cycle(200_000, 3)))
    }),
    ("pair_plot of 1,000,000 samples in 100 clusters", || {
        pairs(&samples(1_000_000, 2), &["a"; 2], &Array1::from(cycle(1_000_000, 100)))
    }),
    ("clusterings of 1,000,000 samples", || {
        let labels = Array1::from(cycle(1_000_000, 5));
        let one = Clustering { title: "t", labels: &labels, kmeans: None, mixture: None };
        chapter03::clusterings("", &samples(1_000_000, 2), &[one; 4])
    }),
    ("kmeans_animation of 1,000,000 samples and 10,000 iterations", || {
        let fit = long_fit(10_000, |t| KMeans { centroids: spiral(t, 5) });
        chapter03::kmeans_animation(&samples(1_000_000, 2), &fit)
    }),
    ("mixture_animation of 200,000 samples and 10,000 iterations", || {
        let fit = long_fit(10_000, |t| Gmm::standard(spiral(t, 3), CovarianceKind::Spherical));
        chapter04::mixture_animation(&samples(200_000, 2), &fit)
    }),
    ("mixture_contours of 1,000,000 samples", || {
        let mixture = Gmm::standard(spiral(0, 5), CovarianceKind::Full);
        chapter04::mixture_contours("", &samples(1_000_000, 2), &mixture, (-5.0, 5.0), (-5.0, 5.0))
    }),
    ("objective_trace of 1,000,000 iterations", || {
        chapter03::objective_trace("", &[long_fit(1_000_000, |_| ())], Objective::LogLikelihood)
    }),
    ("atlas of 90,000 optima", || {
        let model = KMeans { centroids: spiral(0, 3) };
        let fit = |i| Fit {
            model: model.clone(),
            objectives: vec![-f64::from(i)],
            models: vec![],
            converged: true,
        };
        let fits: Vec<Fit<KMeans>> = (0..90_000).map(fit).collect();
        chapter03::atlas(&samples(1_000_000, 2), &spiral(0, 2), &fits, 0.0)
    }),
    ("known_likelihood of 1,000,000 experiments", || {
        chapter01::known_likelihood(&many_experiments(1_000_000), &cycle(1_000_000, 3))
    }),
    ("minimiser_path of 1,000,000 experiments", || {
        let fit = long_fit(400, |t| moving_coins(t).thetas);
        chapter01::minimiser_path(&many_experiments(1_000_000), &cycle(1_000_000, 2), &fit)
    }),
    ("bound_animation of 1,000,000 experiments and 10,000 iterations", || {
        let objective = -2.4e6;
        let mut fit = long_fit(10_000, moving_coins);
        fit.objectives.fill(objective);
        chapter02::bound_animation(&many_experiments(1_000_000), &fit, 0, 10_000)
    }),
    ("surface of 1,000,000 experiments and 10,000 iterations", || {
        let fit = long_fit(10_000, moving_coins);
        chapter02::surface(&many_experiments(1_000_000), &[&fit; 3])
    }),
    ("likelihood_trace of 10,000 iterations", || {
        chapter02::likelihood_trace(&many_experiments(5), &long_fit(10_000, moving_coins))
    }),
    ("responsibilities of 100,000 experiments", || {
        let experiments = many_experiments(100_000);
        let found = experiments.expectation(&moving_coins(1)).unwrap();
        chapter02::responsibilities(&experiments, &vec![found; 20])
    }),
    ("starts of 2,000 fits", || {
        let fits: Vec<Fit<Coins>> = (0..2_000).map(|i| long_fit(1, |t| moving_coins(t + i % 9))).collect();
        chapter02::starts(&many_experiments(1_000_000), &fits)
    }),
    ("difference_errors of 1,000,000 points", || {
        let points: Vec<(f64, f64)> = (1..1_000_001).map(|i| (1e-6 * i as f64, 2.0 + wave(i))).collect();
        chapter07::difference_errors(&[("a", &points)])
    }),
    ("error_curves of 1,000,000 points", || {
        let points: Vec<(f64, f64)> = (0..1_000_000).map(|i| (i as f64, 0.5 + 0.3 * wave(i))).collect();
        figures::chapter09::error_curves("steps", &[("a", points)])
    }),
    ("stopped_gradients of 10,000 iterations", || {
        let draws = |t: usize| {
            (0..10).map(|i| StoppedGradient { cosine: 0.5 * wave(t + i), relative_size: 1.0 }).collect()
        };
        let series: Vec<Vec<StoppedGradient>> = (0..10_000).map(draws).collect();
        chapter07::stopped_gradients(&[("a", series.clone()), ("b", series)])
    }),
    ("activation_histograms of 1,000,000 capsules", || {
        let values: Vec<f32> = (0..1_000_000).map(|i| (i % 100) as f32 / 99.0).collect();
        figures::chapter09::activation_histograms(&[("a", &[("l", &values[..]); 5][..]); 4])
    }),
    ("mistakes of 10,000 images of 100 x 100, all wrong", || {
        let evaluation = Evaluation {
            activations: vec![0.5; 20_000],
            predictions: vec![1; 10_000],
            labels: vec![0; 10_000],
            classes: 2,
        };
        let images = Images {
            pixels: vec![9; 100_000_000],
            labels: vec![0; 10_000],
            height: 100,
            width: 100,
            classes: 2,
        };
        figures::chapter09::mistakes(&evaluation, &images, 10_000)
    }),
    ("assignments of 300,000 children", || chapter06::assignments(&long_routing(300_000, 4, 3).1, 0)),
    ("routing_curves of 10,000 iterations", || chapter06::routing_curves(&long_routing(3, 4, 10_000).1, 0)),
    ("routing_animation of 10,000 iterations", || {
        let (input, routing) = long_routing(30, 4, 10_000);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("routing_animation of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 6);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("vote_gradients of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 2);
        chapter07::vote_gradients(&input, &routing, 0, &[("a", &input.votes); 3])
    }),
    ("vote_agreement of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 2);
        figures::chapter08::vote_agreement(&input, &routing, 0, &[("a", 0), ("b", 1)])
    }),
    ("maps of 1000 x 1000 places", || {
        let images =
            Images { pixels: vec![9; 1_000_000], labels: vec![0], height: 1000, width: 1000, classes: 2 };
        let numbers: Vec<f32> = (0..4_000_000).map(|i| wave(i) as f32).collect();
        figures::chapter08::maps("maps", &images, &[0; 2], &numbers, (1000, 2))
    }),
    ("architecture of images of 1000 x 1000", || {
        let config = Architecture { height: 1000, width: 1000, ..Architecture::default() };
        figures::chapter08::architecture(&CapsNet::zeros(config)?)
    }),
    ("bars with names of 10 kB", || chapter07::vote_bytes(&[("w".repeat(10_000).as_str(), 1.0); 12])),
];

/// Inputs that are too large to draw.
const TOO_LARGE: &[Named] = &[
    ("pair_plot of 200 columns", || pairs(&samples(5, 200), &["a"; 200], &Array1::from(vec![0; 5]))),
    ("pair_plot of 10,000 clusters", || {
        pairs(&samples(10_000, 2), &["a"; 2], &Array1::from(cycle(10_000, 10_000)))
    }),
    ("clusterings with 10,000 clusters", || {
        let model = KMeans { centroids: samples(10_000, 2) };
        let labels = Array1::from(cycle(10_000, 10));
        let one = Clustering { title: "t", labels: &labels, kmeans: Some(&model), mixture: None };
        chapter03::clusterings("", &samples(10_000, 2), &[one; 2])
    }),
    ("kmeans_animation of 10,000 clusters", || {
        let fit = long_fit(2, |_| KMeans { centroids: samples(10_000, 2) });
        chapter03::kmeans_animation(&samples(10_000, 2), &fit)
    }),
    ("mixture_animation of 10,000 components", || {
        let fit = long_fit(2, |_| Gmm::standard(samples(10_000, 2), CovarianceKind::Spherical));
        chapter04::mixture_animation(&samples(100, 2), &fit)
    }),
    ("known_likelihood of 10,000 coins", || {
        chapter01::known_likelihood(&many_experiments(10_000), &cycle(10_000, 10_000))
    }),
    ("routing_animation of 2,000 parents", || {
        let (input, routing) = long_routing(2, 2_000, 2);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("objective_trace of 100,000 fits", || {
        let fit = long_fit(1, |_| ());
        chapter03::objective_trace("", &vec![fit; 100_000], Objective::Inertia)
    }),
    ("animate with 1,000 frames that differ", || {
        let frames: Vec<Figure> =
            (0..1000).map(|i| chapter01::jensen_chord(1.0, 2.0 + i as f64, 0.5).unwrap()).collect();
        figures::animate("long", &frames, 1.0)
    }),
    ("confusion of 10,000 classes", || {
        let (labels, classes) = (vec![0; 10], 10_000);
        figures::chapter09::confusion(&Evaluation {
            activations: vec![0.0; 100_000],
            predictions: labels.clone(),
            labels,
            classes,
        })
    }),
];

#[test]
fn large_input_is_subsampled_and_drawn() {
    for &(name, draw) in LARGE {
        let figure = drawn_in_time(name, draw).unwrap_or_else(|error| panic!("{name}: {error}"));
        let most = if figure.svg(Palette::Light).contains("@keyframes") { 4_000_000 } else { 700_000 };
        assert!(
            figure.svg(Palette::Light).len() <= most,
            "{name} has {} bytes",
            figure.svg(Palette::Light).len()
        );
    }
}

#[test]
fn the_error_for_oversized_input_names_the_limit() {
    for &(name, draw) in TOO_LARGE {
        let error = drawn_in_time(name, draw)
            .map(|figure| figure.svg(Palette::Light).len())
            .expect_err(name)
            .to_string();
        assert!(error.contains("at most") || error.contains("from 1 to"), "{name}: {error}");
    }
}

#[test]
fn errors_for_huge_values_name_the_place_of_the_value() {
    let data = array![[8e307, 0.0], [-8e307, 1.0]];
    let error = drawn_in_time("pair_plot", move || pairs(&data, &["a", "b"], &array![0, 0]));
    assert!(matches!(error, Err(Error::Magnitude { row: 0, column: 0, .. })), "{error:?}");
    let error = drawn_in_time("elbow", || chapter03::elbow(&[1, 2], &[8e307, -8e307], "cm²", 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("inertia (cm²)") && error.contains("at most 1e140 from 0"), "{error}");
    // The largest and smallest allowed numbers draw like any others.
    for scale in [1e130, 1e-120, 1.0] {
        svg::assert_sound(
            &chapter03::elbow(&[1, 2, 3], &[scale, 0.2 * scale, 0.1 * scale], "cm²", 1).unwrap(),
        );
        let data = samples(50, 2) * (0.3 * scale);
        svg::assert_sound(&pairs(&data, &["a", "b"], &Array1::from(cycle(50, 2))).unwrap());
    }
}
