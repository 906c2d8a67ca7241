//! The claims, each with the number that decides it and the limit that was set before the runs.

use em_routing::figures::chapter10;

use crate::networks::{Budget, SHIPPED};
use crate::table::Table;

/// The network of one seed, or the shipped one, and the numbers of the others of that seed.
pub struct View<'a> {
    table: &'a Table,
    arm: &'static str,
    seed: u64,
    budget: Budget,
}

impl View<'_> {
    /// Returns a number of the network with routing.
    fn own(&self, claim: &str, measure: &str) -> Option<f64> {
        self.table.value(claim, self.arm, self.seed, self.budget, measure)
    }

    /// Returns a number of another network of the same seed.
    fn of(&self, claim: &str, arm: &str, measure: &str) -> Option<f64> {
        let same = self.arm == "routing-2";
        self.table.value(claim, arm, self.seed, self.budget, measure).filter(|_| same)
    }

    /// Returns a mean over the routed layers.
    fn mean(&self, claim: &str, measure: impl Fn(&str) -> String, layers: &[&str]) -> Option<f64> {
        let values: Option<Vec<f64>> = layers.iter().map(|layer| self.own(claim, &measure(layer))).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }
}

const ALL: [&str; 3] = ["first", "second", "class"];
const LOWER: [&str; 2] = ["first", "second"];

/// On which side of the limit a claim is true.
enum Side {
    Below,
    Above,
}
use Side::{Above, Below};

/// A claim: who, what, the number that decides it, and where it is true.
struct Claim {
    who: &'static str,
    what: &'static str,
    number: &'static str,
    side: Side,
    limit: f64,
    value: fn(&View) -> Option<f64>,
}

const fn claim(
    [who, what, number]: [&'static str; 3],
    side: Side,
    limit: f64,
    value: fn(&View) -> Option<f64>,
) -> Claim {
    Claim { who, what, number, side, limit, value }
}

/// The largest difference of the clean errors at which two networks are compared.
const MATCHED: f64 = 0.02;

/// Returns whether another network's error on digits as they are matches that of the network with routing.
fn is_matched(view: &View, arm: &str) -> Option<bool> {
    let clean = |arm| view.of("affine", arm, "clean error");
    Some((clean(arm)? - clean("routing-2")?).abs() <= MATCHED)
}

/// Returns how much more the error of another network grows, from digits as they are to digits mapped affinely, than that of the
/// network with routing; `None` if their clean errors do not match.
fn growth(view: &View, arm: &str) -> Option<f64> {
    let growth = |arm| Some(view.of("affine", arm, "affine error")? - view.of("affine", arm, "clean error")?);
    is_matched(view, arm)?.then_some(growth(arm)? - growth("routing-2")?)
}

/// Returns the error of the plain network minus that of capsules; `None` if their clean errors do not match.
fn attack(view: &View, measure: &str) -> Option<f64> {
    let error = |arm| view.of("attack", arm, measure);
    is_matched(view, "plain")?.then_some(error("plain")? - error("routing-2")?)
}

/// Returns the part of the image in the departure of R from uniform shares: the mean over layers.
fn dynamic(view: &View, layers: &[&str]) -> Option<f64> {
    let part = |layer: &&str| {
        let moving = view.own("starvation", &format!("{layer}: part of the image"))?;
        Some(moving / (moving + view.own("starvation", &format!("{layer}: fixed part"))?))
    };
    let parts: Option<Vec<f64>> = layers.iter().map(part).collect();
    parts.map(|parts| parts.iter().sum::<f64>() / parts.len() as f64)
}

const PAIK: &str = "Paik et al. 2019";
const MITTERREITER: &str = "Mitterreiter et al. 2023";
const PEER: &str = "Peer et al. 2021";
const GU: &str = "Gu and Tresp 2020";
const GU_HU: &str = "Gu, Tresp and Hu 2021";
const HINTON: &str = "Hinton et al. 2018";

const CLAIMS: &[Claim] = &[
    claim(
        [
            PAIK,
            "a trained network needs no routing when it classifies: uniform shares do as well",
            "error with uniform R in all layers, minus error as trained",
        ],
        Below,
        0.005,
        |view| Some(view.own("shares", "error, uniform")? - view.own("shares", "error, routed")?),
    ),
    claim(
        [PAIK, "random shares do as well", "error with random R in all layers, minus error as trained"],
        Below,
        0.01,
        |view| {
            Some(
                view.own("shares", "error of the few, random")?
                    - view.own("shares", "error of the few, routed")?,
            )
        },
    ),
    claim(
        [
            PAIK,
            "it does not matter which parent has which share",
            "error with the shares of each child dealt to its parents anew, minus error as trained",
        ],
        Below,
        0.01,
        |view| {
            Some(
                view.own("shares", "error of the few, shuffled")?
                    - view.own("shares", "error of the few, routed")?,
            )
        },
    ),
    claim(
        [
            PAIK,
            "a network trained without routing is as good",
            "error of the network trained with iterations=1 (uniform R), minus error with iterations=2",
        ],
        Below,
        0.002,
        |view| Some(view.of("shares", "routing-1", "error, routed")? - view.own("shares", "error, routed")?),
    ),
    claim(
        [
            PAIK,
            "more iterations do not change the class",
            "share of digits with another class after 5 iterations than after 2",
        ],
        Below,
        0.01,
        |view| view.own("iterations", "changed, 5"),
    ),
    claim(
        [PAIK, "but polarise the shares", "mean entropy of R after 5 iterations, in units of ln(parents)"],
        Below,
        0.5,
        |view| view.mean("iterations", |layer| format!("entropy of {layer}, 5"), &ALL),
    ),
    claim(
        [
            MITTERREITER,
            "routing hardly depends on the image, in the two middle layers",
            "the part of the image in the departure of R from uniform shares",
        ],
        Below,
        0.5,
        |view| dynamic(view, &LOWER),
    ),
    claim([MITTERREITER, "nor in the class layer", "the same for the class layer"], Below, 0.5, |view| {
        dynamic(view, &["class"])
    }),
    claim(
        [
            MITTERREITER,
            "many capsules starve",
            "share of capsules of the two middle layers with an activation below 0.01 on every digit",
        ],
        Above,
        0.1,
        |view| view.mean("starvation", |layer| format!("{layer}: silent capsules"), &LOWER),
    ),
    claim(
        [
            MITTERREITER,
            "the gradient vanishes on its way down",
            "root mean square of the gradient of a transform, first layer over class layer",
        ],
        Below,
        0.1,
        |view| Some(view.own("starvation", "first: gradient")? / view.own("starvation", "class: gradient")?),
    ),
    claim(
        [
            PEER,
            "routing cannot tell poses from their negatives",
            "largest change of a class activation if all primary poses are negated, without coordinate addition",
        ],
        Below,
        0.001,
        |view| view.own("negative", "negated poses without coordinates: largest change"),
    ),
    claim(
        [
            PEER,
            "nor can the network as it is",
            "share of digits that keep their class if all primary poses are negated, with coordinate addition",
        ],
        Above,
        0.95,
        |view| view.own("negative", "negated poses with coordinates: same class"),
    ),
    claim(
        [
            PEER,
            "so it gives an image and its negative the same class",
            "share of digits whose negative image has the same class",
        ],
        Above,
        0.95,
        |view| view.own("negative", "negated image: same class"),
    ),
    claim(
        [
            PEER,
            "and cannot learn to tell them apart",
            "accuracy of a network trained to tell digits from negatives (chance: 0.5)",
        ],
        Below,
        0.6,
        |view| view.of("polarity", "polarity", "accuracy"),
    ),
    claim(
        [
            GU,
            "routing adds no affine robustness",
            "growth of the error on affine digits with iterations=1, minus that with iterations=2",
        ],
        Below,
        0.01,
        |view| growth(view, "routing-1"),
    ),
    claim(
        [
            GU_HU,
            "a good convolutional network is as robust",
            "growth of the error on affine digits of the plain network, minus that of capsules",
        ],
        Below,
        0.01,
        |view| growth(view, "plain"),
    ),
    claim(
        [
            GU_HU,
            "so is one with global average pooling",
            "growth of the error on affine digits of the plain pooled network, minus that of capsules",
        ],
        Below,
        0.01,
        |view| growth(view, "plain-pooled"),
    ),
    claim(
        [
            HINTON,
            "capsules resist white-box attacks better than a convolutional network",
            "error of the plain network minus error of capsules under FGSM with epsilon 0.1",
        ],
        Above,
        0.05,
        |view| attack(view, "error, 0.1"),
    ),
    claim(
        [
            HINTON,
            "and it is not only that their gradient is 0",
            "the same under the gradient of the other network",
        ],
        Above,
        0.05,
        |view| attack(view, "error by the other's gradient, 0.1"),
    ),
];

/// Judges by the interval: it must lie on one side of the limit as a whole.
fn verdict(claim: &Claim, mean: f64, half: f64) -> &'static str {
    let (below, above) = (mean + half < claim.limit, mean - half > claim.limit);
    match (&claim.side, below, above) {
        (Below, true, _) | (Above, _, true) => "confirmed",
        (Below, _, true) | (Above, true, _) => "refuted",
        _ => "not settled",
    }
}

/// Prints each claim with its numbers, its criterion and its verdict, as a table in Markdown.
pub fn print(table: &Table, seeds: u64, budget: Budget) {
    println!(
        "A claim is confirmed if the 95 % interval of its number over the seeds (mean and Student's t) lies on the stated side of the \
         limit, refuted if it lies on the other side, and otherwise not settled. Two \
         networks are compared only for seeds whose clean errors differ by at most {MATCHED}. The shipped network is shown beside and not judged.\n"
    );
    println!("| claim | number | limit | mean ± half of the interval | each seed | shipped | verdict |");
    println!("|---|---|---|---|---|---|---|");
    for claim in CLAIMS {
        let view = |arm, seed, budget| (claim.value)(&View { table, arm, seed, budget });
        let values: Vec<f64> = (1..=seeds).filter_map(|seed| view("routing-2", seed, budget)).collect();
        let side = if matches!(claim.side, Below) { "below" } else { "above" };
        let shipped = view("shipped", 0, SHIPPED).map_or("–".to_owned(), short);
        let start = format!("| {}: {} | {} | {side} {} |", claim.who, claim.what, claim.number, claim.limit);
        if values.is_empty() {
            println!("{start} – | – | {shipped} | not measured, or not comparable |");
            continue;
        }
        // one number has no interval
        let (mean, half) = chapter10::interval(&values).unwrap_or((values[0], f64::INFINITY));
        let each: Vec<String> = values.iter().copied().map(short).collect();
        let verdict = verdict(claim, mean, half);
        println!(
            "{start} {} ± {} | {} | {shipped} | **{verdict}** |",
            short(mean),
            short(half),
            each.join(", ")
        );
    }
}

fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 5e-4 { format!("{value:.0e}") } else { format!("{value:.3}") }
}
