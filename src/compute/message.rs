//! Values as bytes, for the messages between processes.

use ndarray::{Array, Dim, Dimension, IxDyn};

use super::simd::Lane;

/// A value that ranks send each other. All ranks run on processors with the same order of bytes.
pub(crate) trait Message: Sized {
    /// Appends the value.
    fn write(&self, to: &mut Vec<u8>);

    /// Takes the value from the front of what [`Message::write`] has written.
    ///
    /// # Panics
    ///
    /// Panics if the bytes end before the value.
    fn read(from: &mut &[u8]) -> Self;
}

macro_rules! message_of_number {
    ($($number:ty)*) => {$(
        impl Message for $number {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend(self.to_ne_bytes());
            }

            fn read(from: &mut &[u8]) -> $number {
                let (bytes, rest) = from.split_first_chunk().expect("a whole message");
                *from = rest;
                <$number>::from_ne_bytes(*bytes)
            }
        }
    )*};
}

message_of_number! { u8 u64 usize f32 f64 }

impl Message for bool {
    fn write(&self, to: &mut Vec<u8>) {
        to.push((*self).into());
    }

    fn read(from: &mut &[u8]) -> bool {
        u8::read(from) == 1
    }
}

impl Message for Lane {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
    }

    fn read(from: &mut &[u8]) -> Lane {
        Lane(Message::read(from))
    }
}

/// Implements [`Message`] for a struct by the list of its fields.
macro_rules! message_of_fields {
    ($name:ident { $($field:ident),* }) => {
        impl $crate::compute::Message for $name {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$field.write(to);)*
            }

            fn read(from: &mut &[u8]) -> $name {
                $(let $field = $crate::compute::Message::read(from);)*
                $name { $($field),* }
            }
        }
    };
}

pub(crate) use message_of_fields;

impl Message for () {
    fn write(&self, _to: &mut Vec<u8>) {}

    fn read(_from: &mut &[u8]) {}
}

impl<A: Message, B: Message> Message for (A, B) {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut &[u8]) -> (A, B) {
        (A::read(from), B::read(from))
    }
}

impl<T: Message> Message for Vec<T> {
    fn write(&self, to: &mut Vec<u8>) {
        self.len().write(to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut &[u8]) -> Vec<T> {
        let length = usize::read(from);
        (0..length).map(|_| T::read(from)).collect()
    }
}

impl<T: Message, const N: usize> Message for [T; N] {
    fn write(&self, to: &mut Vec<u8>) {
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut &[u8]) -> [T; N] {
        std::array::from_fn(|_| T::read(from))
    }
}

impl<T: Message> Message for Option<T> {
    fn write(&self, to: &mut Vec<u8>) {
        self.is_some().write(to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut &[u8]) -> Option<T> {
        bool::read(from).then(|| T::read(from))
    }
}

impl<T: Message + Clone, const N: usize> Message for Array<T, Dim<[usize; N]>>
where
    Dim<[usize; N]>: Dimension,
{
    fn write(&self, to: &mut Vec<u8>) {
        self.shape().iter().for_each(|size| size.write(to));
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut &[u8]) -> Self {
        let shape = <[usize; N]>::read(from);
        let items = (0..shape.iter().product()).map(|_| T::read(from)).collect();
        let array = Array::from_shape_vec(IxDyn(&shape), items).expect("as many items as the shape says");
        array.into_dimensionality().expect("an array of N dimensions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let value =
            (ndarray::array![[1.0, f64::NAN, -0.0]], Some(vec![vec![1usize], vec![]]), [7u64, u64::MAX]);
        let mut bytes = Vec::new();
        value.0.write(&mut bytes);
        value.1.write(&mut bytes);
        value.2.write(&mut bytes);
        let rest = &mut &bytes[..];
        let found: ndarray::Array2<f64> = Message::read(rest);
        assert_eq!(found.mapv(f64::to_bits), value.0.mapv(f64::to_bits));
        assert_eq!(Option::<Vec<Vec<usize>>>::read(rest), value.1);
        assert_eq!(<[u64; 2]>::read(rest), value.2);
        assert!(rest.is_empty() && Option::<f64>::read(&mut &[0u8][..]).is_none());
    }
}
