//! The set-up on machines that lack something, played by programs of the test's own: what it says, and where it goes on.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine: a project, a cache, and only those programs that are put on it.
struct Machine {
    root: PathBuf,
}

const RUSTC: &str = r#"case "$1 $2" in
  "--print sysroot") echo "$ROOT/sysroot" ;;
  *) echo "rustc 1.95.0 (a fake)" ;;
esac"#;

/// Makes environments whose own python installs what it is told to, and runs the first cell.
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

    /// Puts a program on the machine.
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

    /// Runs `em-routing setup` there: whether it succeeded, and all that it said.
    fn setup(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_em-routing"))
            .arg("setup")
            .current_dir(self.root.join("project"))
            .env_clear()
            .env("PATH", self.root.join("programs"))
            .env("HOME", self.root.join("home"))
            .env("EM_ROUTING_CACHE", self.root.join("cache"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
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

/// A machine that has all but what a test takes away.
fn ready(name: &str) -> Machine {
    let machine =
        Machine::new(name).with("rustc", RUSTC).with("cargo", "exit 1").with_sources().with_kernel();
    machine.with("python3", PYTHON).with_environment_python(GOOD_PIP)
}

#[test]
fn without_rust() {
    Machine::new("bare").fails_with(&["rustc is not on the PATH", "https://rustup.rs"]);
}

#[test]
fn without_the_sources_and_without_rustup() {
    Machine::new("no-rustup").with("rustc", RUSTC).fails_with(&[
        "sources are missing",
        "no rustup",
        "rust-src",
    ]);
}

#[test]
fn rustup_without_a_network() {
    let rustup = r#"[ "$1" = --version ] && exit 0
echo "error: could not download file: failed to resolve host" >&2; exit 1"#;
    Machine::new("offline").with("rustc", RUSTC).with("rustup", rustup).fails_with(&[
        "rustup failed",
        "failed to resolve host",
        "network",
    ]);
}

#[test]
fn a_kernel_that_cannot_be_linked() {
    let cargo = r#"[ "$1 $2" = "install --locked" ] || exit 1
echo "   Compiling libc v0.2.0" >&2; echo 'error: linker `cc` not found' >&2; exit 101"#;
    Machine::new("no-linker").with("rustc", RUSTC).with_sources().with("cargo", cargo).fails_with(&[
        "cargo failed",
        "linker `cc` not found",
        "C compiler",
    ]);
}

#[test]
fn without_python() {
    Machine::new("no-python").with("rustc", RUSTC).with_sources().with_kernel().fails_with(&[
        "no Python 3.10 or newer",
        "python3-venv",
        "EM_ROUTING_PYTHON",
    ]);
}

#[test]
fn python_without_its_venv_module() {
    let python = r#"case "$1" in
  -c) echo 3.12.1 ;;
  -m) echo "The virtual environment was not created because ensurepip is not available." >&2; exit 1 ;;
esac"#;
    ready("no-venv").with("python3", python).fails_with(&["python3 failed", "apt install python3-venv"]);
}

#[test]
fn a_full_disk_then_room_then_nothing_to_do() {
    let machine = ready("full-disk").with_environment_python(FULL_DISK_PIP);
    machine.fails_with(&["No space left on device", "free some space"]);
    let machine = machine.with_environment_python(GOOD_PIP);
    machine.succeeds(); // the environment that was cut off is made anew
    let kernel = machine.root.join("project/target/jupyter/kernels/em-routing/kernel.json");
    assert!(fs::read_to_string(&kernel).unwrap().contains("Rust (em-routing)"));
    let before = machine.calls().len();
    machine.succeeds();
    let again = machine.calls().split_off(before);
    assert!(again.iter().all(|call| call.starts_with("rustc ")), "a second start did {again:?}");
}

#[test]
fn what_was_cut_off_is_done_again_and_only_that() {
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
fn a_change_of_the_library_is_compiled_and_a_change_of_the_commands_is_not() {
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
fn a_cache_that_cannot_be_written_is_named() {
    let machine = ready("no-cache");
    fs::remove_dir_all(machine.root.join("cache")).unwrap();
    fs::write(machine.root.join("cache"), "a file where a folder should be").unwrap();
    machine.fails_with(&["machine-no-cache/cache"]);
}
