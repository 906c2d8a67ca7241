//! The command-line program `em-routing`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
