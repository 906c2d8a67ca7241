//! A small web server for the site: on 127.0.0.1, for GET and HEAD, one thread for each connection.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::failure::{AtPath, Failure, Outcome};

/// The longest request that is read.
const LONGEST: u64 = 16 * 1024;

/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens on 127.0.0.1, on a free port if none is named.
pub fn listen(port: Option<u16>) -> Outcome<TcpListener> {
    TcpListener::bind(("127.0.0.1", port.unwrap_or(0))).map_err(|error| {
        let port = port.map_or("a free port".to_owned(), |port| format!("port {port}"));
        Failure::new(format!("the site cannot be served on {port} of 127.0.0.1: {error}"))
            .mend("name another port with --port, or none, which takes a free one")
    })
}

/// Opens the site in the user's browser and serves it until this process ends.
pub fn open_and_serve(listener: &TcpListener, site: &Path) -> Outcome<()> {
    let port =
        listener.local_addr().map_err(|error| Failure::new(format!("no local address: {error}")))?.port();
    let address = format!("http://127.0.0.1:{port}/");
    say!("The book is at {address} for this machine only; Ctrl-C ends it.");
    if !open_browser(&address) {
        say!("No browser could be started: open the address by hand.");
    }
    let site = site.canonicalize().at(site)?;
    for stream in listener.incoming().flatten() {
        let site = site.clone();
        std::thread::spawn(move || drop(answer(&stream, &site)));
    }
    Ok(())
}

fn open_browser(address: &str) -> bool {
    let program: &[&str] = if cfg!(windows) {
        &["cmd", "/C", "start"]
    } else if cfg!(target_os = "macos") {
        &["open"]
    } else {
        &["xdg-open"]
    };
    let [name, arguments @ ..] = program else { return false };
    let mut command = Command::new(name);
    command.args(arguments).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

/// Reads one request and answers it. The connection is then closed.
fn answer(mut stream: &TcpStream, site: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(LONGEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // what follows up to the empty line must be read, or closing the connection would reset it
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match (method, find(site, target)) {
        ("GET" | "HEAD", Some(path)) => match fs::read(&path) {
            Ok(body) => ("200 OK", kind_of(&path), body),
            Err(_) => ("404 Not Found", "text/plain; charset=utf-8", b"There is no such page.\n".to_vec()),
        },
        ("GET" | "HEAD", None) => {
            ("404 Not Found", "text/plain; charset=utf-8", b"There is no such page.\n".to_vec())
        }
        _ => ("405 Method Not Allowed", "text/plain; charset=utf-8", b"Only GET and HEAD.\n".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

/// Returns the file of a request's target, or `None` if the target does not name a file within the site.
fn find(site: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let found = site.join(decoded(path)?).canonicalize().ok()?;
    let found = if found.is_dir() { found.join("index.html") } else { found };
    found.starts_with(site).then_some(found)
}

/// Decodes `%20` and the like. Returns `None` if the result is not text.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn kind_of(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "ipynb") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a request to a server of this folder; returns the status line, the headers and the body as text.
    fn ask(site: &Path, request: &str) -> String {
        let listener = listen(None).unwrap();
        let address = listener.local_addr().unwrap();
        let site = site.to_path_buf();
        let server = std::thread::spawn(move || answer(&listener.accept().unwrap().0, &site).unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        server.join().unwrap();
        text
    }

    #[test]
    fn answer_sends_files_of_the_site_and_nothing_else() {
        let root = std::env::temp_dir().join(format!("em-routing-server-{}", std::process::id()));
        let site = root.join("site");
        fs::create_dir_all(site.join("two words")).unwrap();
        fs::write(root.join("secret.html"), "secret").unwrap();
        fs::write(site.join("index.html"), "first").unwrap();
        fs::write(site.join("live.wasm"), "module").unwrap();
        fs::write(site.join("two words/index.html"), "second").unwrap();
        let site = site.canonicalize().unwrap();
        for (request, status, kind, body) in [
            ("GET /", "200", "text/html", "first"),
            ("GET /index.html?q=a", "200", "text/html", "first"),
            ("GET /two%20words/", "200", "text/html", "second"),
            ("GET /live.wasm", "200", "application/wasm", "module"),
            ("HEAD /index.html", "200", "text/html", ""),
            ("GET /../secret.html", "404", "text/plain", "There is no such page.\n"),
            ("GET /%2e%2e/secret.html", "404", "text/plain", "There is no such page.\n"),
            ("GET //etc/passwd", "404", "text/plain", "There is no such page.\n"),
            ("GET /%ff", "404", "text/plain", "There is no such page.\n"),
            ("GET", "404", "text/plain", "There is no such page.\n"),
            ("POST /", "405", "text/plain", "Only GET and HEAD.\n"),
        ] {
            let text = ask(&site, request);
            let (head, found) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert!(head.contains(&format!("\r\nContent-Type: {kind}")), "{request}: {head}");
            assert_eq!(found, body, "{request}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
