//! Tests of chapter 9's figures: error curves, the ablation, the grid.

use em_routing::error::Error;
use em_routing::figures::chapter09;
use em_routing::figures::chapter11::{self, TrainingCurve, TrainingPoint};
use em_routing::figures::records::{EpochRecord, Trial};

use super::svg::assert_sound;

#[test]
fn error_curves_accept_errors_from_0_to_1_and_reject_bad_points() {
    use em_routing::draw::Palette;
    let seed = [(1.0, 0.02), (2.0, 0.009), (3.0, 0.0052)];
    let other = [(1.0, 0.021), (2.0, 0.008), (3.0, 0.0048)];
    let figure = chapter09::error_curves(
        "epochs",
        &[("ours", &seed), ("ours", &other), ("blog", &[(1.0, 0.9), (2.0, 0.89), (3.0, 0.886)])],
    )
    .unwrap();
    assert_sound(&figure);
    // the seeds of a recipe have one label
    assert_eq!(figure.svg(Palette::Light).matches(">ours<").count(), 1);
    assert!(figure.alt().contains("ours ends at 0.50 %, mean of 2; blog ends at 88.6 %"), "{}", figure.alt());
    for points in
        [vec![(0.0, 0.0)], vec![(0.0, 1.0), (250.0, 0.0)], vec![(-3.0, 1.0)], vec![(1.0, 1e-9), (2.0, 1e-9)]]
    {
        assert_sound(&chapter09::error_curves("images", &[("a < b", &points)]).unwrap());
    }
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let many: Vec<(&str, &[(f64, f64)])> = names.iter().map(|&name| (name, &seed[..])).collect();
    assert_sound(&chapter09::error_curves("epochs", &many[..8]).unwrap());
    assert!(chapter09::error_curves("epochs", &many).is_err());
    assert!(matches!(chapter09::error_curves::<&str, &[(f64, f64)]>("x", &[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::error_curves("x", &[("none", vec![])]), Err(Error::Empty { .. })));
    for bad in [
        [(1.0, 0.5), (1.0, 0.4)],
        [(f64::NAN, 0.5), (1.0, 0.4)],
        [(1.0, 0.5), (2.0, f64::NAN)],
        [(1.0, -0.1), (2.0, 0.1)],
        [(1.0, 0.1), (2.0, 1.1)],
    ] {
        assert!(
            matches!(chapter09::error_curves("x", &[("bad", &bad)]), Err(Error::Setting { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn ablation_labels_settings_as_better_worse_or_within_the_spread() {
    let base = [Some(0.08), Some(0.09), Some(0.10)];
    let rows: [(&str, &[Option<f64>]); 6] = [
        ("default", &base),
        ("better=1", &[Some(0.05)]),
        ("same=1", &[Some(0.099), Some(0.085)]),
        ("worse=1", &[Some(0.9)]),
        ("half=1", &[Some(0.3), None]),
        ("gone=1", &[None]),
    ];
    let figure = chapter09::ablation(&rows).unwrap();
    assert_sound(&figure);
    for words in [
        "default 9.00 %",
        "better=1 5.00 %, better",
        "same=1 9.20 %, within",
        "worse=1 90.0 %, worse",
        "half=1 30.0 %, 1 diverged, worse",
        "gone=1 diverged",
    ] {
        assert!(figure.alt().contains(words), "{words}: {}", figure.alt());
    }
    assert_sound(&chapter09::ablation(&[("none", &[Some(0.0)])]).unwrap());
    assert_sound(
        &chapter09::ablation(&vec![("a name that is longer than most = 1", &base[..]); 40]).unwrap(),
    );
    assert!(chapter09::ablation(&vec![("many", &base[..]); 41]).is_err());
    for bad in [vec![], vec![("no runs", &[][..])], vec![("diverged", &[None][..])]] {
        assert!(matches!(chapter09::ablation(&bad), Err(Error::Empty { .. })));
    }
    for bad in [f64::NAN, -0.1, 1.1] {
        assert!(matches!(
            chapter09::ablation(&[("bad", &[Some(0.1), Some(bad)])]),
            Err(Error::Setting { .. })
        ));
    }
}

#[test]
fn activation_histograms_report_the_saturated_share() {
    let (dead, half) = ([0.0f32, 1.0, 0.005, 0.995], [0.5f32, 0.01, 0.99, 0.3]);
    let layers: [(&str, &[f32]); 2] = [("first", &dead), ("second", &half)];
    let figure = chapter09::activation_histograms(&[("blog", &layers), ("default", &layers)]).unwrap();
    assert_sound(&figure);
    assert!(
        figure.alt().contains("blog, first: 100.0 % saturated; blog, second: 0.0 % saturated"),
        "{}",
        figure.alt()
    );
    assert!(matches!(chapter09::activation_histograms(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::activation_histograms(&[("none", &[])]), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::activation_histograms(&[("none", &[("l", &[])])]), Err(Error::Empty { .. })));
    assert!(chapter09::activation_histograms(&[("net", &layers[..]); 5]).is_err());
    assert!(chapter09::activation_histograms(&[("net", &[layers[0]; 6])]).is_err());
    let uneven = chapter09::activation_histograms(&[("two", &layers[..]), ("one", &layers[..1])]);
    assert!(matches!(uneven, Err(Error::Length { expected: 2, found: 1, .. })));
    for bad in [f32::NAN, -0.1, 1.5] {
        assert!(matches!(
            chapter09::activation_histograms(&[("bad", &[("l", &[0.5, bad])])]),
            Err(Error::Setting { .. })
        ));
    }
}

#[test]
fn trials_are_sorted_by_error_and_curves_are_named_by_their_epochs() {
    let trial = |setting: &str, error| Trial {
        setting: setting.into(),
        seed: 1,
        images: 100,
        saturated: None,
        kept: None,
        error,
    };
    let rows = chapter09::by_setting(&[
        trial("gone", None),
        trial("worse", Some(0.5)),
        trial("default", Some(0.2)),
        trial("better", Some(0.1)),
        trial("default", Some(0.3)),
    ]);
    let names: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(names, ["default", "better", "worse", "gone"]);
    assert_eq!(rows[0].1, [Some(0.2), Some(0.3)]);
    let record = |recipe: &str, epochs, epoch, error| EpochRecord {
        recipe: recipe.into(),
        seed: 1,
        epochs,
        epoch,
        validation: Some(error),
        test: None,
    };
    let epochs =
        [record("a", 2, 1, 0.09), record("a", 2, 2, 0.05), record("a", 1, 1, 0.07), record("b", 1, 1, 0.08)];
    let curves = chapter09::validation_curves(&epochs);
    let names: Vec<&str> = curves.iter().map(|curve| curve.0.as_str()).collect();
    assert_eq!(names, ["a, 2 epochs", "a, 1 epoch", "b"]);
    assert_eq!(curves[0].1, [(1.0, 0.09), (2.0, 0.05)]);
    // a figure of several epochs leaves out trainings of one, and other data
    let long = [record("a", 2, 1, 0.09), record("b", 1, 1, 0.08), record("fashion", 5, 1, 0.1)];
    assert_eq!(chapter09::mnist_trainings(&long), long[..1]);
}

#[test]
fn epoch_panels_have_one_heading_for_all_seeds_of_a_recipe() {
    use em_routing::draw::Palette;
    let seed = [(1.0, 0.02), (2.0, 0.009), (3.0, 0.0052)];
    let other = [(1.0, 0.021), (2.0, 0.008), (3.0, 0.0048)];
    let plain = [(1.0, 0.012), (2.0, 0.007)];
    let figure =
        chapter09::epoch_panels(&[("ours", &seed[..]), ("ours", &other), ("plain", &plain)]).unwrap();
    assert_sound(&figure);
    assert_eq!(figure.svg(Palette::Light).matches(">ours<").count(), 1);
    let words = "ours ends at 0.50 %, mean of 2; plain ends at 0.70 %";
    assert!(figure.alt().contains(words), "{}", figure.alt());
    for points in [vec![(0.0, 0.0)], vec![(0.0, 1.0), (250.0, 0.0)], vec![(-3.0, 1.0)]] {
        assert_sound(&chapter09::epoch_panels(&[("a < b", &points)]).unwrap());
    }
    let names: Vec<String> = (0..13).map(|at| at.to_string()).collect();
    let many: Vec<(&str, &[(f64, f64)])> = names.iter().map(|name| (name.as_str(), &seed[..])).collect();
    assert_sound(&chapter09::epoch_panels(&many[..12]).unwrap());
    assert!(chapter09::epoch_panels(&many).is_err());
    assert!(matches!(chapter09::epoch_panels::<&str, &[(f64, f64)]>(&[]), Err(Error::Empty { .. })));
    let bad = chapter09::epoch_panels(&[("bad", &[(1.0, 0.5), (1.0, 0.4)])]);
    assert!(matches!(bad, Err(Error::Setting { .. })));
}

#[test]
fn the_grid_names_its_best_and_worst_cell_and_counts_those_near_chance() {
    let trial = |costs: bool, rest: &str, error| Trial {
        setting: format!("normalise-costs={costs} inverse-temperature={rest}"),
        seed: 1,
        images: 100,
        saturated: None,
        kept: None,
        error,
    };
    let trials = [
        trial(true, "linear blog-start iterations=2", Some(0.04)),
        trial(true, "linear blog-start iterations=2", Some(0.06)),
        trial(false, "constant:0.5 iterations=2", Some(0.03)),
        trial(false, "constant:1 blog-start iterations=3", Some(0.6)),
        trial(false, "saturating:0.01 iterations=1", None),
    ];
    let figure = chapter09::grid(&trials).unwrap();
    assert_sound(&figure);
    for words in [
        "4 cells with runs: 2 misclassify more than half",
        "Lowest: 3.00 % of costs as they are, our start, lambda 0.5, iterations 2",
        "Highest: 100.0 % of costs as they are, our start, lambda the paper's, iterations 1",
    ] {
        assert!(figure.alt().contains(words), "{words}: {}", figure.alt());
    }
    assert_eq!(chapter09::grid_errors(&trials, true, true, "linear", 2), [0.04, 0.06]);
    assert!(chapter09::grid_errors(&trials, true, false, "linear", 2).is_empty());
    assert!(matches!(chapter09::grid(&[]), Err(Error::Empty { .. })));
    assert!(matches!(chapter09::grid(&[trial(true, "other", Some(0.5))]), Err(Error::Empty { .. })));
}

#[test]
fn trainings_say_how_each_run_ends_and_where_it_diverged() {
    let run = |name: &str, ends: f64, diverged: bool| TrainingCurve {
        name: name.to_owned(),
        points: vec![
            TrainingPoint { seen: 8, loss: 0.36, accuracy: 0.125 },
            TrainingPoint { seen: 16, loss: 0.25, accuracy: ends },
        ],
        diverged,
    };
    let runs = [run("sick", 0.0, true), run("cured", 0.75, false)];
    let figure = chapter11::trainings(&runs, &[("all equal", 0.36)]).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("sick: diverged here; cured: 75 %, loss 0.25"), "{}", figure.alt());
    assert!(matches!(chapter11::trainings(&[], &[]), Err(Error::Empty { .. })));
    assert!(chapter11::trainings(&vec![run("many", 0.5, false); 5], &[]).is_err());
    for (seen, loss, accuracy) in [(8, 0.1, 0.5), (9, f64::NAN, 0.5), (9, -0.1, 0.5), (9, 0.1, 1.1)] {
        let mut bad = run("bad", 0.5, false);
        bad.points[1] = TrainingPoint { seen, loss, accuracy };
        assert!(matches!(chapter11::trainings(&[bad], &[]), Err(Error::Setting { .. })));
    }
}

#[test]
fn predictions_and_densities_reject_what_they_cannot_draw() {
    let figure = chapter11::predictions(&[("one class", &[500, 0, 0]), ("all", &[160, 170, 170])]).unwrap();
    assert_sound(&figure);
    assert!(figure.alt().contains("one class 500, 0, 0; all 160, 170, 170"), "{}", figure.alt());
    assert!(chapter11::predictions(&[("two", &[1, 2]), ("three", &[1, 2, 3])]).is_err());
    assert!(matches!(chapter11::predictions(&[("none", &[])]), Err(Error::Empty { .. })));
    assert_sound(&chapter11::log_densities(&[0.0, 100.0]).unwrap());
    assert!(matches!(chapter11::log_densities(&[f64::NAN]), Err(Error::Setting { .. })));
    assert!(matches!(chapter11::log_densities(&[]), Err(Error::Empty { .. })));
}
