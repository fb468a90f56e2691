//! What is the answer of a chat that was streamed? Its end has no message: the frames before it have, piece by piece. A
//! job's result is whole either way.

use std::time::Duration;

use megabrain_bus::Journal;
use megabrain_schemas::{
    Capability, ChatFrame, ChatRequest, Codec, Fault, FaultKind, Message, Name, Stamp, ToolCall, subject,
};
use serde_json::{Value, json};

use super::record::Record;

/// The frames are read within this, or the bus is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of number `seq` with its message, if it is the end of a streamed chat; else as it is.
///
/// # Errors
/// `unavailable` if the bus is away, `not_found` if some of the frames are kept no longer.
pub(super) async fn whole(
    journal: &Journal,
    id: &Name,
    record: &Record,
    seq: u64,
    mut end: Value,
) -> Result<Value, Fault> {
    let is_chat = record.capability == Capability::of::<ChatRequest>();
    let (Some(work), Some(fields)) = (&record.work, end.as_object_mut()) else { return Ok(end) };
    if !is_chat || fields.get("message").is_some_and(|message| !message.is_null()) {
        return Ok(end);
    }
    let mut message = Message::assistant("");
    // Frames are numbered from 0; the end has a number, too.
    let mut count = 0;
    let mut frames = journal.follow(&subject::job_frames(id), 0);
    let read = frames.find(seq, |entry| {
        if let Some(frame) = frame_of(&entry.payload, work) {
            add(&mut message, frame);
            count += 1;
        }
        entry.seq >= seq
    });
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.map_err(|_| Fault::unavailable("the frames of the answer cannot be read now", 1000))?;
    if fields.get("seq").and_then(Value::as_u64).is_some_and(|seq| seq != count) {
        return Err(Fault::new(FaultKind::NotFound, "the answer is kept no longer, or not all of it"));
    }
    fields.insert("message".to_owned(), json!(message));
    Ok(end)
}

/// A piece of this work's answer.
fn frame_of(payload: &[u8], work: &Name) -> Option<ChatFrame> {
    let codec = Codec::detect(None, payload).ok()?;
    let stamp = codec.decode::<Stamp>(payload).ok()?;
    let is_piece = !stamp.done && stamp.work.as_ref() == Some(work);
    is_piece.then(|| codec.decode(payload).ok()).flatten()
}

fn add(message: &mut Message, frame: ChatFrame) {
    message.content.push_str(&frame.delta);
    if let Some(thought) = frame.reasoning_content {
        message.reasoning_content.get_or_insert_default().push_str(&thought);
    }
    for part in frame.tool_calls {
        let (at, known) = (part.index as usize, message.tool_calls.len());
        let function = part.function.unwrap_or_default();
        let arguments = function.arguments.unwrap_or_default();
        match message.tool_calls.get_mut(at) {
            Some(call) => call.function.arguments.push_str(&arguments),
            None if at == known => {
                let (id, name) = (part.id.unwrap_or_default(), function.name.unwrap_or_default());
                message.tool_calls.push(ToolCall::function(id, name, arguments));
            }
            // A call whose first part was never told.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_one_message() {
        let work = Name::new("w").unwrap();
        let mut message = Message::assistant("");
        for piece in [
            r#"{"work":"w","seq":0,"delta":"","reasoning_content":"Hm"}"#,
            r#"{"work":"w","seq":1,"delta":"","reasoning_content":"m."}"#,
            r#"{"work":"w","seq":2,"delta":"Be"}"#,
            r#"{"work":"other","seq":2,"delta":"not this"}"#,
            r#"{"work":"w","seq":3,"delta":"rth"}"#,
            r#"{"work":"w","seq":4,"delta":"","tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}"#,
            r#"{"work":"w","seq":5,"delta":"","tool_calls":[{"index":0,"function":{"arguments":"}"}},{"index":7}]}"#,
            r#"{"work":"w","seq":6,"done":true,"delta":"nor this"}"#,
            "no JSON",
        ] {
            if let Some(frame) = frame_of(piece.as_bytes(), &work) {
                add(&mut message, frame);
            }
        }
        assert_eq!((message.content.as_str(), message.reasoning_content.as_deref()), ("Berth", Some("Hmm.")));
        assert_eq!(message.tool_calls, [ToolCall::function("c", "f", "{}")]);
    }
}
