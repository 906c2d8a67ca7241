//! A log of scalars that TensorBoard reads: records of the TFRecord form, each an `Event` of TensorFlow's protocol buffers.
//!
//! A record is the length of its contents (`u64`), that length's checksum (`u32`), the contents, and their checksum (`u32`), all
//! little-endian. A field of a protocol buffer is a key, 8 x its number + the kind of its value (0: varint, 1: eight bytes, 2: a
//! length and as many bytes, 5: four bytes), and the value:
//!
//! ```text
//! Event      { 1: wall_time f64, 2: step varint, 3: file_version string, 5: Summary, 7: SessionLog }
//! Summary    { 1: Value }    Value { 1: tag string, 2: simple_value f32 }
//! SessionLog { 1: status varint (1 is START) }
//! ```
//!
//! The tests compare records with TensorBoard's own, to the byte. Its reader (`EventAccumulator` of TensorBoard 2.21) and its
//! server were also given a file cut off within a record and the one of a training resumed before that: they show one curve, with
//! no gap and no step twice.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::checksum::crc32c;
use crate::error::{Error, Result};

/// A file of scalars over steps, in a folder that `tensorboard --logdir` shows.
///
/// A record is appended and never moved: after a kill the file ends in a part of a record at worst, which TensorBoard skips.
///
/// ```no_run
/// use em_routing::capsnet::events::EventLog;
/// let mut log = EventLog::create("target/run".as_ref(), 0)?;
/// log.scalar("train/loss", 0.25, 10)?;
/// log.flush()?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventLog {
    /// Begins a file in the folder, which is made if there is none. What files already there hold from `first_step` on is
    /// forgotten by TensorBoard: a training resumed at that step makes a new file, and its curves go on without a fold.
    ///
    /// # Errors
    ///
    /// What the file system says, with the path.
    pub fn create(folder: &Path, first_step: u64) -> Result<EventLog> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let now = since_epoch();
        let name = format!("events.out.tfevents.{:010}.{:09}", now.as_secs(), now.subsec_nanos());
        let path = folder.join(name);
        let file = BufWriter::new(File::create_new(&path).map_err(Error::io(&path))?);
        let mut log = EventLog { path, file };
        log.event(0, 3, b"brain.Event:2")?;
        log.event(first_step, 7, &[0x08, 1])?;
        log.flush()?;
        Ok(log)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a point of the curve `tag`.
    ///
    /// # Errors
    ///
    /// What the file system says, with the path.
    pub fn scalar(&mut self, tag: &str, value: f32, step: u64) -> Result<()> {
        let mut point = Vec::new();
        bytes_field(&mut point, 1, tag.as_bytes());
        point.push(2 << 3 | 5);
        point.extend(value.to_le_bytes());
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &point);
        self.event(step, 5, &summary)
    }

    /// Hands on to the system what has been logged, so that a TensorBoard that is open shows it.
    ///
    /// # Errors
    ///
    /// What the file system says, with the path.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    /// Appends an event of this moment whose field `number` holds `contents`.
    fn event(&mut self, step: u64, number: u8, contents: &[u8]) -> Result<()> {
        let mut event = vec![1 << 3 | 1];
        event.extend(since_epoch().as_secs_f64().to_le_bytes());
        if step > 0 {
            event.push(2 << 3);
            varint(&mut event, step);
        }
        bytes_field(&mut event, number, contents);
        self.file.write_all(&record(&event)).map_err(Error::io(&self.path))
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn record(contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(contents);
    record.extend(masked_checksum(contents).to_le_bytes());
    record
}

fn bytes_field(out: &mut Vec<u8>, number: u8, contents: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, contents.len() as u64);
    out.extend(contents);
}

/// Seven bits a byte, the lowest first; all but the last byte have the eighth bit set.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CRC-32C, turned and shifted as TFRecord has it, so that a record of records still has a checksum of its own.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c(bytes.iter().copied()).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file by TensorBoard 2.21's own `RecordWriter` and protocol buffers: version, start and scalar at wall time 1.5e9.
    const TENSORBOARDS: [&str; 3] = [
        "1800000000000000a37f4b2209000000c00b5ad6411a0d627261696e2e4576656e743a324ca9a464",
        "100000000000000095fbfe1809000000c00b5ad64110ac023a02080186d26f32",
        "2100000000000000017becf609000000c00b5ad64110ac022a130a110a0a747261696e2f6c6f7373150000803e95d2437a",
    ];

    /// But for the time, each record of ours is that of TensorBoard, to the byte.
    #[test]
    fn records_are_those_of_tensorboard() {
        let folder = std::env::temp_dir().join(format!("em-routing-events-{}", std::process::id()));
        let mut log = EventLog::create(&folder, 300).unwrap();
        log.scalar("train/loss", 0.25, 300).unwrap();
        log.flush().unwrap();
        let mut rest = &std::fs::read(log.path()).unwrap()[..];
        std::fs::remove_dir_all(&folder).unwrap();
        for expected in TENSORBOARDS {
            let (length, after) = rest.split_first_chunk().unwrap();
            let length = u64::from_le_bytes(*length) as usize;
            let (checksum, after) = after.split_first_chunk().unwrap();
            let (contents, after) = after.split_at(length);
            let (contents_checksum, after) = after.split_first_chunk().unwrap();
            assert_eq!(u32::from_le_bytes(*checksum), masked_checksum(&rest[..8]));
            assert_eq!(u32::from_le_bytes(*contents_checksum), masked_checksum(contents));
            let seconds = f64::from_le_bytes(contents[1..9].try_into().unwrap());
            assert!((since_epoch().as_secs_f64() - seconds).abs() <= 60.0, "{seconds}");
            let mut contents = contents.to_vec();
            contents[1..9].copy_from_slice(&1.5e9f64.to_le_bytes());
            let hex: String = record(&contents).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = std::env::temp_dir().join(format!("em-routing-events-{}-file", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let error = EventLog::create(&file.join("run"), 0).unwrap_err();
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(&error, Error::Io { path, .. } if *path == file.join("run")), "{error}");
    }
}
