//! Chapter 10: a shape that turns, and what a network with capsules and a plain network take it for.
//!
//! The two networks are files, so this figure belongs to the module that has the code of networks.

use std::cell::RefCell;
use std::rc::Rc;

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene};
use super::settings::Settings;
use super::{Event, Live, unknown};
use crate::capsnet::training::most_active;
use crate::capsnet::{CapsNet, NetworkKind};
use crate::draw::{
    Axis, Chart, FRAME, Figure, GREEN, GREY, INK, Ink, PALE, Pen, Side, VERMILION, component, number,
};
use crate::error::{Error, Result};
use crate::samples::views::{
    FAMILIAR_SHAPE_AZIMUTHS as AZIMUTHS, SHAPE_ELEVATIONS as ELEVATIONS, SHAPE_NAMES, SHAPE_SIDE, shape_views,
};
use crate::shipped;

pub(super) const LIVE: Live = Live {
    name: "object",
    title: "A shape that turns",
    hint: "Drag the ring in the plane of viewpoints, or click there, to turn the shape. The dots are the views of training. Both networks \
           know them without a mistake: where does each of them fail first? Which shape is taken for which?",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

/// The names of the two networks.
const NAMES: [&str; 2] = ["network with capsules", "plain network"];

thread_local! {
    static NETS: RefCell<Option<Rc<[CapsNet; 2]>>> = const { RefCell::new(None) };
}

/// Gives the networks of the live figure `object` to this thread: with capsules, and plain.
pub fn give_networks(capsules: CapsNet, plain: CapsNet) {
    NETS.set(Some(Rc::new([capsules, plain])));
}

/// Whether this thread has the networks.
pub fn has_networks() -> bool {
    NETS.with_borrow(Option::is_some)
}

/// Gives this thread the shipped networks. The page's module does not call this: it has no files to open.
pub(super) fn load_shipped() -> Result<()> {
    let [capsules, plain] = shipped::views_weights();
    give_networks(CapsNet::load(capsules)?, CapsNet::load(plain)?);
    Ok(())
}

fn networks() -> Result<Rc<[CapsNet; 2]>> {
    NETS.with_borrow(Option::clone).ok_or(Error::Empty { what: "networks for this figure" })
}

fn controls() -> Vec<Control> {
    const SHAPES: &[(&str, &str)] = &[
        ("0", SHAPE_NAMES[0]),
        ("1", SHAPE_NAMES[1]),
        ("2", SHAPE_NAMES[2]),
        ("3", SHAPE_NAMES[3]),
        ("4", SHAPE_NAMES[4]),
    ];
    vec![
        Control::new("shape", "shape", Kind::Choice(SHAPES), "1"),
        Control::range("azimuth", "azimuth (degrees)", (0.0, 359.0), 1.0, 304.0),
        Control::range("elevation", "elevation (degrees)", (0.0, 60.0), 1.0, 30.0),
    ]
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    let (Event::Drag { at, .. } | Event::Place { at }) = event else { return Err(unknown(event)) };
    settings.put("azimuth", at.0, 0)?;
    settings.put("elevation", at.1, 0)
}

/// The share of each class in a network's answer: the activations of capsules, or the softmax of a plain network's logits.
fn shares(net: &CapsNet, pixels: &[f32]) -> Result<Vec<f32>> {
    let values = net.forward(pixels, 1)?.classes().activations.clone();
    if net.architecture().network == NetworkKind::Capsules {
        return Ok(values);
    }
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = values.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    Ok(powers.iter().map(|power| power / sum).collect())
}

/// How far an azimuth is from the nearest azimuth of training, in degrees.
fn gap(azimuth: f64) -> f64 {
    let apart = |own: f64| {
        let apart = (azimuth - own).rem_euclid(360.0);
        apart.min(360.0 - apart)
    };
    AZIMUTHS.into_iter().map(apart).fold(f64::INFINITY, f64::min)
}

/// What the networks make of a view.
struct View {
    class: usize,
    azimuth: f64,
    elevation: f64,
    pixels: Vec<f64>,
    /// The shares of the classes in each network's answer.
    shares: [Vec<f32>; 2],
}

impl View {
    fn of(settings: &Settings) -> Result<View> {
        let (class, azimuth) = (settings.count("shape"), settings.number("azimuth"));
        let elevation = settings.number("elevation");
        let images = shape_views(SHAPE_SIDE, &[(class, azimuth, elevation)], 1)?.images;
        let nets = networks()?;
        let of = |net: &CapsNet| shares(net, &net.pixels(&images, &[0])?);
        Ok(View {
            class,
            azimuth,
            elevation,
            pixels: images.pixels.iter().map(|&level| f64::from(level) / 255.0).collect(),
            shares: [of(&nets[0])?, of(&nets[1])?],
        })
    }

    /// The class that a network chooses.
    fn found(&self, net: usize) -> usize {
        most_active(&self.shares[net])
    }
}

fn picture(view: &View) -> Result<Figure> {
    const WIDTH: f64 = 720.0;
    let shape = SHAPE_NAMES[view.class];
    let words: Vec<String> =
        (0..2).map(|net| format!("the {} says {}", NAMES[net], SHAPE_NAMES[view.found(net)])).collect();
    let alt = format!(
        "The shape {shape} from azimuth {}° and elevation {}°, a bar for each class of each network, and the plane of viewpoints with \
         the views of training; {}.",
        view.azimuth,
        view.elevation,
        words.join(", ")
    );
    let mut chart = Chart::canvas("object", LIVE.title, (WIDTH, 430.0)).alt(alt);
    let bold = Ink::new(INK).plain().bold().size(14.0);
    chart.note((30.0, 20.0), bold, format!("{shape}, {}° around, {}° up", view.azimuth, view.elevation));
    chart.picture((30.0, 36.0), 232.0, SHAPE_SIDE, &view.pixels);
    for net in 0..2 {
        bars(&mut chart, view, net, (302.0 + 214.0 * net as f64, 36.0));
    }
    let x = Axis::new("azimuth (degrees)", 0.0, 360.0).no_grid();
    let ticks = (0..=6).map(|at| (f64::from(60 * at), (60 * at).to_string())).collect();
    let y = Axis::new("elevation", 0.0, 60.0).no_grid().most(3);
    let mut plane = chart.panel((74.0, 296.0), (620.0, 84.0), x.ticks(ticks), y);
    plane.block((0.0, 0.0), (AZIMUTHS[5], 60.0), PALE);
    for azimuth in AZIMUTHS {
        ELEVATIONS.iter().for_each(|&elevation| plane.dot((azimuth, elevation), 3.0, GREY));
    }
    let at = (view.azimuth, view.elevation);
    plane.line([(at.0, 0.0), (at.0, 60.0)], Pen::new(INK, 1.0).faded(0.4));
    plane.dot(at, 7.0, INK);
    plane.dot(at, 3.5, component(4));
    chart.add(plane);
    chart.finish()
}

/// Draws a network's answer: a bar for each class.
fn bars(chart: &mut Chart, view: &View, net: usize, (left, top): (f64, f64)) {
    let bold = Ink::new(INK).plain().bold();
    let found = view.found(net);
    let right = found == view.class;
    chart.note((left, top - 16.0), bold.size(14.0), NAMES[net]);
    let verdict = format!("{}: {}", SHAPE_NAMES[found], if right { "right" } else { "wrong" });
    let tint = if right { GREEN } else { VERMILION };
    chart.note((left, top + 12.0), Ink::new(tint).plain().bold().size(14.0), verdict);
    for (class, share) in view.shares[net].iter().map(|&share| f64::from(share)).enumerate() {
        let middle = top + 50.0 + 38.0 * class as f64;
        let end = left + 144.0 * share.clamp(0.0, 1.0);
        let corners =
            [(left, middle), (end.max(left + 1.0), middle + 12.0)].map(|(x, y)| chart.at_pixel(x, y));
        let tint = match class {
            _ if class == view.class => GREEN,
            _ if class == found => VERMILION,
            _ => FRAME,
        };
        chart.block(corners[0], corners[1], tint);
        let ink = Ink::new(if class == found { INK } else { GREY }).plain().size(12.5);
        let ink = if class == found { ink.bold() } else { ink };
        chart.write((left, middle - 9.0), Side::Right, ink, SHAPE_NAMES[class]);
        chart.note((end + 8.0, middle + 6.0), ink, number(share, 2));
    }
}

fn draw(settings: &Settings) -> Result<Scene> {
    let view = View::of(settings)?;
    let figure = picture(&view)?;
    let answers: Vec<String> = (0..2)
        .map(|net| {
            let found = view.found(net);
            let verdict = if found == view.class { "rightly" } else { "wrongly" };
            format!("the {} {verdict} says {}", NAMES[net], SHAPE_NAMES[found])
        })
        .collect();
    let frame = figure.frame(1); // frame 0 is that of the whole picture
    let at = (view.azimuth, view.elevation);
    Ok(Scene {
        handles: frame.map(|frame| Handle::only("view", "viewpoint", at, frame)).into_iter().collect(),
        plane: frame,
        numbers: vec![
            Number::new(
                "capsules",
                "the true class, with capsules",
                f64::from(view.shares[0][view.class]),
                3,
            ),
            Number::new("plain", "the true class, plain", f64::from(view.shares[1][view.class]), 3),
            Number::new("gap", "azimuth from the nearest in training (degrees)", gap(view.azimuth), 0),
        ],
        words: format!(
            "The shape {} from azimuth {} and elevation {} degrees: {}.",
            SHAPE_NAMES[view.class],
            view.azimuth,
            view.elevation,
            answers.join(", ")
        ),
        idle: Vec::new(),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(class: &str, azimuth: f64, elevation: f64) -> View {
        if !has_networks() {
            load_shipped().unwrap();
        }
        let mut settings = Settings::start(&controls());
        settings.set("shape", class).unwrap();
        settings.put("azimuth", azimuth, 0).unwrap();
        settings.put("elevation", elevation, 0).unwrap();
        View::of(&settings).unwrap()
    }

    #[test]
    fn both_networks_know_every_view_of_training() {
        for (class, name) in ["0", "1", "2", "3", "4"].into_iter().zip(0..) {
            for azimuth in AZIMUTHS {
                for elevation in ELEVATIONS {
                    let view = view(class, azimuth, elevation);
                    assert_eq!([view.found(0), view.found(1)], [name; 2], "{class} {azimuth} {elevation}");
                    assert!((view.shares[1].iter().sum::<f32>() - 1.0).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_handle_lies_in_the_plane_of_viewpoints() {
        load_shipped().unwrap();
        let scene = draw(&Settings::start(&controls())).unwrap();
        let (x, y) = scene.handles[0].frame.pixel(scene.handles[0].at);
        // azimuth 304 of 360 in an axis from 74 to 694, elevation 30 of 60 in one from 296 to 380
        assert!((x - (74.0 + 620.0 * 304.0 / 360.0)).abs() < 3.0 && (y - 338.0).abs() < 3.0, "{x} {y}");
    }

    #[test]
    fn the_gap_goes_around_the_circle() {
        assert_eq!(
            [0.0, 15.0, 150.0, 200.0, 252.0, 330.0, 359.0].map(gap),
            [0.0, 15.0, 0.0, 50.0, 102.0, 30.0, 1.0]
        );
    }

    #[test]
    fn a_drag_and_a_click_turn_the_shape_and_stay_in_the_plane() {
        let mut settings = Settings::start(&controls());
        settle(&mut settings, &Event::Drag { handle: "view".to_owned(), at: (100.4, 12.0) }).unwrap();
        assert_eq!((settings.number("azimuth"), settings.number("elevation")), (100.0, 12.0));
        settle(&mut settings, &Event::Place { at: (-1e9, 1e9) }).unwrap();
        assert_eq!((settings.number("azimuth"), settings.number("elevation")), (0.0, 60.0));
        assert!(settle(&mut settings, &Event::Press { name: "no".to_owned() }).is_err());
    }
}
