//! The plain networks: sizes, gradient, and training with dropout that gives the same bits for any number of threads and after resuming.

use em_routing::capsnet::loss::cross_entropy;
use em_routing::capsnet::{Architecture, CapsNet, Loss, NetworkKind, Settings, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use ndarray::array;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Folder;

const KINDS: [fn() -> Settings; 2] = [Settings::plain, Settings::plain_pooled];

/// Images of 11 x 9: odd sides, of which pooling drops a row and a column.
fn images() -> Images {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let pixels = (0..12 * 11 * 9).map(|_| rng.r#gen()).collect();
    Images { pixels, labels: (0..12).map(|image| image % 3).collect(), height: 11, width: 9, classes: 3 }
}

fn small(kind: fn() -> Settings) -> Settings {
    let mut settings = kind();
    let lines = "height = 11\nwidth = 9\nfeatures = 2\ndeep-features = 3\nhidden = 5\nclasses = 3\nbatch = 4\nepochs = 3";
    settings.set_lines(lines).unwrap();
    settings
}

#[test]
fn the_plain_networks_have_the_layers_and_the_sizes_of_their_documentation() {
    let net = CapsNet::zeros(Architecture::plain()).unwrap();
    assert_eq!(net.parameters().len(), 318_816);
    let layers: Vec<_> = net.layers().iter().map(|l| (l.name, l.rows, l.columns, l.kinds)).collect();
    let wanted =
        [("features", 14, 32), ("deep", 7, 64), ("deep2", 3, 128), ("hidden", 1, 194), ("class", 1, 10)];
    assert_eq!(layers, wanted.map(|(name, side, kinds)| (name, side, side, kinds)));
    let net = CapsNet::zeros(Architecture::plain_pooled()).unwrap();
    assert_eq!(net.parameters().len(), 357_801);
    let average = net.layer("average").unwrap();
    assert_eq!((average.rows, average.columns, average.kinds, average.parameters), (1, 1, 150, 0));
    // networks of capsules are as before
    assert_eq!(CapsNet::zeros(Architecture::default()).unwrap().parameters().len(), 354_868);
}

#[test]
fn the_gradient_of_a_plain_network_matches_differences() {
    let (images, mut checked) = (images(), 0);
    for kind in KINDS {
        let mut net = CapsNet::new(small(kind).architecture, 3).unwrap();
        let labels: Vec<usize> = images.labels[..4].iter().map(|&label| label.into()).collect();
        let pixels = net.pixels(&images, &[0, 1, 2, 3]).unwrap();
        let loss = |net: &CapsNet| {
            let pass = net.forward_keeping(&pixels, 1).unwrap();
            let (loss, d) =
                Loss::CrossEntropy.of_batch(&pass.classes().activations, &labels, 0.0, true).unwrap();
            (loss, net.backward(&pass, &d, 1).unwrap())
        };
        let gradient = loss(&net).1;
        let largest = gradient.numbers().iter().fold(0.0f32, |most, d| most.max(d.abs()));
        for at in (0..gradient.len()).step_by(7) {
            let mut moved = |by: f32| {
                let before = net.parameters().numbers()[at];
                net.parameters_mut().numbers_mut()[at] = before + by;
                let loss = loss(&net).0;
                net.parameters_mut().numbers_mut()[at] = before;
                loss
            };
            let [one, half] = [2e-3, 1e-3].map(|by| (moved(by) - moved(-by)) / f64::from(2.0 * by));
            // where a ReLU or a maximum changes sides, the two differences differ
            if (one - half).abs() > 1e-3 * f64::from(largest) {
                continue;
            }
            let off = (half - f64::from(gradient.numbers()[at])).abs();
            assert!(off <= 5e-3 * f64::from(largest), "{at}: {} for {half}", gradient.numbers()[at]);
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} numbers were checked");
}

#[test]
fn a_plain_network_learns_and_its_saved_training_resumes_bit_for_bit() {
    let (folder, mut images) = (Folder::new("plain"), images());
    // a bright band of three rows, whose height depends on the class
    for (at, pixel) in images.pixels.iter_mut().enumerate() {
        let (image, row) = (at / 99, at % 99 / 9);
        *pixel = *pixel / 4 + if row / 3 == image % 3 { 180 } else { 0 };
    }
    for kind in KINDS {
        let mut settings = small(kind);
        settings.set_lines("features = 8\ndeep-features = 8\nhidden = 16\nepochs = 60").unwrap();
        settings.set_lines("averaging = 0.9\nweight-decay = 0.01\nlearning-rate = 0.01").unwrap();
        let file = folder.0.join("training.safetensors");
        let mut whole = Training::new(settings.clone(), 7, 1).unwrap();
        whole.step(&images).unwrap();
        whole.save(&file, &images).unwrap();
        while whole.step < whole.steps(images.len()) {
            whole.step(&images).unwrap();
        }
        let mut resumed = Training::resume(&file, &settings, 7, &images, 3).unwrap();
        while resumed.step < resumed.steps(images.len()) {
            resumed.step(&images).unwrap();
        }
        assert_eq!(resumed.net, whole.net);
        assert_eq!(resumed.average, whole.average);
        resumed.save_result(&file).unwrap();
        let net = CapsNet::load(&file).unwrap();
        assert_eq!(net, whole.result());
        // dropout is for training only
        let [one, other] = [1, 2].map(|threads| net.evaluate(&images, threads, |_| {}).unwrap());
        assert_eq!(one, other);
        assert_eq!(one.errors(), 0);
    }
}

#[test]
fn dropout_changes_the_steps_of_a_training_and_not_those_of_capsules() {
    let images = images();
    let after_a_step = |mut settings: Settings, dropout: &str| {
        settings.set("dropout", dropout).unwrap();
        let mut training = Training::new(settings, 1, 1).unwrap();
        training.step(&images).unwrap();
        training.net
    };
    assert_ne!(after_a_step(small(Settings::plain), "0"), after_a_step(small(Settings::plain), "0.5"));
    // capsule networks have no dense layer
    let [without, with] = ["0", "0.5"].map(|dropout| {
        let mut settings = Settings::default();
        settings
            .set_lines("deep-features = 0\nheight = 13\nwidth = 13\nfeatures = 2\nprimary = 1\nclasses = 3")
            .unwrap();
        settings.set_lines(&format!("first = 2\nsecond = 1\nbatch = 4\ndropout = {dropout}")).unwrap();
        let mut training = Training::new(settings, 1, 1).unwrap();
        let pixels = (0..4 * 13 * 13).map(|at| (at * 37 % 256) as u8).collect();
        training
            .step(&Images { pixels, labels: vec![0, 1, 2, 0], height: 13, width: 13, classes: 3 })
            .unwrap();
        training.net
    });
    assert_eq!(without, with);
    for dropout in ["1", "-0.1"] {
        let mut settings = small(Settings::plain);
        settings.set("dropout", dropout).unwrap();
        assert!(matches!(settings.check(), Err(Error::Setting { name: "dropout", .. })));
    }
}

#[test]
fn cross_entropy_is_right_for_huge_logits_and_passes_a_nan_on() {
    let (loss, d) = cross_entropy(&array![[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], &[1, 2]).unwrap();
    assert!((loss - (1e4 + 3f64.ln())).abs() <= 1e-9, "{loss}");
    let wanted = array![[1.0, -1.0, 0.0], [1.0 / 3.0, 1.0 / 3.0, -2.0 / 3.0]];
    assert!((&d - &wanted).iter().all(|off| off.abs() <= 1e-12), "{d}");
    assert!(cross_entropy(&array![[f64::NAN, 0.0]], &[1]).unwrap().0.is_nan());
    assert!(matches!(cross_entropy(&array![[0.0, 1.0]], &[]), Err(Error::Length { .. })));
    assert!(matches!(cross_entropy(&array![[0.0, 1.0]], &[2]), Err(Error::LabelOutOfRange { .. })));
}

#[test]
fn what_a_plain_network_cannot_do_is_an_error() {
    let net = CapsNet::new(small(Settings::plain).architecture, 1).unwrap();
    let pass = net.forward(&net.pixels(&images(), &[0]).unwrap(), 1).unwrap();
    assert!(matches!(net.layer_routing(&pass, "class", 0), Err(Error::UnknownName { .. })));
    let mut settings = small(Settings::plain);
    settings.set("height", "7").unwrap();
    assert!(matches!(settings.check(), Err(Error::Setting { name: "the side of an image", .. })));
    let mut settings = small(Settings::plain);
    settings.set("hidden", "0").unwrap();
    assert!(matches!(settings.check(), Err(Error::Empty { .. })));
    let error = settings.set("network", "dense").unwrap_err().to_string();
    assert!(error.contains("capsules, plain or plain-pooled"), "{error}");
    settings.set("network", "plain-pooled").unwrap();
    assert_eq!(settings.architecture.network, NetworkKind::PlainPooled);
    // a number that is not finite does not pass as a classification
    let mut net = net;
    net.parameters_mut().part_mut("class.bias").unwrap()[1] = f32::NAN;
    assert!(matches!(net.evaluate(&images(), 1, |_| {}), Err(Error::EntryOutOfRange { .. })));
}
