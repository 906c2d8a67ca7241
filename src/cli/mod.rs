//! The commands of `em-routing`: they parse arguments, show progress and call the library, which does the computing.

/// `println!` that ignores a closed pipe; see [`progress::line`].
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::progress::line(format_args!($($words)*)) };
}

mod book;
mod command;
mod describe;
mod eval;
mod failure;
mod figures;
mod fit;
mod images;
mod jupyter;
mod lock;
mod model;
mod places;
mod predict;
mod progress;
mod python;
mod ranks;
mod render;
mod shell;
mod show;
mod stop;
mod subject;
mod table;
mod train;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use em_routing::draw::Palette;

use failure::{Failure, Outcome};
use jupyter::{doctor, kernel, lab, run, setup};
use places::Places;

#[derive(Parser)]
#[command(
    name = "em-routing",
    version,
    args_override_self = true, // a printed `Next:` command may repeat a flag: the last value counts
    about = "Runs the notebooks on EM and capsule routing, draws their figures, trains the capsule network",
    after_help = "Examples:\n  \
        em-routing run                    set up the kernel, execute every notebook, write target/book/\n  \
        em-routing lab                    read and edit the notebooks in JupyterLab\n  \
        em-routing book --open            make the book as a web site and open it in a browser\n  \
        em-routing figures --out /tmp/f   draw every figure as SVG, without Python or Jupyter\n  \
        em-routing train                  train the capsule network on MNIST\n  \
        em-routing doctor                 list what is installed and what is missing"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Executes the notebooks in Jupyter and draws the figures; sets up the kernel if needed
    #[command(after_help = "Examples:\n  \
        em-routing run                              execute chapters, appendix and solutions into target/book/\n  \
        em-routing run notebooks/01_*.ipynb         execute one notebook\n  \
        em-routing run --save                       also write the outputs back into notebooks/ and assets/figures/")]
    Run {
        /// Notebooks to execute [default: all in notebooks/, notebooks/appendix/ and notebooks/solutions/]
        notebooks: Vec<PathBuf>,
        /// Folder for the executed notebooks, their HTML pages and their figures
        #[arg(long, value_name = "DIR", default_value = "target/book")]
        out: PathBuf,
        /// Also saves the outputs in the notebooks, and the figures of chapters and appendix in assets/figures/
        #[arg(long)]
        save: bool,
        /// Number of notebooks to execute at the same time
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: u16,
    },
    /// Opens the notebooks in JupyterLab on this machine; sets up the kernel if needed
    #[command(after_help = "Examples:\n  \
        em-routing lab                    open JupyterLab in a browser\n  \
        em-routing lab --no-browser       print the address with its token, to open by hand")]
    Lab {
        /// Prints the address instead of opening a browser
        #[arg(long)]
        no_browser: bool,
        /// Port on 127.0.0.1
        #[arg(long, default_value_t = 8888)]
        port: u16,
    },
    /// Makes the book as a web site from the committed notebooks into target/site/; needs Python, but no Jupyter
    #[command(after_help = "Examples:\n  \
        em-routing book                   write the site, for any static web server\n  \
        em-routing book --open            then serve it and open it in a browser")]
    Book {
        /// Serves the site on 127.0.0.1 and opens it in a browser, until Ctrl-C
        #[arg(long)]
        open: bool,
        /// Port on 127.0.0.1 [default: a free one]
        #[arg(long, requires = "open")]
        port: Option<u16>,
    },
    /// Draws every figure as SVG, and each animation also as a strip of frames for print; needs no Python or Jupyter
    #[command(after_help = "Examples:\n  \
        em-routing figures --out /tmp/figures              for a light page\n  \
        em-routing figures --dark --out /tmp/dark          for a dark page")]
    Figures {
        /// Folder for the figures
        #[arg(long, value_name = "DIR", default_value = "target/figures")]
        out: PathBuf,
        /// Draws light lines on a dark background
        #[arg(long)]
        dark: bool,
    },
    /// Fits K-means or a Gaussian mixture to your own table; can be stopped and resumed
    #[command(after_help = "Examples:\n  \
        em-routing fit mixture iris.csv --components 3         fit 3 Gaussians to all columns, write model.json\n  \
        em-routing fit mixture iris.csv --components 2..10     choose the number of components by BIC\n  \
        em-routing fit kmeans a.npy b.npy --components 16      two files as one table, larger than memory if need be\n  \
        em-routing fit mixture iris.csv --components 3 --columns 1,2 --covariance tied --restarts 5 --out tied.json")]
    Fit(fit::Arguments),
    /// Labels the rows of a table by a fitted model: the component and its responsibilities, or the cluster and the distance
    #[command(after_help = "Examples:\n  \
        em-routing predict model.json iris.csv --out labels.csv\n  \
        em-routing predict model.json new.npy --out labels.npy")]
    Predict(predict::Arguments),
    /// Prints the mean log-density of the rows of a table (K-means: the mean squared distance), and writes that of each row
    #[command(after_help = "Examples:\n  \
        em-routing score model.json iris.csv\n  \
        em-routing score model.json iris.csv --out scores.csv")]
    Score(predict::ScoreArguments),
    /// Prints a fitted model: sizes, weights, means, standard deviations, criteria; draws it with its table
    #[command(after_help = "Examples:\n  \
        em-routing describe model.json                                 what the file holds\n  \
        em-routing describe model.json iris.csv --figures figures      also draw pairs of columns with ellipses")]
    Describe(describe::Arguments),
    /// Draws new rows from a fitted mixture
    #[command(after_help = "Examples:\n  \
        em-routing sample model.json --rows 1000 --seed 1 --out drawn.csv")]
    Sample(predict::SampleArguments),
    /// Trains the capsule network on MNIST or a similar image set; can be stopped and resumed
    #[command(after_help = "Examples:\n  \
        em-routing train                                       train the default recipe into target/train/default-seed1\n  \
        em-routing train --resume                              resume it after Ctrl-C or a crash\n  \
        em-routing train --config blog --epochs 2 --seed 3     train the blog's network as published\n  \
        em-routing train --set first=8 --set second=8          train a smaller network\n  \
        em-routing train --config plain                        train a convolutional network without capsules\n  \
        em-routing train --data ~/fashion --out target/fashion train on other images")]
    Train(train::Arguments),
    /// Prints a trained network's error by class and draws its confusion matrix and worst mistakes
    #[command(after_help = "Examples:\n  \
        em-routing eval                                        evaluate the shipped network on MNIST's test set\n  \
        em-routing eval --weights target/train/default-seed1/network.safetensors --split validation")]
    Eval(eval::Arguments),
    /// Draws how a trained network routes one image to its class capsules
    #[command(after_help = "Examples:\n  \
        em-routing show --image 0                              draw the first test image into target/show/test-0.svg\n  \
        em-routing show --image 8 --out /tmp/routing.svg")]
    Show(show::Arguments),
    /// Draws image sets of familiar and novel views, which `train` and `eval` read; also reads smallNORB
    #[command(after_help = "Examples:\n  \
        em-routing render published                            draw a published test of novel viewpoints into target/views/published\n  \
        em-routing render solids --split elevation --size 48   draw solid bodies seen from familiar and novel heights\n  \
        em-routing render affine                               shift MNIST's training digits, transform its test digits\n  \
        em-routing render smallnorb ~/smallnorb                convert smallNORB's files, downloaded before")]
    Render(render::Arguments),
    /// Installs the Jupyter kernel and its Python environment; `run` and `lab` do this by themselves
    #[command(after_help = "Examples:\n  \
        em-routing setup                  install into the project's folder and the user's cache\n  \
        em-routing setup --user           also add the kernel to your own Jupyter or editor")]
    Setup {
        /// Also writes the kernelspec into your own Jupyter folder, where every Jupyter and editor finds it
        #[arg(long)]
        user: bool,
    },
    /// Lists what is installed, with versions and paths, and how to install what is missing
    #[command(after_help = "Example:\n  em-routing doctor")]
    Doctor,
    /// Runs the Jupyter kernel; kernel.json starts this command
    #[command(hide = true)]
    Kernel {
        /// Connection file from Jupyter
        #[arg(long)]
        connection_file: PathBuf,
        /// Ends the run when a cell panics
        #[arg(long)]
        strict: bool,
        /// Folder of the project
        #[arg(long)]
        project: PathBuf,
    },
}

/// Parses the arguments. The examples in the help name this program as the user started it, so that they can be copied.
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

/// Runs the command in the arguments and returns its exit code.
pub fn main() -> ExitCode {
    let command = arguments().command;
    let outcome =
        instructions_exist().and_then(|()| run(command)).and_then(|code| progress::all_said().map(|()| code));
    outcome.unwrap_or_else(|failure| {
        let _ = writeln!(std::io::stderr(), "\n{failure}");
        ExitCode::FAILURE
    })
}

/// Returns an error if `EM_ROUTING_INSTRUCTIONS` names instructions that this processor does not have. Else the results
/// would not have the bits that the user asks for.
fn instructions_exist() -> Outcome<()> {
    let wanted = std::env::var_os("EM_ROUTING_INSTRUCTIONS").unwrap_or_default();
    if wanted.is_empty() || wanted == em_routing::instruction_set() {
        return Ok(());
    }
    let words =
        format!("EM_ROUTING_INSTRUCTIONS is {wanted:?}: this processor has no such vector instructions");
    Err(Failure::new(words).mend("unset it, or set it to `portable`"))
}

/// Runs a command and returns its exit code.
fn run(command: Command) -> Outcome<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    match command {
        Command::Run { notebooks, out, save, jobs } => {
            Places::find().and_then(|places| run::run(&places, &notebooks, &out, save, jobs as usize))
        }
        Command::Lab { no_browser, port } => {
            Places::find().and_then(|places| lab::lab(&places, no_browser, port))
        }
        Command::Book { open, port } => Places::find().and_then(|places| book::command(&places, open, port)),
        Command::Figures { out, dark } => draw(&out, if dark { Palette::Dark } else { Palette::Light }),
        Command::Fit(arguments) => fit::fit(&arguments).map(|ended| code = ended),
        Command::Predict(arguments) => predict::predict(&arguments),
        Command::Score(arguments) => predict::score(&arguments),
        Command::Describe(arguments) => describe::describe(&arguments),
        Command::Sample(arguments) => predict::sample(&arguments),
        Command::Train(arguments) => train::train(&arguments).map(|ended| code = ended),
        Command::Eval(arguments) => eval::eval(&arguments),
        Command::Show(arguments) => show::show(&arguments),
        Command::Render(arguments) => render::render(&arguments),
        Command::Setup { user } => Places::find().and_then(|places| setup::command(&places, user)),
        Command::Doctor => Places::find().and_then(|places| doctor::doctor(&places)),
        Command::Kernel { connection_file, strict, project } => {
            kernel::launch(&project, &connection_file, strict)
        }
    }?;
    Ok(code)
}

fn draw(out: &std::path::Path, palette: Palette) -> Outcome<()> {
    let count = figures::draw_all(out, palette)?;
    say!("Open any of the {count} figures in a browser.");
    Ok(())
}
