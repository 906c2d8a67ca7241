//! Executes every notebook in the real kernel, and one that must fail. Runs without the default harness, to show progress.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use em_routing::draw::Palette;

type Test<'a> = (&'static str, &'a dyn Fn() -> Result<(), String>);

/// Number of digits that notebook 9 trains on here instead of 11,000. It takes half a minute and must learn far more than chance.
const TRAIN_IMAGES: (&str, &str) = ("EM_ROUTING_TRAIN_IMAGES", "2000");

/// Runs `em-routing run` and returns whether it succeeded, and what it printed to stderr.
fn run(arguments: &[&Path], capture: bool) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_em-routing"));
    command
        .arg("run")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env(TRAIN_IMAGES.0, TRAIN_IMAGES.1);
    if capture {
        let output = command.output().expect("the program can be started");
        return (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned());
    }
    (command.status().expect("the program can be started").success(), String::new())
}

/// All notebooks run to the end in the strict kernel, in which a panic ends the run.
fn every_notebook_runs(out: &Path) -> Result<(), String> {
    match run(&["--out".as_ref(), out], false) {
        (true, _) => Ok(()),
        (false, _) => Err("a notebook failed; its cell and error are above".into()),
    }
}

/// Figures of the network in f32, whose last bits depend on the processor (with AVX-512, matrix products are summed in another
/// order). They are compared byte for byte only on one machine, and not with the committed ones.
const OF_F32_PASSES: [&str; 7] = [
    "blog-features",
    "digit-features",
    "deep-features",
    "digit-routing",
    "position-assignments",
    "vote-agreement",
    "class-votes",
];

/// Each figure in a notebook equals, byte for byte, the one drawn without a kernel and the one in assets/figures/.
fn the_figures_are_the_library_s(out: &Path) -> Result<(), String> {
    let mut compared = 0;
    let written = |chapter: u8| {
        let names =
            std::fs::read_dir("notebooks").into_iter().flatten().flatten().map(|file| file.file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with(&format!("{chapter:02}_")))
    };
    // Skip chapters whose notebook is not written yet; their figures may exist already.
    let chapters = (1..=11).filter(|&chapter| written(chapter as u8));
    for (name, draw) in chapters.flat_map(em_routing::figures::of_chapter) {
        let drawn = draw().map_err(|error| error.to_string())?.svg(Palette::Light);
        let one_machine = OF_F32_PASSES.contains(name);
        let committed = (!one_machine).then(|| PathBuf::from("assets/figures"));
        for folder in committed.into_iter().chain([out.join("figures")]) {
            let path = folder.join(format!("{name}.svg"));
            let shown =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if shown != drawn {
                return Err(format!("{} is not the figure that the library draws", path.display()));
            }
            compared += 1;
        }
    }
    if compared == 0 { Err("there is no figure".into()) } else { Ok(()) }
}

/// The committed notebooks are up to date: each code cell has outputs of the same types as in this run.
fn the_committed_outputs_are_current(out: &Path) -> Result<(), String> {
    let read = |path: &Path| -> Result<serde_json::Value, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut compared = 0;
    for path in committed_notebooks()? {
        let within = path.strip_prefix("notebooks").map_err(|error| error.to_string())?;
        let (committed, executed) = (read(&path)?, read(&out.join(within))?);
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 3_000_000) {
            return Err(format!("{} is over 3 MB", path.display()));
        }
        let cells = |notebook: &serde_json::Value| notebook["cells"].as_array().cloned().unwrap_or_default();
        for (index, (before, now)) in cells(&committed).iter().zip(cells(&executed)).enumerate() {
            let kinds = |cell: &serde_json::Value| -> Vec<String> {
                let outputs = cell["outputs"].as_array().cloned().unwrap_or_default();
                let media = |output: &serde_json::Value| -> Vec<String> {
                    let kinds = output["data"].as_object().into_iter().flat_map(|data| data.keys());
                    let mut kinds: Vec<String> = kinds.cloned().collect();
                    kinds.sort();
                    kinds
                };
                outputs
                    .iter()
                    .map(|output| format!("{} {:?}", output["output_type"], media(output)))
                    .collect()
            };
            if kinds(before) != kinds(&now) {
                return Err(format!(
                    "{}, cell {index}: its committed outputs are out of date; cargo run --release -- run --save",
                    path.display()
                ));
            }
            // evcxr falls back to the debug form if it cannot show a value, for example one made from a variable that it moves.
            if ["Table {", "Figure {"].iter().any(|debug| now["outputs"].to_string().contains(debug)) {
                return Err(format!(
                    "{}, cell {index} shows a figure or a table in its debug form",
                    path.display()
                ));
            }
            let drawn =
                kinds(&now).into_iter().filter(|kinds| kinds.contains("svg") || kinds.contains("png"));
            let bundle = r#""execute_result" ["image/png", "image/svg+xml", "text/plain"]"#;
            if let Some(other) = drawn.into_iter().find(|kinds| kinds != bundle) {
                return Err(format!("{}, cell {index}: a figure is stored as {other}", path.display()));
            }
            compared += 1;
        }
    }
    if compared == 0 { Err("there is no notebook".into()) } else { Ok(()) }
}

/// The chapters, the appendix and the solutions.
fn committed_notebooks() -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for folder in ["notebooks", "notebooks/appendix", "notebooks/solutions"].map(Path::new) {
        if folder.is_dir() {
            let entries =
                std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ipynb"));
    Ok(paths)
}

/// Output that arrives late is attributed to its own cell. Simulated, because the kernel is late only once in hundreds of cells.
fn a_late_line_is_its_cell_s() -> Result<(), String> {
    of_the_executor("tests/notebooks/late_output.py")
}

/// A file that is not a notebook is reported in one sentence; every valid notebook gets an HTML page.
fn odd_files_are_told() -> Result<(), String> {
    of_the_executor("tests/notebooks/odd_files.py")
}

/// A figure has a PNG beside its SVG, also where no font is installed, and survives a viewer that removes what it does not trust.
fn figures_travel(out: &Path) -> Result<(), String> {
    let figures = [out.join("figures/bound-animation.svg"), out.join("figures/bound-animation-strip.svg")];
    of_the_executor_with("tests/notebooks/figures_travel.py", &figures)
}

/// Runs a test of execute.py, after `every_notebook_runs`, which sets up the Python environment.
fn of_the_executor(script: &str) -> Result<(), String> {
    of_the_executor_with(script, &[])
}

fn of_the_executor_with(script: &str, files: &[PathBuf]) -> Result<(), String> {
    let words = |output: std::process::Output| {
        [output.stdout, output.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat()
    };
    let doctor = Command::new(env!("CARGO_BIN_EXE_em-routing")).arg("doctor").output();
    let told = words(doctor.map_err(|error| error.to_string())?);
    let environment = told.lines().find(|line| line.contains("Python environment"));
    let folder = environment.and_then(|line| line.split_once(", ")).ok_or(&told)?.1;
    let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let output = Command::new(Path::new(folder).join(python))
        .args([script, "src/cli/jupyter/execute.py"])
        .args(files)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("{folder}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(words(output)) }
}

/// A failed check in a cell fails the run; the error names the notebook, the cell and the message.
fn a_failed_check_fails_the_run(out: &Path) -> Result<(), String> {
    let notebook = Path::new("tests/notebooks/must_fail.ipynb");
    let (success, words) = run(&[notebook, "--out".as_ref(), out], true);
    let expected = ["must_fail.ipynb, code cell 3 of 4", "coin A should be the rarer one"];
    if success {
        return Err("the run succeeded although a check in it fails".into());
    }
    match expected.iter().find(|part| !words.contains(*part)) {
        Some(part) => Err(format!("\"{part}\" is not in the output of the run:\n{words}")),
        None => Ok(()),
    }
}

/// A missing notebook is named before anything is set up.
fn a_missing_notebook_is_named(out: &Path) -> Result<(), String> {
    let (success, words) = run(&[Path::new("notebooks/99_none.ipynb"), "--out".as_ref(), out], true);
    if !success && words.contains("notebooks/99_none.ipynb is not a file") { Ok(()) } else { Err(words) }
}

fn main() -> ExitCode {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("book");
    let failing = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("book-that-fails");
    let tests: [Test; 8] = [
        ("a_missing_notebook_is_named", &|| a_missing_notebook_is_named(&failing)),
        ("every_notebook_runs", &|| every_notebook_runs(&out)),
        ("a_late_line_is_its_cell_s", &a_late_line_is_its_cell_s),
        ("odd_files_are_told", &odd_files_are_told),
        ("figures_travel", &|| figures_travel(&out)),
        ("the_figures_are_the_library_s", &|| the_figures_are_the_library_s(&out)),
        ("the_committed_outputs_are_current", &|| the_committed_outputs_are_current(&out)),
        ("a_failed_check_fails_the_run", &|| a_failed_check_fails_the_run(&failing)),
    ];
    let started = Instant::now();
    println!("\nrunning {} tests", tests.len());
    let mut failed = 0;
    for (name, test) in tests {
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(words) => {
                failed += 1;
                println!("test {name} ... FAILED\n{words}");
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s\n",
        tests.len() - failed,
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
