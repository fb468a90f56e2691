//! How is a number checked that has the right type and the wrong value?

use std::ops::RangeInclusive;

use crate::Fault;

/// Pictures that a request may have.
const MOST_IMAGES: usize = 64;

/// Refuses a number outside `range`, and one that is no number.
pub(crate) fn within(field: &str, value: Option<f32>, range: RangeInclusive<f32>) -> Result<(), Fault> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(Fault::invalid(format!("`{field}` is {value}: expected {} to {}", range.start(), range.end())))
        }
        _ => Ok(()),
    }
}

/// Refuses more pictures than a request may have. `subject` is who has so many: "`messages` have".
pub(crate) fn images(subject: &str, count: usize) -> Result<(), Fault> {
    if count > MOST_IMAGES {
        return Err(Fault::invalid(format!("{subject} {count} images: expected {MOST_IMAGES} or fewer")));
    }
    Ok(())
}

/// Refuses 0 where it would ask for nothing.
pub(crate) fn at_least_one(field: &str, value: Option<u32>) -> Result<(), Fault> {
    match value {
        Some(0) => Err(Fault::invalid(format!("`{field}` is 0: expected 1 or more"))),
        _ => Ok(()),
    }
}
