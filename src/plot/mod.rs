//! Figures: a trace goes in, a figure comes out; a plot never fits.
/// stub
pub struct Figure;
impl Figure { /// stub
 pub fn save(&self, _: impl AsRef<std::path::Path>) -> crate::error::Result<()> { Ok(()) } }
