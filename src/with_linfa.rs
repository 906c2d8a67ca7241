//! linfa's `Fit` and `Predict` for K-means and mixtures: the options fit a linfa `Dataset`, and linfa's metrics accept the
//! models' predictions.
//!
//! ```
//! use em_routing::kmeans::KMeansOptions;
//! use linfa::prelude::*;
//! let data = ndarray::array![[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]];
//! let dataset = DatasetBase::from(data);
//! let model = KMeansOptions { clusters: 2, ..Default::default() }.fit(&dataset)?;
//! let clustered: DatasetBase<_, ndarray::Array1<usize>> = Predict::predict(&model, dataset); // linfa's, not the model's own
//! assert!(clustered.silhouette_score()? > 0.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The data set's weights are used as sample weights. linfa's `Fit` returns the model alone; call [`KMeans::fit`] or
//! [`Gmm::fit`] to get the objectives too. linfa's `Predict` cannot return an error: for NaN or a wrong number of columns it
//! panics with the message of [`KMeans::predict`] or [`Gmm::predict`].

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix2};

use crate::error::Error;
use crate::gmm::{Gmm, GmmOptions};
use crate::kmeans::{KMeans, KMeansOptions};

impl From<linfa::Error> for Error {
    fn from(error: linfa::Error) -> Error {
        Error::Dataset { source: error.into() }
    }
}

/// Returns the weights of the samples, if the data set has any.
fn weights<R: linfa::dataset::Records, T>(dataset: &DatasetBase<R, T>) -> Option<Vec<f64>> {
    dataset.weights().map(|weights| weights.iter().map(|&weight| f64::from(weight)).collect())
}

impl<D: Data<Elem = f64> + Sync, T> Fit<ArrayBase<D, Ix2>, T, Error> for KMeansOptions {
    type Object = KMeans;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<KMeans, Error> {
        let fit = match weights(dataset) {
            Some(weights) => KMeans::fit_weighted(dataset.records(), &weights, self)?,
            None => KMeans::fit(dataset.records(), self)?,
        };
        Ok(fit.into_model())
    }
}

impl<D: Data<Elem = f64> + Sync, T> Fit<ArrayBase<D, Ix2>, T, Error> for GmmOptions {
    type Object = Gmm;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<Gmm, Error> {
        let fit = match weights(dataset) {
            Some(weights) => Gmm::fit_weighted(dataset.records(), &weights, self)?,
            None => Gmm::fit(dataset.records(), self)?,
        };
        Ok(fit.into_model())
    }
}

impl<D: Data<Elem = f64> + Sync> PredictInplace<ArrayBase<D, Ix2>, Array1<usize>> for KMeans {
    fn predict_inplace(&self, data: &ArrayBase<D, Ix2>, labels: &mut Array1<usize>) {
        *labels = KMeans::predict(self, data).unwrap_or_else(|error| panic!("{error}"));
    }

    fn default_target(&self, data: &ArrayBase<D, Ix2>) -> Array1<usize> {
        Array1::zeros(data.nrows())
    }
}

impl<D: Data<Elem = f64> + Sync> PredictInplace<ArrayBase<D, Ix2>, Array1<usize>> for Gmm {
    fn predict_inplace(&self, data: &ArrayBase<D, Ix2>, labels: &mut Array1<usize>) {
        *labels = Gmm::predict(self, data).unwrap_or_else(|error| panic!("{error}"));
    }

    fn default_target(&self, data: &ArrayBase<D, Ix2>) -> Array1<usize> {
        Array1::zeros(data.nrows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use linfa::prelude::{Predict, SilhouetteScore};
    use ndarray::Array2;

    fn data() -> Array2<f64> {
        let centres = ndarray::array![[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]];
        Gmm::standard(centres, crate::gmm::CovarianceKind::Spherical).sample(300, 1).unwrap().0
    }

    #[test]
    fn linfa_accepts_the_options_and_the_models() {
        let data = data();
        let dataset = DatasetBase::from(data.view());
        let options = KMeansOptions { clusters: 3, ..Default::default() };
        let kmeans = Fit::fit(&options, &dataset).unwrap();
        assert_eq!(&kmeans, KMeans::fit(&data, &options).unwrap().model());
        let labels: Array1<usize> = Predict::predict(&kmeans, &data);
        assert_eq!(labels, KMeans::predict(&kmeans, &data).unwrap());
        let options = GmmOptions { components: 3, ..Default::default() };
        let mixture = Fit::fit(&options, &dataset).unwrap();
        assert_eq!(&mixture, Gmm::fit(&data, &options).unwrap().model());
        for labels in [labels, Predict::predict(&mixture, &data)] {
            let score = DatasetBase::new(data.clone(), labels).silhouette_score().unwrap();
            assert!(score > 0.6, "{score}");
        }
    }

    #[test]
    fn samples_of_weight_0_are_ignored() {
        let data = ndarray::array![[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [1e6]];
        let weights = ndarray::array![1.0f32, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        let weighted = DatasetBase::from(data.view()).with_weights(weights);
        let without = DatasetBase::from(data.slice(ndarray::s![..6, ..]));
        let options = KMeansOptions { clusters: 2, ..Default::default() };
        assert_eq!(Fit::fit(&options, &weighted).unwrap(), Fit::fit(&options, &without).unwrap());
        let options = GmmOptions { components: 2, ..Default::default() };
        assert_eq!(Fit::fit(&options, &weighted).unwrap(), Fit::fit(&options, &without).unwrap());
    }

    #[test]
    fn errors_are_returned_unchanged() {
        let none = DatasetBase::from(Array2::<f64>::zeros((0, 2)));
        let result: Result<KMeans, Error> = KMeansOptions::default().fit(&none);
        assert!(matches!(result, Err(Error::Empty { .. })));
        assert!(Error::from(linfa::Error::NotEnoughSamples).to_string().contains("samples"));
    }
}
