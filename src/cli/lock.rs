//! A file lock that admits one process at a time. The system releases it when the process ends, even after a crash.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::failure::{AtPath, Outcome};
use super::progress::seconds;

/// A lock that is held until this value is dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or returns `None` if another process holds it.
    pub fn try_take(path: &Path) -> Outcome<Option<Lock>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Lock::sign(file, path).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            // some network file systems do not support locks: continue without one
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                Ok(Some(Lock { _file: file }))
            }
            Err(TryLockError::Error(error)) => Err(error).at(path),
        }
    }

    /// Waits until the lock is free, then takes it.
    pub fn wait(path: &Path) -> Outcome<Lock> {
        let file = open(path)?;
        file.lock().at(path)?;
        Lock::sign(file, path)
    }

    /// Writes the process number and the time into the file, for [`holder`].
    fn sign(mut file: File, path: &Path) -> Outcome<Lock> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        file.set_len(0).at(path)?;
        file.write_all(format!("{} {now}\n", std::process::id()).as_bytes()).at(path)?;
        Ok(Lock { _file: file })
    }
}

fn open(path: &Path) -> Outcome<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path).at(path)
}

/// Describes the process that holds a lock, and since when, for a message.
pub fn holder(path: &Path) -> String {
    // the holder may have taken the lock but not signed the file yet
    for _ in 0..20 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        if let (Some(process), Some(since)) = (numbers.next(), numbers.next()) {
            let age =
                SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(since)).unwrap_or_default();
            return format!("process {process}, since {} ({} ago)", utc(since), seconds(age));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    "another process".to_owned()
}

/// Formats a time in seconds since 1970 as a date and a time of day.
fn utc(since_1970: u64) -> String {
    let (days, second) = (since_1970 / 86_400, since_1970 % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March; an era is 400 years, or 146,097 days
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_is_free_after_drop() {
        let path = std::env::temp_dir().join(format!("em-routing-lock-{}", std::process::id()));
        let first = Lock::try_take(&path).unwrap();
        assert!(first.is_some() && Lock::try_take(&path).unwrap().is_none());
        let words = holder(&path);
        assert!(words.starts_with(&format!("process {}, since 20", std::process::id())), "{words}");
        drop(first);
        assert!(Lock::try_take(&path).unwrap().is_some());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn utc_formats_seconds_as_a_date() {
        for (seconds, words) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_704_067_199, "2023-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), words);
        }
    }
}
