//! Checkpoints of a fit: all that its rest depends on, to the bit.

use std::collections::BTreeMap;
use std::path::Path;

use em_routing::em::{Course, Fit, Run};
use em_routing::gmm::{CovarianceKind, Covariances, Gmm};
use em_routing::kmeans::KMeans;
use em_routing::ndarray::{Array, ArrayD, ArrayViewD, Dimension};
use serde::{Deserialize, Serialize};

use super::super::failure::{AtPath, Failure, Outcome};
use super::super::model::{Model, Rated, save_json};

/// The options and data of a fit, as names and values.
pub type Settings = BTreeMap<String, String>;

/// The contents of a checkpoint.
#[derive(Serialize, Deserialize)]
pub struct Checkpoint {
    pub settings: Settings,
    /// How many numbers of components are done.
    pub done: usize,
    /// The criteria of those that did not collapse.
    pub criteria: Vec<Rated>,
    /// The model with the best criterion so far.
    chosen: Option<RawModel>,
    /// The K-means of a mixture's start.
    start: RawCourse,
    /// The runs with the current number of components.
    fit: RawCourse,
}

/// A model in its exact numbers: [`Gmm`]'s own format corrects rounding of the weights.
#[derive(Serialize, Deserialize)]
struct RawModel {
    covariance: Option<CovarianceKind>,
    arrays: Vec<RawArray>,
}

#[derive(Serialize, Deserialize)]
struct RawArray {
    shape: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Serialize, Deserialize, Default)]
struct RawCourse {
    ended: usize,
    best: Option<(RawModel, Vec<f64>, bool)>,
    run: Option<(RawModel, Vec<f64>)>,
}

/// A model that a checkpoint can hold.
pub trait Stored: Sized {
    /// Whether the objective is a log-likelihood, and not minus the inertia.
    const HAS_LIKELIHOOD: bool;
    fn model(&self) -> Model;
    fn of(model: Model) -> Option<Self>;
}

impl Stored for Gmm {
    const HAS_LIKELIHOOD: bool = true;

    fn model(&self) -> Model {
        Model::Mixture(self.clone())
    }

    fn of(model: Model) -> Option<Gmm> {
        match model {
            Model::Mixture(model) => Some(model),
            Model::KMeans(_) => None,
        }
    }
}

impl Stored for KMeans {
    const HAS_LIKELIHOOD: bool = false;

    fn model(&self) -> Model {
        Model::KMeans(self.clone())
    }

    fn of(model: Model) -> Option<KMeans> {
        match model {
            Model::KMeans(model) => Some(model),
            Model::Mixture(_) => None,
        }
    }
}

impl RawModel {
    fn new(model: &Model) -> RawModel {
        let raw = |array: ArrayViewD<f64>| RawArray {
            shape: array.shape().to_vec(),
            values: array.iter().copied().collect(),
        };
        match model {
            Model::Mixture(model) => RawModel {
                covariance: Some(model.covariance_kind()),
                arrays: vec![
                    raw(model.weights.view().into_dyn()),
                    raw(model.means.view().into_dyn()),
                    raw(model.covariances.values()),
                ],
            },
            Model::KMeans(model) => {
                RawModel { covariance: None, arrays: vec![raw(model.centroids.view().into_dyn())] }
            }
        }
    }

    fn model(self) -> Option<Model> {
        let mut arrays = self.arrays.into_iter();
        let Some(kind) = self.covariance else {
            return Some(Model::KMeans(KMeans { centroids: next(&mut arrays)? }));
        };
        let (weights, means) = (next(&mut arrays)?, next(&mut arrays)?);
        let covariances = match kind {
            CovarianceKind::Full => Covariances::Full(next(&mut arrays)?),
            CovarianceKind::Tied => Covariances::Tied(next(&mut arrays)?),
            CovarianceKind::Diagonal => Covariances::Diagonal(next(&mut arrays)?),
            CovarianceKind::Spherical => Covariances::Spherical(next(&mut arrays)?),
        };
        Some(Model::Mixture(Gmm { weights, means, covariances }))
    }
}

fn next<D: Dimension>(arrays: &mut impl Iterator<Item = RawArray>) -> Option<Array<f64, D>> {
    let RawArray { shape, values } = arrays.next()?;
    ArrayD::from_shape_vec(shape, values).ok()?.into_dimensionality().ok()
}

impl RawCourse {
    fn new<M: Stored>(course: &Course<M>) -> RawCourse {
        let raw = |model: &M| RawModel::new(&model.model());
        RawCourse {
            ended: course.ended,
            best: course.best.as_ref().map(|fit| (raw(&fit.model), fit.objectives.clone(), fit.converged)),
            run: course.run.as_ref().map(|run| (raw(&run.model), run.objectives.clone())),
        }
    }

    fn course<M: Stored>(self) -> Option<Course<M>> {
        let best = match self.best {
            Some((model, objectives, converged)) => {
                Some(Fit { model: M::of(model.model()?)?, objectives, models: Vec::new(), converged })
            }
            None => None,
        };
        let run = match self.run {
            Some((model, objectives)) => Some(Run { model: M::of(model.model()?)?, objectives }),
            None => None,
        };
        Some(Course { ended: self.ended, best, run })
    }
}

impl Checkpoint {
    pub fn new<M: Stored>(
        settings: Settings,
        done: usize,
        criteria: Vec<Rated>,
        chosen: Option<&Model>,
        fit: &Course<M>,
        start: Option<&Course<KMeans>>,
    ) -> Checkpoint {
        let start = start.map(RawCourse::new).unwrap_or_default();
        let chosen = chosen.map(RawModel::new);
        Checkpoint { settings, done, criteria, chosen, start, fit: RawCourse::new(fit) }
    }

    /// Returns the best model of the numbers of components that are done, the K-means of the start, and the current runs.
    pub fn into_state<M: Stored>(self) -> Option<(Option<Model>, Course<KMeans>, Course<M>)> {
        let chosen = match self.chosen {
            Some(raw) => Some(raw.model()?),
            None => None,
        };
        Some((chosen, self.start.course()?, self.fit.course()?))
    }

    /// Writes the checkpoint atomically.
    pub fn save(&self, path: &Path) -> Outcome<()> {
        save_json(self, path)
    }

    /// Reads a checkpoint; None if there is none.
    pub fn load(path: &Path) -> Outcome<Option<Checkpoint>> {
        let contents = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            contents => contents.at(path)?,
        };
        serde_json::from_slice(&contents).map(Some).map_err(|error| damaged(path, &error.to_string()))
    }
}

/// Returns the error of a checkpoint that cannot be used.
pub fn damaged(path: &Path, words: &str) -> Failure {
    let file = super::super::command::quoted(path.as_os_str());
    Failure::new(format!("{} is not a checkpoint of `fit`: {words}", path.display()))
        .mend(format!("remove it and start without --resume: rm {file}"))
}
