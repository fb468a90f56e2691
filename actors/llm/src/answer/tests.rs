//! Is an answer read alike however it is cut, is nothing of it lost, and are the notations of all families understood?

use serde_json::json;

use super::*;

fn tools() -> Vec<Tool> {
    ["get_weather", "add"].map(|name| Tool::function(name, "", json!({"type": "object"}))).into()
}

/// What a reader makes of a text: thoughts, words and calls, neighbours of one kind as one.
fn read(family: Family, text: &str, cuts: u64) -> Vec<Part> {
    let mut reader = AnswerReader::new("").with_calls(family, &tools(), "");
    let mut parts: Vec<Part> = Vec::new();
    let mut piece = String::new();
    for (index, character) in text.chars().enumerate() {
        piece.push(character);
        if cuts >> (index % 64) & 1 == 1 {
            parts.extend(reader.push(&std::mem::take(&mut piece)));
        }
    }
    parts.extend(reader.push(&piece));
    parts.extend(reader.finish());
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) | (Some(Part::Thought(before)), Part::Thought(text)) => {
                before.push_str(&text)
            }
            (_, part) => joined.push(part),
        }
    }
    joined
}

/// Cuts at every place, at none, and at many sets of places.
fn cuts() -> impl Iterator<Item = u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    [0, u64::MAX].into_iter().chain(std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }))
}

fn check(family: Family, text: &str, expected: &[Part]) {
    for cuts in cuts().take(60) {
        assert_eq!(read(family, text, cuts), expected, "{family:?} {cuts:x} {text:?}");
    }
}

fn words(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn weather(arguments: &str) -> Part {
    Part::Call(FunctionCall { name: "get_weather".to_owned(), arguments: arguments.to_owned() })
}

fn add(arguments: &str) -> Part {
    Part::Call(FunctionCall { name: "add".to_owned(), arguments: arguments.to_owned() })
}

#[test]
fn hermes_and_qwen_write_tags() {
    let paris = r#"{"city":"Paris"}"#;
    let one = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    check(Family::Hermes, one, &[weather(paris)]);
    check(Family::Hermes, &format!("Let me see.\n{one}"), &[words("Let me see."), weather(paris)]);
    let two =
        format!("{one}\n<tool_call>\n{{\"name\": \"add\", \"arguments\": {{\"a\": 1, \"b\": 2.5}}}}\n</tool_call>\n");
    check(Family::Hermes, &two, &[weather(paris), add(r#"{"a":1,"b":2.5}"#)]);
    check(Family::Hermes, &format!("{one}\n\nThere you go."), &[weather(paris), words("\n\nThere you go.")]);
    // The end is missing, as small models forget it.
    check(Family::Hermes, "<tool_call>{\"name\":\"add\",\"arguments\":{}}", &[add("{}")]);
    check(Family::Hermes, "<tool_call>{\"name\":\"add\",\"arguments\":{}}\n</tool_c", &[add("{}")]);
    check(Family::Hermes, "<tool_call>{\"name\":\"add\"}</tool_call>", &[add("{}")]);
    check(
        Family::Hermes,
        "<tool_call>{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>",
        &[add(r#"{"a":1}"#)],
    );
    // Without tags, or in a block of code.
    check(Family::Hermes, "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}", &[weather(paris)]);
    check(Family::Hermes, "Sure:\n```json\n{\"name\":\"add\",\"arguments\":{}}\n```", &[words("Sure:"), add("{}")]);
    let marked = r#"<tool_call>{"name":"get_weather","arguments":{"city":"</tool_call> \" é🦀"}}</tool_call>"#;
    check(Family::Hermes, marked, &[weather("{\"city\":\"</tool_call> \\\" é🦀\"}")]);
}

#[test]
fn qwen_coder_writes_parameters_in_tags() {
    let text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis,\nFrance\n</parameter>\n<parameter=days>\n3\n\
                </parameter>\n</function>\n</tool_call>";
    check(Family::Hermes, text, &[weather(r#"{"city":"Paris,\nFrance","days":3}"#)]);
}

#[test]
fn llama_writes_json_perhaps_after_a_tag() {
    let call = r#"{"name": "add", "parameters": {"a": 1}}"#;
    let called = add(r#"{"a":1}"#);
    check(Family::Llama, call, std::slice::from_ref(&called));
    check(Family::Llama, &format!("<|python_tag|>{call}"), std::slice::from_ref(&called));
    check(Family::Llama, &format!("{call}; {call}"), &[called.clone(), called.clone()]);
    check(Family::Llama, r#"{"type":"function","function":{"name":"add","parameters":{"a":1}}}"#, &[called]);
}

#[test]
fn mistral_writes_a_list_or_names() {
    let text = r#"[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "get_weather", "arguments": {}}]"#;
    check(Family::Mistral, text, &[add(r#"{"a":1}"#), weather("{}")]);
    let text = r#"Well.[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{}"#;
    check(Family::Mistral, text, &[words("Well."), add(r#"{"a":1}"#), weather("{}")]);
    check(Family::Mistral, "[TOOL_CALLS]subtract[ARGS]{}", &[words("[TOOL_CALLS]subtract[ARGS]{}")]);
}

#[test]
fn gemma_writes_python_json_or_its_own() {
    let text =
        "```tool_code\nprint(default_api.get_weather(city=\"Paris\", days=3, now=True, at=[1, {'x': None}]))\n```";
    check(Family::Gemma, text, &[weather(r#"{"city":"Paris","days":3,"now":true,"at":[1,{"x":null}]}"#)]);
    check(Family::Gemma, "```tool_code\nadd(a=-1.5)\nget_weather()\n```", &[add(r#"{"a":-1.5}"#), weather("{}")]);
    check(Family::Gemma, "Yes.\n```json\n{\"name\":\"add\",\"parameters\":{}}\n```", &[words("Yes."), add("{}")]);
    let text = "<start_function_call>call:get_weather{city:<escape>Paris, \"F\"<escape>,days:3,at:{x:[true,2]}}\
                <end_function_call>";
    check(Family::Gemma, text, &[weather(r#"{"city":"Paris, \"F\"","days":3,"at":{"x":[true,2]}}"#)]);
}

#[test]
fn what_only_looks_like_a_call_comes_back_whole() {
    for (family, text) in [
        (Family::Hermes, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1,}}\n</tool_call>"),
        (Family::Hermes, "<tool_call>{\"name\":\"unknown\",\"arguments\":{}}</tool_call> and more"),
        (Family::Hermes, "<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":"),
        (Family::Hermes, "<tool_call>add(1)</tool_call>"),
        (Family::Hermes, "<tool_call>{\"name\":\"add\",\"arguments\":[1]}</tool_call>"),
        (Family::Hermes, "<tool_call>\n<function=unknown>\n</function>\n</tool_call>"),
        (Family::Hermes, "<tool_call>"),
        (Family::Hermes, "a < b <tool and ```js\n{}\n```"),
        (Family::Hermes, "  {\"name\": \"add\"}\n"),
        (Family::Hermes, "```json\n{\"a\": [1, 2]}\n```\nThat is it.  "),
        (Family::Hermes, "[1, 2, 3]"),
        (Family::Hermes, "{not json"),
        (Family::Llama, "<|python_tag|>print(1)"),
        (Family::Mistral, "[TOOL_CALLS] nothing"),
        (Family::Mistral, "[TOOL_CALLS][]"),
        (Family::Gemma, "```tool_code\nadd(1, 2)\n```"),
        (Family::Gemma, "```tool_code\nadd(a=f(1))\n```"),
        (Family::Gemma, "```tool_code\nadd(a=\"never ends"),
        (Family::Gemma, "<start_function_call>call:add{a:<escape>x}<end_function_call>"),
        (Family::Hermes, ""),
    ] {
        let expected = if text.is_empty() { vec![] } else { vec![words(text)] };
        check(family, text, &expected);
    }
}

#[test]
fn text_goes_out_at_once_and_only_what_may_be_a_call_is_held_back() {
    let mut reader = AnswerReader::new("").with_calls(Family::Hermes, &tools(), "");
    assert_eq!(reader.push("Let"), [words("Let")]);
    assert_eq!(reader.push(" me <to"), [words(" me")]);
    assert_eq!(reader.push("morrow"), [words(" <tomorrow")]);
    assert_eq!(reader.push(" <tool_call>{\"name\":\"add\","), []);
    assert_eq!(reader.push("\"arguments\":{}}</tool_call"), []);
    assert_eq!(reader.push(">"), [add("{}")]);
}

#[test]
fn thoughts_come_before_calls_and_what_the_prompt_has_begun_is_read() {
    let text = "<think>It rains.</think>\n\n<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>";
    check(Family::Hermes, text, &[Part::Thought("It rains.".to_owned()), add("{}")]);
    let mut reader = AnswerReader::answering().with_calls(Family::Hermes, &tools(), "<tool_call>\n");
    assert_eq!(reader.push("{\"name\": \"add\", \"arguments\": {}}\n</tool_call>"), [add("{}")]);
    assert_eq!(reader.finish(), []);
}

#[test]
fn whatever_is_written_is_neither_lost_nor_a_reason_to_fail() {
    // Pieces that mean something, in any order: without a call, every character comes back.
    let pieces = [
        "<tool_call>",
        "</tool_call>",
        "{\"name\":\"x\",",
        "\"arguments\":",
        "{",
        "}",
        "[",
        "]",
        "```json",
        "```",
        "\n",
        " ",
        "é",
        "[TOOL_CALLS]",
        "add",
        "(",
        ")",
        "<function=",
        ">",
        "\"",
        "\\",
        "<|python_tag|>",
        "call:add{",
        "<escape>",
        ";",
        ",",
    ];
    let mut random = cuts().skip(2);
    for family in [Family::Hermes, Family::Llama, Family::Mistral, Family::Gemma] {
        for _ in 0..400 {
            let text: String = (0..12).map(|_| pieces[random.next().unwrap() as usize % pieces.len()]).collect();
            let whole = read(family, &text, 0);
            assert_eq!(read(family, &text, random.next().unwrap()), whole, "{family:?} {text:?}");
            let has_called = whole.iter().any(|part| matches!(part, Part::Call(_)));
            if !has_called {
                assert_eq!(whole, if text.is_empty() { vec![] } else { vec![words(&text)] }, "{family:?}");
            }
        }
    }
}
