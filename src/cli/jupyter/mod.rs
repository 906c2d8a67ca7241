//! The notebooks: set-up of the kernel and of Python, execution and JupyterLab.

pub mod doctor;
pub mod kernel;
pub mod lab;
mod notebook;
pub mod places;
pub mod run;
pub mod setup;
mod shell;
