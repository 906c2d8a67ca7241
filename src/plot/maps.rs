//! Numbers over the places of a picture: pixels, features, activations, one small picture each.

use super::Figure;
use super::chart::{Chart, GREY, INK, Ink, Pen, Side};
use super::image::{heat, heat_map};
use crate::error::{Error, Result};

/// The most maps in a row.
const MOST: usize = 10;

/// The most rows of maps.
const MOST_ROWS: usize = 8;

/// Numbers over the places of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What stands under it.
    pub title: String,
    /// Places of a row.
    pub columns: usize,
    /// A number for each place, row by row from the upper left corner.
    pub values: Vec<f64>,
    /// What is drawn in the lightest and what in the darkest colour; no number lies outside.
    pub range: (f64, f64),
}

impl Map {
    /// The grey levels of an image, dark on light, `columns` to a row.
    pub fn image(title: &str, columns: usize, pixels: &[u8]) -> Map {
        let values = pixels.iter().map(|&level| f64::from(level)).collect();
        Map { title: title.to_owned(), columns, values, range: (0.0, 255.0) }
    }

    /// One of `kinds` numbers at each place (`numbers`: places x kinds), titled with its number, which counts from 1.
    ///
    /// Of a kind that is not there the map has no numbers, which [`maps`] refuses.
    pub fn kind(numbers: &[f32], columns: usize, kinds: usize, kind: usize, range: (f64, f64)) -> Map {
        let numbers = if kind < kinds { numbers } else { &[] };
        let values =
            numbers.iter().skip(kind).step_by(kinds.max(1)).map(|&number| f64::from(number)).collect();
        Map { title: (kind + 1).to_string(), columns, values, range }
    }

    fn check(&self) -> Result<()> {
        let Map { columns, values, range: (lightest, darkest), .. } = self;
        if values.is_empty() {
            return Err(Error::Empty { what: "places" });
        }
        if *columns == 0 || !values.len().is_multiple_of(*columns) {
            let expected = values.len().div_ceil((*columns).max(1)).saturating_mul((*columns).max(1));
            return Err(Error::Length { name: "the numbers of a map", expected, found: values.len() });
        }
        if !(lightest < darkest && (darkest - lightest).is_finite()) {
            let (name, expected) = ("the darkest of a map", "finite and more than the lightest");
            return Err(Error::Setting { name, expected, value: *darkest });
        }
        match values.iter().find(|value| !(*lightest..=*darkest).contains(value)) {
            None => Ok(()),
            Some(&value) => {
                let (name, expected) = ("a number of a map", "from its lightest to its darkest");
                Err(Error::Setting { name, expected, value })
            }
        }
    }
}

/// Maps beside each other, in rows with a heading each.
///
/// # Errors
///
/// Returns an error if there are no rows or more than 8, if a row has no maps or more than 10, and if numbers do not fill
/// their rows or lie outside their range. A map of very many places is drawn with every so manieth of them.
pub fn maps(rows: &[(String, Vec<Map>)]) -> Result<Figure> {
    if rows.is_empty() {
        return Err(Error::Empty { what: "rows of maps" });
    }
    let longest = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
    for (name, expected, number, most) in [
        ("the number of rows", "at most 8", rows.len(), MOST_ROWS),
        ("the maps of a row", "at most 10", longest, MOST),
    ] {
        if number > most {
            return Err(Error::Setting { name, expected, value: number as f64 });
        }
    }
    const SIDE: f64 = 74.0;
    const PITCH: f64 = 86.0;
    const LEFT: f64 = 20.0;
    const TOP: f64 = 40.0;
    const ROW: f64 = 132.0;
    let size =
        ((2.0 * LEFT + PITCH * longest as f64 - 12.0).max(420.0), TOP + ROW * rows.len() as f64 - 14.0);
    let words: Vec<String> = rows
        .iter()
        .map(|(heading, maps)| {
            let titles: Vec<&str> = maps.iter().map(|map| map.title.as_str()).collect();
            format!("{heading}: {}", titles.join(", "))
        })
        .collect();
    let mut chart = Chart::canvas("maps", size).alt(format!("Maps. {}.", words.join("; ")));
    for (row, (heading, maps)) in rows.iter().enumerate() {
        if maps.is_empty() {
            return Err(Error::Empty { what: "maps of a row" });
        }
        let top = TOP + row as f64 * ROW;
        let ink = Ink::new(INK).plain();
        chart.text((LEFT, -(top - 18.0)), (0.0, 0.0), Side::Right, ink.bold(), heading.as_str());
        for (column, map) in maps.iter().enumerate() {
            map.check()?;
            let left = LEFT + column as f64 * PITCH;
            let lines = map.values.len() / map.columns;
            let unit = SIDE / lines.max(map.columns) as f64;
            let (right, bottom) = (left + unit * map.columns as f64, top + unit * lines as f64);
            draw(&mut chart, map, (left, top), unit);
            let rim = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
            chart.line_anywhere(rim.map(|(x, y)| (x, -y)), Pen::new([214, 211, 201], 1.0));
            let under = ((left + right) / 2.0, -(top + SIDE + 13.0));
            let grey = Ink::new(GREY).plain().size(12.0);
            chart.text(under, (0.0, 0.0), Side::Middle, grey, map.title.as_str());
        }
    }
    chart.finish()
}

/// Few places as blocks, so that their edges stay sharp; more of them as an image.
fn draw(chart: &mut Chart, map: &Map, (left, top): (f64, f64), unit: f64) {
    let (lightest, darkest) = map.range;
    let share = |value: &f64| (value - lightest) / (darkest - lightest);
    let shares: Vec<f64> = map.values.iter().map(share).collect();
    let lines = shares.len() / map.columns;
    let right_end = left + unit * map.columns as f64;
    if shares.len() > 64 {
        // each place several pixels wide: browsers blur what they enlarge
        let times = (56 / map.columns.max(lines)).max(1);
        let wide = map.columns * times;
        let pixel = |at: usize| shares[at / wide / times * map.columns + at % wide / times];
        let pixels: Vec<f64> = (0..wide * lines * times).map(pixel).collect();
        chart.image((left, -top), (right_end, -(top + unit * lines as f64)), heat_map(wide, &pixels, 76));
        return;
    }
    for (place, &share) in shares.iter().enumerate() {
        let (x, y) = (left + unit * (place % map.columns) as f64, top + unit * (place / map.columns) as f64);
        chart.block((x, -y), (x + unit, -(y + unit)), heat(share));
    }
}
