//! Builds the commands printed after `Next:`. Each works as printed in the shell that started this program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The name of this program.
const NAME: &str = "em-routing";

/// Returns the command line that starts this program with these arguments, quoted for a POSIX shell.
pub fn line<W: AsRef<OsStr>>(arguments: impl IntoIterator<Item = W>) -> String {
    let mut line = program();
    for argument in arguments {
        line.push(' ');
        line += &quoted(argument.as_ref());
    }
    line
}

/// Returns the running command line without the flags in `without` and with the arguments in `more`. If an option then occurs
/// twice, its last value counts.
pub fn again<W: AsRef<OsStr>>(without: &[&str], more: impl IntoIterator<Item = W>) -> String {
    let mut arguments: Vec<OsString> =
        env::args_os().skip(1).filter(|argument| !without.iter().any(|flag| argument == flag)).collect();
    // options must come before `--`
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.splice(end..end, more.into_iter().map(|argument| argument.as_ref().to_owned()));
    line(arguments)
}

/// Returns a path as an argument, with `./` before a leading `-`, which would make it an option.
pub fn path(path: &Path) -> OsString {
    match path.as_os_str().as_encoded_bytes() {
        [b'-', ..] => Path::new(".").join(path).into(),
        _ => path.into(),
    }
}

/// Returns how to start this program: by its name if that is on the PATH, by `cargo run` within the clone, else by its path.
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
    // as the first word, `NAME=value` would be an assignment
    let path = own.as_os_str();
    if own.to_string_lossy().contains('=') { in_quotes(path) } else { quoted(path) }
}

/// Returns the path of the running program.
pub fn own_path() -> Option<PathBuf> {
    let path = env::current_exe().ok()?;
    // Linux appends this if the file was replaced, for example by a new build
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    let path = replaced.filter(|_| !path.exists()).unwrap_or(path);
    Some(path.canonicalize().unwrap_or(path))
}

/// Returns the folder of the package that `cargo run` would start from the current folder.
fn package_around_here() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?.canonicalize().ok()
}

/// Finds the first program of this name on the PATH.
fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Quotes a word for a POSIX shell, if needed.
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
    fn a_shell_reads_each_quoted_word_unchanged() {
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
    fn path_puts_a_dot_and_slash_before_a_leading_dash() {
        assert_eq!(path("-x".as_ref()), Path::new("./-x").as_os_str());
        assert_eq!(path("a/-x".as_ref()), "a/-x");
    }
}
