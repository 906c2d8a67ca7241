//! `.npz` files: zip archives of `.npy` files, read through their central directory.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::{Fault, Source, error, read_exact_at};
use crate::error::{Error, Result};

/// The maximum size of a directory in bytes, enough for some 100,000 members.
const MOST_DIRECTORY: u64 = 1 << 24;
/// The maximum size in bytes of an unpacked member, which is held in memory.
pub(super) const MOST_UNPACKED: u64 = 1 << 30;

/// An entry of the archive's directory.
pub(super) struct Member {
    pub(super) name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    place: u64,
}

/// An open archive.
pub(super) struct Archive<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) length: u64,
}

impl Archive<'_> {
    /// Returns the members that are `.npy` files, named without that extension, as in numpy. If a name occurs twice, the
    /// later member counts.
    pub(super) fn members(&self) -> Result<Vec<Member>> {
        let (place, size) = self.directory()?;
        if size > MOST_DIRECTORY {
            return Err(self.damaged("its directory is implausibly large"));
        }
        let bytes = self.bytes(place, size)?;
        let (mut rest, mut members) = (bytes.as_slice(), Vec::<Member>::new());
        while !rest.is_empty() {
            let (member, length) =
                Member::parse(rest).ok_or_else(|| self.damaged("its directory cannot be read"))?;
            rest = &rest[length..];
            if let Some(name) = member.name.strip_suffix(".npy") {
                let name = name.to_owned();
                members.push(Member { name, ..member });
            }
        }
        Ok(members)
    }

    /// Opens the bytes of a member: stored members stay in the file, deflated ones are unpacked into memory.
    pub(super) fn open(&self, member: &Member) -> Result<Source> {
        let fault = |fault| error(self.path, Some(&member.name), fault);
        if member.encrypted {
            return Err(fault(Fault::Encrypted));
        }
        let local = self.bytes(member.place, 30)?;
        let lengths = number::<2>(&local, 26).zip(number::<2>(&local, 28));
        let (name, extra) = lengths
            .filter(|_| local.starts_with(b"PK\x03\x04"))
            .ok_or_else(|| self.damaged("a member is missing"))?;
        let start = member.place + 30 + name + extra;
        if start.checked_add(member.packed).is_none_or(|end| end > self.length) {
            return Err(self.damaged("a member extends beyond the end of the file"));
        }
        match member.method {
            0 if member.packed != member.size => Err(self.damaged("the two sizes of a stored member differ")),
            0 => {
                let file = self.file.try_clone().map_err(Error::io(self.path))?;
                Ok(Source::File { file, start, length: member.size })
            }
            8 if member.size > MOST_UNPACKED => {
                Err(fault(Fault::Large { bytes: member.size, most: MOST_UNPACKED }))
            }
            8 => self.unpack(member, start).map(Source::Memory),
            method => Err(fault(Fault::Compression { method })),
        }
    }

    /// Unpacks a member. Memory is allocated only as bytes arrive, never for a size that the file merely claims.
    fn unpack(&self, member: &Member, start: u64) -> Result<Vec<u8>> {
        let part = Part { file: self.file, place: start, end: start + member.packed };
        let mut bytes = Vec::new();
        DeflateDecoder::new(BufReader::new(part)).take(member.size + 1).read_to_end(&mut bytes).map_err(
            |source| match source.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                    error(self.path, Some(&member.name), Fault::Unpack { source })
                }
                _ => Error::io(self.path)(source),
            },
        )?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        if bytes.len() as u64 != member.size || crc.sum() != member.crc {
            return Err(self.damaged("the size or checksum of a member is wrong"));
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// Returns the offset and the size of the directory.
    fn directory(&self) -> Result<(u64, u64)> {
        // the end record has 22 bytes and a comment of at most 65,535
        let tail_place = self.length.saturating_sub(22 + 0xffff);
        let tail = self.bytes(tail_place, self.length - tail_place)?;
        let is_end = |&at: &usize| {
            let remark = number::<2>(&tail, at + 20);
            tail[at..].starts_with(b"PK\x05\x06")
                && remark.is_some_and(|remark| at as u64 + 22 + remark <= tail.len() as u64)
        };
        let at = (0..tail.len().saturating_sub(21))
            .rev()
            .find(is_end)
            .ok_or_else(|| self.damaged("it is cut off"))?;
        // beyond 4 GiB, a zip64 end record precedes this record; a locator of 20 bytes gives its offset
        let locator = at.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07"));
        let places = match locator.and_then(|at| number::<8>(&tail, at + 8)) {
            Some(place) => {
                let end = self.bytes(place, 56)?;
                let places = number::<8>(&end, 48).zip(number::<8>(&end, 40));
                places.filter(|_| end.starts_with(b"PK\x06\x06"))
            }
            None => number::<4>(&tail, at + 16).zip(number::<4>(&tail, at + 12)),
        };
        places.ok_or_else(|| self.damaged("it has no directory"))
    }

    fn bytes(&self, place: u64, count: u64) -> Result<Vec<u8>> {
        if place.checked_add(count).is_none_or(|end| end > self.length) {
            return Err(self.damaged("it refers to an offset beyond the end of the file"));
        }
        let mut bytes = vec![0; count as usize];
        read_exact_at(self.file, &mut bytes, place).map_err(Error::io(self.path))?;
        Ok(bytes)
    }

    fn damaged(&self, message: &'static str) -> Error {
        error(self.path, None, Fault::Archive { message })
    }
}

impl Member {
    /// Parses a directory entry; returns the member and the length of the entry.
    fn parse(entry: &[u8]) -> Option<(Member, usize)> {
        if !entry.starts_with(b"PK\x01\x02") {
            return None;
        }
        let [name, extra, remark] =
            [28, 30, 32].map(|at| number::<2>(entry, at).map(|length| length as usize));
        let (name, extra, remark) = (46..46 + name?, extra?, remark?);
        let mut extra = entry.get(name.end..name.end + extra)?;
        let length = name.end + extra.len() + remark;
        entry.get(..length)?;
        let mut member = Member {
            name: String::from_utf8_lossy(entry.get(name)?).into_owned(),
            encrypted: number::<2>(entry, 8)? & 1 == 1,
            method: number::<2>(entry, 10)? as u16,
            crc: number::<4>(entry, 16)? as u32,
            packed: number::<4>(entry, 20)?,
            size: number::<4>(entry, 24)?,
            place: number::<4>(entry, 42)?,
        };
        // sizes and offsets beyond 32 bits follow in the extra field of kind 1, in this order
        while extra.len() >= 4 {
            let (kind, length) = (number::<2>(extra, 0)?, number::<2>(extra, 2)? as usize);
            let mut field = extra.get(4..4 + length)?;
            extra = &extra[4 + length..];
            if kind == 1 {
                for value in [&mut member.size, &mut member.packed, &mut member.place] {
                    if *value == 0xffff_ffff {
                        *value = number::<8>(field, 0)?;
                        field = &field[8..];
                    }
                }
            }
        }
        Some((member, length))
    }
}

/// Reads a little-endian number of N bytes at an offset.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<N>()?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// A part of a file as a stream.
struct Part<'a> {
    file: &'a File,
    place: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.end - self.place).min(buffer.len() as u64) as usize;
        read_exact_at(self.file, &mut buffer[..count], self.place)?;
        self.place += count as u64;
        Ok(count)
    }
}
