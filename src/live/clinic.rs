//! Chapter 11: routings that cannot learn, and the settings that make them ill and well.

use ndarray::{Array2, Array3, ArrayView1, Axis as Along, s};

use super::form::{Control, Kind};
use super::scene::{Number, Scene, idle};
use super::settings::Settings;
use super::{Event, Live, unknown};
use crate::draw::{
    Axis, Chart, Figure, GREY, INK, Ink, PALE, Pen, Point, Side, component, letter, number, power_of_ten,
    scientific, trimmed,
};
use crate::error::{Error, Result};
use crate::figures::chapter06::draw_shares;
use crate::routing::reference::sigmoid;
use crate::routing::{CostScale, InverseTemperature, Routing, RoutingInput, RoutingOptions, RoutingStep};
use crate::samples;

pub(super) const LIVE: Live = Live {
    name: "clinic",
    title: "A routing that does not learn",
    hint: "Choose a patient and read the finding at the top of the picture. Where do the parents lie on the sigmoid, and does any gradient \
           reach the votes? Then cure the patient: change as few settings as you can until the finding is “healthy”.",
    controls,
    settle,
    draw,
    changed,
};

const PARENTS: usize = 3;

/// The seed of the votes of chapters 6 and 7.
const SEED: u64 = 11694;

/// The most iterations.
const MOST: usize = 6;

/// A parent is saturated beyond this |u|: its activation is below 0.01 or above 0.99.
const SATURATED: f64 = 4.6;

/// No parent is decided if |u| is below this for all.
const UNDECIDED: f64 = 0.1;

/// A parent whose activation has a shorter gradient than this is deaf.
const DEAF: f64 = 1e-3;

/// A parent with a larger share of the mass takes all.
const TAKES_ALL: f64 = 0.75;

const PATIENTS: [(&str, &str); 7] = [
    ("on", "loss stuck at 0.36"),
    ("half", "loss stuck at 0.36, again"),
    ("variance", "NaN with a second iteration"),
    ("mass", "NaN with a third iteration"),
    ("three", "three iterations never train"),
    ("one", "one parent takes all"),
    ("healthy", "healthy, to compare"),
];

const COSTS: [(&str, &str); 4] = [
    ("one", "1 (paper)"),
    ("shared", "parents / children"),
    ("hundred", "100 parents / children (IBM)"),
    ("normalised", "normalised costs (blog)"),
];

const GUARDS: [(&str, &str); 4] = [
    ("both", "both (Google)"),
    ("floor", "variance floor 5e-4"),
    ("mass", "mass epsilon 1e-7"),
    ("none", "none (paper)"),
];

/// The settings of the healthy routing: β_v is near −ln σ, so that a vote costs about nothing.
const HEALTHY: [(&str, &str); 8] = [
    ("scale", "0"),
    ("equal", "off"),
    ("costs", "shared"),
    ("lambda", "0"),
    ("beta_v", "-0.7"),
    ("beta_a", "0"),
    ("iterations", "2"),
    ("guards", "both"),
];

/// The settings in which a patient differs from the healthy routing.
fn illness(patient: &str) -> &'static [(&'static str, &'static str)] {
    match patient {
        "on" => &[("scale", "-1"), ("costs", "one"), ("beta_v", "0")],
        "half" => &[("lambda", "-3.3")],
        "variance" => &[("equal", "on"), ("guards", "none")],
        "mass" => &[("scale", "1"), ("costs", "hundred"), ("guards", "none"), ("iterations", "3")],
        "three" => &[("lambda", "0.7"), ("iterations", "3")],
        "one" => &[("costs", "one"), ("beta_v", "0"), ("iterations", "3")],
        _ => &[],
    }
}

/// All settings of a patient.
fn chart_of(patient: &str) -> [(&'static str, &'static str); HEALTHY.len()] {
    let own = illness(patient);
    HEALTHY.map(|healthy| own.iter().copied().find(|ill| ill.0 == healthy.0).unwrap_or(healthy))
}

fn controls() -> Vec<Control> {
    let first = PATIENTS[0].0;
    let start = |name: &str| {
        chart_of(first).into_iter().find(|(known, _)| *known == name).map_or("", |setting| setting.1)
    };
    let range = |name, label, (low, high), step| {
        Control::new(name, label, Kind::Range { low, high, step }, start(name))
    };
    let other = |name, label, kind| Control::new(name, label, kind, start(name));
    vec![
        Control::new("patient", "patient", Kind::Choice(&PATIENTS), first),
        range("scale", "log₁₀ of the scale of the votes", (-3.0, 3.0), 0.1),
        other("costs", "factor f", Kind::Choice(&COSTS)),
        range("lambda", "log₁₀ λ", (-4.0, 1.0), 0.1),
        range("beta_v", "β_v, added to each ln σ", (-3.0, 3.0), 0.1),
        range("beta_a", "β_a, threshold on f c", (-10.0, 10.0), 0.5),
        range("iterations", "iterations", (1.0, MOST as f64), 1.0),
        other("guards", "guards", Kind::Choice(&GUARDS)),
        other("equal", "all votes for A are equal", Kind::Switch),
        Control::press("again", "Patient as before"),
    ]
}

fn changed(settings: &mut Settings, name: &str) -> Result<()> {
    if name == "patient" { admit(settings) } else { Ok(()) }
}

/// Sets the settings of the chosen patient.
fn admit(settings: &mut Settings) -> Result<()> {
    chart_of(settings.text("patient")).into_iter().try_for_each(|(name, value)| settings.set(name, value))
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    match event {
        Event::Press { name } if name == "again" => admit(settings),
        other => Err(unknown(other)),
    }
}

fn options(settings: &Settings) -> RoutingOptions {
    let guards = settings.text("guards");
    let guard = |name: &str, size: f64| if [name, "both"].contains(&guards) { size } else { 0.0 };
    RoutingOptions {
        iterations: MOST,
        inverse_temperature: InverseTemperature::Constant(10f64.powf(settings.number("lambda"))),
        normalise_costs: settings.text("costs") == "normalised",
        cost_scale: match settings.text("costs") {
            "shared" => CostScale::PerChildOfParent { factor: 1.0 },
            "hundred" => CostScale::PerChildOfParent { factor: 100.0 },
            _ => CostScale::One,
        },
        variance_floor: guard("floor", 5e-4),
        mass_epsilon: guard("mass", 1e-7),
        ..RoutingOptions::paper()
    }
}

fn input(settings: &Settings, scale: f64) -> RoutingInput {
    let mut input = samples::two_wholes(SEED).input();
    input.votes *= scale;
    if settings.on("equal") {
        input.votes.slice_mut(s![.., .., 0, ..]).fill(0.0);
    }
    input.beta_v.fill(settings.number("beta_v"));
    input.beta_a.fill(settings.number("beta_a"));
    input
}

/// What is found in a patient.
struct Examined {
    /// The settings' number of iterations.
    iterations: usize,
    /// All iterations that could be made.
    routing: Routing,
    /// After each iteration, for each parent, the norm of the gradient of its activation with respect to the votes before they were
    /// scaled.
    gradients: Vec<[f64; PARENTS]>,
    options: RoutingOptions,
}

impl Examined {
    fn of(settings: &Settings) -> Result<Examined> {
        let scale = 10f64.powf(settings.number("scale"));
        let (input, options) = (input(settings, scale), options(settings));
        let routing = input.route(&options)?;
        let gradients = (1..=MOST)
            .map(|iterations| {
                // λ is constant, so that a shorter routing is the beginning of a longer one
                let options = RoutingOptions { iterations, ..options.clone() };
                let begun = Routing { trace: routing.trace[..iterations].to_vec() };
                let norm = |j| Ok(scale * gradient_norm(&input, &options, &begun, j)?);
                Ok([norm(0)?, norm(1)?, norm(2)?])
            })
            .collect::<Result<_>>()?;
        Ok(Examined { iterations: settings.count("iterations"), routing, gradients, options })
    }

    /// The last iteration that the settings ask for.
    fn last(&self) -> &RoutingStep {
        &self.routing.trace[self.iterations - 1]
    }

    fn arguments(&self) -> ArrayView1<'_, f64> {
        self.last().logits.row(0)
    }

    fn gradient(&self) -> [f64; PARENTS] {
        self.gradients[self.iterations - 1]
    }

    /// The first iteration, counted from 1, with a number that is none.
    fn first_nan(&self) -> Option<usize> {
        let is_nan = |step: &RoutingStep| {
            let numbers = step.responsibilities.iter().chain(&step.means).chain(&step.variances);
            numbers.chain(&step.costs).chain(&step.logits).any(|number| number.is_nan())
        };
        self.routing.trace.iter().position(is_nan).map(|at| at + 1)
    }

    /// The division by 0 that a NaN comes from: without one, [`RoutingInput::route`] returns an error instead of a NaN.
    fn cause(&self) -> String {
        let zero = |values: ArrayView1<f64>| values.iter().position(|&value| value == 0.0);
        let cause = |(at, step): (usize, &RoutingStep)| {
            let t = at + 1;
            if let Some(j) = zero(step.masses.row(0)).filter(|_| self.options.mass_epsilon == 0.0) {
                return Some(format!(
                    "in iteration {t} the mass of {} is 0, and its mean is 0 / 0",
                    letter(j)
                ));
            }
            let variances = step.variances.index_axis(Along(0), 0);
            let j = (0..PARENTS).find(|&j| zero(variances.row(j)).is_some())?;
            let so = match step.masses[(0, j)] == 0.0 {
                true => "as is its mass, and its cost is 0 times ln 0",
                false => "and the next E-step divides by it",
            };
            Some(format!("in iteration {t} the variance of {} is 0, {so}", letter(j)))
        };
        self.routing.trace.iter().enumerate().find_map(cause).unwrap_or_default()
    }

    /// What is wrong, each in a few words; empty for a healthy routing.
    fn findings(&self) -> Vec<String> {
        if let Some(t) = self.first_nan().filter(|&t| t <= self.iterations) {
            return vec![format!("NaN in iteration {t}")];
        }
        let (u, masses) = (self.arguments(), self.last().masses.row(0));
        let mut findings = Vec::new();
        for (j, mass) in masses.iter().enumerate().filter(|(_, mass)| **mass > TAKES_ALL * masses.sum()) {
            let share = number(100.0 * mass / masses.sum(), 0);
            findings.push(format!("{} takes {share} % of the mass", letter(j)));
        }
        let named = |is: &dyn Fn(usize) -> bool| listed((0..PARENTS).filter(|&j| is(j)));
        let [on, off] = [named(&|j| u[j] > SATURATED), named(&|j| u[j] < -SATURATED)];
        if u.iter().filter(|u| u.abs() > SATURATED).count() > 1 {
            let ends = [on.map(|names| format!("{names} at 1")), off.map(|names| format!("{names} at 0"))];
            findings
                .push(format!("saturated: {}", ends.into_iter().flatten().collect::<Vec<_>>().join(", ")));
        }
        if u.iter().all(|u| u.abs() < UNDECIDED) {
            findings.push("undecided: all at ½".to_owned());
        }
        if let Some(names) = named(&|j| u[j].is_infinite()) {
            findings.push(format!("infinite: u of {names}"));
        }
        let hears = |j: usize| self.gradient()[j] >= DEAF; // not if it is NaN
        if let Some(names) = named(&|j| !hears(j)).filter(|_| (0..PARENTS).filter(|&j| hears(j)).count() < 2)
        {
            findings.push(format!("deaf: {names}"));
        }
        findings
    }

    /// The findings in a line.
    fn diagnosis(&self) -> String {
        let findings = self.findings();
        if findings.is_empty() { "healthy".to_owned() } else { findings.join("; ") }
    }

    fn words(&self) -> String {
        let mut words = format!("After {} iterations: {}.", self.iterations, self.diagnosis());
        if self.iterations == 1 {
            words = words.replace("iterations", "iteration");
        }
        match self.first_nan() {
            Some(t) if t <= self.iterations => return format!("{words} The reason: {}.", self.cause()),
            Some(t) => words += &format!(" But iteration {t} would be NaN: {}.", self.cause()),
            None => {}
        }
        let a = self.last().activations.row(0);
        words += match a[0].min(a[1]) > a[2] {
            true => " A and B, the wholes that exist, are more active than C.",
            false => " C, which does not exist, is at least as active as A or B.",
        };
        let longest = self.gradient().into_iter().fold(0.0, f64::max);
        words + &format!(" The longest gradient of an activation is {}.", short(longest))
    }
}

/// Names parents: `A, B and C`. Returns `None` if there are none.
fn listed(parents: impl Iterator<Item = usize>) -> Option<String> {
    let mut names: Vec<String> = parents.map(letter).collect();
    let last = names.pop()?;
    Some(if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) })
}

/// The norm of the gradient of a parent's activation with respect to the votes. It is NaN where the backward pass divides by 0.
fn gradient_norm(input: &RoutingInput, options: &RoutingOptions, routing: &Routing, j: usize) -> Result<f64> {
    let mut d_activations = Array2::zeros((1, PARENTS));
    d_activations[(0, j)] = 1.0;
    let d_poses = Array3::zeros(routing.poses().raw_dim());
    match input.gradient(options, routing, &d_poses, &d_activations) {
        Ok(gradient) => Ok(gradient.d_votes.iter().map(|d| d * d).sum::<f64>().sqrt()),
        Err(Error::EntryOutOfRange { .. }) => Ok(f64::NAN),
        Err(error) => Err(error),
    }
}

/// How far the axis of u reaches.
const FARTHEST: f64 = 10.0;

/// Draws where the parents are on the sigmoid, and what lies beyond the ends.
fn draw_sigmoid(chart: &mut Chart, examined: &Examined) {
    let x = Axis::new("argument u_j of the sigmoid", -FARTHEST, FARTHEST).most(5);
    let mut panel = chart.panel((52.0, 44.0), (346.0, 158.0), x, Axis::new("a_j", -0.08, 1.08).most(5));
    for (from, to) in [(-FARTHEST, -SATURATED), (SATURATED, FARTHEST)] {
        panel.block((from, -0.08), (to, 1.08), PALE);
    }
    panel.curve(-FARTHEST, FARTHEST, 120, Pen::new(GREY, 2.0), sigmoid);
    let activations = examined.last().activations.row(0);
    for (j, (&u, &a)) in examined.arguments().iter().zip(activations).enumerate() {
        let ink = Ink::new(component(j)).plain().bold();
        let row = (-FARTHEST, 0.97 - 0.135 * j as f64);
        let text = match u.is_nan() {
            true => "u = NaN".to_owned(),
            false => format!("u = {}, a = {}", finite_or(u, 2), number(a, 3)),
        };
        panel.text(row, (10.0, 0.0), Side::Right, ink, format!("{}: {text}", letter(j)));
        if !u.is_nan() {
            // rings in each other, so that parents at the same place can be told apart
            panel.disc((u.clamp(-FARTHEST, FARTHEST), a), 10.0 - 3.0 * j as f64, component(j));
        }
    }
    let ink = Ink::new(INK).plain();
    panel.text((SATURATED, 0.1), (8.0, 0.0), Side::Right, ink, "saturated");
    chart.add(panel);
}

/// The text of a number that may be infinite.
fn finite_or(value: f64, decimals: usize) -> String {
    match value {
        f64::INFINITY => "∞".to_owned(),
        f64::NEG_INFINITY => "−∞".to_owned(),
        value => number(value, decimals),
    }
}

/// The text of a number that may be very small.
fn short(value: f64) -> String {
    if value == 0.0 || (0.01..1e3).contains(&value) { trimmed(value, 3) } else { scientific(value, 1) }
}

/// The range of the powers of ten of gradients.
const POWERS: (f64, f64) = (-10.0, 2.0);

/// Draws the gradients after each number of iterations.
fn draw_gradients(chart: &mut Chart, examined: &Examined) {
    let ticks = [-9, -6, -3, 0].map(|power| (f64::from(power), power_of_ten(power))).to_vec();
    let y = Axis::new("", POWERS.0, POWERS.1).ticks(ticks);
    let mut panel = chart.panel((52.0, 286.0), (346.0, 128.0), Axis::counted("iterations", 1, MOST), y);
    let now = examined.iterations as f64;
    panel.line([(now, POWERS.0), (now, POWERS.1)], Pen::new(INK, 1.2).dashed(2.0, 3.0));
    panel.line([(0.0, DEAF.log10()), (7.0, DEAF.log10())], Pen::new(GREY, 1.2).dashed(5.0, 4.0));
    panel.text((1.0, DEAF.log10()), (8.0, 10.0), Side::Right, Ink::new(GREY).size(12.0), "deaf");
    for j in (0..PARENTS).rev() {
        let height = |norm: f64| norm.log10().clamp(POWERS.0, POWERS.1);
        let norms = examined.gradients.iter().map(|norms| norms[j]).enumerate();
        let points: Vec<Point> = norms
            .take_while(|(_, norm)| !norm.is_nan())
            .map(|(at, norm)| (at as f64 + 1.0, height(norm)))
            .collect();
        panel.marked(&points, component(j), 2.0, 6.0 - 1.5 * j as f64);
    }
    let broken = examined.gradients.iter().position(|norms| norms.iter().any(|norm| norm.is_nan()));
    if let Some(at) = broken {
        let from = at as f64 + 0.6;
        panel.block((from, POWERS.0), (MOST as f64 + 0.1, POWERS.1), PALE);
        panel.text((from, -4.0), (10.0, 0.0), Side::Right, Ink::new(INK).plain().bold(), "NaN");
    }
    chart.add(panel);
}

/// Draws the responsibilities of the last iteration, and each parent's share of the mass below.
fn draw_table(chart: &mut Chart, examined: &Examined) {
    let step = examined.last();
    let children: Vec<usize> = (0..step.responsibilities.dim().1).collect();
    let rows = children.len() as f64;
    let names = (0..PARENTS).map(|j| (j as f64 + 0.5, letter(j))).collect();
    let x = Axis::new("", 0.0, PARENTS as f64).no_grid().ticks(names);
    // the groups of `samples::two_wholes`
    let groups = [(19.0, "of A"), (10.0, "of B"), (3.0, "others")].map(|(at, name)| (at, name.to_owned()));
    let y = Axis::new("", 0.0, rows).no_grid().ticks(groups.to_vec());
    let mut panel = chart.panel((468.0, 44.0), (108.0, 336.0), x, y);
    let masses = step.masses.row(0);
    if step.responsibilities.iter().all(|share| share.is_finite()) {
        draw_shares(&mut panel, (&step.responsibilities, 0), &children, [true, true]);
    } else {
        panel.block((0.0, 0.0), (PARENTS as f64, rows), PALE);
        panel.text((1.5, 12.0), (0.0, 0.0), Side::Middle, Ink::new(INK).plain().bold().size(15.0), "NaN");
    }
    for (j, mass) in masses.iter().enumerate() {
        let ink = Ink::new(component(j)).plain().bold();
        let text = if mass.is_nan() { "NaN".to_owned() } else { number(*mass, 1) };
        panel.text((j as f64 + 0.5, 0.0), (0.0, 36.0), Side::Middle, ink, text);
    }
    panel.text((0.0, 0.0), (-8.0, 36.0), Side::Left, Ink::new(INK).plain(), "mass");
    chart.add(panel);
    chart.heat_scale((592.0, 44.0), 150.0);
}

fn picture(examined: &Examined) -> Result<Figure> {
    let alt = format!(
        "Upper left, three parents on a sigmoid; lower left, the gradient of each one's activation after 1 to {MOST} iterations; right, \
         the responsibilities of 24 children. {}",
        examined.words()
    );
    let mut chart = Chart::canvas("clinic", LIVE.title, (648.0, 462.0)).alt(alt);
    let ink = Ink::new(INK).plain().bold();
    chart.note((12.0, 18.0), ink.size(15.0), examined.diagnosis());
    draw_sigmoid(&mut chart, examined);
    chart.note((12.0, 268.0), ink, "gradient of a_j that reaches the votes");
    draw_gradients(&mut chart, examined);
    chart.note((468.0, 28.0), ink, "responsibilities");
    draw_table(&mut chart, examined);
    chart.finish()
}

fn draw(settings: &Settings) -> Result<Scene> {
    let examined = Examined::of(settings)?;
    let step = examined.last();
    let mut numbers = Vec::new();
    let mut parents = |names: [&'static str; PARENTS], sign: &str, values: &[f64], decimals: usize| {
        for ((j, name), &value) in names.into_iter().enumerate().zip(values) {
            let text = if decimals > 0 { finite_or(value, decimals) } else { short(value) };
            numbers.push(Number { name, label: format!("{sign}_{}", letter(j)), value, text });
        }
    };
    parents(["u_a", "u_b", "u_c"], "u", &step.logits.row(0).to_vec(), 2);
    parents(["activation_a", "activation_b", "activation_c"], "a", &step.activations.row(0).to_vec(), 3);
    parents(["cost_a", "cost_b", "cost_c"], "f c", &step.costs.row(0).to_vec(), 2);
    parents(["mass_a", "mass_b", "mass_c"], "S", &step.masses.row(0).to_vec(), 2);
    parents(["gradient_a", "gradient_b", "gradient_c"], "gradient of a", &examined.gradient(), 0);
    numbers.push(Number::new("lambda", "λ", step.inverse_temperature, 4));
    let as_before =
        chart_of(settings.text("patient")).into_iter().all(|(name, value)| settings.text(name) == value);
    Ok(Scene {
        figure: picture(&examined)?,
        handles: Vec::new(),
        plane: None,
        numbers,
        words: examined.words(),
        idle: idle([("again", as_before)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::start(&controls());
        settings.set("patient", name).unwrap();
        changed(&mut settings, "patient").unwrap();
        changes.iter().for_each(|&(name, value)| settings.set(name, value).unwrap());
        settings
    }

    fn patient(name: &str, changes: &[(&str, &str)]) -> Examined {
        Examined::of(&settings(name, changes)).unwrap()
    }

    #[test]
    fn each_patient_has_its_illness() {
        for (name, expected) in [
            ("on", "saturated: A, B and C at 1; deaf: A, B and C"),
            ("half", "undecided: all at ½; deaf: A, B and C"),
            ("variance", "NaN in iteration 2"),
            ("mass", "NaN in iteration 3"),
            ("three", "saturated: A and B at 1"),
            ("one", "C takes 81 % of the mass"),
            ("healthy", "healthy"),
        ] {
            assert_eq!(patient(name, &[]).diagnosis(), expected, "{name}");
        }
    }

    #[test]
    fn each_patient_is_cured_by_the_settings_of_its_page() {
        for (name, cure) in [
            ("on", &[("lambda", "-1")][..]),
            ("on", &[("beta_v", "1.6")]),
            ("on", &[("costs", "shared")]),
            ("half", &[("lambda", "0")]),
            ("variance", &[("equal", "off")]),
            ("mass", &[("costs", "shared")]),
            ("three", &[("iterations", "2")]),
            ("three", &[("lambda", "0.3")]),
            ("one", &[("costs", "shared")]),
            ("one", &[("lambda", "-1")]),
        ] {
            assert_eq!(patient(name, cure).diagnosis(), "healthy", "{name} {cure:?}");
        }
    }

    #[test]
    fn what_removes_a_nan_need_not_cure() {
        let found = |name, changes: &[_]| patient(name, changes).diagnosis();
        assert_eq!(found("variance", &[("iterations", "1")]), "infinite: u of A");
        assert_eq!(found("variance", &[("guards", "mass")]), "NaN in iteration 2");
        assert!(found("variance", &[("guards", "floor")]).starts_with("A takes 100 % of the mass; deaf"));
        for guards in ["floor", "mass"] {
            assert_eq!(found("mass", &[("guards", guards)]), "NaN in iteration 3", "{guards}");
        }
        assert!(found("mass", &[("guards", "both")]).starts_with("B takes 100 % of the mass; deaf"));
        assert!(patient("mass", &[]).cause().contains("the mass of A is 0"));
        assert!(patient("mass", &[("guards", "mass")]).cause().contains("as is its mass"));
        assert!(patient("variance", &[]).cause().contains("the next E-step divides"));
    }

    #[test]
    fn the_numbers_are_those_of_a_routing_of_that_many_iterations() {
        for (name, _) in PATIENTS {
            for iterations in 1..=MOST {
                let settings = settings(name, &[("iterations", &iterations.to_string())]);
                let examined = Examined::of(&settings).unwrap();
                let options = RoutingOptions { iterations, ..options(&settings) };
                let input = input(&settings, 10f64.powf(settings.number("scale")));
                let step = input.route(&options).unwrap().trace.pop().unwrap();
                let all = |step: &RoutingStep| [step.logits.clone(), step.masses.clone()];
                let bits = |step| all(step).map(|table| table.mapv(f64::to_bits));
                assert_eq!(bits(examined.last()), bits(&step), "{name} {iterations}");
            }
        }
    }

    #[test]
    fn extreme_settings_are_drawn_and_their_nan_has_a_cause() {
        let mut broken = 0;
        for (costs, _) in COSTS {
            for (guards, _) in GUARDS {
                for equal in ["on", "off"] {
                    for corner in 0..32 {
                        let end = |bit: usize, low, high| if corner >> bit & 1 == 0 { low } else { high };
                        let examined = patient(
                            "healthy",
                            &[
                                ("costs", costs),
                                ("guards", guards),
                                ("equal", equal),
                                ("scale", end(0, "-3", "3")),
                                ("lambda", end(1, "-4", "1")),
                                ("beta_v", end(2, "-3", "3")),
                                ("beta_a", end(3, "-10", "10")),
                                ("iterations", end(4, "1", "6")),
                            ],
                        );
                        picture(&examined).unwrap();
                        let cause = examined.cause();
                        assert!(examined.first_nan().is_none() || cause.contains("is 0"), "{cause}");
                        broken += usize::from(examined.first_nan().is_some());
                    }
                }
            }
        }
        assert!(broken > 100, "{broken}");
    }
}
