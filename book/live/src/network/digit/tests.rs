//! The figure's answers: for MNIST's digits, for drawings by hand, and for requests that are wrong.

use em_routing::data::idx::ImageSet;
use em_routing::shipped::{mnist_folder, mnist_weights};

use serde_json::json;

use super::*;

/// Drawings in different styles: the digit that is meant, the pen's diameter, and strokes.
const DRAWINGS: &str = include_str!("../../../../../tests/browser/drawings.json");

/// Drawings that the network does not read as they are meant, with what it reads.
const MISREAD: [(usize, &str, usize); 0] = [];

/// Gives the figure the network's file as the site has it, and returns the network.
fn give() -> CapsNet {
    let file = CapsNet::load(mnist_weights()).unwrap().half_bytes(Path::new(WEIGHTS)).unwrap();
    super::super::give(WEIGHTS, &file);
    CapsNet::from_bytes(Path::new(WEIGHTS), &file).unwrap()
}

fn ask(mut request: Value) -> Value {
    let settings = [("do", json!("classify")), ("iterations", json!(2)), ("turn", json!(0))];
    for (name, value) in settings.into_iter().chain([("right", json!(0)), ("down", json!(0))]) {
        request.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    answer(&request).unwrap_or_else(|error| json!({ "error": error }))
}

#[test]
fn digits_of_mnist_get_the_librarys_activations_with_every_number_of_iterations() {
    let net = give();
    let images = ImageSet::load_test(mnist_folder(), 10).unwrap();
    for iterations in 1..=MOST_ITERATIONS {
        let net = with_iterations(&net, iterations).unwrap();
        for number in [0, 4, 61] {
            let pass = net.forward(&net.pixels(&images, &[number]).unwrap(), 1).unwrap();
            let found = ask(json!({ "pixels": images.image(number), "iterations": iterations }));
            assert_eq!(found["pixels"], json!(images.image(number)));
            assert_eq!(found["activations"], json!(pass.classes().activations));
            assert_eq!(found["words"].as_str().unwrap().contains("was trained with 2"), iterations != 2);
            let layers = answer(&json!({ "do": "layers" })).unwrap();
            let pictures = layers.as_array().unwrap();
            assert_eq!(pictures.len(), 4);
            assert!(pictures.iter().all(|svg| svg.as_str().unwrap().starts_with("<svg ")));
        }
    }
}

#[test]
fn with_other_numbers_of_iterations_most_digits_are_misread() {
    let net = give();
    let images = ImageSet::load_test(mnist_folder(), 10).unwrap().slice(0..100);
    let errors = |iterations| {
        with_iterations(&net, iterations).unwrap().evaluate(&images, 1, |_| {}).unwrap().errors()
    };
    assert!(errors(1) > 50 && errors(2) == 0 && errors(3) > 50, "{:?}", [1, 2, 3].map(errors));
}

/// The routing of one position is that of the whole layer.
#[test]
fn responsibilities_are_those_of_the_layers_routing() {
    let net = give();
    let images = ImageSet::load_test(mnist_folder(), 10).unwrap();
    let pass = net.forward(&net.pixels(&images, &[4]).unwrap(), 1).unwrap();
    let whole = net.layer_routing(&pass, "first", 0).unwrap();
    let ((row, column), run) = pictures::position_run(&net, &pass).unwrap();
    let position = row * net.layer("first").unwrap().columns + column;
    assert_eq!(position, chapter08::surest(&whole.routing).0);
    for (own, all) in run.routing.trace.iter().zip(&whole.routing.trace) {
        let axis = em_routing::ndarray::Axis(0);
        let pairs = own.responsibilities.iter().zip(all.responsibilities.index_axis(axis, position));
        let largest = pairs.fold(0.0, |largest: f64, (a, b)| largest.max((a - b).abs()));
        assert!(largest <= 1e-12, "{largest}");
    }
}

#[test]
fn drawings_by_hand_are_read_as_they_are_meant() {
    give();
    let drawings: Vec<Value> = serde_json::from_str(DRAWINGS).unwrap();
    assert_eq!(drawings.len(), 30);
    let mut misread = Vec::new();
    for drawing in &drawings {
        let found = ask(json!({ "strokes": drawing["strokes"], "pen": drawing["pen"] }));
        let (meant, read) = (&drawing["digit"], &found["numbers"][0]["value"]);
        let style = drawing["style"].as_str().unwrap();
        println!("{meant} {style}: {}", found["words"]);
        if meant != read {
            misread.push((meant.as_u64().unwrap() as usize, style, read.as_u64().unwrap() as usize));
        }
    }
    assert_eq!(misread, MISREAD);
}

#[test]
fn an_empty_image_is_classified_and_said_to_be_empty() {
    give();
    let found = ask(json!({ "strokes": [], "pen": 0.1 }));
    assert!(found["words"].as_str().unwrap().starts_with("The image is empty."), "{found}");
    assert!(answer(&json!({ "do": "layers" })).is_ok());
}

#[test]
fn wrong_requests_are_errors_that_name_the_fault() {
    let error = |request: Value| ask(request)["error"].as_str().unwrap().to_owned();
    assert!(answer(&json!({ "do": "layers" })).unwrap_err().contains("no image"));
    assert!(error(json!({ "pixels": vec![0; 784] })).contains(WEIGHTS));
    super::super::give(WEIGHTS, b"no network");
    assert!(error(json!({ "pixels": vec![0; 784] })).contains("not a checkpoint"));
    for (request, fault) in [
        (json!({ "do": "nothing" }), "classify or layers"),
        (json!({ "pixels": [0, 1] }), "784"),
        (json!({ "pixels": vec![256; 784] }), "255"),
        (json!({ "strokes": [3] }), "stroke"),
        (json!({ "strokes": [[0.5, 0.5]] }), "pen"),
        (json!({ "strokes": [[0.5, 1.5]], "pen": 0.1 }), "canvas"),
        (json!({ "pixels": vec![0; 784], "iterations": 0 }), "iterations"),
        (json!({ "pixels": vec![0; 784], "iterations": 4 }), "iterations"),
        (json!({ "pixels": vec![0; 784], "turn": "much" }), "turn"),
        (json!({ "pixels": vec![0; 784], "right": 1e9 }), "right"),
    ] {
        assert!(error(request.clone()).contains(fault), "{fault}: {}", error(request));
    }
}
