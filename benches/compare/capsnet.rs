//! The full capsule network: images per second in training and in inference.

use std::path::PathBuf;
use std::time::Instant;

use em_routing::capsnet::{Settings, Training};
use em_routing::data::idx::Images;
use serde_json::json;

use crate::Outcome;
use crate::machine::{Watch, forget_peak, median, memory};
use crate::peer::{Peer, number};

/// Settings of the allocator for PyTorch. With the default settings it spends half of its time on page faults.
const TUNED: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184\
                     :glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1";

pub struct Options {
    peers: Option<PathBuf>,
    rounds: usize,
    threads: usize,
    batch: usize,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Outcome<Options> {
        let mut options = Options { peers: None, rounds: 5, threads: 2, batch: 24 };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--peers" => options.peers = Some(value()?.into()),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--threads" => options.threads = value()?.parse()?,
                "--batch" => options.batch = value()?.parse::<usize>()?.max(1),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        Ok(options)
    }
}

/// Results of one side: seconds of each round, and peak memory.
struct Side {
    name: String,
    train: Vec<f64>,
    infer: Vec<f64>,
    others_busy: Vec<f64>,
    peak_mib: f64,
}

impl Side {
    fn new(name: String) -> Side {
        Side { name, train: Vec::new(), infer: Vec::new(), others_busy: Vec::new(), peak_mib: 0.0 }
    }
}

/// Returns a batch of pseudo-random images in MNIST's form.
fn images(count: usize) -> Images {
    let pixel = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8;
    Images {
        pixels: (0..count * 28 * 28).map(pixel).collect(),
        labels: (0..count).map(|image| (image % 10) as u8).collect(),
        height: 28,
        width: 28,
        classes: 10,
    }
}

/// Returns the mean time of a call over at least one second. The peers are timed in the same way.
fn seconds(mut call: impl FnMut() -> em_routing::error::Result<()>) -> Outcome<f64> {
    let (began, mut calls) = (Instant::now(), 0);
    while calls == 0 || began.elapsed().as_secs_f64() < 1.0 {
        call()?;
        calls += 1;
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(calls))
}

/// Times all sides in alternating rounds and prints the results; the first side is this library.
pub fn run(options: &Options) -> Outcome<()> {
    let mut settings = Settings::blog();
    settings.recipe.batch = options.batch;
    let mut training = Training::new(settings, 1, options.threads)?;
    let data = images(options.batch);
    let mut sides = vec![Side::new("em-routing".into())];
    let mut peers = Vec::new();
    if let Some(environment) = &options.peers {
        for (routing, allocator, variables) in
            [("naive", "", vec![]), ("opt", ", tuned allocator", vec![("GLIBC_TUNABLES", TUNED)])]
        {
            println!("starting PyTorch, {routing}{allocator}; compiling takes a minute or two ...");
            let arguments = [options.batch.to_string(), options.threads.to_string(), routing.to_owned()];
            let peer = Peer::start(environment, "capsnet.py", &arguments, &variables)?;
            sides.push(Side::new(format!("{}{allocator}", peer.name)));
            peers.push(peer);
        }
    }
    training.step(&data)?;
    for _ in 0..options.rounds {
        let side = &mut sides[0];
        let watch = Watch::new(std::process::id());
        forget_peak();
        // each round starts untrained, so that every image has a gradient: a trained network would skip work for some images
        let mut training = training.clone();
        side.train.push(seconds(|| training.step(&data).map(drop))?);
        let pixels = training.net.pixels(&data, &(0..options.batch).collect::<Vec<_>>())?;
        side.infer.push(seconds(|| {
            training.net.forward(&pixels, options.threads).map(|pass| drop(std::hint::black_box(pass)))
        })?);
        side.peak_mib = side.peak_mib.max(memory("VmHWM"));
        side.others_busy.push(watch.others_busy());
        for (peer, side) in peers.iter_mut().zip(&mut sides[1..]) {
            let watch = Watch::new(peer.id());
            let answer = peer.round()?;
            side.train.push(number(&answer, "train")?);
            side.infer.push(number(&answer, "infer")?);
            side.peak_mib = number(&answer, "peak_mib")?;
            side.others_busy.push(watch.others_busy());
        }
    }
    let batch = options.batch as f64;
    println!(
        "{:<52} {:>10} {:>6} {:>10} {:>6} {:>10} {:>7}",
        format!("images per second, batch {batch}"),
        "training",
        "ratio",
        "inference",
        "ratio",
        "peak (MiB)",
        "others"
    );
    let (train, infer) = (median(&sides[0].train), median(&sides[0].infer));
    for side in &sides {
        println!(
            "{:<52} {:>10.2} {:>6.2} {:>10.2} {:>6.2} {:>10.0} {:>7.3}",
            side.name,
            batch / median(&side.train),
            median(&side.train) / train,
            batch / median(&side.infer),
            median(&side.infer) / infer,
            side.peak_mib,
            median(&side.others_busy)
        );
    }
    for side in &sides {
        let line = json!({
            "case": "capsnet", "batch": options.batch, "threads": options.threads, "name": side.name,
            "train_images_per_s": batch / median(&side.train), "infer_images_per_s": batch / median(&side.infer),
            "train_rounds": side.train, "infer_rounds": side.infer, "peak_mib": side.peak_mib,
            "others_busy": median(&side.others_busy),
        });
        println!("{line}");
    }
    Ok(())
}
