//! The header of a `.npy` file: a Python dictionary, and the types of numbers that it may name.

use crate::data::half::whole;

/// The contents of a header.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// The type of the numbers as written in the file: numpy's name, or a list for records.
    pub(super) descriptor: String,
    pub(super) fortran: bool,
    /// The size of each dimension; sizes above `usize::MAX` are given as `usize::MAX`.
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Parses a header with exactly the three keys that numpy writes, in any order.
    pub(super) fn parse(text: &str) -> Option<Header> {
        let mut parser = Parser { rest: text, depth: 0 };
        let (mut descriptor, mut fortran, mut shape) = (None, None, None);
        parser.symbol("{")?;
        while parser.symbol("}").is_none() {
            let Value::Text(key) = parser.value()? else { return None };
            parser.symbol(":")?;
            let before = parser.rest.trim_start();
            let value = parser.value()?;
            let written = &before[..before.len() - parser.rest.len()];
            match (key, value) {
                ("descr", Value::Text(text)) => descriptor = Some(text),
                ("descr", _) => descriptor = Some(written),
                ("fortran_order", Value::Truth(value)) => fortran = Some(value),
                ("shape", Value::Tuple(sizes)) => shape = Some(sizes),
                _ => return None,
            }
            if parser.symbol(",").is_none() {
                parser.symbol("}")?;
                break;
            }
        }
        let sizes = shape?.into_iter().map(|value| match value {
            Value::Whole(size) => Some(size),
            _ => None,
        });
        let whole = parser.rest.trim().is_empty();
        whole.then_some(Header {
            descriptor: descriptor?.to_owned(),
            fortran: fortran?,
            shape: sizes.collect::<Option<_>>()?,
        })
    }
}

/// A Python value, as far as headers need it.
enum Value<'a> {
    Text(&'a str),
    Whole(usize),
    Truth(bool),
    Tuple(Vec<Value<'a>>),
    /// A list; its items are not needed.
    List,
    /// An expression in parentheses that is not a tuple.
    Parentheses,
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// The maximum nesting depth; valid headers are much flatter.
    const DEEPEST: usize = 32;

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(symbol)?;
        Some(())
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '\'' | '"' => self.text(),
            'u' | 'b' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..]; // Python 2 marks its two kinds of strings
                self.text()
            }
            '(' => {
                let (mut values, comma) = self.values("(", ")")?;
                match values.len() {
                    1 if !comma => values.pop().map(|_| Value::Parentheses),
                    _ => Some(Value::Tuple(values)),
                }
            }
            '[' => self.values("[", "]").map(|_| Value::List),
            '0'..='9' => {
                let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
                let digits = &self.rest[..end];
                self.rest = &self.rest[end..];
                self.rest = self.rest.strip_prefix('L').unwrap_or(self.rest); // the suffix of Python 2's long integers
                Some(Value::Whole(digits.parse().unwrap_or(usize::MAX)))
            }
            _ => [("True", true), ("False", false)].into_iter().find_map(|(word, truth)| {
                self.rest = self.rest.strip_prefix(word)?;
                Some(Value::Truth(truth))
            }),
        }
    }

    /// Parses a string up to its closing quote. Strings with escapes are rejected: numpy writes none.
    fn text(&mut self) -> Option<Value<'a>> {
        let quote = self.rest.chars().next()?;
        let (text, rest) = self.rest[1..].split_once(quote)?;
        self.rest = rest;
        (!text.contains('\\')).then_some(Value::Text(text))
    }

    /// Parses the values between two brackets; also returns whether a comma follows the last value.
    fn values(&mut self, open: &str, close: &str) -> Option<(Vec<Value<'a>>, bool)> {
        self.depth += 1;
        if self.depth > Self::DEEPEST {
            return None;
        }
        self.symbol(open)?;
        let (mut values, mut comma) = (Vec::new(), false);
        while self.symbol(close).is_none() {
            values.push(self.value()?);
            comma = self.symbol(",").is_some();
            if !comma {
                self.symbol(close)?;
                break;
            }
        }
        self.depth -= 1;
        Some((values, comma))
    }
}

/// The type of a file's numbers, with the byte order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    kind: Kind,
    /// Whether the byte order differs from this machine's.
    swapped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl Number {
    /// Parses numpy's name of a type. A prefix `<` or `>` gives the byte order; `=`, `|` or none means this machine's.
    pub(super) fn parse(word: &str) -> Option<Number> {
        let little = cfg!(target_endian = "little");
        let (swapped, kind) = match word.strip_prefix(['<', '>', '=', '|']) {
            Some(kind) => ((word.starts_with('<') && !little) || (word.starts_with('>') && little), kind),
            None => (false, word),
        };
        let kind = match kind {
            "b1" | "?" => Kind::Bool,
            "i1" => Kind::I8,
            "u1" => Kind::U8,
            "i2" => Kind::I16,
            "u2" => Kind::U16,
            "i4" => Kind::I32,
            "u4" => Kind::U32,
            "i8" => Kind::I64,
            "u8" => Kind::U64,
            "f2" => Kind::F16,
            "f4" => Kind::F32,
            "f8" => Kind::F64,
            _ => return None,
        };
        Some(Number { kind, swapped })
    }

    /// Returns the number of bytes per number.
    pub(super) fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::I8 | Kind::U8 => 1,
            Kind::I16 | Kind::U16 | Kind::F16 => 2,
            Kind::I32 | Kind::U32 | Kind::F32 => 4,
            Kind::I64 | Kind::U64 | Kind::F64 => 8,
        }
    }

    /// Whether `f32` represents every number of this type exactly.
    pub(super) fn fits_f32(self) -> bool {
        !matches!(self.kind, Kind::I32 | Kind::U32 | Kind::I64 | Kind::U64 | Kind::F64)
    }

    /// Decodes `bytes` as numbers of this type and stores the numbers in `to`, in order.
    pub(super) fn decode<'a>(self, bytes: &[u8], to: impl Iterator<Item = &'a mut f64>) {
        let swapped = self.swapped;
        match self.kind {
            Kind::Bool => put(bytes, swapped, to, |[byte]| f64::from(u8::from(byte != 0))),
            Kind::I8 => put(bytes, swapped, to, |byte| i8::from_ne_bytes(byte).into()),
            Kind::U8 => put(bytes, swapped, to, |byte| u8::from_ne_bytes(byte).into()),
            Kind::I16 => put(bytes, swapped, to, |bytes| i16::from_ne_bytes(bytes).into()),
            Kind::U16 => put(bytes, swapped, to, |bytes| u16::from_ne_bytes(bytes).into()),
            Kind::I32 => put(bytes, swapped, to, |bytes| i32::from_ne_bytes(bytes).into()),
            Kind::U32 => put(bytes, swapped, to, |bytes| u32::from_ne_bytes(bytes).into()),
            // beyond 2^53, round to the nearest f64, as numpy's astype("f8") does
            Kind::I64 => put(bytes, swapped, to, |bytes| i64::from_ne_bytes(bytes) as f64),
            Kind::U64 => put(bytes, swapped, to, |bytes| u64::from_ne_bytes(bytes) as f64),
            Kind::F16 => put(bytes, swapped, to, |bytes| whole(u16::from_ne_bytes(bytes)).into()),
            Kind::F32 => put(bytes, swapped, to, |bytes| f32::from_ne_bytes(bytes).into()),
            Kind::F64 => put(bytes, swapped, to, f64::from_ne_bytes),
        }
    }
}

fn put<'a, const N: usize>(
    bytes: &[u8],
    swapped: bool,
    to: impl Iterator<Item = &'a mut f64>,
    number: impl Fn([u8; N]) -> f64,
) {
    let places = to.zip(bytes.as_chunks().0);
    match swapped {
        false => places.for_each(|(place, &bytes)| *place = number(bytes)),
        true => places.for_each(|(place, &(mut bytes))| {
            bytes.reverse();
            *place = number(bytes);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(descriptor: &str, fortran: bool, shape: &[usize]) -> Option<Header> {
        Some(Header { descriptor: descriptor.to_owned(), fortran, shape: shape.to_vec() })
    }

    #[test]
    fn headers_are_parsed_in_every_notation() {
        let expected = header("<f8", false, &[3, 2]);
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }          \n",
            "{'shape': (3L, 2L), 'fortran_order': False, 'descr': '<f8'}",
            "{\"fortran_order\":False,\"shape\":(3,2,),\"descr\":\"<f8\"}",
            "  { 'descr' :\t'<f8' ,\n 'fortran_order' : False , 'shape' : ( 3 , 2 ) , } ",
            "{u'descr': b'<f8', u'fortran_order': False, u'shape': (3, 2)}",
        ] {
            assert_eq!(Header::parse(text), expected, "{text}");
        }
        let text =
            "{'descr': [('shape', '<f8'), ('descr', '<i4', (2,))], 'fortran_order': True, 'shape': (3,)}";
        let list = "[('shape', '<f8'), ('descr', '<i4', (2,))]";
        assert_eq!(Header::parse(text), header(list, true, &[3]));
        let text = "{'descr': '|O', 'fortran_order': False, 'shape': ()}";
        assert_eq!(Header::parse(text), header("|O", false, &[]));
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}9, 3)}}", usize::MAX);
        assert_eq!(Header::parse(&text), header("<f8", false, &[usize::MAX, 3]));
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let deep = format!("{{'descr': {}", "(".repeat(100_000));
        for text in [
            "",
            "{}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': [3, 2]}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3.0, 2)}",
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (3, 2)}",
            "{'descr': '<f8', 'fortran_order': False}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), 'more': 1}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)} more",
            "{'descr': '<f8 'fortran_order': False, 'shape': (3, 2)}",
            "\u{e4}'\u{e4}",
            &deep,
        ] {
            assert_eq!(Header::parse(text), None, "{}", &text[..text.len().min(80)]);
        }
    }
}
