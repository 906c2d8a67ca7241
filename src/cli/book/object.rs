//! What the live figure `object` loads: its two networks with numbers of 16 bits.

use std::fs;
use std::path::Path;

use em_routing::capsnet::CapsNet;
use em_routing::shipped::views_weights;

use crate::cli::failure::{AtPath, Outcome};

/// Writes the figure's files into the folder of the site's static files.
pub fn write(folder: &Path) -> Outcome<()> {
    for source in views_weights() {
        let path = folder.join(source.file_name().unwrap_or_default());
        let bytes = CapsNet::load(&source)?.half_bytes(&path)?;
        fs::write(&path, bytes).at(&path)?;
    }
    Ok(())
}
