//! Heat maps: colours for numbers, and the smallest PNG that holds them.

use base64::Engine as _;

/// A colour as red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// From low to high: nearly the card's own white to deep blue-green, ever darker, so that it also reads in grey.
const SCALE: [Rgb; 6] =
    [[250, 248, 240], [222, 235, 226], [184, 216, 208], [130, 188, 190], [74, 152, 168], [32, 112, 140]];

/// The colour between `stops` at `t` in [0, 1].
pub(crate) fn between(stops: &[Rgb], t: f64) -> Rgb {
    let place = if t.is_finite() { t.clamp(0.0, 1.0) } else { 0.0 } * (stops.len() - 1) as f64;
    let low = (place as usize).min(stops.len() - 2);
    let share = place - low as f64;
    std::array::from_fn(|c| {
        (f64::from(stops[low][c]) * (1.0 - share) + f64::from(stops[low + 1][c]) * share).round() as u8
    })
}

/// The heat map's colour at `t` in [0, 1].
pub(crate) fn heat(t: f64) -> Rgb {
    between(&SCALE, t)
}

/// An image of `width` columns as a data URI; `values` in [0, 1] run row by row from the top, coloured by [`heat`]. Of more
/// than `most` * `most` values every so manieth row and column is kept.
pub(crate) fn heat_map(width: usize, values: &[f64], most: usize) -> String {
    let height = values.len() / width;
    let (across, down) = strides((width, height), most);
    if across > 1 || down > 1 {
        let kept = |at: usize, size: usize, every: usize| (at * every + every / 2).min(size - 1);
        let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
        let value =
            |at: usize| values[kept(at / columns, height, down) * width + kept(at % columns, width, across)];
        let fewer: Vec<f64> = (0..columns * rows).map(value).collect();
        return heat_map(columns, &fewer, usize::MAX);
    }
    let palette: Vec<u8> = (0..256).flat_map(|i| heat(f64::from(i) / 255.0)).collect();
    let mut rows = Vec::with_capacity(values.len() + values.len() / width);
    for row in values.chunks(width) {
        rows.push(0); // no filter
        rows.extend(row.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8));
    }
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend(((values.len() / width) as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]); // eight bits, indexed
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"PLTE", &palette);
    chunk(&mut png, b"IDAT", &zlib(&rows));
    chunk(&mut png, b"IEND", &[]);
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

/// Every how manieth column and row is kept of an image so large, so that at most `most` * `most` values are.
fn strides((width, height): (usize, usize), most: usize) -> (usize, usize) {
    if width.saturating_mul(height) <= most.saturating_mul(most) {
        return (1, 1);
    }
    // A long side may take what a short one leaves.
    let across = width.div_ceil((most * most / height.min(most)).min(width));
    let columns = width.div_ceil(across);
    (across, height.div_ceil((most * most / columns).max(1)))
}

/// Stored, not compressed: heat maps are small, and a notebook's reader waits for each crate.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(0xffff).count();
    for (index, block) in data.chunks(0xffff).enumerate() {
        stream.push(u8::from(index + 1 == blocks));
        stream.extend((block.len() as u16).to_le_bytes());
        stream.extend((!(block.len() as u16)).to_le_bytes());
        stream.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let crc = !png[start..].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    png.extend(crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_streams_carry_the_published_checksums() {
        let mut png = Vec::new();
        chunk(&mut png, b"IEND", &[]);
        assert_eq!(png, [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
        assert_eq!(zlib(b"Wikipedia")[16..], [0x11, 0xe6, 0x03, 0x98]);
    }

    #[test]
    fn images_keep_at_most_so_many_values() {
        for (width, height) in
            [(1, 1), (28, 28), (1, 100_000), (100_000, 1), (3000, 2000), (65, 64), (7, 50_000)]
        {
            let (across, down) = strides((width, height), 64);
            let kept = width.div_ceil(across) * height.div_ceil(down);
            assert!((1..=4096).contains(&kept), "{width} x {height}: {kept}");
            assert!(width * height > 4096 || (across, down) == (1, 1));
            assert!(width * height <= 4096 || kept >= 1000, "{width} x {height}: {kept}");
        }
        let long = heat_map(1000, &vec![0.5; 1_000_000], 64);
        assert!(long.len() < 8000, "{}", long.len());
    }

    #[test]
    fn the_scale_darkens_all_the_way() {
        let grey = |rgb: Rgb| 0.3 * f64::from(rgb[0]) + 0.59 * f64::from(rgb[1]) + 0.11 * f64::from(rgb[2]);
        for i in 1..=50 {
            assert!(grey(heat(f64::from(i) / 50.0)) < grey(heat(f64::from(i - 1) / 50.0)));
        }
    }
}
