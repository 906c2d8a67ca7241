//! A pair plot: each pair of columns of a table as a plane, with the clusters or components of a model.

use ndarray::{Array1, Array2, Array3, Axis as Direction};

use super::checks;
use super::clusters::{TWO_ELLIPSES, draw_ellipses};
use crate::draw::{
    Axis, Figure, GREY, Grid, INK, Ink, Mark, Pen, Point, component, legend_row, ranges, stride, verbatim,
};
use crate::error::{Error, Result};
use crate::gmm::{Covariances, Gmm};

/// The maximum number of columns in the plot.
const MOST_COLUMNS: usize = 6;

/// The maximum number of points in all panels together.
const POINTS: usize = 7200;

/// The maximum number of ellipses in all panels together.
const ELLIPSES: usize = 360;

/// The ellipses of one and two standard deviations.
const SIGMAS: [Pen; 2] = [
    Pen { tint: INK, width: 1.6, dash: None, opacity: 1.0 },
    Pen { tint: INK, width: 0.9, dash: None, opacity: 1.0 },
];

/// Draws the samples (n x d, d at least 2) in the plane of each pair of columns, coloured by their labels (n), with the
/// centres (K x d) with their numbers from 0 and, of a mixture, the ellipses of one and two standard deviations of each
/// component.
///
/// `names` are the names of the columns (d). Of more than six columns the first six are drawn (fewer if there are many
/// clusters), and of many samples every n-th. A sample in which one of two columns is NaN, a missing value, is left out of their plane.
///
/// # Errors
///
/// Returns an error if there are no samples or fewer than two columns, if a number is infinite or beyond 1e130, if the
/// shapes do not agree, if there are more than 200 clusters, or if the mixture is invalid.
pub fn pairs(
    names: &[String],
    data: &Array2<f64>,
    labels: &Array1<usize>,
    centres: &Array2<f64>,
    mixture: Option<&Gmm>,
) -> Result<Figure> {
    checks::samples(&data.mapv(|value| if value.is_nan() { 0.0 } else { value }))?;
    let clusters = checks::labels(data, labels)?.max(centres.nrows());
    checks::length("the names of the columns", data.ncols(), names.len())?;
    checks::length("a centre", data.ncols(), centres.ncols())?;
    if let Some(mixture) = mixture {
        checks::length("a mean of the mixture", data.ncols(), mixture.means.ncols())?;
    }
    if data.ncols() < 2 {
        let (name, expected) = ("the number of columns of a pair plot", "at least 2");
        return Err(Error::Setting { name, expected, value: data.ncols() as f64 });
    }
    let ellipses = if clusters > TWO_ELLIPSES { clusters } else { 2 * clusters };
    let fits = |columns: &usize| columns * (columns - 1) / 2 * ellipses <= ELLIPSES;
    let columns = (2..=data.ncols().min(MOST_COLUMNS)).rev().find(fits).unwrap_or(2);
    let side = columns - 1;
    let panel = (680.0 / side as f64).clamp(130.0, 420.0);
    let grid = Grid { columns: side, panel: (panel, panel), gap: (14.0, 14.0), origin: (78.0, 20.0) };
    let title = "The table by pairs of columns";
    let mut chart = grid.canvas("pairs", title, side * side, (24.0, 96.0), 440);
    for row in 0..side {
        for column in 0..=row {
            let plane = Plane { across: column, up: row + 1 };
            let points = plane.points(data);
            let centres = plane.points(centres);
            let is_whole = |point: &Point| !point.0.is_nan() && !point.1.is_nan();
            let all: Vec<Point> = points.iter().copied().filter(is_whole).chain(centres.clone()).collect();
            let (x, y) = ranges(&all);
            let x_axis = Axis::new(verbatim(&names[plane.across]), x.0, x.1).most(4);
            let y_axis = Axis::new(verbatim(&names[plane.up]), y.0, y.1).most(4);
            let x_axis = if row + 1 == side { x_axis } else { x_axis.bare() };
            let y_axis = if column == 0 { y_axis } else { y_axis.bare() };
            let mut part = chart.panel(grid.corner(row * side + column), grid.panel, x_axis, y_axis);
            let every = stride(points.len(), POINTS / (side * (side + 1) / 2));
            for k in 0..clusters {
                let members = (0..points.len()).step_by(every);
                let members = members.filter(|&i| labels[i] == k && is_whole(&points[i]));
                part.scatter(members.map(|i| points[i]), 2.1, component(k), 0.8);
            }
            if let Some(mixture) = mixture {
                let marginal = plane.marginal(mixture);
                checks::mixture(&marginal)?;
                draw_ellipses(&mut part, &marginal, |_| SIGMAS)?;
            }
            centres.iter().enumerate().for_each(|(k, &at)| part.centre(at, component(k)));
            for (k, &at) in centres.iter().enumerate() {
                part.label(at, (11.0, -10.0), Ink::new(INK).size(12.5), k.to_string());
            }
            chart.add(part);
        }
    }
    let centre = match mixture {
        Some(_) => "mean of the component with this number",
        None => "centroid of the cluster with this number",
    };
    let marks = [
        (true, Mark::Centre(GREY), centre),
        (mixture.is_some(), Mark::Line(SIGMAS[0]), "ellipse of 1 σ"),
        (mixture.is_some(), Mark::Line(SIGMAS[1]), "2 σ"),
    ];
    let marks = marks.into_iter().filter(|mark| mark.0).map(|(_, mark, name)| (mark, name.to_owned()));
    let foot = 20.0 + side as f64 * (panel + 14.0) + 54.0;
    legend_row(&mut chart, (78.0, foot), f64::INFINITY, marks);
    let shown = names[..columns].join(", ");
    chart.alt(format!("Points in {clusters} colours for each pair of the columns {shown}.")).finish()
}

/// Two columns of a table.
struct Plane {
    across: usize,
    up: usize,
}

impl Plane {
    fn points(&self, data: &Array2<f64>) -> Vec<Point> {
        data.rows().into_iter().map(|row| (row[self.across], row[self.up])).collect()
    }

    /// Returns the mixture of these two columns.
    fn marginal(&self, mixture: &Gmm) -> Gmm {
        let columns = [self.across, self.up];
        let covariances: Vec<Array2<f64>> =
            (0..mixture.weights.len()).map(|k| mixture.covariance(k)).collect();
        let shape = (mixture.weights.len(), 2, 2);
        let values = Array3::from_shape_fn(shape, |(k, i, j)| covariances[k][(columns[i], columns[j])]);
        Gmm {
            weights: mixture.weights.clone(),
            means: mixture.means.select(Direction(1), &columns),
            covariances: Covariances::Full(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gmm::{CovarianceKind, GmmOptions};
    use crate::samples::iris;

    #[test]
    fn a_pair_plot_has_a_panel_for_each_pair_and_refuses_one_column() {
        let data = iris::measurements();
        let names = iris::FEATURES.map(str::to_owned);
        let options = GmmOptions { components: 3, covariance: CovarianceKind::Tied, ..Default::default() };
        let model = Gmm::fit(&data, &options).unwrap().into_model();
        let labels = model.predict(&data).unwrap();
        let figure = pairs(&names, &data, &labels, &model.means, Some(&model)).unwrap();
        let mut missing = data.clone();
        missing[[3, 1]] = f64::NAN;
        assert!(pairs(&names, &missing, &labels, &model.means, Some(&model)).is_ok());
        let is_there = |panel| figure.frame(panel).is_some(); // panel 0 is the whole
        assert!((1..=6).all(is_there) && !is_there(7));
        let narrow = data.select(Direction(1), &[0]);
        let centres = model.means.select(Direction(1), &[0]);
        assert!(pairs(&names[..1], &narrow, &labels, &centres, None).is_err());
    }

    #[test]
    fn a_pair_plot_of_many_components_has_fewer_columns() {
        let data = Array2::from_shape_fn((5000, 7), |(i, j)| ((i * (j + 3)) as f64 * 0.618).fract());
        let names: Vec<String> = (0..7).map(|column| format!("column_{column}")).collect();
        for (components, panels) in [(2, 15), (12, 15), (24, 15), (30, 10), (100, 3), (200, 1)] {
            let labels = Array1::from_shape_fn(5000, |i| i % components);
            let means = data.slice(ndarray::s![..components, ..]).to_owned();
            let model = Gmm {
                weights: Array1::from_elem(components, 1.0 / components as f64),
                covariances: Covariances::Spherical(Array1::from_elem(components, 0.01)),
                means: means.clone(),
            };
            let figure = pairs(&names, &data, &labels, &means, Some(&model)).unwrap();
            assert!(figure.frame(panels).is_some() && figure.frame(panels + 1).is_none(), "{components}");
        }
    }

    #[test]
    fn the_marginal_of_a_mixture_has_the_covariance_of_its_columns() {
        let data = iris::measurements();
        let model =
            Gmm::fit(&data, &GmmOptions { components: 2, ..Default::default() }).unwrap().into_model();
        let marginal = Plane { across: 1, up: 3 }.marginal(&model);
        for k in 0..2 {
            let (whole, part) = (model.covariance(k), marginal.covariance(k));
            assert_eq!(
                [part[(0, 0)], part[(0, 1)], part[(1, 1)]],
                [(1, 1), (1, 3), (3, 3)].map(|at| whole[at])
            );
        }
    }
}
