//! How a network reads one image: its activations, a picture and a sentence.

use em_routing::capsnet::training::most_active;
use em_routing::capsnet::{CapsNet, Pass};
use em_routing::data::idx::Images;
use em_routing::draw::{Chart, FRAME, Figure, GREY, INK, Ink, Palette, Side, component, number};
use em_routing::error::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::drawing::SIDE;

/// Classifies an image of 784 grey levels. Returns the pass and what a script shows of it: the image, the activations, numbers,
/// words and a picture.
pub fn read(net: &CapsNet, pixels: Vec<u8>, palette: Palette) -> Outcome<(Pass, Value)> {
    let words_of = |error: em_routing::error::Error| error.to_string();
    let images = Images { pixels, labels: vec![0], height: SIDE, width: SIDE, classes: 10 };
    let input = net.pixels(&images, &[0]).map_err(words_of)?;
    let pass = net.forward(&input, 1).map_err(words_of)?;
    let activations = &pass.classes().activations;
    let picture = seen(&images.pixels, activations).map_err(words_of)?;
    let empty = images.pixels.iter().all(|&level| level == 0);
    let answer = json!({
        "pixels": images.pixels,
        "activations": activations,
        "numbers": numbers(activations),
        "words": words(activations, empty),
        "svg": picture.svg(palette),
    });
    Ok((pass, answer))
}

/// Draws the image that the network gets, and the activation of each class as a bar.
fn seen(pixels: &[u8], activations: &[f32]) -> Result<Figure> {
    const TOP: f64 = 42.0;
    let most = most_active(activations);
    let mut chart =
        Chart::canvas("digit-seen", "The image and the activations of the classes", (344.0, 216.0));
    let (bold, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain().size(12.5));
    chart.note((16.0, 22.0), bold, "what the network gets");
    let levels: Vec<f64> = pixels.iter().map(|&level| f64::from(level) / 255.0).collect();
    chart.picture((16.0, TOP), 152.0, SIDE, &levels);
    chart.note((192.0, 22.0), bold, "activation of classes");
    let mut words = Vec::new();
    for (class, &activation) in activations.iter().enumerate() {
        let (middle, activation) = (TOP + 16.4 * (class as f64 + 0.5), f64::from(activation));
        let right = 210.0 + 78.0 * activation.clamp(0.0, 1.0);
        let corners = [(210.0, middle - 6.0), (right, middle + 6.0)].map(|(x, y)| chart.at_pixel(x, y));
        chart.block(corners[0], corners[1], if class == most { component(0) } else { FRAME });
        let ink = if class == most { bold.size(12.5) } else { grey };
        let text = number(activation, 3);
        words.push(format!("{class} {text}"));
        chart.write((202.0, middle), Side::Left, ink, class.to_string());
        chart.note((right + 6.0, middle), ink, text);
    }
    let words = words.join(", ");
    chart
        .alt(format!("The image that the network gets, and a bar for each class's activation: {words}."))
        .finish()
}

/// Returns the classes in the order of their activations, the most active first.
fn ranking(activations: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..activations.len()).collect();
    order.sort_by(|&one, &other| activations[other].total_cmp(&activations[one]));
    order
}

fn numbers(activations: &[f32]) -> Value {
    let order = ranking(activations);
    let activation = |class: usize| f64::from(activations[class]);
    let [most, next] = [order[0], order[1]];
    json!([
        { "name": "class", "label": "read as", "value": most, "text": most.to_string() },
        { "name": "activation", "label": "its activation", "value": activation(most), "text": number(activation(most), 3) },
        { "name": "next", "label": "next class", "value": next, "text": next.to_string() },
        { "name": "next_activation", "label": "its activation", "value": activation(next), "text": number(activation(next), 3) },
    ])
}

fn words(activations: &[f32], empty: bool) -> String {
    let order = ranking(activations);
    let activation = |place: usize| number(f64::from(activations[order[place]]), 3);
    match empty {
        true => format!("The image is empty. Its most active class is {} with {}.", order[0], activation(0)),
        false => format!(
            "Read as {} with activation {}; next is {} with {}.",
            order[0],
            activation(0),
            order[1],
            activation(1)
        ),
    }
}
