//! Saved coins, K-means and mixtures: JSON files are read back exactly, and invalid models are rejected.

use std::path::PathBuf;

use em_routing::error::Error;
use em_routing::prelude::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A path unique to each test; its file is removed when the test ends.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        Temporary(std::env::temp_dir().join(format!("em-routing-model-{}-{name}.json", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Numbers of all magnitudes, with all their digits.
fn number() -> impl Strategy<Value = f64> {
    (-1.0..1.0f64, -40i32..40).prop_map(|(x, exponent)| x * 10f64.powi(exponent))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))] // each case syncs three files

    #[test]
    fn saved_models_are_read_back_exactly(
        k in 1usize..5, d in 1usize..5, kind in prop::sample::select(CovarianceKind::ALL.to_vec()),
        numbers in prop::collection::vec(number(), 16), shares in prop::collection::vec(0.01..1.0f64, 4)
    ) {
        let file = Temporary::new("round-trip");
        let means = Array2::from_shape_fn((k, d), |(i, j)| numbers[4 * i + j]);
        let weights = Array1::from(shares[..k].to_vec());
        let weights = &weights / weights.sum();
        let mut model = Gmm::standard(means.clone(), kind);
        model.weights = weights.clone();
        model.covariances.values_mut().mapv_inplace(|x| x * shares[3]);
        let model = Gmm::new(model.weights, model.means, model.covariances).unwrap();
        model.save(&file.0).unwrap();
        prop_assert_eq!(&Gmm::load(&file.0).unwrap(), &model);
        let text = serde_json::to_string(&model).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Gmm>(&text).unwrap(), &model);

        let model = KMeans { centroids: means };
        model.save(&file.0).unwrap();
        prop_assert_eq!(&KMeans::load(&file.0).unwrap(), &model);

        let model = Coins::new(&shares[..k], &weights.to_vec()).unwrap();
        model.save(&file.0).unwrap();
        prop_assert_eq!(&Coins::load(&file.0).unwrap(), &model);
    }
}

#[test]
fn arrays_are_written_to_json_as_nested_lists() {
    let model = Gmm::new(
        array![0.25, 0.75],
        array![[0.0, 4.0], [-2.0, 1e-7]],
        Covariances::Full(array![[[3.0, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 2.0]]]),
    )
    .unwrap();
    let expected = json!({
        "covariance": "full",
        "weights": [0.25, 0.75],
        "means": [[0.0, 4.0], [-2.0, 1e-7]],
        "covariances": [[[3.0, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 2.0]]],
    });
    assert_eq!(serde_json::to_value(&model).unwrap(), expected);
    let turned = KMeans { centroids: array![[1.0, 3.0], [2.0, 4.0]].reversed_axes() };
    assert_eq!(serde_json::to_value(&turned).unwrap(), json!({"centroids": [[1.0, 2.0], [3.0, 4.0]]}));
    // Python writes whole numbers without a decimal point
    let whole = json!({"covariance": "spherical", "weights": [1], "means": [[-2, 0]], "covariances": [4]});
    assert_eq!(serde_json::from_value::<Gmm>(whole).unwrap().means, array![[-2.0, 0.0]]);
}

#[test]
fn errors_say_why_a_model_file_is_invalid() {
    let good = json!({
        "covariance": "full", "weights": [0.5, 0.5], "means": [[0.0, 1.0], [2.0, 3.0]],
        "covariances": [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]],
    });
    assert!(serde_json::from_value::<Gmm>(good.clone()).is_ok());
    let with = |field: &str, value: Value| {
        let mut model = good.clone();
        model[field] = value;
        model
    };
    let cases = [
        (json!({"centroids": [[1.0]]}), "missing field `covariance`"),
        (with("covariance", json!("round")), "unknown variant `round`"),
        (with("covariance", json!("tied")), "covariances is nested 3 deep, but should be nested 2 deep"),
        (with("weights", json!([0.5, 0.6])), "weights add up to 1.1"),
        (with("weights", json!([[0.5, 0.5]])), "weights is nested 2 deep, but should be nested 1 deep"),
        (with("means", json!([[0.0, 1.0], [2.0]])), "the same length and depth"),
        (with("means", json!([[0.0, 1.0], 2.0])), "the same length and depth"),
        (with("means", json!([[], 2.0])), "the same length and depth"),
        (with("means", json!([[0.0, 1.0], [2.0, null]])), "a number or a list of numbers"),
        (with("means", json!([[0.0, 1.0], [2.0, 1e200]])), "means[1, 1] is 1e200"),
        (with("means", json!([[0.0], [2.0]])), "the shape of the covariances is [2, 2, 2]"),
        (
            with("covariances", json!([[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])),
            "positive definite",
        ),
        (with("covariances", json!([[[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])), "not symmetric"),
    ];
    let file = Temporary::new("refused");
    for (model, words) in cases {
        std::fs::write(&file.0, model.to_string()).unwrap();
        let error = Gmm::load(&file.0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("a mixture"), "{text} (expected: {words})");
        assert!(matches!(error, Error::ModelFile { path, .. } if path == file.0));
    }
    let kmeans = |text: &str| {
        std::fs::write(&file.0, text).unwrap();
        KMeans::load(&file.0).unwrap_err().to_string()
    };
    assert!(
        kmeans(r#"{"centroids": [1.0]}"#).contains("centroids is nested 1 deep, but should be nested 2 deep")
    );
    assert!(kmeans(r#"{"centroids": [[1e131]]}"#).contains("a centroid is 1e131"));
    assert!(kmeans(r#"{"centroids": []}"#).contains("nested 1 deep"));
    assert!(kmeans(r#"{"centroids": [[1.0"#).contains("EOF while parsing a list at line 1"));
    assert!(kmeans("\u{feff}").contains("a K-means model"));
    std::fs::write(&file.0, b"\x93NUMPY\x01\0").unwrap();
    assert!(Coins::load(&file.0).unwrap_err().to_string().contains("this looks like a .npy file"));
    std::fs::write(&file.0, r#"{"thetas": [0.5, 1.5], "weights": [0.5, 0.5]}"#).unwrap();
    assert!(Coins::load(&file.0).unwrap_err().to_string().contains("thetas[1] is 1.5"));
    assert!(matches!(Gmm::load("no such file.json"), Err(Error::Io { .. })));
}

#[test]
fn invalid_models_are_not_written() {
    let file = Temporary::new("invalid");
    let bad = Gmm {
        weights: array![1.0],
        means: array![[f64::NAN]],
        covariances: Covariances::Spherical(array![1.0]),
    };
    assert!(matches!(bad.save(&file.0), Err(Error::EntryOutOfRange { name: "means", .. })));
    assert!(serde_json::to_string(&bad).unwrap_err().to_string().contains("means[0, 0] is NaN"));
    assert!(matches!(
        KMeans { centroids: array![[f64::INFINITY]] }.save(&file.0),
        Err(Error::Setting { .. })
    ));
    let coins = Coins { thetas: vec![0.5, 0.5], weights: vec![0.5, 0.1] };
    assert!(matches!(coins.save(&file.0), Err(Error::NotNormalised { .. })));
    assert!(!file.0.exists());
}
