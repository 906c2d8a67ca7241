//! The commands that are printed for the reader to type: each works in the shell that this program was started from.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The name of this program.
const NAME: &str = "em-routing";

/// A command of this program with these arguments, quoted for a POSIX shell.
pub fn line<W: AsRef<OsStr>>(arguments: impl IntoIterator<Item = W>) -> String {
    let mut line = program();
    for argument in arguments {
        line.push(' ');
        line += &quoted(argument.as_ref());
    }
    line
}

/// The running command once more: without some flags, and with more arguments. Of an option that is then given twice, the last
/// value counts.
pub fn again<W: AsRef<OsStr>>(without: &[&str], more: impl IntoIterator<Item = W>) -> String {
    let mut arguments: Vec<OsString> =
        env::args_os().skip(1).filter(|argument| !without.iter().any(|flag| argument == flag)).collect();
    // what comes after `--` is no option
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.splice(end..end, more.into_iter().map(|argument| argument.as_ref().to_owned()));
    line(arguments)
}

/// A path as an argument: one that begins with `-` would be taken for an option.
pub fn path(path: &Path) -> OsString {
    match path.as_os_str().as_encoded_bytes() {
        [b'-', ..] => Path::new(".").join(path).into(),
        _ => path.into(),
    }
}

/// How this program is started: by its name where the shell finds it, through cargo within the clone, else by its path.
pub fn program() -> String {
    let Some(own) = own_path() else { return NAME.to_owned() };
    let same = |other: &Path| other.canonicalize().is_ok_and(|other| other == own);
    let name = format!("{NAME}{}", env::consts::EXE_SUFFIX);
    if find_on_path(&name).is_some_and(|found| same(&found)) {
        return NAME.to_owned();
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built_by_cargo_run = same(&project.join("target").join("release").join(&name));
    if built_by_cargo_run
        && package_around_here() == project.canonicalize().ok()
        && find_on_path(&format!("cargo{}", env::consts::EXE_SUFFIX)).is_some()
    {
        return "cargo run --release --".to_owned();
    }
    // `NAME=value` in the first place would be an assignment
    let path = own.as_os_str();
    if own.to_string_lossy().contains('=') { in_quotes(path) } else { quoted(path) }
}

/// The path of the running program.
fn own_path() -> Option<PathBuf> {
    let path = env::current_exe().ok()?;
    // Linux tells so that the file was replaced, as when cargo builds it anew
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    let path = replaced.filter(|_| !path.exists()).unwrap_or(path);
    Some(path.canonicalize().unwrap_or(path))
}

/// The folder of the package that cargo would run from the current folder.
fn package_around_here() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?.canonicalize().ok()
}

/// The first program of that name on the PATH.
fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A word as a POSIX shell reads it back.
pub fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { in_quotes(word) }
}

fn in_quotes(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_quoted_words_back() {
        for word in [
            "plain/path-1.x",
            "",
            "two words",
            "it's",
            "a\"b",
            "$HOME",
            "`id`",
            "~",
            "a;b&c|d",
            "*",
            "\\",
            "é",
        ] {
            let script = format!("printf %s {}", quoted(word.as_ref()));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{script}");
        }
    }

    #[test]
    fn a_path_is_no_option() {
        assert_eq!(path("-x".as_ref()), Path::new("./-x").as_os_str());
        assert_eq!(path("a/-x".as_ref()), "a/-x");
    }
}
