//! Does a conversation become what the model was trained on, tools too, and does a hostile template end?

use std::time::{Duration, Instant};

use megabrain_schemas::{FaultKind, Role, ToolCall};
use serde_json::json;

use super::*;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), None, "<s>".to_owned(), "</s>".to_owned()).unwrap()
}

fn system(content: &str) -> Message {
    Message::new(Role::System, content)
}

fn find_berth() -> Tool {
    Tool::function(
        "find_berth",
        "Finds a free berth.",
        json!({"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}),
    )
}

/// A question, a call and what came of it.
fn called() -> Vec<Message> {
    let call = ToolCall::function("call_1", "find_berth", r#"{"day":"Friday"}"#);
    vec![
        Message::user("A berth on Friday?"),
        Message { tool_calls: vec![call], ..Message::assistant("") },
        Message::tool("call_1", r#"{"berth":42}"#),
    ]
}

#[test]
fn a_model_without_a_template_gets_chatml() {
    let text = template(CHATML).render(&[system("Be brief."), Message::user("Hi")], &[]).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn blocks_leave_no_white_space_and_python_methods_work() {
    let source = "{%- for message in messages %}\n    {% if message['role'].upper() == 'USER' %}\n\
                  {{ bos_token }}[{{ message.content.strip() }}]{{ eos_token }}\n    {% endif %}\n{% endfor %}";
    let text = template(source).render(&[Message::user("  hi "), Message::assistant("no")], &[]).unwrap();
    assert_eq!(text, "<s>[hi]</s>\n");
}

#[test]
fn a_template_that_refuses_is_an_invalid_request_with_its_reason() {
    let source = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
    let fault = template(source).render(&[system("x")], &[]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
    assert!(fault.message.ends_with("System role not supported"), "{fault}");
}

#[test]
fn templates_may_tell_the_date() {
    let text = template("{{ strftime_now('%d %b %Y') }}").render(&[Message::user("x")], &[]).unwrap();
    assert_eq!(text.split(' ').count(), 3);
    assert!(text.ends_with(&OffsetDateTime::now_utc().year().to_string()), "{text}");
}

#[test]
fn a_template_that_cannot_be_parsed_is_an_error() {
    assert!(ChatTemplate::new("{% if %}".to_owned(), None, String::new(), String::new()).is_err());
}

#[test]
fn a_template_that_knows_of_tools_gets_them_as_its_author_had_them() {
    let source = "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% for message in messages %}\
                  {{ message.role }}:{% if message.content is none %}-{% else %}{{ message.content }}{% endif %}\
                  {% for call in message.tool_calls %}{{ call.function.name }}{{ call.function.arguments | tojson }}\
                  {% endfor %}\n{% endfor %}";
    let text = template(source).render(&called(), &[find_berth()]).unwrap();
    assert_eq!(
        text,
        "{\"type\": \"function\", \"function\": {\"name\": \"find_berth\", \"description\": \"Finds a free berth.\", \
         \"parameters\": {\"type\": \"object\", \"properties\": {\"day\": {\"type\": \"string\"}}, \
         \"required\": [\"day\"]}}}\nuser:A berth on Friday?assistant:-find_berth{\"day\": \"Friday\"}\
         tool:{\"berth\":42}"
    );
}

#[test]
fn a_template_for_tools_is_taken_where_there_are_some() {
    let template = ChatTemplate::new(
        "plain".to_owned(),
        Some("{{ tools | length }} [TOOL_CALLS]".to_owned()),
        String::new(),
        String::new(),
    )
    .unwrap();
    assert_eq!(template.render(&[Message::user("x")], &[]).unwrap(), "plain");
    assert_eq!(template.render(&[Message::user("x")], &[find_berth()]).unwrap(), "1 [TOOL_CALLS]");
    assert_eq!(template.family(), Family::Mistral);
}

#[test]
fn a_template_that_knows_of_no_tools_tells_of_them_in_words() {
    let text = template(CHATML).render(&called(), &[find_berth()]).unwrap();
    assert!(text.starts_with("<|im_start|>system\n# Tools"), "{text}");
    for part in [
        "{\"name\": \"find_berth\", \"description\": \"Finds a free berth.\"",
        "assistant\n<tool_call>\n{\"name\": \"find_berth\", \"arguments\": {\"day\": \"Friday\"}}\n</tool_call><|im_end|>",
        "user\n<tool_response>\n{\"berth\":42}\n</tool_response><|im_end|>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let text = template(CHATML).render(&[system("Be brief."), Message::user("Hi")], &[find_berth()]).unwrap();
    assert!(text.starts_with("<|im_start|>system\nBe brief.\n\n# Tools"), "{text}");
}

#[test]
fn words_about_tools_come_with_the_person_where_a_template_has_no_system() {
    let source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                  {% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}";
    let text = template(source).render(&[Message::user("Hi")], &[find_berth()]).unwrap();
    assert!(text.starts_with("[user]# Tools") && text.ends_with("Hi"), "{text}");
}

#[test]
fn a_template_that_does_not_end_is_stopped() {
    let began = Instant::now();
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ '0123456789abcdef' * 1000 }}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ] {
        let fault = template(source).render(&[Message::user("x")], &[]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest, "{source}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
