//! Numbers of 16 bits (IEEE 754's binary16), in `.npy` files and in the small file of a network.

/// The factor between a number and the f32 whose exponent bits are those of its binary16: their biases differ by 127 - 15.
const SCALE: f32 = (1u128 << 112) as f32;

/// Rounds to 16 bits. A number of 65520 or more in size becomes infinite.
pub(crate) fn half(number: f32) -> u16 {
    let sign = (number.to_bits() >> 16) as u16 & 0x8000;
    let bits = (number.abs() / SCALE).to_bits();
    // 13 bits are dropped; a tie goes to the even neighbour
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    sign | rounded.min(0x7c00) as u16
}

/// Returns the number that these 16 bits mean.
pub(crate) fn whole(half: u16) -> f32 {
    let (sign, size) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    // infinity and NaN have the largest exponent in both formats
    let number = if size >= 0x7c00 {
        f32::from_bits(0x7f80_0000 | size << 13)
    } else {
        f32::from_bits(size << 13) * SCALE
    };
    f32::from_bits(number.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_read_and_rounded_to_itself() {
        let finite = (0..=u16::MAX).filter(|bits| bits & 0x7fff < 0x7c00);
        assert!(finite.clone().count() == 63_488 && finite.clone().all(|bits| half(whole(bits)) == bits));
        for (bits, number) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 2f32.powi(-14)),
        ] {
            assert_eq!(whole(bits), number, "{bits:#06x}");
        }
        assert_eq!((whole(1), whole(0x03ff)), (2f32.powi(-24), 1023.0 * 2f32.powi(-24)));
        assert_eq!((whole(0x7c00), whole(0xfc00)), (f32::INFINITY, f32::NEG_INFINITY));
        assert!(whole(0x8000) == 0.0 && whole(0x8000).is_sign_negative());
        assert!(whole(0x7e00).is_nan() && whole(0xfc01).is_nan());
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
