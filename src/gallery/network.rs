//! Chapter 8: digits on their way through the network that is shipped.

use crate::capsnet::{Architecture, CapsNet, Pass};
use crate::data::idx::{ImageSet, Images};
use crate::error::{Error, Result};
use crate::plot::{self, Figure, Map, extent};
use crate::routing::Routing;
use crate::shipped::{mnist_folder, mnist_weights};

/// The digits that chapter 8 follows, by their numbers among MNIST's test images: a 4, another 4 and a 9.
pub const DIGITS: [usize; 3] = [4, 6, 7];

/// The shipped network, MNIST's test images, and what the network makes of [`DIGITS`].
fn shipped() -> Result<(CapsNet, Images, Pass)> {
    let net = CapsNet::load(mnist_weights())?;
    let images = ImageSet::load_test(mnist_folder(), net.architecture().form())?;
    let pass = net.forward(&net.pixels(&images, &DIGITS)?, 0)?;
    Ok((net, images, pass))
}

/// What a layer makes of some images, as rows for [`plot::maps`]: the image, and beside it the `count` kinds of feature or
/// capsule whose numbers differ most (have the largest variance) over the places of all of these images.
///
/// `shown` are the images' numbers, `numbers` is shown x rows x `columns` x `kinds`. All maps but the images share one scale, from
/// the least to the greatest of their numbers.
///
/// # Errors
///
/// No images, none of such a number, `columns` or `kinds` of 0, numbers that are not as many for each image, and numbers that are
/// not finite.
pub fn liveliest_maps(
    images: &Images,
    shown: &[usize],
    numbers: &[f32],
    (columns, kinds): (usize, usize),
    count: usize,
) -> Result<Vec<(String, Vec<Map>)>> {
    for (size, what) in [(shown.len(), "images"), (columns, "columns"), (kinds, "kinds"), (count, "maps")] {
        if size == 0 {
            return Err(Error::Empty { what });
        }
    }
    if numbers.is_empty() || !numbers.len().is_multiple_of(shown.len() * columns * kinds) {
        let expected = numbers.len().next_multiple_of(shown.len() * columns * kinds).max(1);
        return Err(Error::Length { name: "the numbers of a layer", expected, found: numbers.len() });
    }
    if let Some(&image) = shown.iter().find(|&&image| image >= images.len()) {
        let (name, expected) = ("the number of an image", "one of the images, from 0");
        return Err(Error::Setting { name, expected, value: image as f64 });
    }
    let of_kind = |kind: usize| numbers.iter().skip(kind).step_by(kinds).map(|&number| f64::from(number));
    let variance = |kind: usize| {
        let count = (numbers.len() / kinds) as f64;
        let mean = of_kind(kind).sum::<f64>() / count;
        of_kind(kind).map(|number| (number - mean) * (number - mean)).sum::<f64>() / count
    };
    let mut liveliest: Vec<(usize, f64)> = (0..kinds).map(|kind| (kind, variance(kind))).collect();
    if let Some(&(_, value)) = liveliest.iter().find(|kind| !kind.1.is_finite()) {
        return Err(Error::Setting { name: "the variance of a kind", expected: "finite", value });
    }
    liveliest.sort_by(|one, other| other.1.total_cmp(&one.1));
    liveliest.truncate(count);
    let (low, high) = extent(liveliest.iter().flat_map(|&(kind, _)| of_kind(kind)));
    // numbers that are all the same are drawn light
    let range = if low < high { (low, high) } else { (low, low + 1.0) };
    let parts = numbers.chunks_exact(numbers.len() / shown.len());
    let row = |(place, (&image, numbers)): (usize, (&usize, &[f32]))| {
        let mut maps = vec![Map::image(&format!("image {image}"), images.width, images.image(image))];
        maps.extend(liveliest.iter().map(|&(kind, _)| Map::kind(numbers, columns, kinds, kind, range)));
        let scale = if place == 0 {
            format!(", from {low:.2} (lightest) to {high:.2} (darkest)")
        } else {
            String::new()
        };
        (format!("a {}{scale}", images.labels[image]), maps)
    };
    Ok(shown.iter().zip(parts).enumerate().map(row).collect())
}

/// Where a routing is surest: the position with the most active parent, that parent, and the least active one there.
pub fn surest(routing: &Routing) -> (usize, usize, usize) {
    let activations = routing.activations();
    let ((position, most), _) = activations
        .indexed_iter()
        .fold(((0, 0), f64::NEG_INFINITY), |best, (place, &a)| if a > best.1 { (place, a) } else { best });
    let row = activations.row(position);
    let least = (0..row.len()).fold(0, |least, parent| if row[parent] < row[least] { parent } else { least });
    (position, most, least)
}

pub(super) fn architecture() -> Result<Figure> {
    plot::architecture(&CapsNet::zeros(Architecture::default())?)
}

pub(super) fn digit_features() -> Result<Figure> {
    first_digit("digit-features", "features")
}

pub(super) fn deep_features() -> Result<Figure> {
    first_digit("deep-features", "deep")
}

pub(super) fn primary_activations() -> Result<Figure> {
    first_digit("primary-activations", "primary")
}

/// The liveliest kinds of a layer for the first digit.
fn first_digit(figure: &'static str, layer: &str) -> Result<Figure> {
    let (net, images, pass) = shipped()?;
    let (numbers, shape) = (&pass.layer(layer)?.activations, net.layer(layer)?);
    let own = &numbers[..numbers.len() / DIGITS.len()];
    let maps = liveliest_maps(&images, &DIGITS[..1], own, (shape.columns, shape.kinds), 9)?;
    Ok(plot::maps(&maps)?.named(figure))
}

pub(super) fn position_assignments() -> Result<Figure> {
    let (net, _, pass) = shipped()?;
    let run = net.layer_routing(&pass, "first", 0)?;
    Ok(plot::assignments(&run.routing, surest(&run.routing).0)?.named("position-assignments"))
}

pub(super) fn vote_agreement() -> Result<Figure> {
    let (net, _, pass) = shipped()?;
    let run = net.layer_routing(&pass, "first", 0)?;
    let (position, most, least) = surest(&run.routing);
    let parents = [("the most active parent", most), ("the least active", least)];
    plot::vote_agreement(&run.input, &run.routing, position, &parents)
}

pub(super) fn second_activations() -> Result<Figure> {
    let (net, images, pass) = shipped()?;
    let (numbers, shape) = (&pass.layer("second")?.activations, net.layer("second")?);
    let rows = liveliest_maps(&images, &DIGITS, numbers, (shape.columns, shape.kinds), 9)?;
    Ok(plot::maps(&rows)?.named("second-activations"))
}

pub(super) fn digit_routing() -> Result<Figure> {
    let (net, images, pass) = shipped()?;
    let run = net.layer_routing(&pass, "class", 0)?;
    let label = usize::from(images.labels[DIGITS[0]]);
    plot::digit_routing(images.image(DIGITS[0]), images.width, Some(label), &run)
}

pub(super) fn spread_loss() -> Result<Figure> {
    plot::spread_loss(&[0.2, 0.4, 0.9])
}
