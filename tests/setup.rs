//! `setup`, `run` and `lab` on machines that lack something. Scripts of the test stand in for rustc, cargo, rustup and Python.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A simulated machine: a project, a cache, and a PATH with only the programs that the test installs.
struct Machine {
    root: PathBuf,
}

const RUSTC: &str = r#"case "$1 $2" in
  "--print sysroot") echo "$ROOT/sysroot" ;;
  *) echo "rustc 1.95.0 (a fake)" ;;
esac"#;

/// A Python whose `-m venv` puts the script `environment-python` into the new environment as its python.
const PYTHON: &str = r#"case "$1" in
  -c) echo 3.12.1 ;;
  -m) mkdir -p "$3/bin" && cp "$ROOT/environment-python" "$3/bin/python" ;;
esac"#;

const GOOD_PIP: &str = r#"#!/bin/sh
echo "environment-python $*" >> "$ROOT/calls"
case "$2" in
  pip) echo "Collecting jupyterlab" ;;
  *) echo '{"event": "finished"}' ;;
esac"#;

const FULL_DISK_PIP: &str = r#"#!/bin/sh
echo "Collecting jupyterlab"
echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" >&2
exit 1"#;

impl Machine {
    fn new(name: &str) -> Machine {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("machine-{name}"));
        drop(fs::remove_dir_all(&root));
        for folder in ["project/notebooks", "project/src", "programs", "cache"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("project/Cargo.toml"), "[package]\nname = \"em-routing\"\n").unwrap();
        fs::write(root.join("project/Cargo.lock"), "").unwrap();
        for program in ["mkdir", "cp", "sh", "cat"] {
            let found = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
            let found = found.into_iter().find(|path| path.exists()).expect("a Unix program");
            std::os::unix::fs::symlink(found, root.join("programs").join(program)).unwrap();
        }
        Machine { root }
    }

    /// Installs a script as a program on the PATH.
    fn with(self, name: &str, script: &str) -> Machine {
        let root = self.root.display().to_string();
        let text = format!("#!/bin/sh\nROOT='{root}'\necho \"{name} $*\" >> \"$ROOT/calls\"\n{script}\n");
        executable(&self.root.join("programs").join(name), &text);
        self
    }

    fn with_environment_python(self, script: &str) -> Machine {
        let root = self.root.display().to_string();
        executable(&self.root.join("environment-python"), &script.replace("$ROOT", &root));
        self
    }

    fn with_sources(self) -> Machine {
        fs::create_dir_all(self.root.join("sysroot/lib/rustlib/src/rust/library/core")).unwrap();
        self
    }

    fn with_kernel(self) -> Machine {
        executable(&self.root.join("cache/evcxr_jupyter-0.22.0/bin/evcxr_jupyter"), "#!/bin/sh\n");
        self
    }

    /// Returns the command `em-routing` with these arguments, on this machine and in the project's folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_em-routing"));
        command
            .args(arguments)
            .current_dir(self.root.join("project"))
            .env_clear()
            .env("PATH", self.root.join("programs"))
            .env("HOME", self.root.join("home"))
            .env("EM_ROUTING_CACHE", self.root.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program; returns whether it succeeded, and its output.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs `em-routing setup`; returns whether it succeeded, and its output.
    fn setup(&self) -> (bool, String) {
        self.run(&["setup"])
    }

    /// Writes a notebook with these cells (JSON) at a path of this machine.
    fn notebook(&self, path: &str, cells: &str) -> PathBuf {
        let path = self.root.join(path);
        let text = format!(r#"{{"nbformat": 4, "nbformat_minor": 4, "metadata": {{}}, "cells": [{cells}]}}"#);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    #[track_caller]
    fn fails_with(&self, parts: &[&str]) {
        let (success, said) = self.setup();
        assert!(!success, "it succeeded: {said}");
        for part in parts {
            assert!(said.contains(part), "\"{part}\" is not in: {said}");
        }
    }

    #[track_caller]
    fn succeeds(&self) -> String {
        let (success, said) = self.setup();
        assert!(success, "{said}");
        said
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        text.lines().map(String::from).collect()
    }
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A machine on which nothing is missing.
fn ready(name: &str) -> Machine {
    let machine =
        Machine::new(name).with("rustc", RUSTC).with("cargo", "exit 1").with_sources().with_kernel();
    machine.with("python3", PYTHON).with_environment_python(GOOD_PIP)
}

#[test]
fn setup_without_rust_names_the_page_that_installs_it() {
    Machine::new("bare").fails_with(&["rustc is not on the PATH", "https://rustup.rs"]);
}

#[test]
fn setup_without_sources_and_rustup_names_the_component_rust_src() {
    Machine::new("no-rustup").with("rustc", RUSTC).fails_with(&[
        "sources are missing",
        "no rustup",
        "rust-src",
    ]);
}

#[test]
fn setup_blames_the_network_if_rustup_cannot_download() {
    let rustup = r#"[ "$1" = --version ] && exit 0
echo "error: could not download file: failed to resolve host" >&2; exit 1"#;
    Machine::new("offline").with("rustc", RUSTC).with("rustup", rustup).fails_with(&[
        "rustup failed",
        "failed to resolve host",
        "network",
    ]);
}

#[test]
fn setup_suggests_a_c_compiler_if_the_kernel_cannot_be_linked() {
    let cargo = r#"[ "$1 $2" = "install --locked" ] || exit 1
echo "   Compiling libc v0.2.0" >&2; echo 'error: linker `cc` not found' >&2; exit 101"#;
    Machine::new("no-linker").with("rustc", RUSTC).with_sources().with("cargo", cargo).fails_with(&[
        "cargo failed",
        "linker `cc` not found",
        "C compiler",
    ]);
}

#[test]
fn setup_without_python_names_the_package_to_install() {
    Machine::new("no-python").with("rustc", RUSTC).with_sources().with_kernel().fails_with(&[
        "no Python 3.10 or newer",
        "python3-venv",
        "EM_ROUTING_PYTHON",
    ]);
}

#[test]
fn setup_without_the_venv_module_names_the_package_to_install() {
    let python = r#"case "$1" in
  -c) echo 3.12.1 ;;
  -m) echo "The virtual environment was not created because ensurepip is not available." >&2; exit 1 ;;
esac"#;
    ready("no-venv").with("python3", python).fails_with(&["python3 failed", "apt install python3-venv"]);
}

#[test]
fn setup_continues_after_a_full_disk_and_then_has_nothing_to_do() {
    let machine = ready("full-disk").with_environment_python(FULL_DISK_PIP);
    machine.fails_with(&["No space left on device", "free some space"]);
    let machine = machine.with_environment_python(GOOD_PIP);
    machine.succeeds(); // the incomplete environment is made again
    let kernel = machine.root.join("project/target/jupyter/kernels/em-routing/kernel.json");
    assert!(fs::read_to_string(&kernel).unwrap().contains("Rust (em-routing)"));
    let before = machine.calls().len();
    machine.succeeds();
    let again = machine.calls().split_off(before);
    assert!(again.iter().all(|call| call.starts_with("rustc ")), "the second setup called {again:?}");
}

#[test]
fn setup_repeats_only_the_interrupted_step() {
    let machine = ready("cut-off");
    machine.succeeds();
    let environment = fs::read_dir(machine.root.join("cache")).unwrap().flatten().map(|entry| entry.path());
    let environment = environment.into_iter().find(|path| path.join("complete").exists()).unwrap();
    fs::remove_file(environment.join("complete")).unwrap();
    let before = machine.calls().len();
    machine.succeeds();
    let again = machine.calls().split_off(before);
    assert!(again.iter().any(|call| call.contains("pip install")), "{again:?}");
    assert!(!again.iter().any(|call| call.contains("--warm")), "the library was compiled again: {again:?}");
}

#[test]
fn setup_recompiles_the_library_for_changes_outside_the_commands() {
    let machine = ready("changed");
    machine.succeeds();
    let warm = |machine: &Machine| machine.calls().iter().filter(|call| call.contains("--warm")).count();
    assert_eq!(warm(&machine), 1);
    fs::create_dir_all(machine.root.join("project/src/cli")).unwrap();
    fs::write(machine.root.join("project/src/cli/mod.rs"), "// a command").unwrap();
    machine.succeeds();
    assert_eq!(warm(&machine), 1);
    fs::write(machine.root.join("project/src/coin.rs"), "// a coin").unwrap();
    machine.succeeds();
    assert_eq!(warm(&machine), 2);
}

#[test]
fn setup_names_a_cache_that_cannot_be_written() {
    let machine = ready("no-cache");
    fs::remove_dir_all(machine.root.join("cache")).unwrap();
    fs::write(machine.root.join("cache"), "a file where a folder should be").unwrap();
    machine.fails_with(&["machine-no-cache/cache"]);
}

/// A python that pretends to execute a notebook: it writes the outputs and reports two figures, whose names do not depend on the
/// notebook.
const EXECUTING_PYTHON: &str = r##"#!/bin/sh
case "$2" in
  pip) exit 0 ;;
  --warm) echo '{"event": "finished"}'; exit 0 ;;
esac
echo "executed $3" >> "$ROOT/calls"
echo '{"event": "kernel", "cells": 2}'
echo '{"event": "cell"}'
echo '{"event": "done", "number": 0}'
echo "executed $3" > "$4"
echo page > "$5"
echo "{\"event\": \"figure\", \"name\": \"curve\", \"svg\": \"<svg>${3##*/}</svg>\"}"
echo '{"event": "figure", "name": "same", "svg": "<svg/>"}'
echo '{"event": "finished"}'
"##;

const CODE: &str = r#"{"cell_type": "code", "metadata": {}, "source": "1"}"#;

#[test]
fn run_overwrites_neither_notebooks_nor_figures() {
    let machine = ready("overwrite").with_environment_python(EXECUTING_PYTHON);
    let first = machine.notebook("a/x.ipynb", CODE);
    machine.notebook("b/x.ipynb", CODE);
    machine.notebook("b/X.ipynb", CODE);
    let other = machine.notebook("b/y.ipynb", CODE);
    std::os::unix::fs::symlink(&first, machine.root.join("link.ipynb")).unwrap();
    let before = fs::read(&first).unwrap();
    for names in [["../a/x.ipynb", "../b/x.ipynb"], ["../a/x.ipynb", "../b/X.ipynb"]] {
        let (success, said) = machine.run(&[&["run", "--save"][..], &names].concat());
        assert!(!success && said.contains("same name") && said.contains(names[1]), "{said}");
    }
    for out in ["../a", "./../b/../a/", "../a/new/.."] {
        let (success, said) = machine.run(&["run", "../a/x.ipynb", "--out", out]);
        assert!(!success && said.contains("would overwrite") && said.contains("Next: "), "{said}");
    }
    for out in ["notebooks", "assets", "assets/figures", "notebooks/new"] {
        fs::create_dir_all(machine.root.join("project/assets")).unwrap();
        let (success, said) = machine.run(&["run", "../a/x.ipynb", "--out", out]);
        assert!(!success && said.contains("clone's own"), "{said}");
    }
    assert!(machine.calls().is_empty(), "something was started: {:?}", machine.calls());
    assert_eq!(fs::read(&first).unwrap(), before);

    // one file with three names is executed once; two figures with one name go to two files
    let names = ["../a/x.ipynb", "./../a/x.ipynb", "../link.ipynb", "../b/y.ipynb"];
    let (success, said) = machine.run(&[&["run", "--save"][..], &names].concat());
    assert!(success && !said.contains("NaN") && said.contains("2 notebooks in place"), "{said}");
    assert_eq!(machine.calls().iter().filter(|call| call.starts_with("executed")).count(), 2);
    let book = machine.root.join("project/target/book");
    let figure = |name: &str| fs::read_to_string(book.join("figures").join(name)).unwrap();
    assert_eq!(figure("curve.svg"), "<svg>x.ipynb</svg>");
    assert_eq!(figure("y-curve.svg"), "<svg>y.ipynb</svg>");
    assert!(!book.join("figures/y-same.svg").exists());
    assert!(fs::read_to_string(&first).unwrap().starts_with("executed"));
    assert!(fs::read_to_string(&other).unwrap().contains("y.ipynb"));
    // the notebooks lie outside the clone, so their figures are not saved in it
    assert!(!machine.root.join("project/assets/figures").exists(), "{said}");
}

#[test]
fn run_save_stores_the_figures_of_the_project_s_own_notebooks() {
    let machine = ready("save").with_environment_python(EXECUTING_PYTHON);
    machine.notebook("project/notebooks/own.ipynb", CODE);
    let (success, said) = machine.run(&["run", "--save"]);
    assert!(success, "{said}");
    let figures = machine.root.join("project/assets/figures");
    assert!(figures.join("curve.svg").exists() && figures.join("landscape.svg").exists());
}

/// Chapters and solutions have the same file names; a chapter, the appendix and the solutions have figures of one name.
#[test]
fn run_takes_chapters_appendix_and_solutions_and_keeps_them_apart() {
    let machine = ready("folders").with_environment_python(
        &EXECUTING_PYTHON
            .replace("${3##*/}", "${3##*/notebooks/}")
            .replace("echo page >", "echo \"page $3\" >"),
    );
    let names = ["01_x", "appendix/more", "solutions/01_x"];
    for name in names {
        machine.notebook(&format!("project/notebooks/{name}.ipynb"), CODE);
    }
    let (success, said) = machine.run(&["run", "--save"]);
    assert!(success && said.contains("3 notebooks in place"), "{said}");
    let (book, own) = (machine.root.join("project/target/book"), machine.root.join("project/notebooks"));
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    for name in names {
        assert!(read(own.join(format!("{name}.ipynb"))).trim_end().ends_with(&format!("{name}.ipynb")));
        assert!(read(book.join(format!("{name}.html"))).trim_end().ends_with(&format!("{name}.ipynb")));
    }
    let figure = |folder: &Path, name: &str| read(folder.join(format!("{name}.svg")));
    let (all, saved) = (book.join("figures"), machine.root.join("project/assets/figures"));
    assert_eq!(figure(&all, "curve"), "<svg>01_x.ipynb</svg>");
    assert_eq!(figure(&all, "appendix-more-curve"), "<svg>appendix/more.ipynb</svg>");
    assert_eq!(figure(&all, "solutions-01_x-curve"), "<svg>solutions/01_x.ipynb</svg>");
    assert_eq!(figure(&saved, "appendix-more-curve"), "<svg>appendix/more.ipynb</svg>");
    assert!(saved.join("curve.svg").exists() && !saved.join("solutions-01_x-curve.svg").exists(), "{said}");

    for name in names {
        machine.notebook(&format!("project/notebooks/{name}.ipynb"), CODE);
    }
    let before = machine.calls().len();
    let (success, said) = machine.run(&["run", "notebooks/solutions/01_x.ipynb", "notebooks/01_x.ipynb"]);
    assert!(success && said.contains("2 notebooks executed"), "{said}");
    let executed = machine.calls().split_off(before);
    assert_eq!(executed.iter().filter(|call| call.starts_with("executed")).count(), 2, "{executed:?}");
}

#[test]
fn run_save_keeps_a_notebook_that_changed_during_execution() {
    let script = EXECUTING_PYTHON.replace("echo page", "echo changed > \"$3\"; echo page");
    let machine = ready("changing").with_environment_python(&script);
    let own = machine.notebook("project/notebooks/own.ipynb", CODE);
    let (success, said) = machine.run(&["run", "--save"]);
    assert!(!success && said.contains("own.ipynb") && said.contains("not saved"), "{said}");
    assert_eq!(fs::read_to_string(own).unwrap(), "changed\n");
}

#[test]
fn run_reports_an_invalid_notebook_and_executes_the_others() {
    let machine = ready("odd").with_environment_python(EXECUTING_PYTHON);
    machine.notebook("project/notebooks/good.ipynb", CODE);
    let odd = machine.notebook("project/notebooks/odd.ipynb", "");
    for (contents, part) in [
        ("{\n \"cells\"", "line 2 column 8"),
        (r#"{"nbformat": 3, "worksheets": []}"#, "version 3"),
        (r#"{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [3]}"#, "cell 1 of 1"),
        (
            r#"{"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": {"language": "python"}}, "cells": []}"#,
            "python",
        ),
    ] {
        fs::write(&odd, contents).unwrap();
        let (success, said) = machine.run(&["run", "notebooks/odd.ipynb"]);
        assert!(!success && said.contains("odd.ipynb") && said.contains(part), "{said}");
        assert!(!said.contains("Traceback") && machine.calls().is_empty(), "{said}");
    }
    let (success, said) = machine.run(&["run", "notebooks"]);
    assert!(!success && said.contains("is a folder"), "{said}");
    let (success, said) = machine.run(&["run"]);
    assert!(!success && said.contains("1 of 2 notebooks failed") && said.contains("python"), "{said}");
    assert!(machine.root.join("project/target/book/good.ipynb").exists());
}

/// Set-up does not compile a reader's own notebook. If a shipped notebook's cell does not compile, set-up reports it.
#[test]
fn setup_succeeds_but_reports_if_notebooks_cannot_be_compiled_beforehand() {
    let machine = ready("warm");
    for (name, cells) in
        [("no-code", ""), ("own", r#"{"cell_type": "code", "metadata": {}, "source": "let own;"}"#)]
    {
        machine.notebook(&format!("project/notebooks/{name}.ipynb"), cells);
    }
    let known = r#"{"cell_type": "code", "metadata": {}, "source": ["let known", ";"]}"#;
    machine.notebook("project/notebooks/03_kmeans.ipynb", known);
    let below = r#"{"cell_type": "code", "metadata": {}, "source": ":dep x = { path = \"../..\" }"}"#;
    machine.notebook("project/notebooks/solutions/02_hidden_labels.ipynb", below);
    machine.succeeds();
    let warm = machine.calls().join("\n"); // a cell has several lines
    assert!(
        warm.contains("--warm") && warm.contains(":dep em-routing") && warm.contains("let known"),
        "{warm}"
    );
    assert!(!warm.contains("let own"), "{warm}");
    // set-up runs all cells in notebooks/
    assert!(warm.contains(r#":dep x = { path = \"..\" }"#) && !warm.contains("../.."), "{warm}");

    for (event, part) in [
        (r#"echo '{"event": "failed", "words": "no such crate", "source": "x"}'; exit 1"#, "no such crate"),
        ("echo Traceback; exit 1", "Traceback"),
        ("exit 0", "did not run"),
    ] {
        fs::write(machine.root.join("project/src/coin.rs"), event).unwrap();
        let script = format!("#!/bin/sh\necho \"python $*\" >> \"$ROOT/calls\"\n{event}\n");
        let environment =
            fs::read_dir(machine.root.join("cache")).unwrap().flatten().map(|entry| entry.path());
        let environment = environment.into_iter().find(|path| path.join("complete").exists()).unwrap();
        let script = script.replace("$ROOT", &machine.root.display().to_string());
        executable(&environment.join("bin/python"), &script);
        let said = machine.succeeds();
        assert!(said.contains(part) && said.contains("not compiled beforehand"), "{said}");
    }
}

/// Starts the program, waits until a stand-in has written its process numbers, kills only the program, and asserts that the other
/// processes end too.
#[cfg(target_os = "linux")]
fn takes_its_children_along(machine: &Machine, arguments: &[&str]) {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let file = machine.root.join("processes");
        drop(fs::remove_file(&file));
        let mut program = machine.command(arguments);
        let program = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let program = std::cell::RefCell::new(program);
        let within = |seconds: u64, what: &str, done: &dyn Fn() -> bool| {
            let started = Instant::now();
            while !done() {
                assert!(started.elapsed() < Duration::from_secs(seconds), "{signal}: {what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        within(60, "nothing was started", &|| {
            fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))
        });
        let numbers = fs::read_to_string(&file).unwrap();
        let number = program.borrow().id().to_string();
        Command::new("kill").args([signal, &number]).status().unwrap();
        // A shell's background job ignores SIGINT, and so does what it starts.
        within(60, "the program ignores the signal; are the tests a background job?", &|| {
            program.borrow_mut().try_wait().unwrap().is_some()
        });
        let alive = |number: &str| {
            let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
        };
        within(10, "a process still runs", &|| !numbers.split_whitespace().any(alive));
    }
}

/// A script that starts another process, writes both process numbers to a file, and waits.
#[cfg(target_os = "linux")]
const STAYS: &str = r#"/bin/sleep 300 &
echo $! $$ > "$ROOT/processes"
wait"#;

#[cfg(target_os = "linux")]
#[test]
fn a_killed_setup_leaves_no_process() {
    let cargo = format!("[ \"$1 $2\" = 'install --locked' ] || exit 1\n{STAYS}");
    let machine = Machine::new("killed").with("rustc", RUSTC).with_sources().with("cargo", &cargo);
    takes_its_children_along(&machine, &["setup"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_run_leaves_no_process() {
    let python = EXECUTING_PYTHON.replace("echo page", &format!("{STAYS}\necho page"));
    let machine = ready("killed-run").with_environment_python(&python);
    machine.notebook("project/notebooks/own.ipynb", CODE);
    takes_its_children_along(&machine, &["run"]);
}

/// A kernel ends when Jupyter is killed. A shell stands in for Jupyter and starts the kernel command, which starts a stand-in for
/// evcxr.
#[cfg(target_os = "linux")]
#[test]
fn a_kernel_ends_when_jupyter_is_killed() {
    let machine = Machine::new("kernel").with("rustc", RUSTC).with_kernel();
    let root = machine.root.display().to_string();
    let evcxr = format!("#!/bin/sh\n{STAYS}\n").replace("$ROOT", &root);
    executable(&machine.root.join("cache/evcxr_jupyter-0.22.0/bin/evcxr_jupyter"), &evcxr);
    let kernel =
        format!("'{}' kernel --connection-file x --project . &\nwait", env!("CARGO_BIN_EXE_em-routing"));
    let machine = machine.with("jupyter", &kernel);
    let mut jupyter = machine.command(&[]);
    let mut jupyter = {
        let mut command = Command::new(machine.root.join("programs/jupyter"));
        command.current_dir(machine.root.join("project")).env_clear();
        command.envs(jupyter.get_envs().filter_map(|(name, value)| Some((name, value?))));
        jupyter = command;
        jupyter.spawn().unwrap()
    };
    let file = machine.root.join("processes");
    let started = Instant::now();
    while !fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
        assert!(started.elapsed() < Duration::from_secs(30), "no kernel was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    let numbers = fs::read_to_string(&file).unwrap();
    jupyter.kill().unwrap();
    jupyter.wait().unwrap();
    let alive = |number: &str| {
        let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    let started = Instant::now();
    while numbers.split_whitespace().any(alive) {
        assert!(started.elapsed() < Duration::from_secs(10), "the kernel still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_runs_cannot_write_to_one_folder() {
    let python = EXECUTING_PYTHON.replace("echo page", "read -r line < \"$ROOT/go\"; echo page");
    let machine =
        ready("two-runs").with_environment_python(&python).with("mkfifo", "exec /usr/bin/mkfifo \"$@\"");
    let go = machine.root.join("go");
    assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
    machine.notebook("project/notebooks/own.ipynb", CODE);
    let first = machine.command(&["run", "--save"]).spawn().unwrap();
    let started = Instant::now();
    while !machine.calls().iter().any(|call| call.starts_with("executed")) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing was executed");
        std::thread::sleep(Duration::from_millis(20));
    }
    for flags in [&["run"][..], &["run", "--save", "--out", "other"]] {
        let (success, said) = machine.run(flags);
        assert!(!success && said.contains(&format!("process {}, since 20", first.id())), "{said}");
    }
    fs::write(&go, "\n").unwrap();
    assert!(first.wait_with_output().unwrap().status.success());
}

#[test]
fn lab_starts_jupyterlab_offline_in_the_same_process() {
    let machine = ready("lab");
    machine.succeeds();
    let environment = fs::read_dir(machine.root.join("cache")).unwrap().flatten().map(|entry| entry.path());
    let environment = environment.into_iter().find(|path| path.join("complete").exists()).unwrap();
    let lab = format!("#!/bin/sh\necho \"lab $$ $*\" >> '{}/calls'\nexit 3\n", machine.root.display());
    executable(&environment.join("bin/jupyter-lab"), &lab);
    let child = machine.command(&["lab", "--no-browser", "--port", "8899"]).spawn().unwrap();
    let number = child.id();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    let call = machine.calls().into_iter().find(|call| call.starts_with("lab ")).unwrap();
    // JupyterLab replaces the process that was started, so signals reach it
    assert!(call.starts_with(&format!("lab {number} ")), "{call}");
    for flag in [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--ip=127.0.0.1",
        "--port=8899",
        "--no-browser",
    ] {
        assert!(call.contains(flag), "{flag} is not in {call}");
    }
}
