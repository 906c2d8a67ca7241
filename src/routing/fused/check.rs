//! Checks of the arrays that the kernel reads and writes.

use crate::error::{Error, Result};

pub(super) fn check_length(name: &'static str, shape: &[usize], numbers: &[f32]) -> Result<()> {
    if shape.iter().product::<usize>() == numbers.len() {
        return Ok(());
    }
    Err(Error::Shape { name, expected: shape.to_vec(), found: vec![numbers.len()] })
}

/// Checks that the numbers fill the shape and are all good. The error names the place of the first bad number.
pub(crate) fn check_numbers(
    name: &'static str,
    shape: &[usize],
    numbers: &[f32],
    expected: &'static str,
    is_good: impl Fn(f32) -> bool,
) -> Result<()> {
    check_length(name, shape, numbers)?;
    // checks all numbers without a branch, several at a time; then finds the first bad number
    if numbers.iter().fold(true, |good, &value| good & is_good(value)) {
        return Ok(());
    }
    let Some(mut index) = numbers.iter().position(|&value| !is_good(value)) else { return Ok(()) };
    let value = f64::from(numbers[index]);
    let mut place = vec![0; shape.len()];
    for (place, size) in place.iter_mut().zip(shape).rev() {
        (*place, index) = (index % size, index / size);
    }
    Err(Error::EntryOutOfRange { name, place, expected, value })
}

/// Returns the largest absolute value of finite numbers. Avoids `f32::max`, which handles NaN and which the compiler does not
/// vectorise.
pub(super) fn largest(numbers: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut largest = [0.0f32; 8];
    for eight in eights {
        for lane in 0..8 {
            largest[lane] = larger(largest[lane], eight[lane].abs());
        }
    }
    largest.into_iter().chain(rest.iter().map(|number| number.abs())).fold(0.0, larger)
}
