//! Tests of the chapters' figures: they are well-formed, small and reproducible, and they reject bad input.

use em_routing::draw::Palette;
use em_routing::error::Error;
use em_routing::figures::chapter03::{self, Clustering};
use em_routing::figures::chapter04::{self, Objective};
use em_routing::figures::chapter05::{self, View};
use em_routing::figures::chapter06;
use em_routing::figures::chapter07;
use em_routing::figures::{self, chapter01, chapter02};
use em_routing::prelude::*;

#[path = "../support/svg.rs"]
mod svg;
mod training;

use svg::{assert_sound, assert_well_formed};

#[test]
fn every_figure_is_well_formed_small_and_reproducible() {
    for (name, draw) in figures::all() {
        let figure = draw().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(figure.name(), *name);
        assert_sound(&figure);
        assert!(figure == draw().unwrap(), "{name} differs when drawn again");
        let (light, dark) = (figure.svg(Palette::Light), figure.svg(Palette::Dark));
        assert_eq!(light, figure.svg(Palette::Light), "{name}");
        assert_well_formed(name, &dark);
        assert!(light != dark && light.lines().count() >= 5, "{name}");
    }
}

#[test]
fn animations_have_a_print_strip_and_respect_reduced_motion() {
    let mut animations = 0;
    for (name, draw) in figures::all() {
        let figure = draw().unwrap();
        let (svg, strip) = (figure.svg(Palette::Light), figure.strip(Palette::Light));
        assert_well_formed(name, &strip);
        assert_eq!(svg.contains("@keyframes"), figure.is_animation(), "{name}");
        assert_eq!(svg != strip, figure.is_animation(), "{name}");
        if figure.is_animation() {
            animations += 1;
            let motion = svg.find("@media (prefers-reduced-motion:no-preference)").unwrap();
            assert!(motion < svg.find("animation:").unwrap(), "{name}");
            assert!((2..=6).contains(&(strip.matches("<svg ").count() - 1)), "{name}");
            assert!(!strip.contains("@keyframes"), "{name}");
        }
    }
    assert!(animations > 0);
}

#[test]
fn a_notebook_stores_a_named_svg_the_words_and_the_strip_of_an_animation() {
    for (name, draw) in figures::all() {
        let contents = draw().unwrap().contents();
        let of =
            |kind: &str| contents.iter().find(|content| content.0 == kind).map(|content| content.1.as_str());
        let svg = of("image/svg+xml").unwrap();
        assert_well_formed(name, svg);
        let root = format!("<svg data-figure=\"{name}\" ");
        assert!(svg.starts_with(&root), "{name}");
        assert_eq!(svg.replacen(&root, "<svg ", 1), draw().unwrap().svg(Palette::Light), "{name}");
        assert_eq!(of(draw::STRIP).is_some(), draw().unwrap().is_animation(), "{name}");
        assert!(of("text/plain").is_some_and(|words| words.len() > 20 && !words.contains('\n')), "{name}");
        assert_eq!(of("text/html"), None, "{name}");
        assert_eq!(contents.len(), if svg.contains("@keyframes") { 3 } else { 2 }, "{name}");
    }
}

#[test]
fn figure_names_are_unique() {
    let mut names: Vec<_> = figures::all().map(|entry| entry.0).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_bound_animation_has_a_group_per_frame_and_shows_the_last_without_motion() {
    let experiments = Experiments::blog_hidden();
    let fit = chapter02::first_coin_free(&experiments, &Coins::even(&[0.3, 0.52]).unwrap()).unwrap();
    assert!(fit.models.iter().all(|model| model.thetas[1] == 0.52));
    let svg = chapter02::bound_animation(&experiments, &fit, 0, 4).unwrap().svg(Palette::Light);
    assert_eq!(svg.matches("<g id=\"f").count(), 4);
    assert_eq!(svg.matches("@keyframes").count(), 4);
    assert_eq!(svg.matches(" visibility=\"hidden\"").count(), 3);
    assert!(svg.contains("<g id=\"f3-bound-animation\">") && svg.contains("iteration 4"));
    // Shared parts of the frames are written once: the card, the axes and the unchanged curve.
    assert_eq!(svg.matches("probability of heads").count(), 1);
    assert_eq!(svg.matches("stroke-width=\"26\"").count(), 1);
}

#[test]
fn animate_rejects_bad_frames() {
    let frames = [chapter01::jensen_chord(1.0, 2.0, 0.5).unwrap(), (chapter02::FIGURES[4].1)().unwrap()];
    assert!(matches!(figures::animate("both", &frames, 1.0), Err(Error::Drawing { .. })));
    assert!(matches!(figures::animate("none", &[], 1.0), Err(Error::Empty { .. })));
    assert!(matches!(figures::animate("still", &frames[..1], f64::NAN), Err(Error::Setting { .. })));
    // One frame, or frames that are equal, still make a figure.
    assert_sound(&figures::animate("one", &frames[..1], 1.0).unwrap());
    assert_sound(&figures::animate("two", &[frames[0].clone(), frames[0].clone()], 1.0).unwrap());
}

#[test]
fn saving_is_atomic_and_errors_name_the_path() {
    let folder = std::env::temp_dir().join(format!("em-routing-figures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let figure = chapter01::jensen_chord(1.0, 6.0, 0.6).unwrap();
    let path = folder.join("figure.svg");
    std::fs::write(&path, "old").unwrap();
    figure.save(&path, Palette::Light).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), figure.svg(Palette::Light));
    let error =
        figure.save(folder.join("missing").join("figure.svg"), Palette::Light).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("figure.svg"), "{error}");
    std::fs::create_dir(folder.join("taken.svg")).unwrap();
    assert!(
        figure.save(folder.join("taken.svg"), Palette::Light).unwrap_err().to_string().contains("taken.svg")
    );
    let mut left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["figure.svg", "taken.svg"], "no partial file is left");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn coin_figures_reject_bad_input() {
    let (known, labels) = Experiments::blog_known();
    let hidden = Experiments::blog_hidden();
    let three = Coins::even(&[0.2, 0.5, 0.8]).unwrap();
    let options = CoinOptions { start: three, keep_models: true, ..Default::default() };
    let fit = Coins::fit(&hidden, &options).unwrap();
    assert!(chapter01::jensen_chord(f64::NAN, 2.0, 0.5).unwrap_err().to_string().contains("a is NaN"));
    assert!(
        chapter01::jensen_chord(1.0, 0.0, 0.5).is_err() && chapter01::jensen_chord(1.0, 1.0, 0.5).is_err()
    );
    assert!(matches!(chapter01::jensen_chord(1.0, 2.0, 1.5), Err(Error::Probability { .. })));
    let tangent = |values: &[f64], probabilities: &[f64]| chapter01::jensen_tangent(values, probabilities);
    assert!(matches!(tangent(&[], &[]), Err(Error::Empty { .. })));
    assert!(matches!(tangent(&[1.0, 2.0], &[1.0]), Err(Error::Length { .. })));
    assert!(matches!(tangent(&[1.0, -2.0], &[0.5, 0.5]), Err(Error::Setting { .. })));
    assert!(matches!(tangent(&[1.0, 2.0], &[0.5, 0.6]), Err(Error::NotNormalised { .. })));
    assert!(matches!(tangent(&[1.0, 2.0], &[0.5, f64::NAN]), Err(Error::Probability { index: 1, .. })));
    assert!(matches!(chapter01::known_likelihood(&known, &labels[..3]), Err(Error::Length { .. })));
    assert!(matches!(
        chapter01::known_likelihood(&known, &[0, 0, 2, 0, 2]),
        Err(Error::NeverTossed { coin: 1 })
    ));
    let surface = chapter02::surface(&hidden, &[]).unwrap().svg(Palette::Light);
    assert!(!surface.contains("start"));
    assert!(matches!(chapter02::surface(&hidden, &[&fit]), Err(Error::Length { expected: 2, found: 3, .. })));
    assert!(matches!(chapter02::starts(&hidden, &[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter02::bound_animation(&hidden, &fit, 3, 5), Err(Error::Setting { .. })));
    assert!(matches!(chapter02::bound_animation(&hidden, &fit, 0, 0), Err(Error::Empty { .. })));
    assert!(matches!(chapter02::responsibilities(&hidden, &[]), Err(Error::Empty { .. })));
    let other = Experiments::new(&[1, 2], 10).unwrap();
    assert!(matches!(
        chapter02::responsibilities(&other, &hidden.expectations(&fit).unwrap()),
        Err(Error::Length { .. })
    ));
    let row = Table::new(&["a", "b"]).row(&[&1]).map(|_| ()).unwrap_err().to_string();
    assert!(row.contains("2 is needed"), "{row}");
    assert!(Table::of(&["a"], [vec![1.0, 2.0]], 2).is_err());
}

#[test]
fn coin_figures_accept_other_data() {
    let labels: Vec<usize> = (0..40).map(|i| i % 3).collect();
    let experiments = Experiments::simulate(&labels, &[0.15, 0.5, 0.9], 20, 7).unwrap();
    let start = Coins::even(&[0.3, 0.4, 0.6]).unwrap();
    let options = CoinOptions {
        start,
        stop: Stop { max_iterations: 60, tolerance: 1e-12 },
        mixing: Mixing::Estimated,
        keep_models: true,
    };
    let fit = Coins::fit(&experiments, &options).unwrap();
    assert_sound(&chapter01::known_likelihood(&experiments, &labels).unwrap());
    assert_sound(&chapter02::likelihood_trace(&experiments, &fit).unwrap());
    assert_sound(
        &chapter02::responsibilities(&experiments, &experiments.expectations(&fit).unwrap()).unwrap(),
    );
    assert_sound(&chapter02::bound_animation(&experiments, &fit, 1, 12).unwrap());
    // Theta at 0 and 1, and a fit that does not move.
    let certain = Experiments::new(&[0, 10], 10).unwrap();
    assert_sound(&chapter01::known_likelihood(&certain, &[0, 1]).unwrap());
    let start = Coins::even(&[0.0, 1.0]).unwrap();
    let options = CoinOptions { start, keep_models: true, ..Default::default() };
    let fit = Coins::fit(&certain, &options).unwrap();
    assert_sound(&chapter02::surface(&certain, &[&fit, &fit]).unwrap());
    assert_sound(&chapter02::starts(&certain, std::slice::from_ref(&fit)).unwrap());
    assert_sound(&chapter02::likelihood_trace(&certain, &fit).unwrap());
    assert_sound(&chapter02::bound_animation(&certain, &fit, 0, 3).unwrap());
    assert_sound(
        &chapter01::minimiser_path(&certain, &[0, 1], &certain.minimise_known(&[0, 1], &[0.5, 0.5]).unwrap())
            .unwrap(),
    );
}

#[test]
fn the_kmeans_animation_has_two_frames_per_iteration_and_shares_unchanged_samples() {
    let (samples, _) = samples::five_blobs(200, 1);
    let fit = chapter03::crowded_fit(&samples).unwrap();
    assert!(fit.converged && fit.iterations() > 3);
    let short = Fit {
        model: fit.models[3].clone(),
        objectives: fit.objectives[..4].to_vec(),
        models: fit.models[..4].to_vec(),
        converged: false,
    };
    let svg = chapter03::kmeans_animation(&samples, &short).unwrap().svg(Palette::Light);
    assert_eq!(svg.matches("<g id=\"f").count(), 7);
    assert!(svg.contains("the fit stopped here") && svg.contains("each centroid to the mean"));
    // Of the 200 discs, only those that change their cluster are repeated in each frame.
    let discs = svg.matches("h0").count();
    assert!(discs < 200 * 7, "{discs}");
}

#[test]
fn the_atlas_figure_counts_the_starts_that_reach_each_optimum() {
    let (samples, _) = samples::five_blobs(50, 1);
    let fixed = array![[-3.6, 3.2], [0.2, 0.3]];
    let fits = chapter03::kmeans_from_grid(&samples, &fixed, 3).unwrap();
    let ends: Vec<f64> = [1.0, 1.5, 3.0, 1.0, 9.0, 9.2, 1.2, 3.0, 3.0].into();
    let fits: Vec<Fit<KMeans>> =
        fits.into_iter().zip(ends).map(|(fit, end)| Fit { objectives: vec![-end], ..fit }).collect();
    let atlas = |fits: &[Fit<KMeans>], same| chapter03::atlas(&samples, &fixed, fits, same);
    let figure = atlas(&fits, 0.6).unwrap();
    assert_sound(&figure);
    for words in ["4 of 9 starts", "3 of 9 starts", "2 of 9 starts"] {
        assert!(figure.svg(Palette::Light).contains(words), "{words}: {}", figure.alt());
    }
    assert!(matches!(atlas(&fits[..5], 0.0), Err(Error::Length { expected: 4, found: 5, .. })));
    assert!(atlas(&fits, f64::NAN).is_err());
    assert!(atlas(&[], 0.0).is_err());
    let far = array![[1e300, 0.0], [0.0, 1.0], [2.0, 2.0]];
    assert!(matches!(chapter03::atlas(&far, &fixed, &fits, 0.0), Err(Error::Magnitude { .. })));
}

/// A pair plot with names for 100 clusters, none of them rimmed.
fn pairs(data: &Array2<f64>, names: &[&str], labels: &Array1<usize>) -> Result<Figure, Error> {
    chapter03::pair_plot("", data, names, labels, &["a cluster"; 100], ("", &[]))
}

#[test]
fn cluster_figures_reject_bad_input() {
    let plane = array![[0.0, 1.0], [2.0, 3.0], [4.0, 1.0]];
    let space = array![[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]];
    let holed = array![[0.0, 1.0], [f64::NAN, 3.0]];
    let names = ["a", "b"];
    assert!(matches!(pairs(&plane, &names, &array![0, 1]), Err(Error::Length { found: 2, .. })));
    assert!(matches!(pairs(&plane, &["a"], &array![0, 1, 0]), Err(Error::Length { found: 1, .. })));
    let called = |clusters: &[&str], rims: &[usize]| {
        chapter03::pair_plot("", &plane, &names, &array![0, 1, 0], clusters, ("", rims))
    };
    assert!(matches!(called(&["x"], &[]), Err(Error::Length { .. })));
    assert!(matches!(called(&["x", "y"], &[3]), Err(Error::Setting { .. })));
    assert!(matches!(
        pairs(&plane, &names, &array![0, usize::MAX, 0]),
        Err(Error::LabelOutOfRange { index: 1, .. })
    ));
    assert!(matches!(pairs(&holed, &names, &array![0, 1]), Err(Error::NonFinite { row: 1, .. })));
    assert!(matches!(pairs(&Array2::zeros((0, 2)), &names, &array![]), Err(Error::Empty { .. })));
    let wide = Array2::zeros((2, 9));
    assert!(matches!(pairs(&wide, &["a"; 9], &array![0, 0]), Err(Error::Setting { .. })));

    let kmeans = |data: &Array2<f64>| {
        KMeans::fit(data, &KMeansOptions { clusters: 2, keep_models: true, ..Default::default() })
    };
    let fit = kmeans(&plane).unwrap();
    assert!(matches!(chapter03::kmeans_animation(&holed, &fit), Err(Error::NonFinite { .. })));
    assert!(matches!(chapter03::kmeans_animation(&space, &fit), Err(Error::Length { found: 3, .. })));
    assert!(chapter03::kmeans_animation(&plane, &kmeans(&space).unwrap()).is_err());

    let round = Gmm::standard(array![[0.0, 0.0]], CovarianceKind::Spherical);
    let solid = Gmm::standard(array![[0.0, 0.0, 0.0]], CovarianceKind::Full);
    assert!(chapter04::mixture_contours("", &plane, &solid, (0.0, 1.0), (0.0, 1.0)).is_err());
    assert!(chapter04::mixture_contours("", &plane, &round, (1.0, 0.0), (0.0, 1.0)).is_err());
    assert!(chapter04::mixture_contours("", &plane, &round, (0.0, f64::NAN), (0.0, 1.0)).is_err());

    let labels = array![0, 1, 1];
    let one = Clustering { title: "one", labels: &labels, kmeans: None, mixture: None };
    assert!(matches!(chapter03::clusterings("", &plane, &[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter03::clusterings("", &plane, &[one; 5]), Err(Error::Setting { .. })));
    assert!(chapter03::clusterings("", &plane, &[Clustering { labels: &array![0], ..one }]).is_err());
    assert!(chapter03::clusterings("", &plane, &[Clustering { mixture: Some(&solid), ..one }]).is_err());

    assert!(chapter03::elbow(&[], &[], "cm²", 1).is_err());
    assert!(chapter03::elbow(&[1, 2], &[1.0], "cm²", 1).is_err());
    assert!(chapter03::elbow(&[2, 2], &[1.0, 2.0], "cm²", 2).is_err());
    assert!(chapter03::elbow(&[1, 2], &[1.0, f64::INFINITY], "cm²", 1).is_err());
    assert!(matches!(chapter03::elbow(&[1, 2], &[2.0, 1.0], "cm²", 3), Err(Error::Setting { .. })));
    assert!(chapter03::objective_trace::<()>("", &[], Objective::Inertia).is_err());
    assert!(chapter03::errors_by_clusters(&[1], &[("", &[1.0])], "").is_err());
    assert!(chapter03::errors_by_clusters(&[0, 1], &[("", &[1.0, 1.0])], "").is_err());
    assert!(chapter03::errors_by_clusters(&[1, 2], &[("", &[1.0])], "").is_err());
    assert!(chapter03::errors_by_clusters(&[1, 2], &[("", &[1.0, f64::NAN])], "").is_err());
    assert!(matches!(chapter03::pictures("", 28, &[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter03::pictures("", 3, &[("", &plane, &[])]), Err(Error::Length { .. })));
    assert!(chapter03::pictures("", 1, &[("", &plane, &["too few".to_string()])]).is_err());
    assert!(chapter03::pictures("", 1, &[("", &holed, &[])]).is_err());
}

#[test]
fn the_error_for_a_fit_without_models_names_the_option_keep_models() {
    let (plane, _) = samples::five_blobs(50, 1);
    let kmeans = KMeans::fit(&plane, &KMeansOptions { clusters: 2, ..Default::default() }).unwrap();
    let mixture = Gmm::fit(&plane, &GmmOptions { components: 2, ..Default::default() }).unwrap();
    let hidden = Experiments::blog_hidden();
    let coins = Coins::fit(&hidden, &CoinOptions::default()).unwrap();
    for figure in [
        chapter03::kmeans_animation(&plane, &kmeans),
        chapter04::mixture_animation(&plane, &mixture),
        chapter02::surface(&hidden, &[&coins]),
        chapter02::starts(&hidden, std::slice::from_ref(&coins)),
        chapter02::bound_animation(&hidden, &coins, 0, 3),
        chapter02::likelihood_trace(&hidden, &coins),
    ] {
        let error = figure.unwrap_err();
        assert!(error.to_string().contains("keep_models: true"), "{error}");
    }
}

#[test]
fn cluster_figures_accept_degenerate_data() {
    // One sample; equal samples; a column that is constant; a fit without iterations; very different units.
    let single = array![[3.0, -2.0]];
    let equal = Array2::from_elem((6, 2), 1e6);
    let flat = Array2::from_shape_fn((40, 2), |(i, j)| if j == 0 { i as f64 * 1e-6 } else { 5e4 });
    let skewed =
        Array2::from_shape_fn((60, 2), |(i, j)| if j == 0 { (i % 7) as f64 } else { 1e5 * (i % 11) as f64 });
    for samples in [&single, &equal, &flat, &skewed] {
        let clusters = samples.nrows().min(3);
        let start = KMeansStart::RandomPoints;
        let options = KMeansOptions { clusters, start, keep_models: true, ..Default::default() };
        let fit = KMeans::fit(samples, &options).unwrap();
        let labels = fit.model().predict(samples).unwrap();
        assert_sound(&chapter03::kmeans_animation(samples, &fit).unwrap());
        assert_sound(&pairs(samples, &["a", "b"], &labels).unwrap());
        assert_sound(
            &chapter03::objective_trace("", &[fit.clone(), fit.clone()], Objective::Inertia).unwrap(),
        );
        let panel =
            Clustering { title: "K-means", labels: &labels, kmeans: Some(fit.model()), mixture: None };
        assert_sound(&chapter03::clusterings("", samples, &[panel, panel]).unwrap());
        let few = samples.slice(s![..clusters, ..]).to_owned();
        assert_sound(
            &chapter03::pictures("", 2, &[("few", &few, &vec!["a note".into(); clusters])]).unwrap(),
        );
        let curve: (&str, &[f64]) = ("inertia", &[fit.objectives[0].abs(), fit.objective().abs()]);
        assert_sound(&chapter03::errors_by_clusters(&[1, clusters + 1], &[curve], "error").unwrap());
        let components = clusters;
        let options =
            GmmOptions { components, regularisation: 1e-3, keep_models: true, ..Default::default() };
        let fit = Gmm::fit(samples, &options).unwrap();
        assert_sound(&chapter04::mixture_animation(samples, &fit).unwrap());
        assert_sound(
            &chapter04::mixture_contours("", samples, fit.model(), (-4.0, 4.0), (-3.0, 3.0)).unwrap(),
        );
        let criteria = fit.model().criteria(samples).unwrap();
        assert_sound(&chapter04::information_criteria(&[clusters], &[criteria]).unwrap());
    }
    // Many samples, clusters and columns still give figures within the size limits.
    let (many, labels) = samples::five_blobs(6_000, 4);
    let fits = chapter03::kmeans_runs(&many, 12, KMeansStart::PlusPlus, 2).unwrap();
    let options = KMeansOptions { clusters: 12, keep_models: true, ..Default::default() };
    assert_sound(&chapter03::kmeans_animation(&many, &KMeans::fit(&many, &options).unwrap()).unwrap());
    assert_sound(&chapter03::objective_trace("", &fits, Objective::Inertia).unwrap());
    let options = GmmOptions {
        components: 9,
        stop: Stop { max_iterations: 30, tolerance: 0.0 },
        keep_models: true,
        ..Default::default()
    };
    let mixture = Gmm::fit(&many, &options).unwrap();
    assert_sound(&chapter04::mixture_animation(&many, &mixture).unwrap());
    assert_sound(&chapter04::mixture_contours("", &many, mixture.model(), (-8.0, 8.0), (-8.0, 8.0)).unwrap());
    let panel = Clustering { title: "drawn", labels: &labels, kmeans: None, mixture: Some(mixture.model()) };
    assert_sound(&chapter03::clusterings("", &many, &[panel; 4]).unwrap());
    let wide = Array2::from_shape_fn((3000, 8), |(i, j)| many[(i + 13 * j, j % 2)]);
    assert_sound(&pairs(&wide, &["a"; 8], &labels.slice(s![..3000]).to_owned()).unwrap());
}

#[test]
fn routing_finds_two_wholes_and_rung_4_lowers_the_likelihood() {
    let wholes = samples::two_wholes(11694);
    let (input, routing) = chapter06::two_wholes_routing(&wholes).unwrap();
    let activations = routing.activations();
    assert!(activations[(0, 0)] > 0.9 && activations[(0, 1)] > 0.9 && activations[(0, 2)] < 0.4);
    let figure = chapter06::routing_animation(&input, &routing, 0).unwrap();
    assert_eq!(figure.svg(Palette::Light).matches("<g id=\"f").count(), 6);
    assert!(figure.alt().contains("after 6 iterations"));
    let traces = chapter06::two_wholes_ladder(&wholes, 12).unwrap();
    let steps = &traces[3];
    assert!(steps.windows(2).any(|pair| pair[1].log_likelihood < pair[0].log_likelihood));
    let figure = chapter06::ladder_likelihood(&wholes.votes, &wholes.activations, &traces).unwrap();
    let alt = figure.alt().to_string();
    assert!(
        alt.contains("mixture runs from") && alt.contains("and never falls (every child counts 1)"),
        "{alt}"
    );
    assert!(alt.contains("4: cost counts mass runs") && alt.contains("and falls"), "{alt}");
    // The parts' votes recover the pose of the face at any position and angle.
    for (x, y, angle) in [(0.0, 0.0, 0.0), (1.0, -2.0, 1.3), (-3.0, 0.5, -2.9)] {
        let votes = chapter05::face_votes(&chapter05::face_poses([x, y, angle]));
        for vote in votes.rows() {
            assert!((vote[0] - x).abs() + (vote[1] - y).abs() + (vote[2] - angle).abs() < 1e-12);
        }
    }
}

#[test]
fn routing_figures_reject_bad_input() {
    let wholes = samples::two_wholes(1);
    let (input, routing) = chapter06::two_wholes_routing(&wholes).unwrap();
    let none = Routing { trace: Vec::new() };
    assert!(matches!(chapter06::routing_animation(&input, &none, 0), Err(Error::Empty { .. })));
    assert!(matches!(chapter06::assignments(&none, 0), Err(Error::Empty { .. })));
    assert!(matches!(chapter06::routing_curves(&none, 0), Err(Error::Empty { .. })));
    assert!(matches!(chapter06::routing_animation(&input, &routing, 1), Err(Error::Setting { .. })));
    let flat = Array4::from_elem((1, 24, 3, 2), 0.1);
    let of_routing = |routing: &Routing, gradients: &[(&str, &Array4<f64>)]| {
        chapter07::vote_gradients(&input, routing, 0, gradients)
    };
    let arrows = |gradients: &[(&str, &Array4<f64>)]| of_routing(&routing, gradients);
    assert!(arrows(&[("a", &flat)]).is_ok() && of_routing(&none, &[("a", &flat)]).is_err());
    assert!(matches!(arrows(&[]), Err(Error::Empty { .. })));
    assert!(matches!(arrows(&[("a", &flat); 4]), Err(Error::Setting { .. })));
    assert!(matches!(arrows(&[("a", &Array4::zeros((1, 24, 3, 1)))]), Err(Error::Shape { .. })));
    assert!(matches!(arrows(&[("a", &(&flat * 0.0))]), Err(Error::Setting { .. })));
    assert!(matches!(arrows(&[("a", &(&flat * f64::NAN))]), Err(Error::Setting { .. })));
    assert!(chapter06::assignments(&routing, 1).is_err() && chapter06::routing_curves(&routing, 1).is_err());
    let mut other = input.clone();
    other.votes = Array4::zeros((1, 24, 3, 3));
    assert!(matches!(chapter06::routing_animation(&other, &routing, 0), Err(Error::Shape { .. })));
    other.votes = Array4::from_elem((1, 24, 3, 2), f64::NAN);
    assert!(chapter06::routing_animation(&other, &routing, 0).is_err());
    let mut broken = routing.clone();
    broken.trace[1].costs[(0, 0)] = f64::INFINITY;
    broken.trace[1].responsibilities[(0, 0, 0)] = f64::NAN;
    assert!(chapter06::routing_curves(&broken, 0).is_err() && chapter06::assignments(&broken, 0).is_err());
    let traces = chapter06::two_wholes_ladder(&wholes, 2).unwrap();
    let mut empty = traces.clone();
    empty[2].clear();
    let ladder = |rungs| chapter06::routing_ladder(&wholes.votes, &wholes.activations, rungs);
    assert!(ladder(&traces).is_ok() && ladder(&empty).is_err());
    let likelihood = |rungs| chapter06::ladder_likelihood(&wholes.votes, &wholes.activations, rungs);
    assert!(likelihood(&traces).is_ok() && likelihood(&empty).is_err());
    assert!(chapter06::cost_curves(&[1.0], &[1.0]).is_ok() && chapter06::cost_curves(&[], &[1.0]).is_err());
    assert!(chapter06::cost_curves(&[1.0], &[-1.0]).is_err());
    let (lambdas, activations, scheduled) = chapter06::two_wholes_temperatures(&wholes).unwrap();
    let temperatures = |lambdas| chapter06::temperatures(lambdas, &activations, &scheduled);
    assert!(temperatures(&lambdas).is_ok() && temperatures(&lambdas[1..]).is_err());
    let named =
        |names| chapter05::vote_panels("votes", &wholes.votes, &wholes.activations, &wholes.wholes, names);
    assert!(named(&["A", "B", "C"]).is_ok() && named(&["A", "B"]).is_err());
    let fewer = wholes.votes.slice(s![..3, .., ..]).to_owned();
    assert!(chapter06::routing_ladder(&fewer, &wholes.activations, &traces).is_err());
}

#[test]
fn viewpoint_rejects_bad_input() {
    let poses = chapter05::face_poses([0.5, 1.0, 2.0]);
    let view = View { title: "v", poses: &poses, face: Some([0.5, 1.0, 2.0]) };
    assert_sound(&chapter05::viewpoint(&[view]).unwrap());
    assert_sound(&chapter05::viewpoint(&[View { face: None, ..view }; 4]).unwrap());
    assert!(chapter05::viewpoint(&[]).is_err() && chapter05::viewpoint(&[view; 5]).is_err());
    for poses in [array![[0.0, 0.0, 0.0]], Array2::zeros((4, 2)), &poses * f64::NAN] {
        assert!(chapter05::viewpoint(&[View { poses: &poses, ..view }]).is_err());
    }
    assert!(chapter05::viewpoint(&[View { face: Some([f64::NAN; 3]), ..view }]).is_err());
}

#[test]
fn routing_figures_accept_other_sizes() {
    let shapes = [(1, 1, 1), (1, 5, 1), (3, 2, 2), (4, 40, 12), (20, 300, 12)];
    for (iterations, children, parents) in shapes {
        let wave = |i: usize, j: usize, h: usize| ((3 * i + 7 * j + 5 * h) as f64).sin() * 4.0;
        let votes = Array4::from_shape_fn((2, children, parents, 2), |(_, i, j, h)| wave(i, j, h));
        let ones = || Array1::ones(parents);
        let input = RoutingInput::new(votes.clone(), Array2::from_elem((2, children), 0.7), ones(), ones());
        let routing = input.route(&RoutingOptions { iterations, ..Default::default() }).unwrap();
        assert_sound(&chapter06::routing_animation(&input, &routing, 1).unwrap());
        assert_sound(&chapter06::assignments(&routing, 1).unwrap());
        assert_sound(&chapter06::routing_curves(&routing, 1).unwrap());
        for count in [1, 2, 3] {
            let panels = vec![("title", &votes); count];
            assert_sound(&chapter07::vote_gradients(&input, &routing, 1, &panels).unwrap());
        }
        let votes = votes.index_axis(Axis(0), 0).to_owned();
        let activations = Array1::from_elem(children, 0.5);
        let options = LadderOptions { iterations, ..Default::default() };
        let trace = ladder::routing_final(&votes, &activations, &options).unwrap();
        let rungs = [(); 5].map(|_| trace.clone());
        assert_sound(&chapter06::routing_ladder(&votes, &activations, &rungs).unwrap());
        assert_sound(&chapter06::ladder_likelihood(&votes, &activations, &rungs).unwrap());
    }
}

#[test]
fn tables_are_written_as_text_and_as_html() {
    let table = Table::of(&["t", "<theta>"], array![[0.0, 0.6], [1.0, 0.7131]].rows(), 3).unwrap();
    assert_eq!(table.to_string(), "t  <theta>\n0    0.600\n1    0.713\n");
    assert_well_formed("table", &table.html());
    assert!(table.html().contains("&lt;theta&gt;"));
}

#[test]
fn log_curves_rejects_bad_points() {
    let points = [(1e4, 1e-4), (1e5, 1e-3), (1e6, 1e-2)];
    let curves = |curves: &[(&str, &[(f64, f64)])]| draw::log_curves("growth", "Growth", ["x", "y"], curves);
    let figure = curves(&[("ours", &points)]).unwrap().finish().unwrap();
    assert!(figure.svg(Palette::Light).contains("10⁶") && figure.svg(Palette::Light).contains("10⁻⁴"));
    assert!(matches!(curves(&[]), Err(Error::Empty { .. })));
    assert!(matches!(curves(&[("one", &points[..1])]), Err(Error::Length { .. })));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let points = [(1e4, 1e-4), (1e5, bad)];
        assert!(matches!(curves(&[("bad", &points)]), Err(Error::Setting { .. })), "{bad}");
    }
}

#[test]
fn difference_errors_marks_the_step_with_the_smallest_error() {
    let central: Vec<(f64, f64)> =
        (-12..=0).map(|power| 10f64.powi(power)).map(|h| (h, h * h / 6.0 + 1e-16 / h)).collect();
    let figure = chapter07::difference_errors(&[("central", &central), ("again", &central)]).unwrap();
    assert_sound(&figure);
    let svg = figure.svg(Palette::Light);
    assert!(svg.contains("10⁻¹²") && svg.contains("at ε = 1·10⁻⁵"), "{svg}");
    assert!(figure.alt().contains("at a step of 1e-5"), "{}", figure.alt());
    assert!(matches!(chapter07::difference_errors(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter07::difference_errors(&[("one", &central[..1])]), Err(Error::Length { .. })));
    assert!(chapter07::difference_errors(&[("exact", &[(1e-3, 0.0), (1e-2, 1e-4)])]).is_err());
}

#[test]
fn a_stopped_gradient_is_parallel_to_the_full_gradient_for_one_iteration() {
    let one = chapter07::StoppedGradient::of(&[3.0, 0.0], &[6.0, 0.0]);
    assert_eq!((one.cosine, one.relative_size), (1.0, 0.5));
    assert_eq!(chapter07::StoppedGradient::of(&[0.0, 1.0], &[-2.0, 0.0]).cosine, 0.0);
    let draws = chapter07::stopped_by_iterations(0..20, 3, [0.0, 0.0, 1.0]).unwrap();
    assert_eq!(draws.iter().map(Vec::len).collect::<Vec<_>>(), [20; 3]);
    // In one iteration R is constant, so the gradients are parallel; a second iteration computes R anew.
    assert!(draws[0].iter().all(|draw| (draw.cosine - 1.0).abs() <= 1e-12));
    assert!(draws[1].iter().any(|draw| draw.cosine < 0.0) && draws[1].iter().all(|draw| draw.cosine < 0.9));
    assert_sound(&chapter07::stopped_gradients(&[("a", draws[..1].to_vec()), ("b", draws.clone())]).unwrap());
    assert!(matches!(chapter07::stopped_gradients(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter07::stopped_gradients(&[("none", vec![])]), Err(Error::Empty { .. })));
    assert!(matches!(chapter07::stopped_gradients(&[("none", vec![vec![]])]), Err(Error::Empty { .. })));
    let bad = chapter07::StoppedGradient { cosine: f64::NAN, relative_size: 1.0 };
    assert!(matches!(chapter07::stopped_gradients(&[("bad", vec![vec![bad]])]), Err(Error::Setting { .. })));
    assert!(chapter07::stopped_gradients(&vec![("many", draws); 7]).is_err());
}

#[test]
fn bars_accept_all_magnitudes_and_reject_bad_values() {
    for values in [vec![0.0], vec![3000.0, 1e-3, 20.0], vec![1e-9; 12]] {
        let bars: Vec<(&str, f64)> = values.into_iter().map(|value| ("a < b", value)).collect();
        assert_sound(&chapter07::vote_bytes(&bars).unwrap());
        assert_eq!(chapter07::kernel_speed(&bars).is_ok(), bars[0].1 > 0.0);
    }
    assert!(matches!(chapter07::vote_bytes(&[]), Err(Error::Empty { .. })));
    assert!(chapter07::vote_bytes(&[("a", 1.0); 13]).is_err());
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(chapter07::vote_bytes(&[("bad", bad)]), Err(Error::Setting { .. })), "{bad}");
    }
    // 484,352 votes of 16 numbers of 4 bytes
    let layers: f64 = chapter07::vote_megabytes()[..3].iter().map(|layer| layer.1).sum();
    assert!((layers - 484_352.0 * 64.0 / 1e6).abs() <= 1e-9);
}

#[test]
fn the_error_for_an_unknown_figure_lists_the_known_names() {
    match figures::figure("jensen") {
        Err(Error::UnknownName { what: "figure", found, known }) => {
            assert_eq!((found.as_str(), known.len()), ("jensen", figures::all().count()));
        }
        other => panic!("{other:?}"),
    }
}
