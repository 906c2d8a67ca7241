//! The commands `train`, `eval` and `show` as a user runs them: stopped at any moment, and with all kinds of errors.

use std::process::{Child, Command, Output};
use std::time::Duration;

use rand::{Rng, SeedableRng};

#[path = "support/small_set.rs"]
mod small_set;

use small_set::{Folder, checkpoints, em_routing};

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(command: &mut Command, words: &[&str]) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{command:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn kill_after(mut child: Child, milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
    child.kill().unwrap(); // SIGKILL on Unix
    child.wait().unwrap();
}

/// SIGKILL at random moments, with one to three threads.
#[test]
fn a_training_that_is_killed_repeatedly_ends_with_the_same_bytes() {
    let folder = Folder::new("killed");
    let said = succeeds(&mut folder.train("whole", &["--threads", "1"]));
    assert!(said.contains("validation error") && said.contains("network.safetensors"), "{said}");
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut resumed = 0;
    for round in 0..3 {
        let out = format!("killed-{round}");
        for _ in 0..8 {
            let threads = generator.gen_range(1..=3).to_string();
            let begun = !checkpoints(&folder.out(&out)).is_empty();
            resumed += usize::from(begun);
            let flags: &[&str] =
                if begun { &["--resume", "--threads", &threads] } else { &["--threads", &threads] };
            kill_after(folder.train(&out, flags).spawn().unwrap(), generator.gen_range(5..120));
            // even if a write was interrupted, each checkpoint must be complete
            for path in checkpoints(&folder.out(&out)) {
                em_routing::capsnet::Training::load(&path, 1).unwrap();
            }
        }
        let begun = !checkpoints(&folder.out(&out)).is_empty();
        let more: &[&str] = if begun { &["--resume"] } else { &[] };
        succeeds(&mut folder.train(&out, more));
        for file in ["network.safetensors", "checkpoint-00000064.safetensors"] {
            let [whole, killed] =
                ["whole", &out].map(|out| std::fs::read(folder.out(out).join(file)).unwrap());
            assert!(whole == killed, "{file} of round {round} differs");
        }
        let epochs = |out: &str| -> Vec<String> {
            let text = std::fs::read_to_string(folder.out(out).join("log.csv")).unwrap();
            // the loss is a mean since the last start, so it may differ; epoch, step and validation may not
            let columns = |line: &str| {
                let columns: Vec<&str> = line.split(',').collect();
                [&columns[..2], &columns[5..]].concat().join(",")
            };
            text.lines().map(columns).collect()
        };
        assert_eq!(epochs("whole"), epochs(&out));
        assert_eq!(checkpoints(&folder.out(&out)).len(), 2);
        let left = std::fs::read_dir(folder.out(&out)).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
    }
    assert!(resumed > 0);
}

/// SIGTERM is handled like Ctrl-C: the command finishes and saves the step, and prints how to continue.
#[cfg(unix)]
#[test]
fn a_signal_saves_a_checkpoint_and_prints_how_to_continue() {
    let folder = Folder::new("signal");
    let child = folder.train_for("2000", "long", &[]).spawn().unwrap();
    let began = std::time::Instant::now();
    while checkpoints(&folder.out("long")).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped after") && said.contains("train --resume --out"), "{said}");
    let last = checkpoints(&folder.out("long")).pop().unwrap();
    let (training, images) = em_routing::capsnet::Training::load(&last, 1).unwrap();
    assert!(training.step > 0 && images == 64);
    // the printed command must work
    let way_on = said.lines().find_map(|line| line.strip_prefix("Next: ")).unwrap();
    let (_, words) = way_on.split_once("train ").unwrap();
    let child = em_routing(&["train"]).args(words.split(' ')).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("; steps {} to ", training.step)), "{said}");
}

#[test]
fn a_damaged_checkpoint_is_replaced_by_the_one_before() {
    let folder = Folder::new("damaged");
    succeeds(&mut folder.train("out", &[]));
    let network = folder.out("out").join("network.safetensors");
    let whole = std::fs::read(&network).unwrap();
    let mut kept = checkpoints(&folder.out("out"));
    let newest = kept.pop().unwrap();
    let (before, _) = em_routing::capsnet::Training::load(kept.pop().unwrap(), 1).unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() - 5]).unwrap();
    let said = succeeds(&mut folder.train("out", &["--resume"]));
    assert!(before.step < 64);
    assert!(said.contains("damaged") && said.contains(&format!("steps {} to 64", before.step)), "{said}");
    assert_eq!(std::fs::read(&network).unwrap(), whole);
    assert!(newest.with_extension("safetensors.damaged").exists());

    // if all checkpoints are damaged: an error, and no file is moved
    for path in checkpoints(&folder.out("out")) {
        std::fs::write(&path, b"nothing").unwrap();
    }
    let before = checkpoints(&folder.out("out"));
    fails(&mut folder.train("out", &["--resume"]), &["checkpoint-00000064", "no other checkpoint"]);
    assert_eq!(checkpoints(&folder.out("out")), before);
}

#[test]
fn errors_name_their_cause_and_keep_earlier_checkpoints() {
    let folder = Folder::new("faults");
    succeeds(&mut folder.train("out", &[]));
    let state = |folder: &Folder| -> Vec<Vec<u8>> {
        checkpoints(&folder.out("out")).iter().map(|path| std::fs::read(path).unwrap()).collect()
    };
    let before = state(&folder);
    fails(&mut folder.train("out", &[]), &["earlier training", "--resume"]);
    fails(
        &mut folder.train("out", &["--resume", "--set", "margin=constant:0.5"]),
        &["margin", "constant:0.5"],
    );
    fails(&mut folder.train("out", &["--resume", "--seed", "2"]), &["seed = 1", "2 is asked for"]);
    let resumed = folder.train("out", &["--resume", "--all-images"]);
    let mut other = em_routing(&[]);
    other.args(resumed.get_args().filter(|argument| *argument != "--validation" && *argument != "16"));
    fails(&mut other, &["64 images", "80"]);
    // the same number of images, but the labels of two are exchanged
    let labels = folder.0.join("data").join("train-labels-idx1-ubyte");
    let whole = std::fs::read(&labels).unwrap();
    let mut exchanged = whole.clone();
    exchanged.swap(8, 9);
    std::fs::write(&labels, exchanged).unwrap();
    fails(&mut folder.train("out", &["--resume"]), &["checkpoint-00000064", "other images than these"]);
    std::fs::write(&labels, whole).unwrap();

    fails(&mut folder.train("new", &["--set", "no-such=1"]), &["no-such", "learning-rate"]);
    fails(&mut folder.train("new", &["--set", "features"]), &["NAME=VALUE"]);
    fails(&mut folder.train("new", &["--set", "learning-rate=fast"]), &["learning-rate", "fast"]);
    fails(&mut folder.train("new", &["--set", "features=99999999999"]), &["features", "65536"]);
    fails(
        &mut folder.train("new", &["--set", "features=60000", "--set", "deep-features=60000"]),
        &["number of parameters"],
    );
    fails(&mut folder.train("new", &["--set", "classes=2"]), &["label 2", "2 classes", "train-labels"]);
    fails(&mut folder.train("new", &["--set", "height=19"]), &["--set height=18"]);
    let with = |flag: &str, value: &str| {
        let train = folder.train("new", &[]);
        let mut words: Vec<std::ffi::OsString> = train.get_args().map(Into::into).collect();
        let at = words.iter().position(|word| word == flag).unwrap() + 1;
        words[at] = value.into();
        let mut other = em_routing(&[]);
        other.args(words);
        other
    };
    fails(&mut with("--batch", "65"), &["65", "64", "--batch of at most 64"]);
    fails(&mut with("--minutes", "inf"), &["--minutes is inf"]);
    let settings = folder.out("settings");
    std::fs::write(&settings, "margin = wide\n").unwrap();
    let named = settings.display().to_string();
    fails(&mut folder.train("new", &["--config", &named]), &[&named, "margin", "wide"]);
    // failed starts leave nothing behind that prevents a correct one
    succeeds(&mut folder.train("new", &["--set", "height=18"]));
    fails(
        em_routing(&["train", "--data"]).arg(folder.out("nowhere")),
        &["nowhere", "train-images-idx3-ubyte"],
    );
    let file = folder.out("file");
    std::fs::write(&file, "").unwrap();
    fails(&mut folder.train("file/out", &[]), &["file"]);
    // a place where even root cannot create files
    if cfg!(target_os = "linux") {
        let mut train = em_routing(&["train", "--validation", "16", "--out", "/sys/em-routing", "--data"]);
        train.arg(folder.0.join("data")).args(["--set", "height=18", "--set", "width=18"]);
        fails(&mut train, &["/sys/em-routing"]);
    }
    assert_eq!(state(&folder), before);
}

/// A data set in the form of EMNIST's letters: other file names, images column by column, labels from 1. The weights file stores the
/// settings for it.
#[test]
fn a_data_set_of_another_form_is_trained_on_and_evaluated() {
    let folder = Folder::new("form");
    let data = folder.0.join("data");
    for (part, renamed) in [("train", "train"), ("t10k", "test")] {
        let labels = data.join(format!("{part}-labels-idx1-ubyte"));
        let mut bytes = std::fs::read(&labels).unwrap();
        bytes[8..].iter_mut().for_each(|label| *label += 1);
        std::fs::write(&labels, bytes).unwrap();
        for kind in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
            let new = data.join(format!("emnist-letters-{renamed}-{kind}"));
            std::fs::rename(data.join(format!("{part}-{kind}")), new).unwrap();
        }
    }
    // with classes counted from 0: the settings in the message fix it
    fails(&mut folder.train("out", &[]), &["--set first-label=1 --set classes=3", "letters-train-labels"]);
    let form = ["--set", "first-label=1", "--set", "classes=3", "--set", "transposed=true"];
    succeeds(&mut folder.train("out", &form));
    let settings = std::fs::read_to_string(folder.out("out").join("settings.txt")).unwrap();
    assert!(
        settings.contains("\ntransposed = true\n") && settings.contains("\nfirst-label = 1\n"),
        "{settings}"
    );
    let weights = folder.out("out").join("network.safetensors");
    let net = em_routing::capsnet::CapsNet::load(&weights).unwrap();
    assert!(net.architecture().transposed && net.architecture().first_label == 1);
    for split in ["test", "validation", "train"] {
        let mut command = em_routing(&["eval", "--split", split, "--validation", "16", "--weights"]);
        command.arg(&weights).arg("--data").arg(&data).arg("--out").arg(folder.out("figures"));
        assert!(succeeds(&mut command).contains(&format!("{split} error")));
    }
    let mut command = em_routing(&["show", "--image", "3", "--weights"]);
    succeeds(command.arg(&weights).arg("--data").arg(&data).arg("--out").arg(folder.out("image.svg")));
    succeeds(&mut folder.train("out", &[&["--resume"][..], &form].concat()));
}

/// Editors on Windows write files like this.
#[test]
fn a_settings_file_with_a_byte_order_mark_is_read() {
    let folder = Folder::new("mark");
    let file = folder.out("settings.txt");
    let text = "\u{feff}features = 3 \r\n\r\n\tmargin\t=\tconstant:0.3\t\r\n# a remark\r\naveraging = 0.5   # another\r\n";
    std::fs::write(&file, text).unwrap();
    succeeds(folder.train("out", &[]).arg("--config").arg(&file));
    let settings = std::fs::read_to_string(folder.out("out").join("settings.txt")).unwrap();
    assert!(
        settings.contains("\nmargin = constant:0.3\n") && settings.contains("\naveraging = 0.5\n"),
        "{settings}"
    );
}

/// Simulates a full disk by the shell's limit on the size of a file: earlier checkpoints stay intact.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_earlier_checkpoints_intact() {
    let folder = Folder::new("full");
    succeeds(&mut folder.train("out", &[]));
    let newest = checkpoints(&folder.out("out")).pop().unwrap();
    std::fs::remove_file(&newest).unwrap();
    let before = checkpoints(&folder.out("out"));
    let kept = std::fs::read(&before[0]).unwrap();
    let train = folder.train("out", &["--resume"]);
    let mut limited = Command::new("sh");
    // 4,096 or 8,192 bytes: settings and log fit, a checkpoint does not
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]);
    limited.arg(train.get_program()).args(train.get_args());
    fails(&mut limited, &["checkpoint-000000"]);
    assert_eq!(checkpoints(&folder.out("out")), before);
    assert_eq!(std::fs::read(&before[0]).unwrap(), kept);
    succeeds(&mut folder.train("out", &["--resume"]));
}

#[test]
fn a_network_is_evaluated_and_shown() {
    let folder = Folder::new("eval");
    succeeds(&mut folder.train("out", &[]));
    let weights = folder.out("out").join("network.safetensors");
    let with = |arguments: &[&str]| {
        let mut command = em_routing(arguments);
        command.arg("--weights").arg(&weights).arg("--data").arg(folder.0.join("data"));
        command
    };
    for (split, count) in [("test", 20), ("validation", 16), ("train", 64)] {
        let mut command = with(&["eval", "--split", split, "--validation", "16"]);
        let said = succeeds(command.arg("--out").arg(folder.out("figures")));
        let last = said.lines().last().unwrap();
        let errors: usize =
            last.split_once('(').and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap();
        let rate = 100.0 * errors as f64 / count as f64;
        assert_eq!(last, format!("{split} error {rate:.2} % ({errors} of {count})"));
    }
    for name in ["confusion.svg", "mistakes.svg"] {
        assert!(std::fs::read_to_string(folder.out("figures").join(name)).unwrap().ends_with("</svg>\n"));
    }
    let figure = folder.out("routing.svg");
    let said = succeeds(with(&["show", "--image", "3"]).arg("--out").arg(&figure));
    assert!(said.contains("iterations") && figure.exists(), "{said}");
    // a closed pipe
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unheard = with(&["show", "--image", "3"]).arg("--out").arg(&figure).stdout(writer).output().unwrap();
    assert!(unheard.status.success() && unheard.stderr.is_empty(), "{unheard:?}");
    #[cfg(target_os = "linux")]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let figure = folder.out("full.svg");
        fails(with(&["show", "--image", "3"]).arg("--out").arg(&figure).stdout(full), &["standard output"]);
        assert!(figure.exists());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        fails(folder.train("full", &[]).stdout(full), &["standard output"]);
        assert!(folder.out("full").join("network.safetensors").exists());
    }
    fails(&mut with(&["show", "--image", "20"]), &["no image 20", "from 0 to 19"]);
    let missing = folder.out("none.safetensors");
    fails(em_routing(&["eval", "--weights"]).arg(&missing), &["none.safetensors", "em-routing train"]);
}
