//! Colours. Each is a pair, one for light pages and one for dark pages; a [`Palette`] selects which is used.

/// A colour as red, green, blue.
pub type Rgb = [u8; 3];

/// Which of a [`Tint`]'s two colours a figure uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Palette {
    /// Dark lines on a light card.
    #[default]
    Light,
    /// Light lines on a dark card.
    Dark,
}

/// A colour for both palettes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tint {
    light: Rgb,
    dark: Rgb,
}

// The components' colours can be told apart by colour-blind readers (Okabe and Ito 2008); the dark versions are lighter
// shades.
/// The colour of component 0, coin A.
pub const BLUE: Tint = Tint::new([0, 114, 178], [92, 164, 232]);
/// The colour of component 1, coin B.
pub const VERMILION: Tint = Tint::new([213, 94, 0], [240, 133, 62]);
/// The colour of component 2.
pub const GREEN: Tint = Tint::new([0, 158, 115], [52, 190, 146]);
/// The colour of component 3.
pub const PURPLE: Tint = Tint::new([204, 121, 167], [224, 148, 190]);
/// The colour of component 4.
pub const ORANGE: Tint = Tint::new([230, 159, 0], [240, 186, 62]);
/// The colour of component 5.
pub const SKY: Tint = Tint::new([86, 180, 233], [150, 216, 250]);
/// The colour of text and strong lines.
pub const INK: Tint = Tint::new([34, 34, 34], [228, 227, 222]);
/// The colour of notes, tick labels and thin lines.
pub const GREY: Tint = Tint::new([100, 100, 96], [162, 161, 155]);
/// The colour of grid lines.
pub const PALE: Tint = Tint::new([228, 225, 214], [54, 55, 58]);
/// The colour of frames around axes and images.
pub const FRAME: Tint = Tint::new([150, 147, 138], [112, 112, 108]);
/// The colour of the card behind a figure.
pub const CARD: Tint = Tint::new([253, 252, 248], [24, 25, 28]);
/// The colour of the card's rim.
pub(super) const RIM: Tint = Tint::new([221, 217, 204], [58, 59, 62]);

const COMPONENTS: [Tint; 6] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY];

/// Heat-map colours from low to high. Low is close to the card's colour and high far from it, so the order also shows
/// in greyscale.
const HEAT: [Tint; 6] = [
    Tint::new([250, 248, 240], [28, 31, 34]),
    Tint::new([222, 235, 226], [27, 50, 59]),
    Tint::new([184, 216, 208], [29, 78, 90]),
    Tint::new([130, 188, 190], [42, 116, 128]),
    Tint::new([74, 152, 168], [92, 166, 170]),
    Tint::new([32, 112, 140], [176, 220, 208]),
];

impl Tint {
    /// Creates a colour from its light-page and dark-page versions.
    pub const fn new(light: Rgb, dark: Rgb) -> Tint {
        Tint { light, dark }
    }

    /// Returns the tint's colour in a palette.
    pub fn of(self, palette: Palette) -> Rgb {
        match palette {
            Palette::Light => self.light,
            Palette::Dark => self.dark,
        }
    }

    /// Mixes this colour with a `share` in [0, 1] of another one.
    pub fn mixed(self, other: Tint, share: f64) -> Tint {
        Tint::blend([(self, 1.0 - share), (other, share)])
    }

    /// The weighted mean of colours; the weights add up to 1.
    pub fn blend(parts: impl IntoIterator<Item = (Tint, f64)>) -> Tint {
        let (mut light, mut dark) = ([0.0; 3], [0.0; 3]);
        for (tint, weight) in parts {
            for c in 0..3 {
                light[c] += weight * f64::from(tint.light[c]);
                dark[c] += weight * f64::from(tint.dark[c]);
            }
        }
        let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        Tint { light: light.map(byte), dark: dark.map(byte) }
    }

    /// Returns this colour as used for text, with more contrast to the card: at least 4.5 : 1 on a light page.
    pub(super) fn for_text(self) -> Tint {
        let stronger = |step: u32| self.mixed(Tint::new([0; 3], [255; 3]), 0.14 + 0.04 * f64::from(step));
        let seen =
            |step: &u32| luminance(CARD.light) + 0.05 >= 4.5 * (luminance(stronger(*step).light) + 0.05);
        Tint { light: stronger((0..21).find(seen).unwrap_or(21)).light, dark: stronger(0).dark }
    }
}

/// The relative luminance of a colour, from 0 to 1 (WCAG 2).
fn luminance([r, g, b]: Rgb) -> f64 {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// The colour of a component, cluster or coin; the six colours repeat.
pub fn component(index: usize) -> Tint {
    COMPONENTS[index % COMPONENTS.len()]
}

/// Interpolates between the colours `stops` (at least one) at `t` in [0, 1]; NaN counts as 0.
pub fn between(stops: &[Tint], t: f64) -> Tint {
    let last = stops.len() - 1;
    let place = if t.is_finite() { t.clamp(0.0, 1.0) } else { 0.0 } * last as f64;
    let low = (place as usize).min(last.saturating_sub(1));
    stops[low].mixed(stops[(low + 1).min(last)], place - low as f64)
}

/// The heat-map colour at `t` in [0, 1].
pub fn heat(t: f64) -> Tint {
    between(&HEAT, t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heat_scale_is_monotone_in_lightness() {
        let grey = |[r, g, b]: Rgb| 0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b);
        for i in 1..=50 {
            let (now, before) = (heat(f64::from(i) / 50.0), heat(f64::from(i - 1) / 50.0));
            assert!(grey(now.light) < grey(before.light) && grey(now.dark) > grey(before.dark));
        }
    }

    #[test]
    fn text_colours_have_enough_contrast_on_a_light_card() {
        for tint in COMPONENTS.map(Tint::for_text) {
            assert!((luminance(CARD.light) + 0.05) / (luminance(tint.light) + 0.05) >= 4.5);
        }
    }

    #[test]
    fn mixing_by_0_or_1_returns_a_pure_colour() {
        assert_eq!((BLUE.mixed(INK, 0.0), BLUE.mixed(INK, 1.0), heat(f64::NAN)), (BLUE, INK, heat(0.0)));
    }
}
