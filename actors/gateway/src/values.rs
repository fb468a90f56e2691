//! How much memory would a body of JSON take when it is read? Its bytes do not tell, the number of its values does.

use std::slice::Iter;

use crate::error::ApiError;
use crate::room::SMALL;

/// Values of one body, at most. The shortest have two bytes, and take a hundred times as much when they are read.
const MOST: usize = 262_144;

/// Room that one is given while it is read, in bytes: a value, and its part of the list or table that grows around it.
const BYTES_A_VALUE: usize = 160;

/// Tells how many bytes a body of JSON takes when it is read, before any of its values is made.
///
/// # Errors
/// Status 413 if there are more of them than are taken.
pub(crate) fn check(body: &[u8]) -> Result<usize, ApiError> {
    // So few bytes cannot have too many.
    let count = if body.len() <= SMALL { 0 } else { count(body) };
    if count <= MOST {
        return Ok(body.len() + count * BYTES_A_VALUE);
    }
    Err(ApiError::too_large(format!(
        "the body has {count} names and values, at most {MOST} are taken: send large media as one data URL, or put it into the \
         blob store and send its name"
    )))
}

/// Counts what stands before a value: every value but the outermost comes after one of these, and so does every name.
fn count(body: &[u8]) -> usize {
    let mut bytes = body.iter();
    let mut count = 0;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_text(&mut bytes),
            b',' | b':' | b'[' | b'{' => count += 1,
            _ => {}
        }
    }
    count
}

/// Goes on behind the end of a text that has begun.
fn skip_text(bytes: &mut Iter<'_, u8>) {
    // What is escaped does not end it.
    while bytes.find(|byte| matches!(byte, b'"' | b'\\')) == Some(&b'\\') {
        bytes.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_text_is_no_value() {
        for (body, counted) in [
            (r"{}", 1),
            (r"[[],[],0]", 5),
            (r#"{"a":1,"b":[null]}"#, 5),
            (r#"["[[,{:"]"#, 1),
            (r#"["\"[[","[\\",[]]"#, 4),
            (r#"{"[\\\"[":"\\"}"#, 2),
        ] {
            assert_eq!(count(body.as_bytes()), counted, "{body}");
        }
    }

    #[test]
    fn what_is_cut_off_is_counted_as_far_as_it_goes() {
        let body = br#"{"a":["\"[",["x\\",0]]}"#;
        let counts: Vec<usize> = (0..=body.len()).map(|length| count(&body[..length])).collect();
        assert!(counts.is_sorted());
        assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&6)));
    }

    #[test]
    fn as_many_as_are_taken_are_taken_and_one_more_is_not() {
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(check(zeros(MOST).as_bytes()).is_ok());
        let refused = check(zeros(MOST + 1).as_bytes()).unwrap_err();
        assert!(
            refused.message().contains("262145 names and values, at most 262144 are taken"),
            "{}",
            refused.message()
        );
        let text = format!(r#"["{}"]"#, "[".repeat(MOST + 1));
        assert!(check(text.as_bytes()).is_ok());
    }
}
