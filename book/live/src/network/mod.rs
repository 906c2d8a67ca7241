//! The figures of the network: `digit` (draw a digit and see it routed), `train` (train a network in the page), and `object` (turn a
//! shape before two networks), which is one of `em_routing::live`.
//!
//! They keep state, unlike those of `em_routing::live`: files that the script gave, networks, a training.

mod digit;
mod drawing;
mod reading;
mod train;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use em_routing::capsnet::CapsNet;
use em_routing::live;
use serde_json::{Value, json};

thread_local! {
    static FILES: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The answer of a figure, or what is wrong in a sentence.
type Outcome<T> = Result<T, String>;

/// Keeps a file under its name.
pub fn give(name: &str, file: &[u8]) {
    FILES.with_borrow_mut(|files| files.insert(name.to_owned(), file.to_vec()));
}

/// Returns where a file is: its address and its length, or 0 if there is none of this name.
pub fn file(name: &str) -> u64 {
    FILES.with_borrow(|files| {
        files.get(name).map_or(0, |file| (file.as_ptr() as u64) << 32 | file.len() as u64)
    })
}

/// Answers a request, from JSON to JSON: `figure` names the figure, and the figure says what else it reads.
pub fn answer(request: &str) -> String {
    let text = request;
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let answer = match request["figure"].as_str() {
        Some("digit") => digit::answer(&request),
        Some("train") => train::answer(&request),
        Some("object") => match load_networks() {
            Ok(()) => return live::answer_with_networks(text),
            Err(error) => Err(error),
        },
        _ => Err("the request names no figure of this module: digit, train or object".to_owned()),
    };
    answer.unwrap_or_else(|error| json!({ "error": error })).to_string()
}

/// Hands the networks of `object` to the library, if it does not have them yet.
fn load_networks() -> Outcome<()> {
    if live::has_networks() {
        return Ok(());
    }
    let load = |name: &str| {
        FILES.with_borrow(|files| {
            let file = files.get(name).ok_or_else(|| format!("the file {name} is missing"))?;
            CapsNet::from_bytes(Path::new(name), file).map_err(|error| error.to_string())
        })
    };
    live::give_networks(load("views-capsules.safetensors")?, load("views-plain.safetensors")?);
    Ok(())
}
