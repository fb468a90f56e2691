//! Does every message come out of both codecs as it went in, and does nothing that comes in make them panic?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;
mod types;

use megabrain_schemas::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use types::{CODECS, decode_as_everything, every_golden, round_trips};

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|text| Name::new(text).unwrap())
}

fn finite() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::ZERO
}

fn small() -> impl Strategy<Value = f32> {
    prop::num::f32::NORMAL | prop::num::f32::ZERO
}

fn data() -> impl Strategy<Value = Data> {
    vec(any::<u8>(), 0..300).prop_map(Data)
}

fn media() -> impl Strategy<Value = Media> {
    (option::of(".*"), option::of(data()), option::of(any::<[u8; 4]>().prop_map(|bytes| BlobRef::of(&bytes))))
        .prop_map(|(mime, data, blob)| Media { mime, data, blob })
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..FaultKind::ALL.len(), ".*", any::<bool>(), option::of(any::<u64>())).prop_map(
        |(kind, message, retryable, retry_after_ms)| Fault {
            kind: FaultKind::ALL[kind],
            message,
            retryable,
            retry_after_ms,
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<(u32, u32)>().prop_map(|(prompt_tokens, completion_tokens)| Usage { prompt_tokens, completion_tokens })
}

fn finish_reason() -> impl Strategy<Value = FinishReason> {
    prop_oneof![Just(FinishReason::Stop), Just(FinishReason::Length), Just(FinishReason::ToolCalls)]
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant), Just(Role::Tool)];
    (role, ".*", vec(media(), 0..2), option::of(".*"), vec(tool_call(), 0..2), option::of(".*")).prop_map(
        |(role, content, images, reasoning_content, tool_calls, tool_call_id)| Message {
            role,
            content,
            images,
            reasoning_content,
            tool_calls,
            tool_call_id,
        },
    )
}

fn tool_call() -> impl Strategy<Value = ToolCall> {
    (".*", ".*", ".*").prop_map(|(id, name, arguments)| ToolCall::function(id, name, arguments))
}

/// Any JSON a few levels deep.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        finite().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((".{0,8}", inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn tool() -> impl Strategy<Value = Tool> {
    (
        ".*",
        option::of(".*"),
        option::of(json().prop_filter("null is absent", |json| !json.is_null())),
        any::<Option<bool>>(),
    )
        .prop_map(|(name, description, parameters, strict)| Tool {
            kind: ToolKind::Function,
            function: FunctionTool { name, description, parameters, strict },
        })
}

fn tool_choice() -> impl Strategy<Value = ToolChoice> {
    prop_oneof![
        Just(ToolChoice::Mode(ToolMode::None)),
        Just(ToolChoice::Mode(ToolMode::Auto)),
        Just(ToolChoice::Mode(ToolMode::Required)),
        ".*".prop_map(ToolChoice::named),
    ]
}

fn response_format() -> impl Strategy<Value = ResponseFormat> {
    prop_oneof![
        Just(ResponseFormat::Text {}),
        Just(ResponseFormat::JsonObject {}),
        (option::of(".*"), option::of(".*"), json(), any::<Option<bool>>()).prop_map(
            |(name, description, schema, strict)| ResponseFormat::JsonSchema {
                json_schema: JsonSchemaFormat { name, description, schema, strict },
            }
        ),
    ]
}

fn chat_frame() -> impl Strategy<Value = ChatFrame> {
    let delta = (any::<u32>(), option::of(".*"), any::<bool>(), option::of((option::of(".*"), option::of(".*"))))
        .prop_map(|(index, id, has_kind, function)| ToolCallDelta {
            index,
            id,
            kind: has_kind.then_some(ToolKind::Function),
            function: function.map(|(name, arguments)| FunctionCallDelta { name, arguments }),
        });
    (".*", option::of(".*"), vec(delta, 0..2)).prop_map(|(delta, reasoning_content, tool_calls)| ChatFrame {
        delta,
        reasoning_content,
        tool_calls,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let words =
        (option::of(".*"), vec(media(), 0..4), option::of(vec(name(), 0..3)), option::of(".*"), option::of(name()));
    let need = prop_oneof![
        any::<u32>().prop_map(Need::Count),
        Just(Need::Word(NeedWord::All)),
        Just(Need::Word(NeedWord::Any))
    ];
    let numbers = (
        any::<bool>(),
        any::<bool>(),
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        option::of(small()),
        option::of(small()),
        any::<Option<u32>>(),
    );
    let lists = (vec(message(), 0..3), vec(".*", 0..3));
    (words, numbers, lists, option::of(need)).prop_map(|(words, numbers, (messages, stop), need)| {
        let (text, attachments, models, session, work) = words;
        let (all, stream, deadline_ms, frames, max_tokens, temperature, top_p, seed) = numbers;
        let policy = if all { Policy::All } else { Policy::First };
        Ask {
            text,
            messages,
            attachments,
            models,
            policy,
            need,
            stream,
            deadline_ms,
            frames,
            max_tokens,
            temperature,
            top_p,
            seed,
            stop,
            session,
            work,
        }
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let modality = prop_oneof![Just(Modality::Audio), Just(Modality::Image), Just(Modality::Text)];
    let times = (option::of(finite()), option::of(finite()));
    (any::<u32>(), modality, name(), times, ".*", option::of(small()), leg_status()).prop_map(
        |(attachment, modality, model, (t0_ms, t1_ms), text, confidence, status)| Evidence {
            attachment: attachment as usize,
            modality,
            model,
            t0_ms,
            t1_ms,
            text,
            confidence,
            status,
        },
    )
}

fn leg_status() -> impl Strategy<Value = LegStatus> {
    prop_oneof![
        Just(LegStatus::Ok),
        Just(LegStatus::Failed),
        Just(LegStatus::Late),
        Just(LegStatus::Cancelled),
        Just(LegStatus::Skipped)
    ]
}

fn leg() -> impl Strategy<Value = LegReport> {
    let status = option::of(leg_status());
    let told = (option::of(".*"), option::of(fault()));
    (".*", ".*", option::of(name()), status, option::of(finite()), finite(), told).prop_map(
        |(leg, subject, model, status, queued_ms, took_ms, (note, error))| LegReport {
            leg,
            subject,
            model,
            status,
            queued_ms,
            took_ms,
            note,
            error,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    (name(), ".*", finish_reason(), usage(), finite()).prop_map(|(model, text, finish_reason, usage, took_ms)| Answer {
        model,
        text,
        finish_reason,
        usage,
        took_ms,
    })
}

fn ask_reply() -> impl Strategy<Value = AskReply> {
    let own =
        (option::of(name()), ".*", option::of(name()), option::of(finish_reason()), option::of(usage()), finite());
    (own, vec(answer(), 0..3), vec(evidence(), 0..3), vec(leg(), 0..3), vec(0_usize..9, 0..3)).prop_map(
        |((work, text, model, finish_reason, usage, took_ms), answers, evidence, legs, left_out)| AskReply {
            work,
            text,
            model,
            finish_reason,
            usage,
            answers,
            evidence,
            left_out,
            legs,
            took_ms,
        },
    )
}

fn chat() -> impl Strategy<Value = ChatRequest> {
    let words = (option::of(".*"), vec(message(), 0..4), vec(".*", 0..3), option::of(".*"), option::of(name()));
    let numbers = (
        any::<Option<u32>>(),
        option::of(small()),
        option::of(small()),
        any::<Option<u32>>(),
        any::<bool>(),
        any::<Option<u64>>(),
    );
    let forms = (
        vec(tool(), 0..2),
        option::of(tool_choice()),
        any::<Option<bool>>(),
        option::of(response_format()),
        option::of(".*"),
    );
    let penalties = (
        any::<Option<u32>>(),
        prop::array::uniform4(option::of(small())),
        prop::collection::btree_map("[0-9]{1,6}", small(), 0..3),
        any::<Option<u32>>(),
    );
    (words, numbers, forms, penalties).prop_map(|(words, numbers, forms, penalties)| {
        let (model, messages, stop, session, work) = words;
        let (max_tokens, temperature, top_p, seed, stream, deadline_ms) = numbers;
        let (tools, tool_choice, parallel_tool_calls, response_format, grammar) = forms;
        let (top_k, [min_p, presence_penalty, frequency_penalty, repeat_penalty], logit_bias, n) = penalties;
        ChatRequest {
            model,
            messages,
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            presence_penalty,
            frequency_penalty,
            repeat_penalty,
            logit_bias,
            n,
            seed,
            stop,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            grammar,
            stream,
            session,
            deadline_ms,
            work,
        }
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    let word = (finite(), finite(), ".*", small()).prop_map(|(t0_ms, t1_ms, text, confidence)| Word {
        t0_ms,
        t1_ms,
        text,
        confidence,
    });
    (finite(), finite(), ".*", option::of(small()), vec(word, 0..3))
        .prop_map(|(t0_ms, t1_ms, text, confidence, words)| Segment { t0_ms, t1_ms, text, confidence, words })
}

fn seen() -> impl Strategy<Value = Seen> {
    let read = (".*", prop::array::uniform8(small()), small()).prop_map(|(text, [a, b, c, d, e, f, g, h], score)| {
        Read { text, corners: [[a, b], [c, d], [e, f], [g, h]], score }
    });
    let label = (".*", small()).prop_map(|(label, score)| Classified { label, score });
    let description = (".*", ".*").prop_map(|(text, by)| Description { text, by });
    (any::<u32>(), any::<u32>(), option::of(vec(label, 0..3)), option::of(vec(read, 0..3)), option::of(description))
        .prop_map(|(width, height, classify, read, describe)| Seen { width, height, classify, read, describe })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn asking_round_trips(ask in ask(), reply in ask_reply(), leg in leg(), evidence in evidence(), fault in fault(), media in media()) {
        round_trips(&ask);
        round_trips(&reply);
        round_trips(&AskFrame { leg: Some(leg), ..AskFrame::default() });
        round_trips(&AskFrame { evidence: Some(evidence), ..AskFrame::default() });
        round_trips(&AskFrame { delta: ask.text.clone(), model: ask.work.clone(), ..AskFrame::default() });
        round_trips(&AttachmentRequest { attachment: media, prompt: ask.text.clone() });
        round_trips(&FaultReply::new(ask.work, fault));
    }

    #[test]
    fn chatting_and_embedding_round_trip(
        chat in chat(), message in option::of(message()), finish_reason in finish_reason(), usage in usage(), times in prop::array::uniform4(finite()),
        vectors in vec(vec(small(), 0..8), 0..4), frame in chat_frame(),
    ) {
        let [queued_ms, prompt_ms, first_token_ms, total_ms] = times;
        let ChatRequest { model, stop: input, stream: truncate, deadline_ms, work, .. } = chat.clone();
        round_trips(&EmbedRequest { model: model.clone(), input: input.clone(), truncate, deadline_ms, work: work.clone() });
        let query = input.first().cloned().unwrap_or_default();
        round_trips(&RerankRequest { model, query, documents: input, top_n: chat.max_tokens, truncate, deadline_ms, work });
        round_trips(&chat);
        round_trips(&ChatReply { message, finish_reason, usage, timings: Timings { queued_ms, prompt_ms, first_token_ms, total_ms } });
        round_trips(&frame);
        let relevance_score = vectors.iter().flatten().copied().next().unwrap_or_default();
        round_trips(&EmbedReply { embeddings: vectors, usage });
        round_trips(&RerankReply { results: vec![Ranked { index: usage.prompt_tokens, relevance_score }], usage });
    }

    #[test]
    fn media_round_trips(
        media in media(), text in ".*", language in option::of(".*"), segments in vec(segment(), 0..3), number in finite(), speed in option::of(small()),
        stream in any::<bool>(), deadline_ms in any::<Option<u64>>(), work in option::of(name()), count in any::<Option<u32>>(), seen in vec(seen(), 0..3),
    ) {
        let file = TranscribeRequest { model: language.clone(), audio: media.clone(), language: language.clone(), stream, deadline_ms, work, ..TranscribeRequest::default() };
        round_trips(&file);
        for format in [TextFormat::Text, TextFormat::Srt, TextFormat::Vtt] {
            let live = count.map(|rate| LiveSound { rate, idle_ms: u64::from(rate) });
            round_trips(&TranscribeRequest { audio: Media::default(), live, translate: stream, words: !stream, format, ..file.clone() });
            format.render(text.clone(), &segments);
        }
        round_trips(&TranscribeReply { text: text.clone(), language: text.clone(), duration_ms: number, segments: segments.clone(), queued_ms: number });
        for segment in segments.clone() {
            round_trips(&TranscribeFrame { segment: Some(segment), partial: stream, publish_to: language.clone() });
        }
        for format in [AudioFormat::Wav, AudioFormat::Flac, AudioFormat::Opus] {
            round_trips(&SpeakRequest { text: text.clone(), voice: language.clone(), speed, format, stream });
        }
        round_trips(&SpeakReply { audio: media.clone(), duration_ms: number, segments });
        let tasks = stream.then(|| vec![SeeTask::Classify, SeeTask::Read, SeeTask::Describe]);
        round_trips(&SeeRequest { images: vec![media.clone()], tasks, prompt: language, top_k: count });
        round_trips(&SeeReply { results: seen, queued_ms: number });
        round_trips(&SplitRequest { video: media, frames: count, fps: speed, stream: Some(stream) });
        let blob = BlobRef::of(text.as_bytes());
        round_trips(&SplitFrame { frame: Some(VideoFrame { blob: blob.clone(), t_ms: number }), sound: None });
        round_trips(&SplitFrame { frame: None, sound: Some(VideoSound { blob, t0_ms: number, duration_ms: number }) });
        round_trips(&SplitReply { frames: count.unwrap_or(0), duration_ms: number, ..SplitReply::default() });
    }

    #[test]
    fn echoes_and_events_round_trip(
        text in option::of(".*"), data in option::of(data()), attachment in option::of(media()), delay_ms in any::<u64>(), stream in any::<bool>(),
        names in prop::array::uniform3(name()), counts in any::<[u32; 6]>(), bytes in any::<[u64; 3]>(), share in option::of(small()), rate in finite(), keys in vec(any::<u64>(), 0..8),
        stamp in (option::of(name()), option::of(name()), any::<Option<u64>>(), any::<bool>()),
    ) {
        round_trips(&EchoRequest { text: text.clone(), data: data.clone(), attachment, delay_ms, stream });
        round_trips(&EchoReply { text: text.clone(), data: data.clone() });
        round_trips(&AttachmentReply { text: text.clone(), data });
        let [instance, model, other] = names;
        for state in [ModelState::Starting, ModelState::Loading, ModelState::Ready, ModelState::Draining, ModelState::Backoff, ModelState::Failed] {
            round_trips(&Presence {
                node: Some(other.clone()), state, capabilities: vec![Capability::of::<ChatRequest>()], accepts: text.clone().into_iter().collect(),
                device: text.clone(), slots: counts[0], queue_limit: counts[1], context: Some(counts[2]), queued: counts[3], in_flight: counts[4],
                finished: bytes[0], faults: bytes[1], last_fault: stream.then_some(FaultKind::Engine), tokens_per_second: rate, prompt_tokens: bytes[2], completion_tokens: bytes[0], took_ms: rate, memory_bytes: bytes[2], progress: share, reason: text.clone(),
                retry_after_ms: Some(delay_ms), pid: counts[5], ..Presence::unknown(&instance, &model)
            });
        }
        round_trips(&NodePresence { router: stream, asks_in_flight: counts[0], up_ms: bytes[0], ..NodePresence::default() });
        round_trips(&WorkReport { model: model.clone(), taken: keys.clone(), finished: keys });
        round_trips(&CoreShares { threads: [(model, counts[0]), (other, counts[1])].into() });
        let (work, model, seq, done) = stamp;
        round_trips(&Stamp { work, model, seq, done });
        round_trips(&Cancel {});
    }

    #[test]
    fn no_bytes_make_decoding_panic(body in vec(any::<u8>(), 0..512), header in option::of(".*")) {
        let _ = Codec::detect(header.as_deref(), &body);
        for codec in CODECS {
            decode_as_everything(codec, &body);
        }
        // Past the first byte, where it is a map.
        let packed = [b"\x81".as_slice(), &body].concat();
        decode_as_everything(Codec::MessagePack, &packed);
        let json = format!("{{\"text\":{}", String::from_utf8_lossy(&body));
        decode_as_everything(Codec::Json, json.as_bytes());
    }

    #[test]
    fn no_changed_byte_makes_decoding_panic(pick in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static GOLDEN: std::sync::LazyLock<Vec<(Codec, Vec<u8>)>> = std::sync::LazyLock::new(|| {
            let mut all = Vec::new();
            every_golden(|_, codec, body| all.push((codec, body.to_vec())));
            all
        });
        let (codec, mut body) = pick.get(&GOLDEN).clone();
        let place = place.index(body.len());
        body[place] = byte;
        decode_as_everything(codec, &body);
    }
}
