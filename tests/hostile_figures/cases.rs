//! Each function that returns a figure, called with hostile arguments.

use em_routing::capsnet::CapsNet;
use em_routing::draw::Along;
use em_routing::figures::chapter03::{self, Clustering};
use em_routing::figures::chapter04;
use em_routing::figures::chapter05::{self, View};
use em_routing::figures::chapter06;
use em_routing::figures::chapter07::{self, StoppedGradient};
use em_routing::figures::chapter10;
use em_routing::figures::chapter11::{self, TrainingCurve, TrainingPoint};
use em_routing::figures::records::{ClaimRecord, ViewTrial};
use em_routing::figures::{self, chapter01, chapter02};
use em_routing::gmm::Criteria;
use em_routing::prelude::*;
use em_routing::routing::{CapsuleLayerRun, Patches};
use ndarray::Array5;

use super::values::Hostile;
use super::{Draw, Drawn};

/// All public functions that return a figure, called with hostile arguments.
pub const DRAWN: &[(&str, Draw)] = &[
    ("ablation", |h| {
        let runs = |h: &mut Hostile| (0..h.size()).map(|_| h.odds(4).then(|| h.number())).collect::<Vec<_>>();
        let rows: Vec<(String, Vec<Option<f64>>)> = (0..h.size()).map(|_| (h.name(), runs(h))).collect();
        figures::chapter09::ablation(&rows)
    }),
    ("accuracies", |h| {
        let share = |h: &mut Hostile| h.odds(4).then(|| h.number());
        let trial = |h: &mut Hostile| ViewTrial {
            set: h.name(),
            arm: h.name(),
            seed: 1,
            epochs: h.size(),
            parameters: h.size(),
            familiar: share(h),
            novel: share(h),
        };
        let arms: Vec<chapter10::Arm> =
            (0..h.size()).map(|_| (h.name(), (0..h.size()).map(|_| trial(h)).collect())).collect();
        chapter10::accuracies(&arms)
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
            digits: h.size(),
            epochs: h.size(),
            value: h.number(),
        };
        let claims: Vec<ClaimRecord> = (0..h.size()).map(|_| record(h)).collect();
        chapter10::affine_bars(&claims)
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
    ("log_densities", |h| {
        let count = h.size();
        chapter11::log_densities(&h.numbers(count))
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
    ("over_azimuths", |h| {
        let curves = h.curves();
        let familiar = (h.number(), h.number());
        chapter10::over_azimuths(&h.name(), familiar, &curves)
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
    ("predictions", |h| {
        let counts = h.counts();
        let name = h.name();
        chapter11::predictions(&vec![(name.as_str(), &counts[..]); h.size()])
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
        chapter10::share_curves(&h.name(), &h.name(), [&titles[0], &titles[1]], &curves)
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
    ("trainings", |h| {
        let points = |h: &mut Hostile| -> Vec<TrainingPoint> {
            let point = |at: usize| TrainingPoint { seen: at, loss: h.number(), accuracy: h.number() };
            (1..=5).map(point).collect()
        };
        let run = |h: &mut Hostile| TrainingCurve { name: h.name(), points: points(h), diverged: h.odds(2) };
        let runs: Vec<TrainingCurve> = (0..h.size()).map(|_| run(h)).collect();
        chapter11::trainings(&runs, &named_values(&h.bars()))
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
pub fn pairs(data: &Array2<f64>, names: &[&str], labels: &Array1<usize>) -> Drawn {
    chapter03::pair_plot("", data, names, labels, &["a cluster"; 200], ("", &[]))
}

fn named_values(bars: &[(String, f64)]) -> Vec<(&str, f64)> {
    bars.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

fn borrowed(curves: &[(String, Vec<(f64, f64)>)]) -> Vec<(&str, &[(f64, f64)])> {
    curves.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect()
}
