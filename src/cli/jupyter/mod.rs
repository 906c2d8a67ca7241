//! The notebooks: set-up, execution and JupyterLab.
//!
//! `run` and `lab` first do the set-up: they install the kernel evcxr_jupyter and a Python environment. `run` then passes each
//! notebook to execute.py, which starts `em-routing kernel` as kernel.json says, runs the cells and reports on each.

pub mod doctor;
pub mod kernel;
pub mod lab;
pub mod notebook;
pub mod places;
pub mod run;
pub mod setup;
