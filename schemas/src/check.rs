//! How is a number checked that has the right type and the wrong value?

use std::ops::RangeInclusive;

use crate::Fault;

/// Refuses a number outside `range`, and one that is no number.
pub(crate) fn within(field: &str, value: Option<f32>, range: RangeInclusive<f32>) -> Result<(), Fault> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(Fault::invalid(format!("`{field}` is {value}: expected {} to {}", range.start(), range.end())))
        }
        _ => Ok(()),
    }
}

/// Refuses 0 where it would ask for nothing.
pub(crate) fn at_least_one(field: &str, value: Option<u32>) -> Result<(), Fault> {
    match value {
        Some(0) => Err(Fault::invalid(format!("`{field}` is 0: expected 1 or more"))),
        _ => Ok(()),
    }
}

/// Refuses an empty text among those that end an answer.
pub(crate) fn no_empty_stop(stop: &[String]) -> Result<(), Fault> {
    if stop.iter().any(String::is_empty) {
        return Err(Fault::invalid("`stop` holds an empty text, which would end every answer at once"));
    }
    Ok(())
}
