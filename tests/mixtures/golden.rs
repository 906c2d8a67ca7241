//! The golden cases of `tests/golden/em_manifest.json`, computed in float64 by an independent program that agrees with
//! scikit-learn.

use std::path::{Path, PathBuf};

use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart, plain};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis};
use serde_json::Value;

use super::{close, close_each};

struct Golden {
    manifest: Value,
    header: Value,
    bytes: Vec<u8>,
}

impl Golden {
    fn read() -> Golden {
        let path =
            |name: &str| -> PathBuf { Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name) };
        let manifest = std::fs::read(path("em_manifest.json")).unwrap();
        let tensors = std::fs::read(path("em.safetensors")).unwrap();
        let length = u64::from_le_bytes(tensors[..8].try_into().unwrap()) as usize;
        Golden {
            manifest: serde_json::from_slice(&manifest).unwrap(),
            header: serde_json::from_slice(&tensors[8..8 + length]).unwrap(),
            bytes: tensors[8 + length..].to_vec(),
        }
    }

    fn raw(&self, name: &str, kind: &str) -> (Vec<usize>, impl Iterator<Item = [u8; 8]>) {
        let entry = &self.header[name];
        assert_eq!(entry["dtype"], kind, "{name}");
        let numbers = |key: &str| -> Vec<usize> { serde_json::from_value(entry[key].clone()).unwrap() };
        let offsets = numbers("data_offsets");
        let bytes = &self.bytes[offsets[0]..offsets[1]];
        (numbers("shape"), bytes.chunks(8).map(|number| number.try_into().unwrap()))
    }

    fn array(&self, name: &str) -> ArrayD<f64> {
        let (shape, numbers) = self.raw(name, "F64");
        ArrayD::from_shape_vec(shape, numbers.map(f64::from_le_bytes).collect()).unwrap()
    }

    /// Returns a matrix, or its first rows for a name such as "x[:50]".
    fn table(&self, name: &str) -> Array2<f64> {
        let (name, rows) = match name.split_once("[:") {
            Some((name, rows)) => (name, rows.trim_end_matches(']').parse().unwrap()),
            None => (name, usize::MAX),
        };
        let table: Array2<f64> = self.array(name).into_dimensionality().unwrap();
        let rows = rows.min(table.nrows());
        table.slice_move(ndarray::s![..rows, ..])
    }

    fn labels(&self, name: &str) -> Array1<usize> {
        self.raw(name, "I64").1.map(|number| i64::from_le_bytes(number) as usize).collect()
    }

    fn cases(&self, kind: &str) -> &[Value] {
        self.manifest[kind].as_array().unwrap()
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn kmeans_agrees() {
    let golden = Golden::read();
    for case in golden.cases("kmeans") {
        let name = text(&case["name"]);
        let data = golden.table(text(&case["data"]));
        let start: Vec<usize> = serde_json::from_value(case["init_idx"].clone()).unwrap();
        let start = KMeansStart::Given(data.select(Axis(0), &start));
        let clusters = case["k"].as_u64().unwrap() as usize;
        let fit =
            KMeans::fit(&data, &KMeansOptions { clusters, start, keep_models: true, ..Default::default() })
                .unwrap();
        assert!(fit.converged, "{name}");
        let inertias: Vec<f64> = fit.objectives.iter().map(|objective| -objective).collect();
        let labels = fit.model().predict(&data).unwrap();
        if name == "dup_empty_cluster" {
            // The blog's formula divides 0 by 0 here; scikit-learn moves the empty cluster, and so does this crate.
            close(name, &fit.model().centroids, &ndarray::array![[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]], 1e-8);
            assert_eq!(labels.to_vec(), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
            assert_eq!(fit.objective(), 0.0);
            continue;
        }
        let expected = numbers(&case["inertia_per_iter"]);
        close_each(name, &inertias[..expected.len()], &expected, 1e-8);
        close_each(name, &[-fit.objective()], &numbers(&Value::from(vec![case["inertia"].clone()])), 1e-8);
        close(name, &fit.model().centroids, &golden.table(&format!("kmeans.{name}.centroids")), 1e-8);
        assert_eq!(labels, golden.labels(&format!("kmeans.{name}.labels")), "{name}");
        // The blog's program always makes ten iterations and keeps the labels of the tenth E-step, which belong to the
        // centroids before the last update.
        let model = |iterations: usize| &fit.models[iterations.min(fit.iterations())];
        close(name, &model(10).centroids, &golden.table(&format!("kmeans.{name}.post10_centroids")), 1e-8);
        assert_eq!(
            model(9).predict(&data).unwrap(),
            golden.labels(&format!("kmeans.{name}.post10_labels")),
            "{name}"
        );
    }
}

#[test]
fn mixtures_agree() {
    let golden = Golden::read();
    for case in golden.cases("gmm") {
        let name = text(&case["name"]);
        let data = golden.table(text(&case["data"]));
        let model = |weights: &str, means: &str, covariances: &str| {
            let tensor = |part: &str| golden.array(&format!("gmm.{name}.{part}"));
            Gmm {
                weights: tensor(weights).into_dimensionality().unwrap(),
                means: tensor(means).into_dimensionality().unwrap(),
                covariances: Covariances::Full(tensor(covariances).into_dimensionality().unwrap()),
            }
        };
        let start = model("pi0", "mu0", "sigma0");
        let after = numbers(&case["ll_trace_after_M"]);
        let before = numbers(&case["sklearn_mean_ll_before_each_M"])[0] * data.nrows() as f64;
        let expected: Vec<f64> = std::iter::once(before).chain(after).collect();
        let stop = Stop { max_iterations: expected.len() - 1, tolerance: -1.0 };
        let options = GmmOptions {
            components: case["k"].as_u64().unwrap() as usize,
            start: GmmStart::Given(start.clone()),
            regularisation: 0.0,
            stop,
            keep_models: true,
            ..Default::default()
        };
        let last = model("final_pi", "final_mu", "final_sigma");
        let fits = [Gmm::fit(&data, &options).unwrap(), plain::fit(&data, &start, 0.0, stop).unwrap()];
        for fit in &fits {
            close_each(name, &fit.objectives, &expected, 1e-8);
            compare(name, fit.model(), &last, 1e-8);
            let responsibilities = fit.model().responsibilities(&data).unwrap();
            close(name, &responsibilities, &golden.table(&format!("gmm.{name}.final_resp")), 1e-8);
        }
        // the blog's program stops when an iteration gains less than 0.01
        let stopped = numbers(&case["post_ll_trace"]).len().min(fits[0].iterations());
        compare(name, &fits[0].models[stopped], &model("post_pi", "post_mu", "post_sigma"), 1e-8);
    }
}

/// Compares weights, means and covariances.
#[track_caller]
fn compare(what: &str, found: &Gmm, expected: &Gmm, tolerance: f64) {
    close(what, &found.weights, &expected.weights, tolerance);
    close(what, &found.means, &expected.means, tolerance);
    for component in 0..expected.weights.len() {
        close(what, &found.covariance(component), &expected.covariance(component), tolerance);
    }
}

fn start_of(init: &Value) -> Gmm {
    let rows = |value: &Value| -> Array2<f64> {
        let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    };
    let mut start = Gmm::standard(rows(&init["mu"]), CovarianceKind::Full);
    start.weights = Array1::from(numbers(&init["pi"]));
    if init["sigma"] != "identity" {
        start.covariances = Covariances::Full(matrices(&init["sigma"]));
    }
    start
}

fn matrices(value: &Value) -> Array3<f64> {
    let all: Vec<Vec<Vec<f64>>> = serde_json::from_value(value.clone()).unwrap();
    let shape = (all.len(), all[0].len(), all[0].len());
    Array3::from_shape_vec(shape, all.concat().concat()).unwrap()
}

#[test]
fn degenerate_mixtures_collapse_or_fit_with_regularisation() {
    let golden = Golden::read();
    for case in golden.cases("gmm_degenerate") {
        let name = text(&case["name"]);
        let data = golden.table(text(&case["data"]));
        let start = start_of(&case["init"]);
        let fit = |regularisation: f64, max_iterations: usize| {
            let options = GmmOptions {
                components: start.weights.len(),
                start: GmmStart::Given(start.clone()),
                regularisation,
                stop: Stop { max_iterations, tolerance: -1.0 },
                ..Default::default()
            };
            Gmm::fit(&data, &options)
        };
        let post = &case["post"];
        if post["ok"] == false {
            let collapsed = fit(0.0, 20).unwrap_err();
            let component = if name == "component_collapses_on_one_point" { 1 } else { 0 };
            assert!(
                matches!(collapsed, Error::Collapsed { component: found, .. } if found == component),
                "{name}: {collapsed}"
            );
            assert!(collapsed.to_string().contains(&format!("component {component}")), "{collapsed}");
            let value = &case["sklearn_reg1e6"]["value"];
            let trace: Vec<f64> =
                numbers(&value["trace"]).iter().map(|mean| mean * data.nrows() as f64).collect();
            // trace[t] is the objective of model t, as in `objectives`
            let fit = fit(1e-6, trace.len()).unwrap();
            close_each(name, &fit.objectives[..trace.len()], &trace, 1e-8);
            let expected = Gmm {
                weights: if value["pi"].is_null() {
                    ndarray::array![1.0]
                } else {
                    numbers(&value["pi"]).into()
                },
                means: start_of(&serde_json::json!({"mu": value["mu"], "pi": [1.0], "sigma": "identity"}))
                    .means,
                covariances: Covariances::Full(matrices(&value["sigma"])),
            };
            compare(name, fit.model(), &expected, 1e-8);
        } else {
            // equal components stay equal
            let value = &post["value"];
            let trace = numbers(&value["trace"]);
            let fit = fit(0.0, trace.len()).unwrap();
            close_each(name, &fit.objectives[1..], &trace, 1e-8);
            let expected = Gmm {
                weights: numbers(&value["pi"]).into(),
                means: start_of(&serde_json::json!({"mu": value["mu"], "pi": [1.0], "sigma": "identity"}))
                    .means,
                covariances: Covariances::Full(matrices(&value["sigma"])),
            };
            compare(name, fit.model(), &expected, 1e-8);
        }
    }
}
