//! The commands. Nothing here computes: they set the kernel up, run the notebooks, draw the figures and train the network.

/// `println!`, but what nobody reads is no reason to panic: see [`progress::line`].
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::progress::line(format_args!($($words)*)) };
}

mod command;
mod eval;
mod failure;
mod figures;
mod images;
mod jupyter;
mod lock;
mod progress;
mod show;
mod subject;
mod train;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use em_routing::draw::Palette;

use failure::Outcome;
use jupyter::places::Places;
use jupyter::{doctor, kernel, lab, run, setup};

#[derive(Parser)]
#[command(
    name = "em-routing",
    version,
    args_override_self = true, // a printed remedy adds a flag to what was typed
    about = "From two coins with hidden labels to EM routing: notebooks in Rust, and the figures in them",
    after_help = "Examples:\n  \
        em-routing run                    set the kernel up, execute every notebook, write target/book/\n  \
        em-routing lab                    read and change the notebooks in JupyterLab\n  \
        em-routing figures --out /tmp/f   every figure as SVG, without Python and Jupyter\n  \
        em-routing train                  train the capsule network on MNIST\n  \
        em-routing doctor                 what is installed, and what is missing"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draws the figures, sets the Jupyter kernel up and executes the notebooks in it
    #[command(after_help = "Examples:\n  \
        em-routing run                              all of them, into target/book/\n  \
        em-routing run notebooks/01_*.ipynb         one of them\n  \
        em-routing run --save                       and write the outputs back into notebooks/ and assets/figures/")]
    Run {
        /// Notebooks to execute; all of those in notebooks/ if none is named
        notebooks: Vec<PathBuf>,
        /// Where the executed notebooks, their HTML and their figures go
        #[arg(long, value_name = "DIR", default_value = "target/book")]
        out: PathBuf,
        /// Writes the outputs back into the notebooks themselves and the figures into assets/figures/
        #[arg(long)]
        save: bool,
        /// How many notebooks are executed at a time
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: u16,
    },
    /// Sets the kernel up, then opens the notebooks in JupyterLab on this machine
    #[command(after_help = "Examples:\n  \
        em-routing lab                    opens a browser\n  \
        em-routing lab --no-browser       prints the address, with its token, to open by hand")]
    Lab {
        /// Prints the address and opens no browser
        #[arg(long)]
        no_browser: bool,
        /// The port on 127.0.0.1
        #[arg(long, default_value_t = 8888)]
        port: u16,
    },
    /// Draws every figure as SVG, and the frames of each animation as a strip for print; needs neither Python nor Jupyter
    #[command(after_help = "Examples:\n  \
        em-routing figures --out /tmp/figures\n  \
        em-routing figures --dark --out /tmp/dark          for a dark page")]
    Figures {
        /// The folder that they go to
        #[arg(long, value_name = "DIR", default_value = "target/figures")]
        out: PathBuf,
        /// Light lines on a dark card
        #[arg(long)]
        dark: bool,
    },
    /// Trains the capsule network on MNIST or a set like it, and goes on after any stop
    #[command(after_help = "Examples:\n  \
        em-routing train                                       the default recipe, into target/train/default-seed1\n  \
        em-routing train --resume                              goes on with it after Ctrl-C or a crash\n  \
        em-routing train --config blog --epochs 2 --seed 3     the blog's network as printed\n  \
        em-routing train --set first=8 --set second=8          a smaller network\n  \
        em-routing train --data ~/fashion --out target/fashion another set of images")]
    Train(train::Arguments),
    /// Tells a trained network's error, class by class, and draws its confusions and its worst mistakes
    #[command(after_help = "Examples:\n  \
        em-routing eval                                        the network that is shipped, on MNIST's test set\n  \
        em-routing eval --weights target/train/default-seed1/network.safetensors --split validation")]
    Eval(eval::Arguments),
    /// Draws how the class capsules of a network route one image
    #[command(after_help = "Examples:\n  \
        em-routing show --image 0                              the first test image, into target/show/test-0.svg\n  \
        em-routing show --image 8 --out /tmp/routing.svg")]
    Show(show::Arguments),
    /// Sets the Jupyter kernel up and stops there; `run` and `lab` do this by themselves
    #[command(after_help = "Examples:\n  \
        em-routing setup                  into the project's folder and the user's cache\n  \
        em-routing setup --user           and lists the kernel for the user's own Jupyter or editor")]
    Setup {
        /// Also writes the kernelspec into the user's Jupyter folder, where every Jupyter and editor finds it
        #[arg(long)]
        user: bool,
    },
    /// Tells what is installed, where, in which version, what is missing and what mends it
    #[command(after_help = "Example:\n  em-routing doctor")]
    Doctor,
    /// What kernel.json starts
    #[command(hide = true)]
    Kernel {
        /// The file that Jupyter hands over
        #[arg(long)]
        connection_file: PathBuf,
        /// A panic in a cell ends the run
        #[arg(long)]
        strict: bool,
        /// The project's folder
        #[arg(long)]
        project: PathBuf,
    },
}

/// The arguments. The examples in the help are commands that work where they are read.
fn arguments() -> Arguments {
    let start = format!("  {} ", command::program());
    let with_start = |command: clap::Command| {
        let examples = command.get_after_help().map(|help| help.to_string().replace("  em-routing ", &start));
        match examples {
            Some(examples) => command.after_help(examples),
            None => command,
        }
    };
    let matches = with_start(Arguments::command()).mut_subcommands(with_start).get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Runs what the arguments ask for.
pub fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let outcome = match arguments().command {
        Command::Run { notebooks, out, save, jobs } => {
            Places::find().and_then(|places| run::run(&places, &notebooks, &out, save, jobs as usize))
        }
        Command::Lab { no_browser, port } => {
            Places::find().and_then(|places| lab::lab(&places, no_browser, port))
        }
        Command::Figures { out, dark } => draw(&out, if dark { Palette::Dark } else { Palette::Light }),
        Command::Train(arguments) => train::train(&arguments).map(|ended| code = ended),
        Command::Eval(arguments) => eval::eval(&arguments),
        Command::Show(arguments) => show::show(&arguments),
        Command::Setup { user } => Places::find().and_then(|places| setup::command(&places, user)),
        Command::Doctor => Places::find().and_then(|places| doctor::doctor(&places)),
        Command::Kernel { connection_file, strict, project } => {
            kernel::launch(&project, &connection_file, strict)
        }
    };
    match outcome.and_then(|()| progress::all_said()) {
        Ok(()) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn draw(out: &std::path::Path, palette: Palette) -> Outcome<()> {
    let count = figures::draw_all(out, palette)?;
    say!("{count} figures in {}; open any of them in a browser.", out.display());
    Ok(())
}
