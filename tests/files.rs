//! Failed writes: the error names the file, the older file is unchanged, and no partial file is left.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use em_routing::error::Error;
use em_routing::files;

/// A folder with an older file in it, removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("em-routing-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), "old").unwrap();
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }

    fn names(&self) -> Vec<std::ffi::OsString> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    fn assert_untouched(&self) {
        assert_eq!(std::fs::read(self.file()).unwrap(), b"old");
        assert_eq!(self.names(), ["file"]);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn assert_names(outcome: em_routing::error::Result<()>, file: &Path) {
    match outcome {
        Err(Error::Io { path, .. }) => assert_eq!(path, file),
        other => panic!("{other:?}"),
    }
}

#[test]
fn writing_replaces_an_existing_file() {
    let folder = Folder::new("replaced");
    files::write(&folder.file(), b"new").unwrap();
    assert_eq!(std::fs::read(folder.file()).unwrap(), b"new");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn concurrent_writes_leave_the_whole_contents_of_one_of_them() {
    let folder = Folder::new("threads");
    let contents: Vec<Vec<u8>> = (0..4).map(|byte| vec![byte; 100_000]).collect();
    std::thread::scope(|scope| {
        for contents in &contents {
            scope.spawn(|| files::write(&folder.file(), contents).unwrap());
        }
    });
    assert!(contents.contains(&std::fs::read(folder.file()).unwrap()));
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn an_error_while_writing_leaves_the_older_file_unchanged() {
    let folder = Folder::new("contents");
    let outcome = files::write_with(&folder.file(), |file| {
        file.write_all(&[1; 100_000]).unwrap();
        Err(Error::Empty { what: "numbers" })
    });
    assert!(matches!(outcome, Err(Error::Empty { what: "numbers" })));
    folder.assert_untouched();
}

#[test]
fn errors_name_the_path_that_cannot_be_written() {
    let folder = Folder::new("place");
    let missing = folder.0.join("missing").join("file");
    assert_names(files::write(&missing, b"new"), &missing);
    assert_names(files::write(&folder.0, b"new"), &folder.0); // the path is a folder
    assert_names(files::write("..".as_ref(), b"new"), "..".as_ref());
    folder.assert_untouched();
}

/// A folder in which even root cannot create files.
#[cfg(target_os = "linux")]
#[test]
fn errors_name_a_file_in_a_read_only_folder() {
    let file = Path::new("/sys/em-routing");
    assert_names(files::write(file, b"new"), file);
}

/// Simulates a full disk with the shell's limit on file sizes: writing fails when the buffer is flushed. The test runs
/// itself again under this limit.
#[cfg(unix)]
#[test]
fn bytes_that_do_not_fit_leave_the_older_file() {
    const LIMITED: &str = "EM_ROUTING_TEST_LIMITED_FOLDER";
    if let Some(folder) = std::env::var_os(LIMITED) {
        let file = PathBuf::from(folder).join("file");
        for size in [100, 1_000_000] {
            // in small pieces, so that the last piece only fails in the final flush
            let whole = files::write_with(&file, |file| {
                (0..size / 100)
                    .try_for_each(|_| file.write_all(&[1; 100]))
                    .map_err(|source| Error::Io { path: "the closure".into(), source })
            });
            assert_eq!(whole.is_err(), size > 100, "{size} bytes: {whole:?}");
            assert_eq!(files::write(&file, &vec![1; size]).is_err(), size > 100);
        }
        assert_names(files::write(&file, &[1; 5000]), &file); // under the buffer's size: only the flush fails
        return;
    }
    let folder = Folder::new("limited");
    let again = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]) // blocks have 512 or 1024 bytes
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "bytes_that_do_not_fit_leave_the_older_file", "--nocapture"])
        .env(LIMITED, &folder.0)
        .output()
        .unwrap();
    assert!(again.status.success(), "{again:?}");
    assert_eq!(std::fs::read(folder.file()).unwrap(), [1; 100]);
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn only_temporary_files_of_this_library_are_removed_from_a_folder() {
    let folder = Folder::new("leftovers");
    for name in [".a.csv.123-0.part", ".my-download.part", ".b.12-x.part", "c.1-2.part"] {
        std::fs::write(folder.0.join(name), "1").unwrap();
    }
    std::fs::create_dir(folder.0.join(".folder.1-2.part")).unwrap();
    em_routing::files::remove_leftovers_in(&folder.0);
    let mut names = folder.names();
    names.sort();
    assert_eq!(names, [".b.12-x.part", ".folder.1-2.part", ".my-download.part", "c.1-2.part", "file"]);
}

#[test]
fn file_errors_are_send_and_sync() {
    fn passes<E: std::error::Error + Send + Sync + 'static>() {}
    passes::<Error>();
    passes::<em_routing::data::npy::Fault>();
    passes::<em_routing::data::npy::MemberFault>();
    passes::<em_routing::data::idx::Fault>();
    passes::<em_routing::capsnet::checkpoint::Fault>();
    passes::<em_routing::figures::records::Fault>();
}
