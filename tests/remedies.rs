//! Every command printed after `Next:` works as printed, in the shell and the folder from which the program was started.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "support/small_set.rs"]
mod small_set;

use small_set::{Folder, checkpoints, em_routing};

/// Flags of `train` for the small set and a small network, so that a training takes a moment.
const SMALL: &str = "--minutes 0 --batch 4 --epochs 1 --set height=18 --set width=18 --set classes=3 --set features=2 \
                     --set deep-features=3 --set primary=2 --set first=2 --set second=2 --set shift=0";

/// A folder whose name needs quoting in a shell, with the image set in `the data`.
fn awkward(name: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(name);
    let inner = folder.out("it's a $(folder) \"here\"");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::rename(folder.out("data"), inner.join("the data")).unwrap();
    (folder, inner)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|words| String::from_utf8_lossy(words).into_owned()).concat()
}

/// Returns the commands printed after `Next:`.
fn next(words: &str) -> Vec<String> {
    words.lines().filter_map(|line| line.strip_prefix("Next: ")).map(String::from).collect()
}

/// Runs the program in this folder; the arguments are split at spaces.
fn run(here: &Path, arguments: &str) -> Output {
    em_routing(&arguments.split_whitespace().collect::<Vec<_>>()).current_dir(here).output().unwrap()
}

/// Runs a command in a shell in this folder.
fn types(here: &Path, command: &str) -> Output {
    Command::new("sh").args(["-c", command]).current_dir(here).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn succeeds(output: Output) -> String {
    let words = said(&output);
    assert!(output.status.success(), "{words}");
    words
}

/// Asserts that the program failed with these words and that the one command it proposes succeeds. Returns the command's output.
#[track_caller]
fn mends(here: &Path, output: Output, words: &[&str]) -> String {
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    let commands = next(&told);
    assert_eq!(commands.len(), 1, "{told}");
    let mended = types(here, &commands[0]);
    assert!(mended.status.success(), "after {told}\n{} did not succeed: {}", commands[0], said(&mended));
    said(&mended)
}

#[test]
fn suggested_commands_lead_from_train_to_eval_to_show() {
    let (_folder, here) = awkward("next");
    std::fs::rename(here.join("the data"), here.join("data")).unwrap();
    let mut words = succeeds(run(&here, &format!("train --data data --out out --validation 16 {SMALL}")));
    // from train to eval to show, with paths relative to the folder
    for step in ["eval", "show"] {
        let commands = next(&words);
        assert_eq!(commands.len(), 1, "{words}");
        assert!(commands[0].contains(step), "{words}");
        words = succeeds(types(&here, &commands[0]));
    }
    assert!(next(&words).is_empty() && here.join("target/show").is_dir(), "{words}");

    // absolute paths with characters that are special in a shell
    let (data, out) = (here.join("data"), here.join("an 'out'"));
    let mut train = em_routing(&["train", "--validation", "16"]);
    train.args(SMALL.split_whitespace()).arg("--data").arg(&data).arg("--out").arg(&out).current_dir("/");
    let words = succeeds(train.output().unwrap());
    let words = succeeds(types("/".as_ref(), &next(&words)[0]));
    assert!(words.contains("of 20)"), "not the 20 test images of this set: {words}");
}

#[test]
fn without_a_test_set_train_proposes_to_evaluate_on_other_images() {
    let folder = Folder::new("no-test");
    for part in ["images-idx3", "labels-idx1"] {
        std::fs::remove_file(folder.out("data").join(format!("t10k-{part}-ubyte"))).unwrap();
    }
    for (flags, count) in [("--out kept --validation 16", 16), ("--out all --all-images", 80)] {
        let words = succeeds(run(&folder.0, &format!("train --data data {flags} {SMALL}")));
        let words = succeeds(types(&folder.0, &next(&words)[0]));
        assert!(words.contains(&format!("of {count})")), "{words}");
    }
}

#[test]
fn a_stopped_training_prints_the_command_that_resumes_it() {
    let (_folder, here) = awkward("stopped");
    let mut train = em_routing(&["train", "--data", "the data", "--out", "an out", "--all-images"]);
    train.args(SMALL.split_whitespace()).args(["--epochs", "3000"]).current_dir(&here);
    let stop = |command: &mut Command| {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while checkpoints(&here.join("an out")).is_empty() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(500));
        // the child is the program itself: `exec` replaces the shell
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        said(&output)
    };
    let words = stop(&mut train);
    let again = next(&words).pop().unwrap();
    let words = stop(Command::new("sh").args(["-c", &format!("exec {again}")]).current_dir(&here));
    assert!(words.contains("goes to") || words.contains("go to"), "{words}");
    assert!(!words.contains("steps 0 to"), "{words}");
}

#[test]
fn the_error_for_settings_that_do_not_fit_the_images_suggests_settings_that_work() {
    let (_folder, here) = awkward("misfits");
    std::fs::rename(here.join("the data"), here.join("data")).unwrap();
    let train = |flags: &str| run(&here, &format!("train --data data {SMALL} {flags}"));
    mends(&here, train("--out channels --validation 16 --set channels=3"), &["--set channels=1"]);
    mends(&here, train("--out height --validation 16 --set height=19"), &["--set height=18"]);
    mends(&here, train("--out both --validation 16 --set height=40 --set width=21"), &["--set width=18"]);
    mends(&here, train("--out small --validation 16 --set height=14"), &["--set height=18"]);
    mends(
        &here,
        train("--out shift --validation 16 --set height=40 --set width=40 --set shift=20"),
        &["shift=17"],
    );
    mends(&here, train("--out classes --validation 16 --set classes=2"), &["label 2", "--set classes=3"]);
    mends(&here, train("--out batch --validation 16 --batch 65"), &["--batch of at most 64"]);
    let words = mends(&here, train("--out default"), &["80 images", "5000", "--validation 6"]);
    assert!(words.contains("74 images to train on and 6"), "{words}");
    mends(&here, train("--out whole --validation 80"), &["80 images", "up to 79"]);
    mends(&here, train("--out most --validation 78 --batch 78"), &["--batch of at most 2"]);
}

/// Deep features need at least 17 x 17 pixels. A network without them takes 14 x 14, but not 8 x 8.
#[test]
fn small_images_get_a_network_without_deep_features_or_an_error() {
    let write = |folder: &Folder, side: u32| {
        for (part, count) in [("train", 80u32), ("t10k", 20)] {
            let sizes = [count, side, side].map(u32::to_be_bytes);
            let mut images = [&[0, 0, 8, 3][..], sizes.as_flattened()].concat();
            images.extend((0..count * side * side).map(|pixel| (pixel % 251) as u8));
            std::fs::write(folder.out("data").join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        }
    };
    let folder = Folder::new("few-pixels");
    let train = |out: &str| run(&folder.0, &format!("train --data data --validation 16 {SMALL} --out {out}"));
    write(&folder, 14);
    mends(&folder.0, train("fourteen"), &["--set height=14", "--set deep-features=0"]);
    write(&folder, 8);
    let output = train("eight");
    let words = said(&output);
    assert!(!output.status.success() && words.contains("8 x 8") && next(&words).is_empty(), "{words}");
}

#[test]
fn an_earlier_training_is_resumed_or_left_alone() {
    let (_folder, here) = awkward("earlier");
    std::fs::rename(here.join("the data"), here.join("data")).unwrap();
    let train = |flags: &str| run(&here, &format!("train --data data {SMALL} {flags}"));
    succeeds(train("--validation 16 --out out"));
    mends(&here, train("--validation 16 --out out"), &["earlier training", "--resume"]);
    // other settings: the same folder cannot go on with them
    mends(&here, train("--validation 16 --out out --set second=3"), &["earlier training", "--out"]);
    assert!(here.join("out-2/network.safetensors").is_file());
    mends(&here, train("--validation 16 --out out --resume --set second=3"), &["second = 2"]);
    mends(&here, train("--validation 16 --out out --resume --seed 2"), &["seed = 1"]);
    // other images
    mends(&here, train("--validation 20 --out out --resume"), &["64 images", "16 images kept"]);
    mends(&here, train("--all-images --out out --resume"), &["64 images", "16 images kept"]);
    mends(&here, train("--out out --resume"), &["80 images", "16 images kept"]);
    mends(&here, train("--validation 16 --out nothing --resume"), &["no checkpoint"]);
    let labels = here.join("data/train-labels-idx1-ubyte");
    let mut bytes = std::fs::read(&labels).unwrap();
    bytes.swap(8, 9);
    std::fs::write(&labels, bytes).unwrap();
    mends(&here, train("--validation 16 --out out --resume"), &["other images"]);
    for path in checkpoints(&here.join("out")) {
        std::fs::write(path, "damaged").unwrap();
    }
    mends(&here, train("--validation 16 --out out --resume"), &["no other checkpoint"]);
    // a finished training whose checkpoints were deleted
    checkpoints(&here.join("out")).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let network = std::fs::read(here.join("out/network.safetensors")).unwrap();
    mends(&here, train("--validation 16 --out out"), &["network.safetensors", "earlier training", "--out"]);
    assert_eq!(std::fs::read(here.join("out/network.safetensors")).unwrap(), network);
}

#[test]
fn eval_and_show_propose_existing_weights_and_images() {
    let (_folder, here) = awkward("look");
    std::fs::rename(here.join("the data"), here.join("data")).unwrap();
    succeeds(run(&here, &format!("train --data data --validation 16 --out out {SMALL}")));
    let eval = |flags: &str| run(&here, &format!("eval --data data --out figures {flags}"));
    mends(&here, eval("--weights out"), &["network.safetensors"]);
    mends(&here, eval("--weights out/net.safetensors"), &["net.safetensors"]);
    let network = here.join("out/network.safetensors");
    mends(&here, eval("--weights out/network.safetensors --split validation"), &["80 images", "5000"]);
    mends(
        &here,
        eval("--weights out/network.safetensors --split validation --validation 0"),
        &["--validation"],
    );
    let show =
        |flags: &str| run(&here, &format!("show --data data --weights out/network.safetensors {flags}"));
    mends(&here, show("--image 20"), &["no image 20", "0 to 19"]);
    mends(&here, show("--image 7 --image 16 --split validation --validation 16"), &["0 to 15"]);
    std::fs::remove_file(&network).unwrap();
    mends(&here, eval("--weights out/network.safetensors"), &["checkpoint"]);
    let output = eval("");
    assert!(said(&output).contains("28 x 28") && said(&output).contains("18 x 18"), "{}", said(&output));
}

#[test]
fn eval_prints_the_error_even_if_figures_cannot_be_saved() {
    let folder = Folder::new("unsaved");
    succeeds(folder.train("out", &[]).output().unwrap());
    std::fs::write(folder.out("file"), "").unwrap();
    let output = run(&folder.0, "eval --data data --weights out/network.safetensors --out file/figures");
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(words.lines().last().unwrap().starts_with("test error "), "{words}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("file/figures"), "{output:?}");
    let output =
        run(&folder.0, "show --data data --weights out/network.safetensors --image 0 --out file/a.svg");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("iterations"));
}

/// Of two trainings started at once in a new folder, one trains; the other reports it and writes nothing.
#[test]
fn two_trainings_never_share_a_folder() {
    let folder = Folder::new("shared");
    let long = |more: &[&str]| {
        let mut train = folder.train_for("2000", "out", more);
        train.current_dir(&folder.0);
        train
    };
    let mut both = [long(&[]).spawn().unwrap(), long(&[]).spawn().unwrap()];
    let began = Instant::now();
    let loser = loop {
        if let Some(loser) = both.iter_mut().position(|child| child.try_wait().unwrap().is_some()) {
            break loser;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "both train");
        std::thread::sleep(Duration::from_millis(5));
    };
    let [first, second] = both;
    let (loser, winner) = if loser == 0 { (first, second) } else { (second, first) };
    let told = said(&loser.wait_with_output().unwrap());
    assert!(told.contains(&format!("process {}, since 20", winner.id())), "{told}");
    assert!(next(&told)[0].contains("--out") && next(&told)[0].contains("out-2"), "{told}");
    while checkpoints(&folder.out("out")).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    // `--resume` is refused too
    let told = said(&long(&["--resume"]).output().unwrap());
    assert!(told.contains(&format!("process {}", winner.id())), "{told}");
    assert!(Command::new("kill").args(["-KILL", &winner.id().to_string()]).status().unwrap().success());
    drop(winner.wait_with_output());
    let logs = std::fs::read_dir(folder.out("out")).unwrap();
    let logs =
        logs.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("tfevents"));
    assert_eq!(logs.count(), 1);
    // a killed training leaves no lock
    let mut resumed = long(&["--resume"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(resumed.try_wait().unwrap().is_none());
    resumed.kill().unwrap();
    resumed.wait().unwrap();
}

/// The printed name of the program depends on where the shell finds it.
#[test]
fn suggested_commands_begin_with_the_command_that_starts_this_program() {
    let folder = Folder::new("named");
    let programs = folder.out("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let own = Path::new(env!("CARGO_BIN_EXE_em-routing"));
    let missing = |here: &Path, path: &str| {
        let mut eval = em_routing(&["eval", "--weights"]);
        let output = eval.arg(folder.out("none")).current_dir(here).env("PATH", path).output().unwrap();
        next(&said(&output)).pop().unwrap()
    };
    let path = format!("{}:/usr/bin:/bin", programs.display());
    assert!(missing(&folder.0, &path).starts_with(&format!("{} eval ", own.display())));
    // another program of the same name is on the PATH
    std::fs::write(programs.join("em-routing"), "").unwrap();
    assert!(missing(&folder.0, &path).starts_with(&format!("{} eval ", own.display())));
    std::fs::remove_file(programs.join("em-routing")).unwrap();
    // in the clone: by cargo, if `cargo run` has built the program
    std::fs::write(programs.join("cargo"), "").unwrap();
    let clone = Path::new(env!("CARGO_MANIFEST_DIR"));
    let by_cargo = own == clone.join("target/release/em-routing");
    let expected =
        if by_cargo { "cargo run --release -- eval ".into() } else { format!("{} eval ", own.display()) };
    assert!(missing(&clone.join("src"), &path).starts_with(&expected));
    assert!(missing(&folder.0, &path).starts_with(&format!("{} eval ", own.display())));
    // on the PATH
    std::os::unix::fs::symlink(own, programs.join("em-routing")).unwrap();
    for here in [&folder.0, clone] {
        assert!(missing(here, &path).starts_with("em-routing eval "));
    }
}

#[test]
fn an_unknown_instruction_set_is_an_error_with_one_that_works() {
    let told = |instructions: &str| {
        let mut doctor = em_routing(&["doctor"]);
        let output = doctor.env("EM_ROUTING_INSTRUCTIONS", instructions).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, words) = told("avx9");
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("EM_ROUTING_INSTRUCTIONS is \"avx9\"") && words.contains("`portable`"), "{words}");
    for known in ["portable", em_routing::instruction_set(), ""] {
        let (_, words) = told(known);
        assert!(!words.contains("EM_ROUTING_INSTRUCTIONS"), "{words}");
    }
}
