//! A log of scalars that TensorBoard reads.
//!
//! The file holds records in the TFRecord format, each with an `Event` of TensorFlow's protocol buffers. A record is the length of
//! its contents (`u64`), the checksum of that length (`u32`), the contents, and their checksum (`u32`), all little-endian. A field
//! of a protocol buffer is a key and a value. The key is 8 x the field's number + the type of its value (0: varint, 1: eight bytes,
//! 2: a length and as many bytes, 5: four bytes):
//!
//! ```text
//! Event      { 1: wall_time f64, 2: step varint, 3: file_version string, 5: Summary, 7: SessionLog }
//! Summary    { 1: Value }    Value { 1: tag string, 2: simple_value f32 }
//! SessionLog { 1: status varint (1 is START) }
//! ```
//!
//! The tests compare records with TensorBoard's own, byte by byte. TensorBoard's reader (`EventAccumulator` of version 2.21)
//! and server were also tested with two files: one that ends within a record, and one of the resumed training. They show one
//! curve without a gap and without a repeated step.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crc32c::crc32c;

use super::super::failure::{AtPath, Outcome};

/// A file of scalars over steps, in a folder that `tensorboard --logdir` shows.
///
/// Records are only appended: if the program is killed, the file ends in an incomplete record at worst, which TensorBoard skips.
pub struct EventLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventLog {
    /// Creates a file in the folder, and the folder if needed. TensorBoard then ignores the points of older files in the folder from
    /// `first_step` on, so the curves of a resumed training continue without overlap.
    pub fn create(folder: &Path, first_step: u64) -> Outcome<EventLog> {
        std::fs::create_dir_all(folder).at(folder)?;
        // TensorBoard reads the files of a folder in the order of their names.
        let now = since_epoch();
        let name = format!("events.out.tfevents.{:010}.{:09}", now.as_secs(), now.subsec_nanos());
        let path = folder.join(name);
        let file = BufWriter::new(File::create_new(&path).at(&path)?);
        let mut log = EventLog { path, file };
        log.event(0, 3, b"brain.Event:2")?;
        log.event(first_step, 7, &[0x08, 1])?;
        log.flush()?;
        Ok(log)
    }

    /// Adds a point to the curve `tag`.
    pub fn scalar(&mut self, tag: &str, value: f32, step: u64) -> Outcome<()> {
        let mut point = Vec::new();
        bytes_field(&mut point, 1, tag.as_bytes());
        point.push(2 << 3 | 5);
        point.extend(value.to_le_bytes());
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &point);
        self.event(step, 5, &summary)
    }

    /// Writes buffered records to the file, so that an open TensorBoard shows them.
    pub fn flush(&mut self) -> Outcome<()> {
        self.file.flush().at(&self.path)
    }

    /// Appends an event with the current time. The event's field `number` holds `contents`.
    fn event(&mut self, step: u64, number: u8, contents: &[u8]) -> Outcome<()> {
        let mut event = vec![1 << 3 | 1];
        event.extend(since_epoch().as_secs_f64().to_le_bytes());
        if step > 0 {
            event.push(2 << 3);
            varint(&mut event, step);
        }
        bytes_field(&mut event, number, contents);
        self.file.write_all(&record(&event)).at(&self.path)
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

/// Appends a varint: seven bits per byte, the lowest first; all but the last byte have the eighth bit set.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The CRC-32C, rotated and shifted as TFRecord requires, because records may hold records with their own checksums.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records written by TensorBoard 2.21's `RecordWriter` and protocol buffers: version, start and scalar at wall time 1.5e9.
    const TENSORBOARDS: [&str; 3] = [
        "1800000000000000a37f4b2209000000c00b5ad6411a0d627261696e2e4576656e743a324ca9a464",
        "100000000000000095fbfe1809000000c00b5ad64110ac023a02080186d26f32",
        "2100000000000000017becf609000000c00b5ad64110ac022a130a110a0a747261696e2f6c6f7373150000803e95d2437a",
    ];

    /// Except for the time, each record equals TensorBoard's byte for byte.
    #[test]
    fn records_equal_those_of_tensorboard_byte_for_byte() {
        let folder = std::env::temp_dir().join(format!("em-routing-events-{}", std::process::id()));
        let mut log = EventLog::create(&folder, 300).unwrap();
        log.scalar("train/loss", 0.25, 300).unwrap();
        log.flush().unwrap();
        let mut rest = &std::fs::read(&log.path).unwrap()[..];
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
    fn create_names_a_folder_that_cannot_be_made() {
        let file = std::env::temp_dir().join(format!("em-routing-events-{}-file", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let error = EventLog::create(&file.join("run"), 0).err().unwrap().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(error.contains(&file.join("run").display().to_string()), "{error}");
    }
}
