//! Is what is wrong with a form told, whatever it is, and quickly?

use std::time::{Duration, Instant};

use megabrain_schemas::{FaultKind, JsonSchemaFormat, Tool, ToolChoice, ToolMode};

use super::*;
use crate::answer::Family;
use crate::config::Config;
use crate::load::Native;
use crate::testing::smollm2;

/// Does something with the constraints of the smallest model.
fn with_model(test: impl FnOnce(&Constraints, &LlamaModel)) {
    let mut config = Config::of_weights(smollm2());
    config.device = "ram".to_owned();
    config.context = Some(256);
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let loaded = native.load(&config, 1, |_| ()).unwrap();
    test(&Constraints::of(loaded.context.share_model()), loaded.context.model());
}

fn with_schema(schema: Value) -> ChatRequest {
    let json_schema = JsonSchemaFormat { name: None, description: None, schema, strict: None };
    ChatRequest { response_format: Some(ResponseFormat::JsonSchema { json_schema }), ..ChatRequest::default() }
}

fn with_grammar(grammar: &str) -> ChatRequest {
    ChatRequest { grammar: Some(grammar.to_owned()), ..ChatRequest::default() }
}

/// True if a whole text keeps to the form.
fn takes(constraints: &Constraints, model: &LlamaModel, request: &ChatRequest, text: &str) -> bool {
    let mut constraint = constraints.of_request(request, None).unwrap().unwrap();
    let vocabulary = usize::try_from(model.n_vocab()).unwrap();
    for token in model.vocab().tokenize(text.as_bytes(), false, false) {
        let allowed = constraint.allowed().unwrap();
        if !allowed.tokens(vocabulary).any(|allowed| allowed == token.0 as usize) {
            return false;
        }
        if constraint.accept(token, b"").unwrap() {
            return true;
        }
    }
    constraint.matcher.is_accepting().unwrap()
}

#[test]
fn what_nothing_keeps_to_and_what_is_not_held_to_is_refused_with_a_reason() {
    with_model(|constraints, _| {
        for (schema, part) in [
            (json!(false), "schema is false"),
            (json!({"enum": []}), "is empty"),
            (json!({"type": "object", "required": ["a"], "additionalProperties": false}), "equired"),
            (json!({"type": "object", "properties": {"a": false}, "required": ["a"]}), "unsatisfiable"),
            (json!({"type": "integer", "minimum": 3, "maximum": 2}), "minimum"),
            (json!({"allOf": [{"type": "string"}, {"type": "number"}]}), "incompatible"),
            (json!({"$ref": "#/$defs/none"}), "none"),
            (json!({"$ref": "https://example.org/schema"}), "example.org"),
            (json!({"not": {"type": "string"}}), "`not`"),
            (json!({"type": "array", "uniqueItems": true}), "`uniqueItems`"),
            (json!({"type": "strin"}), "strin"),
            (json!({"type": "string", "pattern": "("}), "("),
            (json!({"type": "string", "pattern": "(?=a)b"}), "(?=a)b"),
            (json!({"type": "string", "format": "postcode"}), "postcode"),
            (json!(7), "this is none"),
        ] {
            let fault = constraints.of_request(&with_schema(schema.clone()), None).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidRequest, "{schema}");
            assert!(fault.message.starts_with("`response_format.json_schema.schema`: "), "{fault}");
            assert!(fault.message.contains(part), "{schema}: {fault}");
        }
        for (grammar, part) in [("root ::= \"a", "line 1"), ("root ::= root", "no answer")] {
            let fault = constraints.of_request(&with_grammar(grammar), None).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidRequest, "{grammar}");
            assert!(fault.message.starts_with("`grammar`: ") && fault.message.contains(part), "{grammar}: {fault}");
        }
    });
}

#[test]
fn a_hostile_form_ends_neither_the_process_nor_its_patience() {
    fn nested(depth: usize, inner: Value) -> Value {
        (0..depth).fold(inner, |inner, _| json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}))
    }
    let wide: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("property {number}"), json!({"type": "string"}))).collect();
    let options: Vec<Value> = (0..5000).map(|number| json!(format!("option {number}"))).collect();
    let hostile = [
        with_schema(nested(20, json!(true))),
        with_schema(nested(20, json!({"$ref": "#"}))),
        with_schema(json!({"$ref": "#"})),
        with_schema(json!({"type": "object", "properties": wide})),
        with_schema(json!({"enum": options})),
        with_schema(json!({"type": "string", "pattern": format!("{}a{}", "(".repeat(5000), ")".repeat(5000))})),
        with_schema(json!({"type": "string", "pattern": "(((a{1,1000}){1,1000}){1,1000}){1,1000}"})),
        with_schema(json!({"type": "string", "pattern": "(a|b)*a(a|b){200}"})),
        with_schema(json!({"type": "string", "pattern": "[a-z]".repeat(20_000)})),
        with_schema(json!({"type": "string", "minLength": 1_000_000_000})),
        with_schema(json!({"type": "array", "minItems": 1_000_000_000})),
        with_schema(
            json!({"type": "array", "maxItems": 1_000_000_000_u64, "items": {"type": "array", "maxItems": 1_000_000}}),
        ),
        with_schema(json!({"type": "integer", "minimum": -1e300, "maximum": 1e300})),
        with_schema(json!({"type": "number", "multipleOf": 1e-300})),
        with_schema(json!({"description": "x".repeat(1 << 20)})),
        with_grammar(&format!("root ::= {}\"a\"", "(".repeat(60_000))),
        with_grammar(&format!("root ::= {}\"a\"{}", "(".repeat(60), "){0,2000}".repeat(60))),
        with_grammar("root ::= (\"a\"?){2000}"),
        with_grammar("root ::= a\na ::= b | \"x\"\nb ::= a a a a | \"\""),
    ];
    with_model(|constraints, _| {
        for (number, request) in hostile.iter().enumerate() {
            let began = Instant::now();
            let made = constraints.of_request(request, None);
            let compiled = began.elapsed();
            let outcome = match made {
                Err(fault) => {
                    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{number}: {fault}");
                    assert!(fault.message.len() < 2000, "{number}: {}", fault.message.len());
                    fault.message.chars().take(100).collect()
                }
                Ok(constraint) => {
                    let mut constraint = constraint.unwrap();
                    // It may turn out to be too much work later: then the answer ends, and nobody else's.
                    for _ in 0..20 {
                        let Ok(allowed) = constraint.allowed() else { break };
                        let Some(token) = allowed.tokens(40_000).nth(3) else { break };
                        if !matches!(constraint.accept(LlamaToken(token as i32), b""), Ok(false)) {
                            break;
                        }
                    }
                    "taken".to_owned()
                }
            };
            println!("{number}: compiled in {compiled:?}, {:?} in all: {outcome}", began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
        }
    });
}

#[test]
fn a_form_that_takes_too_much_work_while_it_is_kept_to_is_its_callers_mistake() {
    with_model(|constraints, model| {
        let request = with_grammar(r#"root ::= (((("a"{1,500}){1,500}){1,500}){1,500})"#);
        let mut constraint = constraints.of_request(&request, None).unwrap().unwrap();
        let token = model.vocab().tokenize(b"a", false, false)[0];
        let mut step = || constraint.allowed().and_then(|_| constraint.accept(token, b"a"));
        let fault = (0..64).find_map(|_| step().err()).expect("it takes too much work");
        assert!(fault.kind == FaultKind::InvalidRequest && !fault.message.contains('<'), "{fault}");
    });
}

#[test]
fn a_grammar_in_gbnf_takes_what_it_says() {
    const JSON: &str = r#"
        # As in llama.cpp's grammars.
        root   ::= object
        value  ::= object | array | string | number | ("true" | "false" | "null") ws

        object ::=
          "{" ws (
                    string ":" ws value
            ("," ws string ":" ws value)*
          )? "}" ws

        array  ::=
          "[" ws (
                    value
            ("," ws value)*
          )? "]" ws

        string ::=
          "\"" (
            [^"\\\x7F\x00-\x1F] |
            "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
          )* "\"" ws

        number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
        ws ::= | " " | "\n" [ \t]{0,20}
    "#;
    const SUM: &str = "root ::= expression\nexpression ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" expression \")\"";
    with_model(|constraints, model| {
        for (grammar, text, is_taken) in [
            ("root ::= \"yes\" | \"no\"", "yes", true),
            ("root ::= \"yes\" | \"no\"", "maybe", false),
            ("root ::= [a-c]{2,3} \"é\\n\"", "abcé\n", true),
            ("root ::= [a-c]{2,3} \"é\\n\"", "aé\n", false),
            ("root ::= [^a] .", "b\n", true),
            ("root ::= \"a\"{0} \"b\"", "b", true),
            ("root ::= \"1. \" [^\\n]+ \"\\n\" (\"2. \" [^\\n]+)?", "1. Eggs\n2. Milk", true),
            (&format!("root ::= {}\"a\"{}", "(\"b\" | ".repeat(24), ")".repeat(24)), "a", true),
            (SUM, "1+(23-4)+5", true),
            (SUM, "1+(23-4", false),
            (JSON, r#"{"a": [1, -2.5e3, {"b": "c\n"}], "d":null}"#, true),
            (JSON, r#"{"a": [1, -2.5e3, {"b": "c\n"}, "d":null}"#, false),
            (JSON, "[]", false),
        ] {
            assert_eq!(takes(constraints, model, &with_grammar(grammar), text), is_taken, "{grammar} {text:?}");
        }
    });
}

#[test]
fn a_schema_takes_what_keeps_to_it_and_nothing_else() {
    let list = json!({
        "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false}},
        "$ref": "#/$defs/node",
    });
    let berth = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "depth": {"type": "number", "minimum": 2}}, "required": ["name"]});
    with_model(|constraints, model| {
        for (schema, text, is_taken) in [
            (&list, r#"{"v": 1, "next": {"v": 2, "next": null}}"#, true),
            (&list, r#"{"v": 1, "next": 2}"#, false),
            (&berth, r#"{"name": "east", "depth": 2.5}"#, true),
            (&berth, r#"{"name": "eastern"}"#, false),
            (&berth, r#"{"name": "east", "depth": 1}"#, false),
            (&berth, r#"{"depth": 3}"#, false),
        ] {
            assert_eq!(takes(constraints, model, &with_schema(schema.clone()), text), is_taken, "{schema} {text}");
        }
    });
}

#[test]
fn thoughts_are_free_and_what_follows_is_held() {
    with_model(|constraints, model| {
        let mut constraint =
            constraints.of_request(&with_grammar("root ::= \"yes\""), Some("</think>")).unwrap().unwrap();
        let vocabulary = usize::try_from(model.n_vocab()).unwrap();
        let allowed = |constraint: &mut Constraint| -> Vec<LlamaToken> {
            let tokens = constraint.allowed().unwrap();
            tokens.tokens(vocabulary).map(|token| LlamaToken(token as i32)).collect()
        };
        for text in ["Well, ", "no", "</th", "ink>"] {
            let allowed = allowed(&mut constraint);
            assert!(allowed.len() > vocabulary / 2, "before {text}: {}", allowed.len());
            assert!(!allowed.iter().any(|token| model.vocab().is_eog(*token)), "before {text}");
            assert!(!constraint.accept(LlamaToken(5), text.as_bytes()).unwrap());
        }
        let text = |token: &LlamaToken| model.vocab().token_to_piece(*token, false, None);
        let texts: Vec<Vec<u8>> = allowed(&mut constraint).iter().map(text).collect();
        assert!(
            !texts.is_empty() && texts.iter().all(|text| !text.is_empty() && b"yes".starts_with(text)),
            "{texts:?}"
        );
    });
}

#[test]
fn what_is_wrong_with_a_tool_that_must_be_called_is_told_with_its_place() {
    with_model(|constraints, _| {
        let tools = vec![
            Tool::function("good", "", json!({"type": "object"})),
            Tool::function("bad", "", json!({"type": "object", "properties": {"a": {"not": {}}}})),
        ];
        let forced = |choice| {
            let request = ChatRequest { tools: tools.clone(), tool_choice: Some(choice), ..ChatRequest::default() };
            forced_calls(constraints, &request, Family::Hermes)
        };
        let fault = forced(ToolChoice::Mode(ToolMode::Required)).unwrap_err();
        assert!(
            fault.message.contains("`tools[1].function.parameters`: the keyword `not` at /properties/a"),
            "{fault}"
        );
        assert!(forced(ToolChoice::named("good")).unwrap().is_some());
        assert!(forced(ToolChoice::Mode(ToolMode::Auto)).unwrap().is_none());
    });
}
