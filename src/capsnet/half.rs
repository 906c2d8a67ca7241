//! Numbers of 16 bits (IEEE 754's binary16), which halve the file of a network.

/// The factor between a number and the f32 whose exponent bits are those of its binary16: their biases differ by 127 - 15.
const SCALE: f32 = (1u128 << 112) as f32;

/// Rounds to 16 bits. A number of 65520 or more in size becomes infinite.
pub(super) fn half(number: f32) -> u16 {
    let sign = (number.to_bits() >> 16) as u16 & 0x8000;
    let bits = (number.abs() / SCALE).to_bits();
    // 13 bits are dropped; a tie goes to the even neighbour
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    sign | rounded.min(0x7c00) as u16
}

/// Returns the number of 16 bits; NaN if they mean infinity or NaN.
pub(super) fn whole(half: u16) -> f32 {
    let (sign, size) = (u32::from(half & 0x8000) << 16, half & 0x7fff);
    if size >= 0x7c00 {
        return f32::NAN;
    }
    let number = f32::from_bits(u32::from(size) << 13) * SCALE;
    f32::from_bits(number.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_read_and_rounded_to_itself() {
        let finite = (0..=u16::MAX).filter(|bits| bits & 0x7fff < 0x7c00);
        assert!(finite.clone().count() == 63_488 && finite.clone().all(|bits| half(whole(bits)) == bits));
        for (bits, number) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x7bff, 65504.0), (1, 5.960_464_5e-8)]
        {
            assert_eq!(whole(bits), number);
        }
        assert!(whole(0x7c00).is_nan() && whole(0xfe00).is_nan());
    }

    #[test]
    fn other_numbers_are_rounded_to_the_nearest_half() {
        for (number, bits) in [
            (1.0 + 0.4 / 1024.0, 0x3c00),
            (1.0 + 0.6 / 1024.0, 0x3c01),
            (1.0 + 0.5 / 1024.0, 0x3c00),
            (1.0 + 1.5 / 1024.0, 0x3c02),
            (-1e-9, 0x8000),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (f32::MAX, 0x7c00),
        ] {
            assert_eq!(half(number), bits, "{number}");
        }
    }
}
