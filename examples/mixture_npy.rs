//! Fits Gaussian mixtures to a table in a .npy file, which may be larger than memory, and chooses the number of components by BIC.
//!
//! `cargo run --release --example mixture_npy -- data.npy` prints the BIC for 1 to 6 components, then the weight and the mean of
//! each component of the best mixture. Without an argument it writes a file itself: iris, 150 x 4.

use std::path::PathBuf;

use em_routing::data::npy;
use em_routing::prelude::*;
use em_routing::samples::iris;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let path = std::env::temp_dir().join("em-routing-iris.npy");
            npy::write(&path, &iris::measurements(), npy::Precision::F64)?;
            path
        }
    };
    let data = NpyFile::open(&path)?; // rows are read when they are needed
    println!("{}: {} x {}", path.display(), data.samples(), data.dimensions());

    let mut best: Option<(f64, Gmm)> = None;
    for components in 1..=6.min(data.samples()) {
        let options = GmmOptions { components, restarts: 3, regularisation: 1e-3, ..Default::default() };
        let model = Gmm::fit(&data, &options)?.into_model();
        let bic = model.criteria(&data)?.bic;
        println!("{components} components: BIC {bic:.1}");
        if best.as_ref().is_none_or(|(lowest, _)| bic < *lowest) {
            best = Some((bic, model));
        }
    }
    let (_, model) = best.ok_or("the table has no rows")?;
    let labels = model.predict(&data)?; // one for each row
    for (k, mean) in model.means.rows().into_iter().enumerate() {
        let rows = labels.iter().filter(|&&label| label == k).count();
        println!("component {k}: weight {:.3}, {rows} rows, mean {mean:.2}", model.weights[k]);
    }
    Ok(())
}
