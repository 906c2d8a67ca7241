//! The program `em-routing`: arguments, progress and calls into the library.
fn main() {}
