//! Figures of a network's results: counts, titles, alternative texts, all sizes, and bad input.

use em_routing::capsnet::Pooling;
use em_routing::figures::chapter08;
use em_routing::figures::chapter09;
use em_routing::prelude::*;
use em_routing::routing::CapsuleLayerRun;
use ndarray::Array5;

use super::svg::assert_sound;

/// An invented evaluation of 2 x 3 images: the predicted class has activation 0.9, the true class 0.5 minus 0.01 for each image
/// before it, the others 0.1.
fn evaluated(labels: &[usize], predictions: &[usize], classes: usize) -> (Evaluation, Images) {
    let activation = |image: usize, class: usize| match class {
        _ if class == predictions[image] => 0.9,
        _ if class == labels[image] => 0.5 - 0.01 * image as f32,
        _ => 0.1,
    };
    let places = (0..labels.len()).flat_map(|image| (0..classes).map(move |class| (image, class)));
    let evaluation = Evaluation {
        activations: places.map(|(image, class)| activation(image, class)).collect(),
        predictions: predictions.to_vec(),
        labels: labels.to_vec(),
        classes,
    };
    let images = Images {
        pixels: (0..labels.len() * 6).map(|pixel| (40 * pixel) as u8).collect(),
        labels: labels.iter().map(|&label| label as u8).collect(),
        height: 2,
        width: 3,
        classes,
    };
    (evaluation, images)
}

#[test]
fn misclassified_images_are_counted_and_drawn() {
    let (labels, predictions) = ([0, 1, 1, 2, 2, 2, 1], [0, 2, 2, 2, 0, 2, 1]);
    let (evaluation, images) = evaluated(&labels, &predictions, 4);
    let figure = chapter09::confusion(&evaluation).unwrap();
    assert_sound(&figure);
    assert_eq!(
        figure.alt(),
        "A table of 4 true classes by 4 predicted classes, mistakes coloured by their number: 3 of 7 images are \
         misclassified, 2 times 1 is classified as 2, 1 times 2 is classified as 0."
    );
    for words in ["(0 of 1)", "(2 of 3)", "(1 of 3)", "no images", "42.86 %"] {
        assert!(figure.svg(Palette::Light).contains(words), "{words}");
    }

    // worst first: the true class of later images is less active
    let figure = chapter09::mistakes(&evaluation, &images, 8).unwrap();
    assert_sound(&figure);
    assert_eq!(
        figure.alt(),
        "Pictures of digits in rows, all 3 mistakes among 7 images, the worst first: image 4, a 2 classified as 0; \
         image 2, a 1 classified as 2; image 1, a 1 classified as 2."
    );
    assert!(figure.svg(Palette::Light).contains("0.46 and 0.90"));
    let figure = chapter09::mistakes(&evaluation, &images, 1).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("the worst 1 of 3 mistakes among 7 images: image 4, a 2 classified as 0."));

    let (right, images) = evaluated(&[3; 200], &[3; 200], 16);
    let figure = chapter09::mistakes(&right, &images, 8).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("none of 200 images is misclassified"), "{}", figure.alt());
    let figure = chapter09::confusion(&right).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("0 of 200 images are misclassified"), "{}", figure.alt());
    // 240 misclassified images, with room for 40
    let labels: Vec<usize> = (0..256).map(|image| image % 16).collect();
    let predictions: Vec<usize> = (0..256).map(|image| image / 16).collect();
    let (evaluation, images) = evaluated(&labels, &predictions, 16);
    assert_sound(&chapter09::confusion(&evaluation).unwrap());
    assert_sound(&chapter09::mistakes(&evaluation, &images, 40).unwrap());
}

#[test]
fn inconsistent_evaluations_are_rejected() {
    let (sound, images) = evaluated(&[0, 1, 2], &[0, 2, 2], 3);
    let of = |change: fn(&mut Evaluation)| {
        let mut evaluation = sound.clone();
        change(&mut evaluation);
        let both = [chapter09::confusion(&evaluation), chapter09::mistakes(&evaluation, &images, 5)];
        both.map(|figure| figure.unwrap_err())
    };
    assert!(matches!(of(|all| all.predictions.truncate(2)), [Error::Length { .. }, Error::Length { .. }]));
    assert!(matches!(of(|all| all.activations.truncate(8)), [Error::Length { .. }, Error::Length { .. }]));
    let changes: [fn(&mut Evaluation); 2] = [|all| all.labels[2] = 3, |all| all.predictions[2] = 7];
    for change in changes {
        assert!(matches!(
            of(change),
            [Error::LabelOutOfRange { index: 2, .. }, Error::LabelOutOfRange { index: 2, .. }]
        ));
    }
    for error in of(|all| all.activations[5] = f32::NAN) {
        assert!(error.to_string().contains("the activations[1, 2] is NaN"), "{error}");
    }
    let (none, no_images) = evaluated(&[], &[], 3);
    assert!(matches!(chapter09::confusion(&none), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::mistakes(&none, &no_images, 5), Err(Error::Empty { .. })));
    let (many, _) = evaluated(&[0], &[0], 17);
    assert!(matches!(chapter09::confusion(&many), Err(Error::Setting { .. })));
    assert!(matches!(chapter09::mistakes(&sound, &images, 0), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::mistakes(&sound, &images.slice(0..2), 5), Err(Error::Length { .. })));
    for (height, width) in [(2, 2), (0, 3), (2, 0)] {
        let other = Images { height, width, ..images.clone() };
        assert!(
            matches!(chapter09::mistakes(&sound, &other, 5), Err(Error::Length { .. })),
            "{height} x {width}"
        );
    }
}

/// The forward pass of a layer on one image, with sine waves for poses, transforms and activations.
fn layer_run(
    grid: (usize, usize),
    kinds: usize,
    parents: usize,
    reach: Reach,
    iterations: usize,
) -> CapsuleLayerRun {
    let wave =
        |numbers: [usize; 4]| numbers.iter().fold(1.0, |phase, &number| 1.7 * phase + number as f64).sin();
    let below = Capsules {
        poses: Array5::from_shape_fn((1, grid.0, grid.1, kinds, 16), |(_, y, x, i, h)| wave([y, x, i, h])),
        activations: Array4::from_shape_fn((1, grid.0, grid.1, kinds), |(_, y, x, i)| {
            wave([y, x, i, 3]).abs()
        }),
    };
    let tiles = match reach {
        Reach::Neighbourhood { size, .. } => size * size,
        Reach::Everywhere => 1,
    };
    let layer = CapsuleLayer {
        reach,
        transforms: Array4::from_shape_fn((tiles * kinds, parents, 4, 4), |(i, j, y, x)| wave([i, j, y, x])),
        beta_v: Array1::ones(parents),
        beta_a: Array1::zeros(parents),
    };
    layer.forward(&below, &RoutingOptions { iterations, ..Default::default() }).unwrap()
}

#[test]
fn the_routing_of_a_digit_is_drawn_for_all_sizes() {
    let pixels: Vec<u8> = (0..30).map(|pixel| 8 * pixel).collect();
    for (grid, kinds, classes, iterations) in
        [((1, 1), 1, 1, 1), ((4, 4), 32, 10, 3), ((2, 3), 5, 16, 7), ((6, 1), 100, 2, 2)]
    {
        let run = layer_run(grid, kinds, classes, Reach::Everywhere, iterations);
        let activations = run.routing.activations().row(0).to_vec();
        let found = (0..classes).max_by(|&a, &b| activations[a].total_cmp(&activations[b])).unwrap();
        for label in [None, Some(found), Some((found + 1) % classes)] {
            let figure = chapter08::digit_routing(&pixels, 5, label, &run).unwrap();
            assert_sound(&figure);
            let title = match label {
                None => format!("classified as {found}"),
                Some(label) if label == found => format!("a {found}, classified as {found}"),
                Some(label) => format!("a {label}, classified as {found}"),
            };
            assert!(figure.svg(Palette::Light).contains(&title), "{title}");
            let bar = format!("after {iterations} iterations:");
            let top = format!("{found} {:.3}", activations[found]);
            assert!(figure.alt().contains(&bar) && figure.alt().contains(&top), "{}", figure.alt());
            assert!(figure.svg(Palette::Light).contains(&format!("each of the {kinds} kinds of capsule")));
        }
    }
}

#[test]
fn the_figure_of_a_digit_s_routing_rejects_bad_input() {
    let pixels = [100; 12];
    let draw = |run: &CapsuleLayerRun| chapter08::digit_routing(&pixels, 4, Some(1), run);
    let sound = layer_run((2, 2), 3, 4, Reach::Everywhere, 2);
    assert_sound(&draw(&sound).unwrap());
    assert!(matches!(chapter08::digit_routing(&[], 4, None, &sound), Err(Error::Empty { .. })));
    for (pixels, width) in [(&pixels[..], 0), (&pixels[..], 5)] {
        assert!(matches!(chapter08::digit_routing(pixels, width, None, &sound), Err(Error::Length { .. })));
    }
    // a label that is not a class of the layer only changes the text
    assert!(
        chapter08::digit_routing(&pixels, 4, Some(9), &sound).unwrap().alt().contains("a 9, classified as")
    );
    assert!(matches!(draw(&layer_run((2, 2), 3, 17, Reach::Everywhere, 2)), Err(Error::Setting { .. })));
    let near = |stride| Reach::Neighbourhood { size: 3, stride };
    assert!(matches!(
        draw(&layer_run((4, 4), 2, 4, near(1), 2)),
        Err(Error::Length { expected: 1, found: 4, .. })
    ));
    assert!(matches!(
        draw(&layer_run((4, 4), 2, 4, near(2), 2)),
        Err(Error::Length { expected: 32, found: 18, .. })
    ));
    let of = |change: fn(&mut CapsuleLayerRun)| {
        let mut run = sound.clone();
        change(&mut run);
        draw(&run).unwrap_err().to_string()
    };
    let error = of(|run| run.routing.trace[1].activations[(0, 2)] = f64::NAN);
    assert!(error.contains("the activations[2] is NaN"), "{error}");
    let error = of(|run| run.routing.trace[0].responsibilities[(0, 5, 3)] = f64::INFINITY);
    assert!(error.contains("the responsibilities[5, 3] is inf"), "{error}");
    let error = of(|run| run.input.activations[(0, 7)] = f64::NAN);
    assert!(error.contains("the activations below[7] is NaN"), "{error}");
}

#[test]
fn feature_maps_are_drawn_in_order_of_variance_and_bad_input_is_rejected() {
    // two images of 2 x 2 pixels, a layer of 2 x 2 positions with three kinds: constant, changing much, changing a little
    let images = Images { pixels: (0..8).collect(), labels: vec![3, 5], height: 2, width: 2, classes: 10 };
    let numbers: Vec<f32> = (0..8).flat_map(|place| [9.0, place as f32, 0.5 * place as f32]).collect();
    let maps =
        |shown: &[usize], numbers: &[f32], layer| chapter08::maps("a < b", &images, shown, numbers, layer);
    let figure = maps(&[1, 0], &numbers, (2, 3)).unwrap();
    assert_sound(&figure);
    let svg = figure.svg(Palette::Light);
    assert!(svg.contains(">a 5, and") && svg.contains(">a 3<"), "{svg}");
    let place = |words: &str| svg.find(words).unwrap_or_else(|| panic!("{words}: {svg}"));
    assert!(place(">map 2<") < place(">map 3<") && place(">map 3<") < place(">map 1<"));
    // equal numbers still get a scale
    assert_sound(&maps(&[0], &[1.0; 12], (2, 3)).unwrap());
    for columns in [1, 7, 14, 28] {
        let numbers: Vec<f32> = (0..columns * columns * 40).map(|i| (i % 7) as f32).collect();
        assert_sound(&maps(&[0], &numbers, (columns, 40)).unwrap());
    }
    let bad = |shown: &[usize], numbers: &[f32], layer| maps(shown, numbers, layer).unwrap_err();
    assert!(matches!(bad(&[], &numbers, (2, 3)), Error::Empty { .. }));
    assert!(matches!(bad(&[0; 9], &numbers, (2, 3)), Error::Setting { .. }));
    assert!(matches!(bad(&[0], &numbers, (0, 3)), Error::Length { .. }));
    assert!(matches!(bad(&[0], &numbers[1..], (2, 3)), Error::Length { .. }));
    assert!(matches!(bad(&[0], &[], (2, 3)), Error::Length { .. }));
    assert!(matches!(bad(&[2], &numbers, (2, 3)), Error::Setting { .. }));
    assert!(matches!(bad(&[0], &[f32::NAN; 12], (2, 3)), Error::Setting { .. }));
}

#[test]
fn the_agreement_of_votes_is_drawn_only_for_valid_parents() {
    let (input, routing) =
        em_routing::figures::chapter06::two_wholes_routing(&samples::two_wholes(11694)).unwrap();
    let figure = chapter08::vote_agreement(&input, &routing, 0, &[("A", 0), ("C", 2)]).unwrap();
    assert_sound(&figure);
    // A is a whole, C is not; the number is the geometric mean of the deviations
    let deviation = |title: &str| -> f64 {
        let words = figure.alt().split(&format!("{title}: σ ")).nth(1).unwrap();
        words.split([';', ' ']).next().unwrap().trim_end_matches('.').parse().unwrap()
    };
    assert!(deviation("A") < 0.5 * deviation("C"), "{}", figure.alt());
    assert_eq!(chapter08::surest(&routing), (0, 0, 2));
    let draw =
        |position, parents: &[(&str, usize)]| chapter08::vote_agreement(&input, &routing, position, parents);
    assert_sound(&draw(0, &[("a < b", 1); 4]).unwrap());
    assert!(matches!(draw(0, &[]), Err(Error::Empty { .. })));
    assert!(matches!(draw(0, &[("many", 0); 5]), Err(Error::Setting { .. })));
    assert!(matches!(draw(0, &[("none", 3)]), Err(Error::Setting { .. })));
    assert!(matches!(draw(1, &[("A", 0)]), Err(Error::Setting { .. })));
    let of =
        |input: &RoutingInput, routing: &Routing| chapter08::vote_agreement(input, routing, 0, &[("A", 0)]);
    assert!(matches!(of(&input, &Routing { trace: Vec::new() }), Err(Error::Empty { .. })));
    let mut other = input.clone();
    other.votes = Array4::zeros((1, 24, 3, 3));
    assert!(matches!(of(&other, &routing), Err(Error::Shape { .. })));
    other.votes = Array4::from_elem((1, 24, 3, 2), f64::NAN);
    assert!(matches!(of(&other, &routing), Err(Error::Setting { .. })));
    let mut faint = input.clone();
    faint.activations.fill(0.0);
    assert!(matches!(of(&faint, &routing), Err(Error::Setting { .. })));
    faint.activations = Array2::ones((1, 23));
    assert!(matches!(of(&faint, &routing), Err(Error::Shape { .. })));
    let mut broken = routing.clone();
    broken.trace.last_mut().unwrap().variances[(0, 0, 0)] = f64::INFINITY;
    assert!(matches!(of(&input, &broken), Err(Error::Setting { .. })));
}

#[test]
fn the_parents_of_a_position_and_the_agreement_of_layers_are_drawn_only_for_valid_routings() {
    let (_, routing) =
        em_routing::figures::chapter06::two_wholes_routing(&samples::two_wholes(11694)).unwrap();
    let figure = chapter08::position_assignments(&routing, 0).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("The heaviest, parent 1 has"), "{}", figure.alt());
    assert!(matches!(chapter08::position_assignments(&routing, 1), Err(Error::Setting { .. })));
    assert_sound(&chapter08::agreement(&[("one", &routing), ("a < b", &routing)]).unwrap());
    assert!(matches!(chapter08::agreement(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter08::agreement(&[("many", &routing); 5]), Err(Error::Setting { .. })));
    let mut broken = routing.clone();
    broken.trace.last_mut().unwrap().masses.fill(0.0);
    assert!(matches!(chapter08::position_assignments(&broken, 0), Err(Error::Setting { .. })));
    broken.trace.last_mut().unwrap().variances[(0, 0, 0)] = -1.0;
    assert!(matches!(chapter08::agreement(&[("negative", &broken)]), Err(Error::Setting { .. })));
}

#[test]
fn the_label_of_the_nearest_digit_is_counted_and_drawn() {
    let net = CapsNet::new(Architecture::default(), 1).unwrap();
    // two images of each of two kinds: the nearest is the other of the same kind
    let pixels: Vec<f32> = (0..4 * 784)
        .map(|at| if at / 784 % 2 == 0 { -1.0 } else { 0.5 } + 1e-3 * (at / 1568) as f32)
        .collect();
    let pass = net.forward(&pixels, 1).unwrap();
    let shares = chapter08::nearest_shares(&net, &pass, &[3, 5, 3, 5]).unwrap();
    assert!(shares[0].layer == "pixels" && shares[0].activations == 1.0 && shares[0].poses.is_none());
    assert!(shares.iter().filter(|share| share.poses.is_some()).count() == 4);
    assert_eq!(chapter08::nearest_shares(&net, &pass, &[3, 3, 5, 5]).unwrap()[0].activations, 0.0);
    assert!(matches!(chapter08::nearest_shares(&net, &pass, &[3]), Err(Error::Length { .. })));
    assert_sound(&chapter08::nearest_labels(&shares).unwrap());
    assert!(matches!(chapter08::nearest_labels(&[]), Err(Error::Empty { .. })));
}

#[test]
fn the_spread_loss_is_drawn_for_margins_from_0_to_1() {
    assert_sound(&chapter08::spread_loss(&[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]).unwrap());
    assert!(matches!(chapter08::spread_loss(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter08::spread_loss(&[0.5; 7]), Err(Error::Setting { .. })));
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(chapter08::spread_loss(&[bad]), Err(Error::Setting { .. })), "{bad}");
    }
}

#[test]
fn networks_of_all_sizes_are_drawn() {
    let blog = chapter08::architecture(&CapsNet::zeros(Architecture::blog()).unwrap()).unwrap();
    assert!(
        blog.svg(Palette::Light).contains("318,964 parameters")
            && blog.svg(Palette::Light).contains(">147,520<")
    );
    let ours = chapter08::architecture(&CapsNet::zeros(Architecture::default()).unwrap()).unwrap();
    for words in ["354,868 parameters", ">18,496<", "deep features", "7 × 7 positions", "28 × 28 positions"]
    {
        assert!(ours.svg(Palette::Light).contains(words), "{words}");
    }
    let strided = Architecture { pooling: Pooling::None, deep_features: 2, ..Architecture::default() };
    assert_sound(&chapter08::architecture(&CapsNet::zeros(strided).unwrap()).unwrap());
    for (height, width, channels, kinds, deep_features) in
        [(13, 13, 1, 1, 0), (17, 17, 1, 1, 1), (20, 33, 3, 2, 2), (64, 17, 1, 100, 0)]
    {
        let sizes = Architecture { height, width, channels, features: kinds, ..Architecture::default() };
        let sizes = Architecture { deep_features, ..sizes };
        let architecture = Architecture { primary: kinds, first: kinds, second: 2, classes: kinds, ..sizes };
        assert_sound(&chapter08::architecture(&CapsNet::zeros(architecture).unwrap()).unwrap());
    }
}
