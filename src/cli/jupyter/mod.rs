//! The notebooks: set-up, execution and JupyterLab.
//!
//! `run` and `lab` first do the set-up: they install the kernel evcxr_jupyter and a Python environment. `run` then passes each
//! notebook to execute.py, which starts `em-routing kernel` as kernel.json says, runs the cells and reports on each.

pub mod doctor;
pub mod kernel;
pub mod lab;
pub mod notebook;
pub mod run;
pub mod setup;

use super::places::Places;
use super::python::{Environment, Needs};

/// The Python packages that execute and show the notebooks.
static JUPYTER: Needs =
    Needs { whom: "Jupyter", requirements: include_str!("requirements.txt"), oldest: 10, packages: 90 };

/// The Python script that executes a notebook by Jupyter's protocol and prints its progress as lines of JSON.
const EXECUTE: &str = include_str!("execute.py");

/// Environment variable for the kernel that set-up starts. This kernel compiles into the folder that other kernels copy.
const COMPILE_ONCE: &str = "EM_ROUTING_COMPILE_ONCE";

/// Returns the Python environment that executes and shows the notebooks.
fn environment(places: &Places) -> Environment {
    Environment::new(places, &JUPYTER)
}
