//! Chapter 6: EM routing of votes that can be dragged, on each rung of the ladder.

use ndarray::{Array1, Array2, Array3, Axis as Along};

use super::form::{Control, Kind};
use super::scene::{Number, Scene, idle};
use super::settings::Settings;
use super::wholes::{self, CHILDREN, PARENTS, X, Y};
use super::{Event, Live};
use crate::draw::{Axis, CARD, Chart, Frame, GREY, INK, Ink, PALE, Pen, Side, component, letter, number};
use crate::error::Result;
use crate::figures::chapter06::{self, RUNGS};
use crate::routing::{InverseTemperature, LadderOptions, LadderStep, Parents, ladder};

pub(super) const LIVE: Live = Live {
    name: "routing",
    title: "EM routing of eight children to three parents",
    hint: "Each child, a number, votes once for each parent. Drag votes together: when does a parent become active? Children 7 \
           and 8 agree on C but are hardly there: raise their activations (the bars) and watch C. Then go back through the \
           rungs with ten iterations: on which of them do two faint children lift C above 0.8?",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

/// A floor on the variances as in the chapter.
const FLOOR: f64 = 1e-3;

/// The rungs of the ladder, by name.
const CHOICES: [(&str, &str); 5] =
    [("1", RUNGS[0]), ("2", RUNGS[1]), ("3", RUNGS[2]), ("4", RUNGS[3]), ("final", RUNGS[4])];

const SCHEDULES: [(&str, &str); 3] = [
    ("saturating", "paper: rising to the limit"),
    ("linear", "blog: rising from 1 to 3"),
    ("constant", "constant"),
];

/// The most iterations.
const MOST: f64 = 10.0;

fn controls() -> Vec<Control> {
    let mut controls = vec![
        Control::new("rung", "rung of the ladder", Kind::Choice(&CHOICES), "final"),
        Control::range("iterations", "iterations", (1.0, MOST), 1.0, 6.0),
        Control::new("schedule", "schedule of λ", Kind::Choice(&SCHEDULES), "saturating"),
        Control::range("lambda", "λ: limit or constant", (0.0, 5.0), 0.01, 1.0),
        Control::range("beta_v", "β_v, added to the cost of a unit of mass", (-2.0, 2.0), 0.05, 0.0),
        Control::range("beta_a", "β_a, threshold on the cost", (-5.0, 5.0), 0.1, 0.0),
        Control::press("step", "Next iteration"),
        Control::press("first", "Back to the first"),
        Control::press("redraw", "Draw other votes"),
    ];
    controls.extend(wholes::controls());
    controls
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    match event {
        Event::Press { name } if name == "step" => {
            settings.put("iterations", settings.number("iterations") + 1.0, 0)
        }
        Event::Press { name } if name == "first" => settings.put("iterations", 1.0, 0),
        Event::Press { name } if name == "redraw" => wholes::redraw(settings),
        other => wholes::drag(settings, other),
    }
}

fn options(settings: &Settings) -> LadderOptions {
    let lambda = settings.number("lambda");
    LadderOptions {
        iterations: settings.count("iterations"),
        inverse_temperature: match settings.text("schedule") {
            "linear" => InverseTemperature::Linear,
            "constant" => InverseTemperature::Constant(lambda),
            _ => InverseTemperature::Saturating { limit: lambda },
        },
        beta_v: settings.number("beta_v"),
        beta_a: settings.number("beta_a"),
        variance_floor: FLOOR,
    }
}

/// What the rung makes of the votes.
struct Routed {
    votes: Array3<f64>,
    children: Array1<f64>,
    /// The last iteration.
    step: LadderStep,
    /// S_j: what each parent receives.
    masses: Array1<f64>,
}

impl Routed {
    /// Routes the votes. Rungs 1 to 4 start from equal responsibilities, as in the chapter.
    fn of(settings: &Settings) -> Result<Routed> {
        let (votes, children) = wholes::input(settings);
        let options = options(settings);
        let even = Array2::from_elem((CHILDREN, PARENTS), 1.0 / PARENTS as f64);
        let start = Parents::from_responsibilities(&votes, &even, &options)?;
        let mut trace = match settings.text("rung") {
            "1" => ladder::routing_1(&votes, &start, &options),
            "2" => ladder::routing_2(&votes, &start, &options),
            "3" => ladder::routing_3(&votes, &children, &start, &options),
            "4" => ladder::routing_4(&votes, &children, &start, &options),
            _ => ladder::routing_final(&votes, &children, &options),
        }?;
        let step = trace.swap_remove(trace.len() - 1);
        let masses = match settings.text("rung") {
            "1" | "2" => step.responsibilities.sum_axis(Along(0)),
            _ => children.dot(&step.responsibilities),
        };
        Ok(Routed { votes, children, step, masses })
    }
}

/// The left end of the table, the tops of its rows of children and of parents, and the height of a row, in pixels.
const TABLE: (f64, f64, f64, f64) = (502.0, 42.0, 274.0, 25.0);

/// The axes of the bars of the children's activations.
const BARS: Frame = Frame {
    left: TABLE.0 + 22.0,
    top: TABLE.1,
    width: 58.0,
    height: TABLE.3 * CHILDREN as f64,
    x: (0.0, 1.0),
    y: (0.0, CHILDREN as f64),
};

/// The centre of a parent's column, in pixels.
fn column(j: usize) -> f64 {
    TABLE.0 + 150.0 + 42.0 * j as f64
}

/// Writes a number on a cell whose colour shows a share.
fn cell(chart: &mut Chart, (j, y): (usize, f64), share: f64, text: String) {
    let corners = [(-20.0, -11.0), (20.0, 11.0)].map(|(x, down)| chart.at_pixel(column(j) + x, y + down));
    chart.block(corners[0], corners[1], CARD.mixed(component(j), 0.55 * share.clamp(0.0, 1.0)));
    chart.write((column(j), y), Side::Middle, Ink::new(INK).plain(), text);
}

/// Draws the table: a row for each child with its activation and its responsibilities, and rows for what the parents receive.
fn draw_table(chart: &mut Chart, routed: &Routed) {
    let ink = Ink::new(INK).plain();
    let (left, top, below, height) = TABLE;
    chart.note((left, 18.0), ink.bold(), "child, a_i");
    chart.write((column(1), 18.0), Side::Middle, ink.bold(), "R_{ij}");
    for j in 0..PARENTS {
        let ink = Ink::new(component(j)).plain().bold();
        chart.write((column(j), top - 5.0), Side::Middle, ink, letter(j));
        chart.write((column(j), below - 13.0), Side::Middle, ink, letter(j));
    }
    for (i, &a) in routed.children.iter().enumerate() {
        let y = top + height * (i as f64 + 0.5) + 3.0;
        chart.note((left + 4.0, y), ink, (i + 1).to_string());
        for (share, tint) in [(1.0, PALE), (a.max(0.01), GREY)] {
            let ends = [BARS.left, BARS.left + BARS.width * share].map(|x| chart.at_pixel(x, y));
            chart.line_anywhere(ends, Pen::new(tint, 8.0));
        }
        chart.note((BARS.left + BARS.width + 14.0, y), ink, number(a, 2));
        for j in 0..PARENTS {
            let share = routed.step.responsibilities[(i, j)];
            cell(chart, (j, y), share, number(share, 2));
        }
    }
    let weights = &routed.step.parents.weights;
    let name = if routed.step.costs.is_some() { "activation a_j" } else { "mixing weight π_j" };
    let mut rows = vec![("mass S_j", &routed.masses, 2, false)];
    rows.extend(routed.step.costs.as_ref().map(|costs| ("cost c_j (nats)", costs, 1, false)));
    rows.push((name, weights, 2, true));
    for (row, (name, values, decimals, coloured)) in rows.into_iter().enumerate() {
        let y = below + height * (row as f64 + 0.5) - 2.0;
        chart.note((left + 4.0, y), if coloured { ink.bold() } else { ink }, name);
        for (j, &value) in values.iter().enumerate() {
            cell(chart, (j, y), if coloured { value } else { 0.0 }, number(value, decimals));
        }
    }
}

fn draw(settings: &Settings) -> Result<Scene> {
    let routed = Routed::of(settings)?;
    let Routed { votes, children, step, masses } = &routed;
    let LadderStep { responsibilities, parents, .. } = step;
    let iterations = settings.count("iterations");
    let list = |values: &Array1<f64>| {
        let texts =
            values.iter().enumerate().map(|(j, &value)| format!("{} {}", letter(j), number(value, 2)));
        texts.collect::<Vec<_>>().join(", ")
    };
    let sign = if step.costs.is_some() { "a" } else { "π" };
    let named = if step.costs.is_some() { "Activations" } else { "Mixing weights" };
    let rung = CHOICES.iter().find(|choice| choice.0 == settings.text("rung")).map_or("", |choice| choice.1);
    let unweighted = match settings.text("rung") {
        "1" | "2" => " On this rung every child counts 1.",
        _ => "",
    };
    let words = format!(
        "Rung {rung}; iteration {iterations}. {named} of the parents: {}. Masses: {}.{unweighted}",
        list(&parents.weights),
        list(masses)
    );
    let alt = format!(
        "Left, the votes of eight numbered children in the colours of three parents, with ellipses around the parents' means. \
         Right, a table of the responsibilities. {words}"
    );
    let mut chart = Chart::canvas("routing", LIVE.title, (766.0, 420.0)).alt(alt);
    let (across, up) = (Axis::new("x_1", X.0, X.1), Axis::new("x_2", Y.0, Y.1));
    let mut panel = chart.panel((52.0, 36.0), (420.0, 328.0), across, up);
    let scene = chapter06::Scene::new(
        votes.view(),
        children.view(),
        responsibilities.view(),
        [parents.means.view(), parents.variances.view()],
        parents.weights.view(),
    )?;
    scene.draw(&mut panel, true);
    wholes::draw_numbers(&mut panel, votes);
    let lambda =
        step.inverse_temperature.map_or(String::new(), |lambda| format!(", λ = {}", number(lambda, 3)));
    let heading = format!("iteration {iterations}{lambda}");
    panel.note((52.0, 18.0), Ink::new(INK).plain().bold().size(15.0), heading);
    let frame = panel.frame();
    chart.add(panel);
    draw_table(&mut chart, &routed);
    let mut handles = wholes::vote_handles(votes, frame);
    handles.extend(wholes::activation_handles(children, BARS));
    let mut numbers = Vec::new();
    for (j, name) in ["weight_a", "weight_b", "weight_c"].into_iter().enumerate() {
        let value = parents.weights[j];
        numbers.push(Number::new(name, format!("{sign}_{}", letter(j)), value, 3));
    }
    for (j, name) in ["cost_a", "cost_b", "cost_c"].into_iter().enumerate() {
        let cost = |costs: &Array1<f64>| Number::new(name, format!("c_{} (nats)", letter(j)), costs[j], 2);
        numbers.extend(step.costs.as_ref().map(cost));
    }
    for (j, name) in ["mass_a", "mass_b", "mass_c"].into_iter().enumerate() {
        numbers.push(Number::new(name, format!("S_{}", letter(j)), masses[j], 2));
    }
    numbers.extend(step.inverse_temperature.map(|lambda| Number::new("lambda", "λ", lambda, 4)));
    let of = match settings.text("rung") {
        "1" | "2" => "log-likelihood ℓ: every child counts 1 (nats)",
        _ => "log-likelihood ℓ_a: child i counts a_i (nats)",
    };
    numbers.push(Number::new("log_likelihood", of, step.log_likelihood, 3));
    let (mixture, blog) = (settings.text("rung") == "1", settings.text("schedule") == "linear");
    let idle = idle([
        ("step", iterations == MOST as usize),
        ("first", iterations == 1),
        ("schedule", mixture),
        ("lambda", mixture || blog),
        ("beta_v", mixture),
        ("beta_a", mixture),
    ]);
    Ok(Scene { figure: chart.finish()?, handles, plane: None, numbers, words, idle })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{RoutingInput, RoutingOptions};

    fn settings(changes: &[(&str, &str)]) -> Settings {
        Settings::with(&controls(), changes)
    }

    #[test]
    fn the_final_rung_is_the_routing_of_the_library() {
        for (schedule, inverse_temperature) in [
            ("saturating", InverseTemperature::Saturating { limit: 0.7 }),
            ("linear", InverseTemperature::Linear),
            ("constant", InverseTemperature::Constant(0.7)),
        ] {
            let changes = [("schedule", schedule), ("lambda", "0.7"), ("beta_v", "0.4"), ("beta_a", "-0.5")];
            let settings = settings(&changes);
            let (votes, children) = wholes::input(&settings);
            let input = RoutingInput::new(
                votes.insert_axis(Along(0)),
                children.insert_axis(Along(0)),
                Array1::from_elem(PARENTS, 0.4 / 2.0), // once for each of the two elements
                Array1::from_elem(PARENTS, -0.5),
            );
            let options = RoutingOptions {
                iterations: 6,
                inverse_temperature,
                variance_floor: FLOOR,
                ..RoutingOptions::paper()
            };
            let library = input.route(&options).unwrap();
            let numbers = draw(&settings).unwrap().numbers;
            let value = |name: &str| numbers.iter().find(|number| number.name == name).unwrap().value;
            for (j, name) in ["a", "b", "c"].into_iter().enumerate() {
                let of = |what: &str| value(&format!("{what}_{name}"));
                assert!((of("weight") - library.activations()[(0, j)]).abs() <= 1e-9);
                assert!((of("cost") - library.last().costs[(0, j)]).abs() <= 1e-9);
                assert!((of("mass") - library.last().masses[(0, j)]).abs() <= 1e-9);
            }
            assert!((value("lambda") - library.last().inverse_temperature).abs() <= 1e-15);
        }
    }

    #[test]
    fn two_faint_children_switch_c_on_only_where_the_cost_forgets_the_mass() {
        let c = |rung: &str, changes: &[(&str, &str)]| {
            let changes: Vec<_> =
                changes.iter().copied().chain([("rung", rung), ("iterations", "10")]).collect();
            Routed::of(&settings(&changes)).unwrap().step.parents.weights[2]
        };
        assert!(c("2", &[]) > 0.8 && c("3", &[]) > 0.8);
        assert!(c("4", &[]) < 0.6 && c("final", &[]) < 0.6);
        let raised = "0,0.98;0,0.99;0,0.93;0,0.89;0,0.96;0,0.94;0,1;0,1";
        assert!(c("final", &[("activations", raised)]) > 0.9, "children that are there switch C on");
    }

    #[test]
    fn every_rung_draws_extreme_settings() {
        let together = ["1,1"; CHILDREN * PARENTS].join(";");
        let nobody = ["0,0"; CHILDREN].join(";");
        for (rung, _) in CHOICES {
            for (schedule, _) in SCHEDULES {
                for lambda in ["0", "5"] {
                    for beta in ["-2", "2"] {
                        let changes = [
                            ("rung", rung),
                            ("schedule", schedule),
                            ("lambda", lambda),
                            ("beta_v", beta),
                            ("iterations", "10"),
                            ("votes", &together),
                            ("activations", &nobody),
                        ];
                        for changes in [&changes[..5], &changes[..6], &changes] {
                            let scene = draw(&settings(changes)).unwrap();
                            assert!(scene.numbers.iter().all(|number| number.value.is_finite()));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn other_votes_are_drawn_at_each_press() {
        let mut settings = settings(&[]);
        let mut seen = vec![wholes::input(&settings).0];
        for _ in 0..3 {
            settle(&mut settings, &Event::Press { name: "redraw".to_owned() }).unwrap();
            let votes = wholes::input(&settings).0;
            assert!(!seen.contains(&votes));
            seen.push(votes);
        }
    }
}
