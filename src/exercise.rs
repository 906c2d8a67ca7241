//! Checks of the exercises in the notebooks: each compares a reader's answer with the expected one.
//!
//! An answer is an `Option`. It is `None` until the reader fills it in, so a notebook runs as it stands. The result is a
//! [`Verdict`], which says `right` or `not yet: …` and does not print the expected answer. No check panics.
//!
//! ```
//! use em_routing::exercise;
//! let answer: Option<f64> = None; // your answer: Some(…) instead of None
//! assert_eq!(exercise::number(answer, 0.45, 1e-2).to_string(), "not yet: give an answer");
//! assert_eq!(exercise::number(Some(0.451), 0.45, 1e-2).to_string(), "right");
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of a check. It is displayed as `right`, or as `not yet:` and the reason.
#[must_use = "show the verdict as the last expression of the cell, or assert that it is right"]
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict(Result<(), String>);

impl Verdict {
    /// Whether the answer is right.
    pub fn is_right(&self) -> bool {
        self.0.is_ok()
    }

    /// Displays the verdict in a Rust notebook; the kernel calls this for the last expression of a cell.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/plain\n{self}\nEVCXR_END_CONTENT");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(()) => f.write_str("right"),
            Err(reason) => write!(f, "not yet: {reason}"),
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks that a number is within `tolerance` of `expected`. NaN is never right.
pub fn number(answer: Option<f64>, expected: f64, tolerance: f64) -> Verdict {
    check(answer, |&answer| within(answer, expected, tolerance))
}

/// Checks that there are as many numbers as expected, each within `tolerance` of the expected one at its place.
///
/// ```
/// use em_routing::exercise;
/// let answer = Some(vec![0.5, 0.3]);
/// assert_eq!(
///     exercise::numbers(answer, &[0.5, 0.4], 0.01).to_string(),
///     "not yet: number 2 of 2: 0.3 is not within 0.01 of the answer"
/// );
/// ```
pub fn numbers<A: AsRef<[f64]>>(answer: Option<A>, expected: &[f64], tolerance: f64) -> Verdict {
    check(answer, |answer| {
        let (answer, count) = (answer.as_ref(), expected.len());
        if answer.len() != count {
            return Err(format!("{count} numbers are asked for, not {}", answer.len()));
        }
        let mut pairs = (1..).zip(answer.iter().zip(expected));
        pairs.try_for_each(|(place, (&answer, &expected))| {
            let prefixed = |reason| format!("number {place} of {count}: {reason}");
            within(answer, expected, tolerance).map_err(prefixed)
        })
    })
}

/// Checks a word, such as the letter of a choice. Upper and lower case, and spaces around the word, make no difference.
pub fn choice(answer: Option<&str>, expected: &str) -> Verdict {
    choice_by_hash(answer, hash(expected))
}

/// Checks a word as [`choice`] does, by the [`hash`] of the expected word, so that the cell does not show the answer.
///
/// ```
/// use em_routing::exercise;
/// assert_eq!(exercise::hash("pose"), 0x78e7_df84); // once, for the author of the exercise
/// assert!(exercise::choice_by_hash(Some("Pose"), 0x78e7_df84).is_right());
/// ```
pub fn choice_by_hash(answer: Option<&str>, expected: u32) -> Verdict {
    check(answer, |&answer| match hash(answer) == expected {
        true => Ok(()),
        false => Err(format!("{answer:?} is not the answer")),
    })
}

/// The FNV-1a hash of a word in lower case, without spaces around it.
pub fn hash(word: &str) -> u32 {
    let word = word.trim().to_lowercase();
    word.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Checks any answer by a test, whose error is the reason for `not yet`. The answer can be a function, given as a pointer
/// such as `fn(&[f64]) -> f64`. A panic in the test, or in the reader's function that it calls, is a reason, too.
///
/// ```
/// use em_routing::exercise;
/// fn double(x: f64) -> f64 {
///     x * x
/// }
/// let mine: Option<fn(f64) -> f64> = Some(double);
/// let verdict = exercise::check(mine, |double| match double(3.0) {
///     6.0 => Ok(()),
///     other => Err(format!("it doubles 3 to {other}")),
/// });
/// assert_eq!(verdict.to_string(), "not yet: it doubles 3 to 9");
/// ```
pub fn check<A>(answer: Option<A>, test: impl FnOnce(&A) -> Result<(), String>) -> Verdict {
    let Some(answer) = answer else { return Verdict(Err("give an answer".to_owned())) };
    let tested = catch_unwind(AssertUnwindSafe(|| test(&answer)));
    Verdict(tested.unwrap_or_else(|_| Err("the check of this answer panicked".to_owned())))
}

fn within(answer: f64, expected: f64, tolerance: f64) -> Result<(), String> {
    let error = if answer == expected { 0.0 } else { (answer - expected).abs() }; // infinities can be equal
    match error <= tolerance {
        true => Ok(()),
        false => Err(format!("{answer:?} is not within {tolerance:?} of the answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_right_within_its_tolerance_and_nan_is_never_right() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (answer, expected, tolerance) in [(0.5, 0.5, 0.0), (0.45, 0.44, 0.02), (-inf, -inf, 0.1)] {
            assert!(number(Some(answer), expected, tolerance).is_right());
        }
        for (answer, expected, tolerance) in [
            (0.5, 0.4, 0.01),
            (nan, 0.5, 1.0),
            (nan, nan, 1.0),
            (0.5, 0.5, nan),
            (inf, -inf, 1.0),
            (inf, 1.0, 1.0),
        ] {
            let verdict = number(Some(answer), expected, tolerance);
            assert!(!verdict.is_right(), "{answer} passed for {expected} +- {tolerance}");
        }
        let verdict = number(Some(0.3), 0.4567, 0.01);
        assert_eq!(
            format!("{verdict} {verdict:?}"),
            ["not yet: 0.3 is not within 0.01 of the answer"; 2].join(" ")
        );
    }

    #[test]
    fn numbers_are_compared_one_by_one_after_their_count() {
        assert!(numbers(Some([1.0, 2.0]), &[1.0, 2.0], 0.0).is_right());
        assert!(numbers(Some(&[1.0, 2.0][..]), &[1.0, 2.01], 0.1).is_right());
        assert!(numbers(Some(vec![]), &[], 0.0).is_right());
        assert!(!numbers(Some([1.0, f64::NAN]), &[1.0, 2.0], 9.0).is_right());
        let verdict = numbers(Some([1.0]), &[1.0, 2.0], 0.0);
        assert_eq!(verdict.to_string(), "not yet: 2 numbers are asked for, not 1");
    }

    #[test]
    fn no_answer_is_not_yet_and_a_panic_is_a_reason() {
        let none = "not yet: give an answer";
        assert_eq!(number(None, 1.0, 1.0).to_string(), none);
        assert_eq!(numbers(None::<Vec<f64>>, &[], 1.0).to_string(), none);
        assert_eq!(choice(None, "a").to_string(), none);
        let mine: Option<fn(&[f64]) -> f64> = Some(|values| values[3]);
        let verdict = check(mine, |mine| if mine(&[1.0]) == 1.0 { Ok(()) } else { Err("no".to_owned()) });
        assert_eq!(verdict.to_string(), "not yet: the check of this answer panicked");
    }

    #[test]
    fn a_choice_ignores_case_and_spaces() {
        assert!(choice(Some(" E-Step "), "e-step").is_right());
        assert_eq!(choice(Some("b"), "a").to_string(), "not yet: \"b\" is not the answer");
        assert_eq!(choice_by_hash(Some("b"), hash("a")), choice(Some("b"), "a"));
        assert_eq!((hash(""), hash(" A")), (0x811c_9dc5, 0xe40c_292c)); // published values of FNV-1a
    }
}
