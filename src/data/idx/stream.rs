//! Reads the bytes of a file, and unpacks them if the file is a gzip stream.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

/// A plain stream, or the unpacked members of a gzip stream, one after another. Zero bytes may follow each member, as on
/// tapes; gzip itself accepts them, too.
pub(in crate::data) enum Unpacked<R> {
    Plain(R),
    Packed(GzDecoder<R>),
    /// All members have been read.
    End,
}

impl<R: BufRead> Unpacked<R> {
    pub(in crate::data) fn new(mut stream: R) -> Result<Unpacked<R>> {
        let packed = stream.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        Ok(if packed { Unpacked::Packed(GzDecoder::new(stream)) } else { Unpacked::Plain(stream) })
    }
}

/// Why bytes cannot be read.
pub(in crate::data) enum Unreadable {
    /// The gzip stream is cut off or damaged.
    Packed(Error),
    /// The file itself cannot be read.
    File(Error),
}

impl<R: BufRead> Unpacked<R> {
    /// Reads at most `count` bytes. Memory is allocated only as bytes arrive.
    ///
    /// # Errors
    ///
    /// Returns an error that says whether the file or its packing is at fault.
    pub(in crate::data) fn bytes(&mut self, count: u64) -> std::result::Result<Vec<u8>, Unreadable> {
        let (packed, mut bytes) = (!matches!(self, Unpacked::Plain(_)), Vec::new());
        self.take(count).read_to_end(&mut bytes).map(|_| bytes).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof if packed => {
                Unreadable::Packed(Error::new(source.kind(), "the packed file is cut off"))
            }
            ErrorKind::InvalidInput | ErrorKind::InvalidData if packed => Unreadable::Packed(source),
            _ => Unreadable::File(source),
        })
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self {
                Unpacked::Plain(stream) => return stream.read(buffer),
                Unpacked::End => return Ok(0),
                Unpacked::Packed(member) => {
                    let count = member.read(buffer)?;
                    if count > 0 || buffer.is_empty() {
                        return Ok(count);
                    }
                }
            }
            if let Unpacked::Packed(member) = std::mem::replace(self, Unpacked::End) {
                let mut stream = member.into_inner();
                match skip_zeros(&mut stream)? {
                    None => {}
                    Some(0x1f) => *self = Unpacked::Packed(GzDecoder::new(stream)),
                    Some(_) => return Err(Error::new(ErrorKind::InvalidData, "other bytes follow its end")),
                }
            }
        }
    }
}

/// Skips zero bytes; returns the first other byte, which stays in the stream.
fn skip_zeros(stream: &mut impl BufRead) -> Result<Option<u8>> {
    loop {
        let bytes = stream.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let (next, end) = (bytes.get(zeros).copied(), bytes.is_empty());
        stream.consume(zeros);
        if end || next.is_some() {
            return Ok(next);
        }
    }
}
