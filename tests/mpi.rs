//! The commands `fit` and `train` on several ranks of MPI, with Open MPI's `mpirun` on this machine.
//!
//! Without the feature `mpi` or without `mpirun` these tests say that they are left out; `EM_ROUTING_NEED_MPI=1` makes that a
//! failure.

#[cfg(target_os = "linux")]
use std::process::Child;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use em_routing::data::csv;
use em_routing::prelude::*;
use rand::{Rng, SeedableRng};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/small_set.rs"]
mod small_set;

use folder::Folder;

const PROGRAM: &str = env!("CARGO_BIN_EXE_em-routing");

/// Whether this machine can run the tests.
fn has_mpi() -> bool {
    let needed = std::env::var_os("EM_ROUTING_NEED_MPI").is_some_and(|value| value == "1");
    let mpirun = Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
    let missing = match (cfg!(feature = "mpi"), mpirun) {
        (true, true) => return true,
        (false, _) => "the feature mpi (cargo test --features mpi)",
        (true, false) => "mpirun (Debian, Ubuntu: apt install openmpi-bin)",
    };
    assert!(!needed, "the tests of MPI need {missing}");
    println!("skipped: the tests of MPI need {missing}");
    false
}

/// The command in the folder, on this many ranks; 0 means without `mpirun`.
fn on_ranks(folder: &Folder, ranks: usize, words: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words.split_whitespace());
    let mut command = if ranks > 0 { ranks_of(ranks, &command) } else { command };
    command.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// This command on several ranks.
fn ranks_of(ranks: usize, command: &Command) -> Command {
    let mut all = Command::new("mpirun");
    all.args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string()]);
    all.arg(command.get_program()).args(command.get_args());
    all.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    all
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn succeeds(folder: &Folder, ranks: usize, words: &str) -> String {
    let output = on_ranks(folder, ranks, words).output().unwrap();
    assert!(output.status.success(), "{ranks} ranks, {words}: {}", said(&output));
    said(&output)
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Rows around a few centres: 15 chunks of sums.
fn rows() -> Array2<f64> {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut rows = Array2::zeros((30_000, 5));
    for mut row in rows.rows_mut() {
        let centre = f64::from(generator.gen_range(0..4));
        row.iter_mut().for_each(|x| *x = centre * 2.5 + generator.r#gen::<f64>() + generator.r#gen::<f64>());
    }
    rows
}

#[test]
fn any_number_of_ranks_writes_the_same_bytes() {
    if !has_mpi() {
        return;
    }
    let folder = Folder::new("mpi-bytes");
    let data = rows();
    let write = |name: &str, data: &Array2<f64>| npy::write(folder.0.join(name), data, npy::Precision::F64);
    write("t.npy", &data).unwrap();
    // three files: the parts of the ranks end inside of them
    write("a.npy", &data.slice(s![..11_000, ..]).to_owned()).unwrap();
    csv::write(folder.0.join("b.csv"), None, &data.slice(s![11_000..23_000, ..]).to_owned()).unwrap();
    write("c.npy", &data.slice(s![23_000.., ..]).to_owned()).unwrap();
    let mut weighted = data.clone();
    weighted.column_mut(4).iter_mut().enumerate().for_each(|(i, weight)| *weight = (i % 7) as f64 / 2.0);
    csv::write(folder.0.join("w.csv"), None, &weighted).unwrap();
    let mut holes = data;
    holes.iter_mut().enumerate().filter(|(i, _)| i * i % 11 == 3).for_each(|(_, x)| *x = f64::NAN);
    holes.slice_mut(s![12_000..12_010, ..]).fill(f64::NAN);
    write("holes.npy", &holes).unwrap();
    for words in [
        "fit mixture t.npy --components 5 --restarts 2",
        "fit mixture t.npy --components 2..4 --covariance diagonal --iterations 20",
        "fit mixture a.npy b.csv c.npy --components 3 --covariance tied --columns 5,2,1",
        "fit mixture w.csv --components 3 --weights 5 --iterations 20",
        "fit mixture holes.npy --components 3 --iterations 5",
        "fit kmeans t.npy --components 7 --restarts 3",
        // clusters without samples are moved
        "fit kmeans a.npy b.csv c.npy --components 90 --iterations 4",
        "fit kmeans holes.npy --components 4 --iterations 10",
        "fit kmeans w.csv --components 6 --weights 5 --threads 2",
    ] {
        succeeds(&folder, 0, &format!("{words} --out 0.json"));
        for ranks in [1, 2, 4] {
            let said = succeeds(&folder, ranks, &format!("{words} --out {ranks}.json"));
            assert_eq!(
                bytes(&folder, &format!("{ranks}.json")),
                bytes(&folder, "0.json"),
                "{ranks}: {words}"
            );
            assert_eq!(said.matches("Next: ").count(), 1, "one rank speaks: {said}");
        }
    }
    let names = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 6 + 4, "only inputs and outputs are left");
}

/// Returns the process of this rank that this `mpirun` has started.
#[cfg(target_os = "linux")]
fn process_of(mpirun: u32, rank: usize) -> Option<u32> {
    let has = |process: &u32| {
        let read = |name: &str| std::fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
        parent == Some(mpirun)
            && read("environ").split(|&byte| byte == 0).any(|word| word == variable.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(has)
}

/// Waits until the condition holds, or panics after a minute.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "after a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a rank and waits for the end of all, which name the rank and the signal.
#[cfg(target_os = "linux")]
fn kill_rank(mut running: Child, killed: usize) {
    let process = process_of(running.id(), killed).expect("the rank runs");
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
    wait_until("mpirun has not ended", || running.try_wait().unwrap().is_some());
    let output = running.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains(&format!("rank {killed} ")) && said.contains("signal 9"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_rank_ends_all_and_the_checkpoint_serves_any_number_of_ranks() {
    if !has_mpi() {
        return;
    }
    let folder = Folder::new("mpi-killed");
    npy::write(folder.0.join("t.npy"), &rows(), npy::Precision::F64).unwrap();
    let words = "fit mixture t.npy --components 6 --iterations 400 --tolerance -1";
    succeeds(&folder, 0, &format!("{words} --out whole.json"));
    for (ranks, killed, then) in [(4, 2, 2), (2, 0, 4), (4, 3, 0)] {
        let running = on_ranks(&folder, ranks, words).spawn().unwrap();
        let checkpoint = folder.0.join("model.json.checkpoint");
        wait_until("there is no checkpoint", || checkpoint.exists());
        kill_rank(running, killed);
        assert!(checkpoint.exists() && !folder.0.join("model.json").exists());
        succeeds(&folder, then, &format!("{words} --resume"));
        assert_eq!(bytes(&folder, "model.json"), bytes(&folder, "whole.json"), "{killed} of {ranks}");
        std::fs::remove_file(folder.0.join("model.json")).unwrap();
    }
}

#[test]
fn an_error_in_the_rows_of_one_rank_ends_all_with_its_message_once() {
    if !has_mpi() {
        return;
    }
    let folder = Folder::new("mpi-errors");
    let fails = |words: &str, message: &str| {
        let mut running = on_ranks(&folder, 4, words).spawn().unwrap();
        wait_until(words, || running.try_wait().unwrap().is_some());
        let output = running.wait_with_output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches(message).count(), 1, "{message:?} once: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    };
    let mut data = rows();
    csv::write(folder.0.join("t.csv"), None, &data).unwrap();
    let text = String::from_utf8(bytes(&folder, "t.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[20_000] = "1,2,x,4,5"; // rows 16384 to 24575 are those of rank 2
    folder.write("t.csv", lines.join("\n").as_bytes());
    fails("fit mixture t.csv --components 3", "t.csv: line 20001, column 3 is \"x\", which is not a number");
    data[(20_000, 1)] = f64::INFINITY;
    npy::write(folder.0.join("t.npy"), &data, npy::Precision::F64).unwrap();
    fails("fit kmeans t.npy --components 3", "t.npy: row 20001, column 2 (counted from 1) is inf");
    data.column_mut(1).fill(3.0);
    npy::write(folder.0.join("flat.npy"), &data, npy::Precision::F64).unwrap();
    fails("fit mixture flat.npy --components 3 --floor 0", "has collapsed");
    fails("fit mixture none.npy --components 3", "none.npy");
    fails("fit mixture t.npy --components 3 --out t.npy", "t.npy is also an input");
}

/// Returns the network, the last checkpoint, and the log without its times.
fn trained(folder: &small_set::Folder, out: &str) -> [Vec<u8>; 3] {
    let read = |name: &str| std::fs::read(folder.out(out).join(name)).unwrap();
    let log = String::from_utf8(read("log.csv")).unwrap();
    let untimed = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        [&columns[..4], &columns[5..]].concat().join(",")
    };
    let log: Vec<String> = log.lines().map(untimed).collect();
    assert_eq!(log.len(), 5, "four epochs");
    let newest = small_set::checkpoints(&folder.out(out)).pop().expect("at least one checkpoint");
    [read("network.safetensors"), std::fs::read(newest).unwrap(), log.join("\n").into_bytes()]
}

#[test]
fn any_number_of_ranks_trains_to_the_same_bytes() {
    if !has_mpi() {
        return;
    }
    let folder = small_set::Folder::new("mpi-train");
    for (name, flags) in [
        ("capsules", &["--threads", "1"][..]),
        ("plain", &["--threads", "1", "--config", "plain"]),
        // the last rank has no image of the validation set
        ("few", &["--threads", "2", "--set", "iterations=3", "--validation", "3"]),
    ] {
        let whole = folder.train(&format!("{name}-0"), flags).output().unwrap();
        assert!(whole.status.success(), "{}", said(&whole));
        for ranks in [1, 2, 4] {
            let out = format!("{name}-{ranks}");
            let output = ranks_of(ranks, &folder.train(&out, flags)).output().unwrap();
            assert!(output.status.success(), "{ranks} ranks, {flags:?}: {}", said(&output));
            assert!(trained(&folder, &out) == trained(&folder, &format!("{name}-0")), "{ranks}: {flags:?}");
            assert_eq!(said(&output).matches("Next: ").count(), 1, "one rank speaks: {}", said(&output));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_training_goes_on_after_a_rank_was_killed() {
    if !has_mpi() {
        return;
    }
    let folder = small_set::Folder::new("mpi-train-killed");
    assert!(folder.train("whole", &[]).output().unwrap().status.success());
    for (ranks, killed, then) in [(4, 3, 2), (2, 0, 4)] {
        let out = format!("killed-{killed}");
        let running = ranks_of(ranks, &folder.train(&out, &["--threads", "1"])).spawn().unwrap();
        let begun = || {
            let newest = small_set::checkpoints(&folder.out(&out)).pop();
            newest.is_some_and(|path| !path.ends_with("checkpoint-00000000.safetensors"))
        };
        wait_until("there is no checkpoint", begun);
        kill_rank(running, killed);
        assert!(!folder.out(&out).join("network.safetensors").exists());
        let output = ranks_of(then, &folder.train(&out, &["--threads", "1", "--resume"])).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let network = |out: &str| std::fs::read(folder.out(out).join("network.safetensors")).unwrap();
        assert!(network(&out) == network("whole"), "{killed} of {ranks}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_training_is_saved() {
    if !has_mpi() {
        return;
    }
    let folder = small_set::Folder::new("mpi-train-stopped");
    let mut running = ranks_of(2, &folder.train_for("9000", "out", &["--threads", "1"])).spawn().unwrap();
    wait_until("there is no checkpoint", || small_set::checkpoints(&folder.out("out")).len() > 1);
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    wait_until("mpirun has not ended", || running.try_wait().unwrap().is_some());
    let said = said(&running.wait_with_output().unwrap());
    assert!(said.contains("stopped after ") && said.contains("To resume:\nNext: "), "{said}");
}

#[test]
fn a_training_that_ranks_cannot_share_ends_with_one_message() {
    if !has_mpi() {
        return;
    }
    let folder = small_set::Folder::new("mpi-train-errors");
    let fails = |ranks: usize, flags: &[&str], message: &str| {
        let mut running = ranks_of(ranks, &folder.train("out", flags)).spawn().unwrap();
        wait_until(message, || running.try_wait().unwrap().is_some());
        let said = said(&running.wait_with_output().unwrap());
        assert_eq!(said.matches(message).count(), 1, "{message:?} once: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(!folder.out("out").join("network.safetensors").exists());
    };
    fails(5, &[], "a batch has 4 images, too few for 5 processes");
    fails(2, &["--set", "height=30"], "ask for [30, 18, 1]");
    fails(2, &["--resume"], "holds no checkpoint to resume from");
    fails(2, &["--set", "pose-gain=1e30"], "step 0 ");
}

/// Set as `mpirun` sets it, but for one process.
#[cfg(not(feature = "mpi"))]
#[test]
fn without_the_feature_mpirun_gets_an_error() {
    let folder = Folder::new("mpi-without");
    folder.write("t.csv", b"1,2\n2,1\n3,3\n");
    for (rank, message) in [(0, true), (1, false)] {
        let mut command = on_ranks(&folder, 0, "fit kmeans t.csv --components 1");
        command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", rank.to_string());
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), !message);
        assert_eq!(said(&output).contains("has no MPI"), message, "{}", said(&output));
    }
}
