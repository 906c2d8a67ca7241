//! stub
/// stub
pub struct Entry { /// n
 pub name: &'static str, /// d
 pub draw: fn() -> crate::error::Result<crate::plot::Figure> }
/// stub
pub const FIGURES: &[Entry] = &[];
