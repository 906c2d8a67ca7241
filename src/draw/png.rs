//! A minimal PNG encoder, with a colour table for images of few colours.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};

/// Encodes an image `width` pixels wide. `pixels` are its rows from the top, three bytes per pixel: red, green, blue.
pub(super) fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut colours: BTreeMap<&[u8], u8> = BTreeMap::new();
    for pixel in pixels.chunks_exact(3) {
        let next = colours.len() as u8;
        colours.entry(pixel).or_insert(next);
        if colours.len() == 256 {
            break;
        }
    }
    let indexed = pixels.chunks_exact(3).all(|pixel| colours.contains_key(pixel));
    let mut rows = Vec::with_capacity(pixels.len() + height as usize);
    for row in pixels.chunks(3 * width.max(1) as usize) {
        rows.push(0); // no filter
        match indexed {
            true => rows.extend(row.chunks_exact(3).map(|pixel| colours[pixel])),
            false => rows.extend(row),
        }
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, if indexed { 3 } else { 2 }, 0, 0, 0]); // eight bits per index or per channel
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    if indexed {
        let mut table = vec![0; 3 * colours.len()];
        for (colour, &index) in &colours {
            table[3 * usize::from(index)..][..3].copy_from_slice(colour);
        }
        chunk(&mut png, b"PLTE", &table);
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // writing to memory does not fail
    if let Ok(data) = encoder.write_all(&rows).and_then(|()| encoder.finish()) {
        chunk(&mut png, b"IDAT", &data);
    }
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let mut crc = Crc::new();
    crc.update(&png[start..]);
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_few_colours_use_a_colour_table() {
        let few = png(2, 2, &[0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 0]);
        assert_eq!((few[24], few[25]), (8, 3));
        assert!(few.windows(10).any(|part| part == [b'P', b'L', b'T', b'E', 0, 0, 0, 9, 9, 9]));
        let pixels: Vec<u8> = (0..300u32).flat_map(|i| [(i % 256) as u8, (i / 256) as u8, 7]).collect();
        assert_eq!(png(300, 1, &pixels)[25], 2);
        assert_eq!(few[few.len() - 12..], [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
    }
}
