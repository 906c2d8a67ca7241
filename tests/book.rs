//! The book as a web site: its pages, links and weight, and in Chromium what a reader sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::{ImageSet, Images};
use serde_json::{Value, json};

#[path = "support/html.rs"]
mod html;
use html::{Tag, tags};

/// The most that a page and its scripts, styles and figures may weigh. The browser's test adds fonts.
const MOST_BYTES: u64 = 1_500_000;

/// How many of the 30 drawings the network reads as they are meant.
const RIGHT: usize = 30;

/// What a failure says when this machine cannot make the site: without a network, Python or a target of the compiler.
const NOT_HERE: [&str; 3] = ["the network or a package registry", "no Python 3.", "rustup target add"];

/// A page of the site: its path within the site and its tags.
struct Page {
    path: String,
    tags: Vec<Tag>,
}

/// The site, made once for all tests.
struct Site {
    folder: PathBuf,
    pages: Vec<Page>,
    said: String,
}

/// Makes the site, or says why not.
fn site() -> Option<&'static Site> {
    static SITE: OnceLock<Option<Site>> = OnceLock::new();
    let made = || {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(env!("CARGO_BIN_EXE_em-routing"))
            .arg("book")
            .current_dir(project)
            .output()
            .expect("the program can be started");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if !output.status.success() {
            assert!(NOT_HERE.iter().any(|words| said[1].contains(words)), "{}\n{}", said[0], said[1]);
            println!("skipped: the tests of the book's site need what `book` does: {}", said[1].trim());
            return None;
        }
        let folder = project.join("target").join("site");
        let mut paths = Vec::new();
        html_files(&folder, &mut paths);
        let page = |path: PathBuf| {
            let text = fs::read_to_string(&path).expect("a readable page");
            Page { path: within(&folder, &path), tags: tags(&text) }
        };
        let pages = paths.into_iter().map(page).collect();
        Some(Site { folder, pages, said: said.concat() })
    };
    SITE.get_or_init(made).as_ref()
}

/// Lists the pages, without those of rustdoc.
fn html_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "_static" && name != "api" {
            html_files(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            paths.push(path);
        }
    }
}

fn within(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).expect("a path within the folder").to_string_lossy().replace('\\', "/")
}

/// Whether a link leads out of the site, or is none.
fn is_foreign(link: &str) -> bool {
    link.contains(':') && !link.starts_with(['.', '/', '#'])
}

/// Resolves a link of a page to a path within the site and an anchor. A link out of the site's folder has no path.
fn resolve(page: &str, link: &str) -> Option<(String, String)> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or_default();
    if path.is_empty() {
        return Some((page.to_owned(), anchor.to_owned()));
    }
    let folder = Path::new(page).parent()?;
    let mut parts: Vec<String> = Vec::new();
    for part in folder.join(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => (),
            _ => return None,
        }
    }
    Some((parts.join("/"), anchor.to_owned()))
}

/// What a tag loads when the page opens.
fn loaded(tag: &Tag) -> Option<&str> {
    match tag.name.as_str() {
        "link" => {
            let kind = tag.get("rel")?;
            ["stylesheet", "icon", "preload", "modulepreload"].contains(&kind).then(|| tag.get("href"))?
        }
        "script" | "img" | "source" | "iframe" | "video" | "audio" | "embed" => tag.get("src"),
        "image" | "use" => tag.get("href"),
        "object" => tag.get("data"),
        _ => None,
    }
}

#[test]
fn the_site_has_its_pages_and_sphinx_has_no_warning() {
    let Some(site) = site() else { return };
    assert!(!site.said.contains("WARNING") && !site.said.contains("ERROR"), "{}", site.said);
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wanted: BTreeSet<String> =
        ["index.html", "search.html", "README.html", "CHANGELOG.html", "notebooks/solutions/index.html"]
            .map(str::to_owned)
            .into();
    let folders =
        ["notebooks", "notebooks/appendix", "notebooks/solutions", "docs"].map(|folder| (folder, folder));
    for (from, to) in folders.into_iter().chain([("book/figures", "figures")]) {
        for entry in fs::read_dir(project.join(from)).into_iter().flatten() {
            let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".ipynb").or(name.strip_suffix(".md")) {
                wanted.insert(format!("{to}/{stem}.html"));
            }
        }
    }
    assert!(wanted.len() > 25, "{wanted:?}");
    wanted.insert("api/em_routing/index.html".to_owned());
    let missing: Vec<&String> = wanted.iter().filter(|path| !site.folder.join(path).is_file()).collect();
    assert!(missing.is_empty(), "no page {missing:?}");
}

#[test]
fn every_link_and_anchor_within_the_site_resolves() {
    let Some(site) = site() else { return };
    let anchors: BTreeMap<&str, BTreeSet<&str>> = site
        .pages
        .iter()
        .map(|page| (page.path.as_str(), page.tags.iter().filter_map(|tag| tag.get("id")).collect()))
        .collect();
    let (mut faults, mut links) = (Vec::new(), 0);
    for page in &site.pages {
        for tag in &page.tags {
            let named = [tag.get("href"), tag.get("src"), tag.get("action")];
            for link in named.into_iter().flatten().filter(|link| !is_foreign(link) && *link != "#") {
                links += 1;
                let fine = resolve(&page.path, link).is_some_and(|(path, anchor)| {
                    let known = anchors.get(path.as_str());
                    site.folder.join(&path).is_file()
                        && (anchor.is_empty() || known.is_none_or(|ids| ids.contains(anchor.as_str())))
                });
                if !fine {
                    faults.push(format!("{}: {link}", page.path));
                }
            }
        }
    }
    assert!(links > 1000, "only {links} links");
    assert!(faults.is_empty(), "{} of {links} links lead nowhere:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_page_and_no_style_loads_from_another_host() {
    let Some(site) = site() else { return };
    let foreign = |link: &str| link.starts_with("//") || (is_foreign(link) && !link.starts_with("data:"));
    let mut faults: Vec<String> = Vec::new();
    for page in &site.pages {
        let links = page.tags.iter().filter_map(loaded).filter(|link| foreign(link));
        faults.extend(links.map(|link| format!("{}: {link}", page.path)));
        for tag in page.tags.iter().filter(|tag| tag.name == "link" && tag.get("rel") == Some("stylesheet")) {
            let Some((path, _)) = resolve(&page.path, tag.get("href").unwrap_or_default()) else { continue };
            let style = fs::read_to_string(site.folder.join(&path)).expect("a style sheet");
            let named = style.split("url(").skip(1).chain(style.split("@import").skip(1));
            let named = named.map(|after| after.trim_start().trim_start_matches(['"', '\'']));
            faults.extend(
                named
                    .filter(|url| url.starts_with("http") || url.starts_with("//"))
                    .map(|url| format!("{path}: {}", url.chars().take(80).collect::<String>())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_chapter_is_light_enough() {
    let Some(site) = site() else { return };
    let size = |path: &str| fs::metadata(site.folder.join(path)).map_or(0, |file| file.len());
    let is_chapter = |page: &&Page| {
        let name = page.path.strip_prefix("notebooks/");
        name.is_some_and(|name| name.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let chapters: Vec<&Page> = site.pages.iter().filter(is_chapter).collect();
    assert_eq!(chapters.len(), 11);
    for page in chapters {
        let files: BTreeSet<String> = page
            .tags
            .iter()
            .filter_map(loaded)
            .filter_map(|link| resolve(&page.path, link))
            .map(|(path, _)| path)
            .collect();
        assert!(files.len() > 8, "{} loads only {files:?}", page.path);
        let bytes = size(&page.path) + files.iter().map(|path| size(path)).sum::<u64>();
        assert!(bytes <= MOST_BYTES, "{} and what it loads: {bytes} bytes", page.path);
    }
}

#[test]
fn each_page_has_a_title_a_language_and_one_heading_of_the_first_level() {
    let Some(site) = site() else { return };
    for page in &site.pages {
        let count = |name: &str| page.tags.iter().filter(|tag| tag.name == name).count();
        let language = page.tags.iter().find(|tag| tag.name == "html").and_then(|tag| tag.get("lang"));
        assert_eq!(language, Some("en"), "{}", page.path);
        // figures drawn in a page have titles, too
        assert!(count("title") >= 1, "{} has no title", page.path);
        assert_eq!(count("h1"), 1, "{}", page.path);
        let images = page.tags.iter().filter(|tag| tag.name == "img");
        let silent: Vec<_> = images.filter(|tag| tag.get("alt").is_none_or(str::is_empty)).collect();
        assert!(silent.is_empty(), "{}: {} images without words", page.path, silent.len());
    }
}

/// Makes the Python environment of the browser's test, without what its packages ask for beyond the listed ones.
fn browser_environment() -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let python = folder.join("bin").join("python");
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(words) }
    };
    if !python.is_file() {
        run(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()])?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"];
    run(&python, &[&pip[..], &[&requirements.to_string_lossy()]].concat())?;
    Ok(python)
}

/// Whether a program is on the PATH.
fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Runs a script of tests/browser/ on the site, one at a time, since each measures how fast pages answer. Returns what it prints, or
/// nothing where this machine cannot run it.
fn in_browser(script: &str, arguments: &[&Path]) -> Option<String> {
    static ONE: Mutex<()> = Mutex::new(());
    let needed = std::env::var_os("EM_ROUTING_NEED_BROWSER").is_some_and(|value| value == "1");
    let left_out = |missing: &str| {
        assert!(!needed, "the tests in a browser need {missing}");
        println!("skipped: the tests in a browser need {missing}");
        None
    };
    if !["chromium", "chromium-browser", "google-chrome"].into_iter().any(has) || !has("chromedriver") {
        return left_out("chromium and chromedriver (Debian, Ubuntu: apt install chromium chromium-driver)");
    }
    let Some(site) = site() else { return left_out("the site") };
    let _turn = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let python = match browser_environment() {
        Ok(python) => python,
        Err(words) => return left_out(&format!("a Python environment: {}", words.trim())),
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script);
    let output = Command::new(python)
        .arg(script)
        .arg(&site.folder)
        .args(arguments)
        .output()
        .expect("Python can be started");
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    Some(words.into_owned())
}

#[test]
fn every_page_works_in_a_browser() {
    let Some(words) = in_browser("browser.py", &[]) else { return };
    // the networks as the page has them, with numbers of 16 bits
    let statics = site().expect("the site, which the browser has shown").folder.join("_static");
    let [capsules, plain] = ["views-capsules", "views-plain"].map(|name| {
        CapsNet::load(statics.join(format!("{name}.safetensors"))).expect("a network of the page")
    });
    em_routing::live::give_networks(capsules, plain);
    let shown: Vec<&str> = words.lines().filter_map(|line| line.strip_prefix("shown ")).collect();
    let mut compared = BTreeSet::new();
    for text in shown {
        let shown: Value = serde_json::from_str(text).expect("the script writes JSON");
        if let Some(name) = em_routing::live::names().find(|name| shown["figure"] == *name) {
            equal_the_librarys(&shown);
            compared.insert(name);
        }
    }
    assert_eq!(compared, em_routing::live::names().collect(), "live figures whose numbers were compared");
}

/// Asserts that the numbers that a figure shows in the browser are those of the library here, for the same settings.
fn equal_the_librarys(shown: &Value) {
    let request = json!({ "figure": shown["figure"], "settings": shown["settings"] });
    // networks compute in f32, and the browser has no fused multiply-add
    let (text, tolerance) = match shown["figure"].as_str() {
        Some("object") => (em_routing::live::answer_with_networks(&request.to_string()), 2e-4),
        _ => (em_routing::live::answer(&request.to_string()), 1e-9),
    };
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let numbers = answer["numbers"].as_array().unwrap_or_else(|| panic!("{request}: {answer}"));
    assert_eq!(Some(numbers.len()), shown["numbers"].as_object().map(serde_json::Map::len), "{shown}");
    for number in numbers {
        let name = number["name"].as_str().expect("a number has a name");
        match (number["value"].as_f64(), shown["numbers"][name].as_f64()) {
            (Some(here), Some(there)) => {
                let error = (here - there).abs() / here.abs().max(1.0);
                assert!(error <= tolerance, "{request}: {name} is {here} here and {there} in the browser");
            }
            (here, there) => assert_eq!(here, there, "{request}: {name}"),
        }
    }
}

/// The figure `digit` in Node: its numbers are those of the library, and it reads the drawings.
#[test]
fn the_page_computes_the_librarys_activations() {
    if !has("node") {
        return println!("skipped: the test of the page's activations needs Node");
    }
    let Some(site) = site() else { return };
    let folder = site.folder.join("_static");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/digit.mjs");
    let output = Command::new("node").arg(script).arg(&folder).output().expect("Node can be started");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let text = fs::read_to_string(folder.join("digit-images.json")).expect("the digits of the page");
    let digits: Vec<Value> = serde_json::from_str(&text).expect("digits as JSON");
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
    };
    let net = CapsNet::load(folder.join("digit-network.safetensors")).expect("the network of the page");
    let pixels = digits.iter().flat_map(|digit| numbers(&digit["pixels"])).map(|level| level as u8).collect();
    let images = Images { pixels, labels: vec![0; digits.len()], height: 28, width: 28, classes: 10 };
    let own = net.evaluate(&images, 0, |_| {}).expect("activations").activations;
    let theirs: Vec<f64> = found["images"].as_array().expect("a list").iter().flat_map(numbers).collect();
    assert_eq!(own.len(), theirs.len());
    for (at, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
        let difference = (f64::from(*own) - theirs).abs();
        assert!(difference <= 2e-4, "digit {}, class {}: {own} and {theirs}", at / 10, at % 10);
    }
    let drawings: Vec<Value> =
        serde_json::from_str(include_str!("browser/drawings.json")).expect("drawings as JSON");
    let meant: Vec<f64> =
        drawings.iter().map(|drawing| numbers(&serde_json::json!([drawing["digit"]]))[0]).collect();
    let classes = numbers(&found["classes"]);
    assert_eq!(meant.len(), 30);
    let right = meant.iter().zip(&classes).filter(|(meant, found)| meant == found).count();
    assert!(right >= RIGHT, "{right} of 30 drawings are read as they are meant: {classes:?}");
    println!("an answer of the figure digit: {}, its layers: {}", found["answer"], found["layers"]);
}

/// An empty folder for one test.
fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder can be removed");
    }
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Writes an image set of the page's digits: the first `train` to train on, and the first `held_out` of those that are held out.
fn write_digits(site: &Site, folder: &Path, train: usize, held_out: usize) {
    const TRAINING: usize = 11_000;
    let unpacked = |name: &str| {
        let file = fs::File::open(site.folder.join("_static").join(name)).expect("the page's digits");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
        bytes
    };
    for (name, file, size) in
        [("digits-images.gz", "images-idx3-ubyte", 784), ("digits-labels.gz", "labels-idx1-ubyte", 1)]
    {
        let bytes = unpacked(name);
        let header = if size == 1 { 8 } else { 16 };
        let mut part = bytes[..header].to_vec();
        part[4..8].copy_from_slice(&((train + held_out) as u32).to_be_bytes());
        for (first, count) in [(0, train), (TRAINING, held_out)] {
            part.extend_from_slice(&bytes[header + first * size..][..count * size]);
        }
        fs::write(folder.join(format!("train-{file}")), part).expect("a file can be written");
    }
}

/// Runs the program with the portable instructions, whose results have the bits of WebAssembly's. Returns what it says.
fn portable(arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_em-routing"));
    program.args(arguments).env("EM_ROUTING_INSTRUCTIONS", "portable");
    let output = program.output().expect("the program can be started");
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    words.into_owned()
}

/// After fifty steps, a network that was trained as WebAssembly has the bits of one that the program has trained.
#[test]
fn the_page_trains_the_programs_network() {
    if !has("node") {
        return println!("skipped: the test of the page's training needs Node");
    }
    let Some(site) = site() else { return };
    let folder = empty_folder("trained");
    write_digits(site, &folder, 400, 20);
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (data, out) = (path(""), path("out"));
    let options = ["--validation", "20", "--epochs", "1", "--batch", "8", "--seed", "1", "--threads", "1"];
    portable(&[&["train", "--data", &data, "--out", &out][..], &options].concat());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/train.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(site.folder.join("_static")).args(["400", "50", &path("page.safetensors")]);
    let output = node.output().expect("Node can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let load = |name: &str| CapsNet::load(folder.join(name)).expect("a network");
    let (page, program) = (load("page.safetensors"), load("out/network.safetensors"));
    assert_eq!(page.architecture(), program.architecture());
    let bits = |net: &CapsNet| net.parameters().numbers().iter().map(|number| number.to_bits()).collect();
    let (page, program): (Vec<u32>, Vec<u32>) = (bits(&page), bits(&program));
    assert_eq!(page.len(), program.len());
    let other = page.iter().zip(&program).filter(|(page, program)| page != program).count();
    assert_eq!(other, 0, "of {} parameters have other bits", page.len());
}

/// A reader draws, trains, pauses, goes on, saves, and loads the saved network.
#[test]
fn a_reader_draws_and_trains_in_a_browser() {
    let folder = empty_folder("drawn");
    let Some(words) = in_browser("network.py", &[&folder]) else { return };
    let site = site().expect("the script ran on it");
    let found: Value = serde_json::from_str(words.lines().last().unwrap_or_default()).expect("JSON");
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
    };
    let (digit, train) = (&found["digit"], &found["train"]);
    let seven = numbers(&digit["seven"]);
    assert!((0..10).all(|class| class == 7 || seven[class] < seven[7]), "a 7 was drawn: {seven:?}");

    let statics = site.folder.join("_static");
    let net = CapsNet::load(statics.join("digit-network.safetensors")).expect("the network of the page");
    let test = ImageSet::load_test(em_routing::shipped::mnist_folder(), 10).expect("MNIST");
    let images = digit["images"].as_object().expect("images");
    assert!(images.len() == 3);
    for (number, activations) in images {
        let pixels = net.pixels(&test, &[number.parse().expect("a number")]).expect("pixels");
        let own = net.forward(&pixels, 1).expect("a pass").classes().activations.clone();
        for (own, theirs) in own.iter().zip(numbers(activations)) {
            assert!((f64::from(*own) - theirs).abs() <= 2e-4, "image {number}: {own} and {theirs}");
        }
    }

    let [losses, paused] = ["losses", "paused"].map(|name| numbers(&train[name]));
    assert!(losses[1] < losses[0], "the loss went from {} to {}", losses[0], losses[1]);
    assert!(paused[0] >= 500.0 && paused[0] == paused[1], "a paused training went on: {paused:?}");
    let said = train["said"].as_str().unwrap_or_default();
    assert!(said.contains("held-out digits are misclassified"), "{said}");
    assert_eq!(numbers(&train["drawn"]).len(), 10);
    assert_eq!(train["read"][0], train["read"][1], "the loaded network reads as the saved one");

    write_digits(site, &folder, 10, 2_000);
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let said = portable(
        &[
            &["eval", "--split", "validation", "--validation", "2000", "--data", &path("")][..],
            &["--weights", &path("capsnet.safetensors"), "--out", &path("eval")],
        ]
        .concat(),
    );
    let errors = numbers(&train["errors"]);
    assert_eq!(errors[0], errors[1], "the saved network makes other errors than the trained one");
    assert!(
        said.contains(&format!("{} of 2000", errors[0])),
        "the page found {errors:?}, the program:\n{said}"
    );
}
