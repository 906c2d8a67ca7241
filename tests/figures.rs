//! Every figure of the gallery: drawn, whole, small, and the same each time.

use em_routing::error::Error;
use em_routing::gallery::{self, FIGURES};
use em_routing::plot::{self, Figure};
use em_routing::prelude::*;

/// Each tag that opens is closed in its order, attributes are quoted, and `<` and `&` stand for nothing else.
fn assert_well_formed(name: &str, svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    let mut roots = 0;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "{name}: a bare > in {text:?}");
        for entity in text.split('&').skip(1) {
            assert!(
                ["lt;", "gt;", "amp;", "quot;", "apos;"].iter().any(|known| entity.starts_with(known)),
                "{name}: &{entity}"
            );
        }
        let end = start + rest[start..].find('>').unwrap_or_else(|| panic!("{name}: a tag without an end"));
        let tag = &rest[start + 1..end];
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closing), "{name}");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{name}: {tag}");
            let tag_name = tag.split([' ', '/']).next().unwrap();
            assert!(
                !tag_name.is_empty() && tag_name.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{name}: {tag}"
            );
            roots += usize::from(open.is_empty());
            if !tag.ends_with('/') {
                open.push(tag_name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{name}: {open:?} left open");
}

fn assert_sound(figure: &Figure) {
    let (name, svg) = (figure.name(), figure.svg());
    assert_well_formed(name, svg);
    let limit = if svg.contains("@keyframes") { 600_000 } else { 150_000 };
    assert!(svg.len() < limit, "{name} has {} bytes", svg.len());
    // Base64 may spell anything; the numbers stand outside it.
    let numbers: String = svg
        .split("base64,")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('"').unwrap().1 })
        .collect();
    for word in ["NaN", "inf\"", "inf ", "<script", "Infinity"] {
        assert!(!numbers.contains(word), "{name} contains {word}");
    }
    let width: f64 =
        svg.split("width=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().parse().unwrap();
    assert!(width <= 900.0, "{name} is {width} wide");
    assert!(!figure.alt().is_empty());
}

#[test]
fn every_figure_is_whole_small_and_the_same_each_time() {
    for entry in FIGURES {
        let figure = (entry.draw)().unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        assert_eq!(figure.name(), entry.name);
        assert_sound(&figure);
        assert!(figure == (entry.draw)().unwrap(), "{} differs when drawn again", entry.name);
        assert_well_formed(
            entry.name,
            &figure.captioned("a < b & \"c\"").html().replace("figcaption", "caption"),
        );
    }
}

#[test]
fn names_of_figures_are_unique() {
    let mut names: Vec<_> = FIGURES.iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FIGURES.len());
}

#[test]
fn the_animation_has_a_group_for_each_frame_and_shows_the_last_where_nothing_plays() {
    let experiments = Experiments::blog_hidden();
    let stop = Stop { max_iterations: 4, tolerance: 0.0 };
    let fit = gallery::one_coin_free(&experiments, &Coins::even(&[0.3, 0.52]).unwrap(), 0, stop).unwrap();
    assert!(fit.trace.iter().all(|step| step.model.thetas[1] == 0.52));
    let svg = plot::bound_animation(&experiments, &fit, 0, 10).unwrap().svg().to_string();
    assert_eq!(svg.matches("<g id=\"f").count(), 4);
    assert_eq!(svg.matches("@keyframes").count(), 4);
    assert_eq!(svg.matches(" visibility=\"hidden\"").count(), 3);
    assert!(svg.contains("<g id=\"f3\">") && svg.contains("iteration 4"));
    // What the frames share is written once: the card, the axes and the curve that stands still.
    assert_eq!(svg.matches("probability of heads").count(), 1);
    assert_eq!(svg.matches("stroke-width=\"26\"").count(), 1);
}

#[test]
fn frames_that_do_not_fit_together_are_refused() {
    let frames = [plot::jensen_chord(1.0, 2.0, 0.5).unwrap(), (FIGURES[7].draw)().unwrap()];
    assert!(matches!(plot::animate("both", &frames, 1.0), Err(Error::Drawing { .. })));
    assert!(matches!(plot::animate("none", &[], 1.0), Err(Error::Empty { .. })));
    assert!(matches!(plot::animate("still", &frames[..1], f64::NAN), Err(Error::Setting { .. })));
    // One frame, or frames that are equal, still make a figure.
    assert_sound(&plot::animate("one", &frames[..1], 1.0).unwrap());
    assert_sound(&plot::animate("two", &[frames[0].clone(), frames[0].clone()], 1.0).unwrap());
}

#[test]
fn saving_is_all_or_nothing_and_names_the_path() {
    let folder = std::env::temp_dir().join(format!("em-routing-figures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let figure = plot::jensen_chord(1.0, 6.0, 0.6).unwrap();
    let path = folder.join("figure.svg");
    std::fs::write(&path, "old").unwrap();
    figure.save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), figure.svg());
    let error = figure.save(folder.join("missing").join("figure.svg")).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("figure.svg"), "{error}");
    std::fs::create_dir(folder.join("taken.svg")).unwrap();
    assert!(figure.save(folder.join("taken.svg")).unwrap_err().to_string().contains("taken.svg"));
    let mut left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["figure.svg", "taken.svg"], "nothing half-written is left");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn bad_input_is_an_error_that_names_it() {
    let (known, labels) = Experiments::blog_known();
    let hidden = Experiments::blog_hidden();
    let three = Coins::even(&[0.2, 0.5, 0.8]).unwrap();
    let fit = hidden.fit(&three, &CoinOptions::default()).unwrap();
    assert!(plot::jensen_chord(f64::NAN, 2.0, 0.5).unwrap_err().to_string().contains("a is NaN"));
    assert!(plot::jensen_chord(1.0, 0.0, 0.5).is_err() && plot::jensen_chord(1.0, 1.0, 0.5).is_err());
    assert!(matches!(plot::jensen_chord(1.0, 2.0, 1.5), Err(Error::Probability { .. })));
    assert!(matches!(plot::known_likelihood(&known, &labels[..3]), Err(Error::Length { .. })));
    assert!(matches!(plot::known_likelihood(&known, &[0, 0, 2, 0, 2]), Err(Error::NeverTossed { coin: 1 })));
    assert!(plot::surface(&hidden, &[]).is_ok_and(|figure| !figure.svg().contains("start")));
    assert!(matches!(plot::surface(&hidden, &[&fit]), Err(Error::Length { expected: 2, found: 3, .. })));
    assert!(matches!(plot::starts(&hidden, &[]), Err(Error::Empty { .. })));
    assert!(matches!(plot::bound_animation(&hidden, &fit, 3, 5), Err(Error::Setting { .. })));
    assert!(matches!(plot::bound_animation(&hidden, &fit, 0, 0), Err(Error::Empty { .. })));
    assert!(matches!(plot::responsibilities(&hidden, &[]), Err(Error::Empty { .. })));
    let other = Experiments::new(&[1, 2], 10).unwrap();
    assert!(matches!(
        plot::responsibilities(&other, &hidden.expectations(&fit).unwrap()),
        Err(Error::Length { .. })
    ));
    let row = plot::Table::new(&["a", "b"]).row(&[&1]).map(|_| ()).unwrap_err().to_string();
    assert!(row.contains("2 is needed"), "{row}");
    assert!(plot::Table::of(&["a"], [vec![1.0, 2.0]], 2).is_err());
}

#[test]
fn other_data_than_the_blogs_draws_too() {
    let labels: Vec<usize> = (0..40).map(|i| i % 3).collect();
    let experiments = Experiments::simulate(&labels, &[0.15, 0.5, 0.9], 20, 7).unwrap();
    let start = Coins::even(&[0.3, 0.4, 0.6]).unwrap();
    let options =
        CoinOptions { mixing: Mixing::Estimated, stop: Stop { max_iterations: 60, tolerance: 1e-12 } };
    let fit = experiments.fit(&start, &options).unwrap();
    assert_sound(&plot::known_likelihood(&experiments, &labels).unwrap());
    assert_sound(&plot::likelihood_trace(&experiments, &fit).unwrap());
    assert_sound(&plot::responsibilities(&experiments, &experiments.expectations(&fit).unwrap()).unwrap());
    assert_sound(&plot::bound_animation(&experiments, &fit, 1, 12).unwrap());
    // The edges of what theta may be, and a fit that does not move.
    let certain = Experiments::new(&[0, 10], 10).unwrap();
    assert_sound(&plot::known_likelihood(&certain, &[0, 1]).unwrap());
    let fit = certain.fit(&Coins::even(&[0.0, 1.0]).unwrap(), &CoinOptions::default()).unwrap();
    assert_sound(&plot::surface(&certain, &[&fit, &fit]).unwrap());
    assert_sound(&plot::starts(&certain, std::slice::from_ref(&fit)).unwrap());
    assert_sound(&plot::likelihood_trace(&certain, &fit).unwrap());
    assert_sound(&plot::bound_animation(&certain, &fit, 0, 3).unwrap());
    assert_sound(
        &plot::minimiser_path(&certain, &[0, 1], &certain.minimise_known(&[0, 1], &[0.5, 0.5]).unwrap())
            .unwrap(),
    );
}

#[test]
fn a_table_reads_as_text_and_as_html() {
    let table = plot::Table::of(&["t", "<theta>"], array![[0.0, 0.6], [1.0, 0.7131]].rows(), 3).unwrap();
    assert_eq!(table.to_string(), "t  <theta>\n0    0.600\n1    0.713\n");
    assert_well_formed("table", &table.html());
    assert!(table.html().contains("&lt;theta&gt;"));
}
