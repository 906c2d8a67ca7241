//! Saving and loading coins, K-means and mixtures: serde's traits, and JSON files.
//!
//! `save` writes a model to a JSON file, `load` reads it back. Arrays are nested lists, which Python reads too:
//! `numpy.array(json.load(open("mixture.json"))["means"])`.
//!
//! | model | fields |
//! |---|---|
//! | [`Coins`] | `thetas` (k), `weights` (k) |
//! | [`KMeans`] | `centroids` (k x d) |
//! | [`Gmm`] | `covariance` (`"full"`, `"tied"`, `"diagonal"` or `"spherical"`), `weights` (K), `means` (K x d), `covariances` |
//!
//! Saving and loading keeps every bit of a model that was made by `new` or by a fit; of others the weights are divided by their
//! sum. Invalid models are neither written nor read. serde's traits are for formats that describe themselves, such as JSON: K-means
//! and mixtures cannot be read from formats that do not, such as bincode.

use std::io::{Read as _, Write as _};
use std::path::Path;

use ndarray::{Array, ArrayD, ArrayViewD, Dimension};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::coin::Coins;
use crate::data::{looks_like, open};
use crate::error::{Error, Result};
use crate::files;
use crate::gmm::{CovarianceKind, Gmm};
use crate::kmeans::KMeans;

#[derive(Serialize, Deserialize)]
struct CoinFields<A> {
    thetas: A,
    weights: A,
}

impl Serialize for Coins {
    /// Returns an error if the model is not valid.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Coins { thetas, weights } = self.normalised().map_err(S::Error::custom)?;
        CoinFields { thetas, weights }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Coins {
    /// Returns an error if the fields are not a valid model.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Coins, D::Error> {
        let fields = CoinFields::<Vec<f64>>::deserialize(deserializer)?;
        Coins::new(&fields.thetas, &fields.weights).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
struct KMeansFields<A> {
    centroids: A,
}

impl Serialize for KMeans {
    /// Returns an error if a centroid is not finite or beyond 1e130.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.check().map_err(S::Error::custom)?;
        KMeansFields { centroids: ListsOf(self.centroids.view().into_dyn()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KMeans {
    /// Returns an error if the centroids are not a valid table.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<KMeans, D::Error> {
        let fields = KMeansFields::<Lists>::deserialize(deserializer)?;
        let model = KMeans { centroids: fields.centroids.array("centroids").map_err(D::Error::custom)? };
        model.check().map_err(D::Error::custom)?;
        Ok(model)
    }
}

#[derive(Serialize, Deserialize)]
struct GmmFields<A> {
    covariance: CovarianceKind,
    weights: A,
    means: A,
    covariances: A,
}

impl Serialize for Gmm {
    /// Returns an error if the model is not valid.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let model = self.normalised().map_err(S::Error::custom)?;
        let fields = GmmFields {
            covariance: model.covariance_kind(),
            weights: ListsOf(model.weights.view().into_dyn()),
            means: ListsOf(model.means.view().into_dyn()),
            covariances: ListsOf(model.covariances.values()),
        };
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Gmm {
    /// Returns an error if the fields are not a valid model.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Gmm, D::Error> {
        let GmmFields { covariance, weights, means, covariances } =
            GmmFields::<Lists>::deserialize(deserializer)?;
        let model = || {
            let (weights, means) = (weights.array("weights")?, means.array("means")?);
            Gmm::new(weights, means, covariance.with_values(covariances.0)?)
        };
        model().map_err(D::Error::custom)
    }
}

/// An array to be serialised as nested lists.
struct ListsOf<'a>(ArrayViewD<'a, f64>);

impl Serialize for ListsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0.ndim() {
            1 => serializer.collect_seq(&self.0),
            _ => serializer.collect_seq(self.0.outer_iter().map(ListsOf)),
        }
    }
}

/// An array deserialised from nested lists.
struct Lists(ArrayD<f64>);

impl Lists {
    /// Returns the array with the expected number of axes; `name` is for the error message.
    fn array<D: Dimension>(self, name: &'static str) -> Result<Array<f64, D>> {
        let found = self.0.ndim();
        let expected = D::NDIM.unwrap_or(found);
        self.0.into_dimensionality().map_err(|_| Error::Nesting { name, expected, found })
    }
}

impl<'de> Deserialize<'de> for Lists {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Lists, D::Error> {
        let mut numbers = Numbers::default();
        Level { depth: 0, numbers: &mut numbers }.deserialize(deserializer)?;
        let array = ArrayD::from_shape_vec(numbers.lengths, numbers.values);
        array.map(Lists).map_err(|_| D::Error::custom(UNEVEN))
    }
}

const UNEVEN: &str = "lists at the same level should have the same length and depth";

/// The numbers read so far from nested lists.
#[derive(Default)]
struct Numbers {
    values: Vec<f64>,
    /// The length of the lists at each depth; usize::MAX if no list at that depth has ended yet.
    lengths: Vec<usize>,
    /// The depth of the first number read.
    depth: Option<usize>,
}

/// Deserialises a list at this depth, or a number.
struct Level<'a> {
    depth: usize,
    numbers: &'a mut Numbers,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        let Level { depth, numbers } = self;
        let mut length = 0;
        while list.next_element_seed(Level { depth: depth + 1, numbers })?.is_some() {
            length += 1;
        }
        if numbers.lengths.len() <= depth {
            numbers.lengths.resize(depth + 1, usize::MAX);
        }
        let known = &mut numbers.lengths[depth];
        if *known == usize::MAX {
            *known = length;
        }
        if *known == length { Ok(()) } else { Err(A::Error::custom(UNEVEN)) }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<(), E> {
        self.numbers.values.push(value);
        if *self.numbers.depth.get_or_insert(self.depth) == self.depth {
            Ok(())
        } else {
            Err(E::custom(UNEVEN))
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<(), E> {
        self.visit_f64(value as f64)
    }
}

fn save(model: &impl Serialize, path: &Path) -> Result<()> {
    files::write_with(path, |file| {
        serde_json::to_writer(&mut *file, model).map_err(|error| Error::io(path)(error.into()))?;
        file.write_all(b"\n").map_err(Error::io(path))
    })
}

/// Reads a model; `what` names the expected model in the error message.
fn load<M: DeserializeOwned>(what: &'static str, path: &Path) -> Result<M> {
    let mut contents = Vec::new();
    open(path)?.read_to_end(&mut contents).map_err(Error::io(path))?;
    serde_json::from_slice(&contents).map_err(|error| {
        let message = match looks_like(&contents) {
            Some(words) => format!("this looks like {words}"),
            None => error.to_string(),
        };
        Error::ModelFile { path: path.to_path_buf(), what, message }
    })
}

impl Coins {
    /// Writes the model as JSON, `{"thetas": [..], "weights": [..]}`, atomically.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid, or if the system cannot write the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.normalised()?, path.as_ref())
    }

    /// Reads a file written by [`Coins::save`]. No bit is lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot read the file, or if it does not hold a valid model.
    pub fn load(path: impl AsRef<Path>) -> Result<Coins> {
        load("coins", path.as_ref())
    }
}

impl KMeans {
    /// Writes the model as JSON, `{"centroids": [[..], ..]}`, atomically.
    ///
    /// # Errors
    ///
    /// Returns an error if a number of a centroid is not finite or beyond 1e130, or if the system cannot write the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check()?;
        save(self, path.as_ref())
    }

    /// Reads a file written by [`KMeans::save`]. No bit is lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot read the file, or if it does not hold a valid model.
    pub fn load(path: impl AsRef<Path>) -> Result<KMeans> {
        load("a K-means model", path.as_ref())
    }
}

impl Gmm {
    /// Writes the model as JSON, `{"covariance": "full", "weights": [..], "means": [[..], ..], "covariances": [[[..], ..],
    /// ..]}`, atomically.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("em-routing-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("mixture.json");
    /// use em_routing::prelude::*;
    /// let model = samples::two_gaussians_model();
    /// model.save(&path)?;
    /// assert_eq!(Gmm::load(&path)?, model);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid, or if the system cannot write the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.normalised()?, path.as_ref())
    }

    /// Reads a file written by [`Gmm::save`]. No bit is lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot read the file, or if it does not hold a valid model.
    pub fn load(path: impl AsRef<Path>) -> Result<Gmm> {
        load("a mixture", path.as_ref())
    }
}
