//! The program `em-routing`: arguments, progress and calls into the library.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
