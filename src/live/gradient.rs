//! Chapter 7: the gradient of a loss through the routing, beside the loss itself over one of its inputs.

use ndarray::{Array2, Array3, Axis as Along};

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene, idle};
use super::settings::Settings;
use super::wholes::{self, CHILDREN, PARENTS, X, Y};
use super::{Event, Live};
use crate::draw::{
    Axis, BLUE, Chart, Figure, GREEN, GREY, INK, Ink, Mark, Pen, Point, VERMILION, legend_row, letter,
    number, padded, scientific,
};
use crate::error::Result;
use crate::figures::chapter06::{Scene as Plane, two_wholes_options};
use crate::figures::chapter07::{arrow_pixels, arrows, draw_arrows};
use crate::routing::{Routing, RoutingGradient, RoutingInput, RoutingOptions};

pub(super) const LIVE: Live = Live {
    name: "gradient",
    title: "The gradient of a loss through the routing",
    hint: "Each arrow shows where a vote should go to lower the loss. Drag a vote: the curve is the loss over one of its \
           coordinates, and the tangent has the slope that backpropagation computes. Does it always touch? Stop the gradient \
           at R, drag the point along the curve, and look again.",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

const LOSSES: [(&str, &str); 3] = [
    ("a-on", "switch A on: L = −a(A)"),
    ("c-off", "switch C off: L = a(C)"),
    ("mixed", "L of all outputs (7.5)"),
];

const NUMBERED: [(&str, &str); CHILDREN] =
    [("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5"), ("6", "6"), ("7", "7"), ("8", "8")];

const LETTERS: [(&str, &str); PARENTS] = [("A", "A"), ("B", "B"), ("C", "C")];

const ALONG: [(&str, &str); 3] =
    [("x1", "x₁ of the vote"), ("x2", "x₂ of the vote"), ("a", "the child’s activation")];

/// The number of intervals of the curve.
const INTERVALS: usize = 80;

/// How far the vote with the largest gradient moves in one step of gradient descent.
const STEP: f64 = 0.25;

fn controls() -> Vec<Control> {
    let mut controls = vec![
        Control::new("loss", "loss L", Kind::Choice(&LOSSES), "a-on"),
        Control::new("child", "child", Kind::Choice(&NUMBERED), "6"),
        Control::new("parent", "its vote for", Kind::Choice(&LETTERS), "A"),
        Control::new("along", "curve over", Kind::Choice(&ALONG), "x1"),
        Control::range("iterations", "iterations", (1.0, 6.0), 1.0, 3.0),
        Control::range("epsilon", "log₁₀ of the step ε", (-12.0, 0.0), 0.5, -5.0),
        Control::new("stop", "stop the gradient at R", Kind::Switch, "off"),
        Control::press("descend", "Step against the gradient"),
    ];
    controls.extend(wholes::controls());
    controls
}

/// Which input the curve goes along.
#[derive(Clone, Copy, PartialEq)]
enum Input {
    Vote { child: usize, parent: usize, element: usize },
    Activation { child: usize },
}

impl Input {
    fn of(settings: &Settings) -> Input {
        let index = |choices: &[(&str, &str)], name: &str| {
            choices.iter().position(|choice| choice.0 == settings.text(name)).unwrap_or_default()
        };
        let (child, parent) = (index(&NUMBERED, "child"), index(&LETTERS, "parent"));
        match index(&ALONG, "along") {
            2 => Input::Activation { child },
            element => Input::Vote { child, parent, element },
        }
    }

    fn value(self, input: &RoutingInput) -> f64 {
        match self {
            Input::Vote { child, parent, element } => input.votes[(0, child, parent, element)],
            Input::Activation { child } => input.activations[(0, child)],
        }
    }

    /// The input with this number in place of its own.
    fn with(self, input: &RoutingInput, value: f64) -> RoutingInput {
        let mut input = input.clone();
        match self {
            Input::Vote { child, parent, element } => input.votes[(0, child, parent, element)] = value,
            Input::Activation { child } => input.activations[(0, child)] = value,
        }
        input
    }

    fn derivative(self, gradient: &RoutingGradient) -> f64 {
        match self {
            Input::Vote { child, parent, element } => gradient.d_votes[(0, child, parent, element)],
            Input::Activation { child } => gradient.d_activations[(0, child)],
        }
    }

    /// The range of the curve.
    fn range(self) -> (f64, f64) {
        match self {
            Input::Vote { element: 0, .. } => X,
            Input::Vote { .. } => Y,
            Input::Activation { .. } => (0.0, 1.0),
        }
    }

    /// The name of the input as an axis title.
    fn name(self) -> String {
        match self {
            Input::Vote { child, parent, element } => {
                format!("x_{} of the vote of {} for {}", element + 1, child + 1, letter(parent))
            }
            Input::Activation { child } => format!("activation of child {}", child + 1),
        }
    }
}

/// The derivatives of the loss with respect to the poses and the activations of the parents. The loss is linear in both.
fn weights(settings: &Settings) -> ([[f64; 2]; PARENTS], [f64; PARENTS]) {
    let none = [[0.0; 2]; PARENTS];
    match settings.text("loss") {
        "c-off" => (none, [0.0, 0.0, 1.0]),
        "mixed" => ([[0.3, 0.0], [0.0, -0.2], [0.0, 0.0]], [-1.0, 0.0, 1.0]),
        _ => (none, [-1.0, 0.0, 0.0]),
    }
}

/// The loss with all that it depends on.
struct Problem {
    input: RoutingInput,
    options: RoutingOptions,
    d_poses: Array3<f64>,
    d_activations: Array2<f64>,
}

impl Problem {
    fn of(settings: &Settings) -> Problem {
        let (votes, activations) = wholes::input(settings);
        let betas = || ndarray::Array1::zeros(PARENTS);
        let activations = activations.insert_axis(Along(0));
        let (poses, of_activations) = weights(settings);
        Problem {
            input: RoutingInput::new(votes.insert_axis(Along(0)), activations, betas(), betas()),
            options: RoutingOptions {
                stop_gradient_at_responsibilities: settings.on("stop"),
                ..two_wholes_options(settings.count("iterations"))
            },
            d_poses: Array3::from_shape_fn((1, PARENTS, 2), |(_, j, h)| poses[j][h]),
            d_activations: Array2::from_shape_fn((1, PARENTS), |(_, j)| of_activations[j]),
        }
    }

    fn loss_of(&self, routing: &Routing) -> f64 {
        (&self.d_poses * routing.poses()).sum() + (&self.d_activations * routing.activations()).sum()
    }

    fn loss(&self, input: &RoutingInput) -> Result<f64> {
        Ok(self.loss_of(&input.route(&self.options)?))
    }

    fn gradient(&self, routing: &Routing) -> Result<RoutingGradient> {
        self.input.gradient(&self.options, routing, &self.d_poses, &self.d_activations)
    }
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    match event {
        Event::Drag { handle, at } if handle == "curve" => match Input::of(settings) {
            Input::Activation { child } => wholes::put_activation(settings, child, at.0),
            Input::Vote { child, parent, element } => {
                let mut votes = wholes::input(settings).0;
                votes[(child, parent, element)] = at.0;
                wholes::put_votes(settings, &votes)
            }
        },
        Event::Press { name } if name == "descend" => {
            let problem = Problem::of(settings);
            let gradient = problem.gradient(&problem.input.route(&problem.options)?)?.d_votes;
            let longest = arrows(&gradient, 0).1[0].length;
            if longest > 0.0 {
                let moved = &problem.input.votes - &(&gradient * (STEP / longest));
                wholes::put_votes(settings, &moved.index_axis(Along(0), 0).to_owned())?;
            }
            Ok(())
        }
        other => {
            wholes::drag(settings, other)?;
            if let Event::Drag { handle, .. } = other
                && let Some((child, parent)) = wholes::vote_of(handle)
            {
                settings.set("child", NUMBERED[child].0)?;
                settings.set("parent", LETTERS[parent].0)?;
                if settings.text("along") == "a" {
                    settings.set("along", "x1")?;
                }
            }
            Ok(())
        }
    }
}

/// The loss along one input.
struct Slice {
    along: Input,
    /// The input and the loss now.
    now: Point,
    derivative: f64,
    curve: Vec<Point>,
    /// The ends of the difference quotient. An activation is never negative, so at its lower end the quotient is one-sided.
    ends: [Point; 2],
}

impl Slice {
    fn of(
        problem: &Problem,
        along: Input,
        loss: f64,
        gradient: &RoutingGradient,
        epsilon: f64,
    ) -> Result<Slice> {
        let now = along.value(&problem.input);
        let point = |value: f64| Ok((value, problem.loss(&along.with(&problem.input, value))?));
        let (low, high) = along.range();
        let places = (0..=INTERVALS).map(|at| low + (high - low) * at as f64 / INTERVALS as f64);
        let lower = now - epsilon;
        let lower = if matches!(along, Input::Activation { .. }) { lower.max(0.0) } else { lower };
        Ok(Slice {
            along,
            now: (now, loss),
            derivative: along.derivative(gradient),
            curve: places.map(point).collect::<Result<_>>()?,
            ends: [point(lower)?, point(now + epsilon)?],
        })
    }

    fn quotient(&self) -> f64 {
        let [low, high] = self.ends;
        (high.1 - low.1) / (high.0 - low.0)
    }

    /// Draws the curve with its tangent and, if its step can be seen, the difference quotient.
    fn draw(&self, chart: &Chart) -> Chart {
        let (low, high) = self.along.range();
        let y = padded(self.curve.iter().map(|point| point.1).chain([self.now.1]), 0.15);
        let x = Axis::new(self.along.name(), low, high).most(5);
        let mut panel = chart.panel((548.0, 36.0), (204.0, 230.0), x, Axis::new("loss L", y.0, y.1).most(6));
        panel.line(self.curve.iter().copied(), Pen::new(BLUE, 2.4));
        let (at, loss) = self.now;
        let tangent = |x: f64| (x, loss + self.derivative * (x - at));
        panel.line([tangent(low), tangent(high)], Pen::new(VERMILION, 2.0));
        if self.ends[1].0 - self.ends[0].0 > 0.02 * (high - low) {
            let secant = |x: f64| (x, self.ends[0].1 + self.quotient() * (x - self.ends[0].0));
            panel.line([secant(low), secant(high)], Pen::new(GREEN, 1.6).dashed(5.0, 4.0));
            panel.scatter(self.ends, 4.5, GREEN, 1.0);
        }
        panel.disc(self.now, 6.0, VERMILION);
        panel
    }
}

/// Draws the votes with their arrows, and the slice beside them.
fn picture(
    problem: &Problem,
    routing: &Routing,
    gradient: &RoutingGradient,
    slice: &Slice,
) -> Result<Figure> {
    let scene = Plane::all(&problem.input, routing, 0)?.swap_remove(routing.trace.len() - 1);
    let votes = scene.votes();
    let alt = format!(
        "Left, the votes of eight numbered children with arrows against their gradients. Right, the loss over the {}, with its \
         tangent of slope {} at {}.",
        slice.along.name(),
        number(slice.derivative, 4),
        number(slice.now.0, 2)
    );
    let mut chart = Chart::canvas("gradient", LIVE.title, (766.0, 420.0)).alt(alt);
    let (across, up) = (Axis::new("x_1", X.0, X.1), Axis::new("x_2", Y.0, Y.1));
    let mut panel = chart.panel((52.0, 36.0), (420.0, 328.0), across, up);
    if let Input::Vote { child, parent, element } = slice.along {
        let at = votes[child * PARENTS + parent];
        let ends = if element == 0 { [(X.0, at.1), (X.1, at.1)] } else { [(at.0, Y.0), (at.0, Y.1)] };
        panel.line(ends, Pen::new(GREY, 1.2).dashed(3.0, 4.0));
        panel.ring(at, 8.0, INK);
    }
    let (_, arrows) = arrows(&gradient.d_votes, 0);
    let longest = arrows[0].length;
    if longest > 0.0 {
        draw_arrows(&mut panel, &arrows, (&votes, PARENTS), &|length| arrow_pixels(length, longest));
    }
    scene.draw(&mut panel, true);
    wholes::draw_numbers(&mut panel, &problem.input.votes.index_axis(Along(0), 0).to_owned());
    let heading = Ink::new(INK).plain().bold().size(15.0);
    panel.note((52.0, 18.0), heading, "arrows: −∂L/∂V of each vote");
    chart.add(panel);
    chart.note((494.0, 18.0), heading, "the loss over one input");
    chart.add(slice.draw(&chart));
    let lines = [
        (Pen::new(BLUE, 2.4), "loss L"),
        (Pen::new(VERMILION, 2.0), "slope ∂L/∂x by backpropagation"),
        (Pen::new(GREEN, 1.6).dashed(5.0, 4.0), "slope of the difference, if ε is large"),
    ];
    for (row, (pen, name)) in lines.into_iter().enumerate() {
        let entry = [(Mark::Line(pen), name.to_owned())];
        legend_row(&mut chart, (494.0, 340.0 + 22.0 * row as f64), 766.0, entry);
    }
    chart.finish()
}

fn draw(settings: &Settings) -> Result<Scene> {
    let problem = Problem::of(settings);
    let routing = problem.input.route(&problem.options)?;
    let (loss, gradient) = (problem.loss_of(&routing), problem.gradient(&routing)?);
    let epsilon = 10f64.powf(settings.number("epsilon"));
    let slice = Slice::of(&problem, Input::of(settings), loss, &gradient, epsilon)?;
    let figure = picture(&problem, &routing, &gradient, &slice)?;
    let mut handles = Vec::new();
    handles.extend(figure.frame(2).map(|frame| Handle {
        name: "curve".to_owned(),
        label: slice.along.name().replace('_', ""),
        at: slice.now,
        frame,
        radius: 13.0,
    }));
    let votes = problem.input.votes.index_axis(Along(0), 0).to_owned();
    handles.extend(figure.frame(1).map(|frame| wholes::vote_handles(&votes, frame)).unwrap_or_default());
    let (quotient, derivative) = (slice.quotient(), slice.derivative);
    let (size, arrows) = arrows(&gradient.d_votes, 0);
    let apart = quotient - derivative;
    Ok(Scene {
        handles,
        plane: None,
        numbers: vec![
            Number::new("loss", "loss L", loss, 5),
            Number::new("derivative", "∂L/∂x by backpropagation", derivative, 6),
            Number::new("quotient", "central difference", quotient, 6),
            Number {
                text: scientific(apart, 1),
                ..Number::new("difference", "difference of the two", apart, 1)
            },
            Number::new("size", "norm of ∂L/∂V", size, 5),
            Number::new("longest", "longest arrow: norm of its gradient", arrows[0].length, 5),
        ],
        words: format!(
            "The loss is {}. Its derivative with respect to the {} is {}, the central difference {}.",
            number(loss, 4),
            slice.along.name().replace('_', ""),
            number(derivative, 5),
            number(quotient, 5)
        ),
        // The first M-step takes even responsibilities, which depend on nothing.
        idle: idle([
            ("parent", matches!(slice.along, Input::Activation { .. })),
            ("stop", settings.count("iterations") == 1),
            ("descend", arrows[0].length == 0.0),
        ]),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changes: &[(&str, &str)]) -> Settings {
        Settings::with(&controls(), changes)
    }

    #[test]
    fn every_derivative_is_the_librarys_and_the_central_difference_confirms_it() {
        for loss in ["a-on", "c-off", "mixed"] {
            let start = settings(&[("loss", loss)]);
            let problem = Problem::of(&start);
            let routing = problem.input.route(&problem.options).unwrap();
            let gradient = problem.gradient(&routing).unwrap();
            for child in ["1", "4", "8"] {
                for (along, parent) in [("x1", "A"), ("x2", "B"), ("x1", "C"), ("a", "C")] {
                    let changes = [("loss", loss), ("child", child), ("along", along), ("parent", parent)];
                    let scene = draw(&settings(&changes)).unwrap();
                    let i = child.parse::<usize>().unwrap() - 1;
                    let j = LETTERS.iter().position(|choice| choice.0 == parent).unwrap();
                    let expected = match along {
                        "a" => gradient.d_activations[(0, i)],
                        _ => gradient.d_votes[(0, i, j, usize::from(along == "x2"))],
                    };
                    assert!((scene.value("derivative") - expected).abs() <= 1e-15);
                    assert!(scene.value("difference").abs() <= 1e-8, "{loss} {child} {along} {parent}");
                }
            }
        }
        let library = settings(&[]);
        let problem = Problem::of(&library);
        let a = problem.input.route(&two_wholes_options(3)).unwrap().activations()[(0, 0)];
        assert!((draw(&library).unwrap().value("loss") + a).abs() <= 1e-15, "L = -a_A");
    }

    #[test]
    fn a_step_against_the_gradient_lowers_the_loss() {
        for loss in ["a-on", "c-off", "mixed"] {
            let mut settings = settings(&[("loss", loss)]);
            let before = draw(&settings).unwrap().value("loss");
            settle(&mut settings, &Event::Press { name: "descend".to_owned() }).unwrap();
            assert!(draw(&settings).unwrap().value("loss") < before, "{loss}");
        }
    }

    #[test]
    fn a_gradient_of_nothing_and_stopped_gradients_are_drawn() {
        let nobody = "1,0;2,0;3,0;4,0;5,0;6,0;7,0;8,0";
        let mut nothing =
            settings(&[("activations", nobody), ("loss", "c-off"), ("along", "a"), ("epsilon", "0")]);
        assert_eq!(draw(&nothing).unwrap().value("size"), 0.0);
        let before = nothing.clone();
        settle(&mut nothing, &Event::Press { name: "descend".to_owned() }).unwrap();
        assert_eq!(nothing, before, "there is no direction");
        let stopped = [("stop", "on"), ("loss", "c-off"), ("parent", "A")];
        let scene = draw(&settings(&stopped)).unwrap();
        assert_eq!(scene.value("derivative"), 0.0, "with R held fixed, votes for A do not enter a_C");
        assert!(scene.value("quotient").abs() > 1e-4);
    }
}
