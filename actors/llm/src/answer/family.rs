//! How does a model write the calls that it asks for? As its chat template taught it.

/// Models that write calls alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen and many more, and what models without tools in
    /// their template are told to write. Qwen3-Coder writes `<function=…><parameter=…>…` between the tags.
    Hermes,
    /// `{"name": …, "parameters": …}`, perhaps after `<|python_tag|>`: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": …, "arguments": …}]`, or `[TOOL_CALLS]name[ARGS]{…}`: Mistral.
    Mistral,
    /// A block of code with a call in Python or JSON; `<start_function_call>call:name{…}`: Gemma.
    Gemma,
}

/// What begins a call, what ends it, and how it is written between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
    pub(crate) writing: Writing,
}

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// An object or a list of some, or tags of Qwen3-Coder.
    Json,
    /// A name and its arguments, or a list as in [`Writing::Json`].
    Named,
    /// Calls in Python, a line each.
    Python,
    /// `call:name{key:<escape>text<escape>}`.
    Gemma,
}

const fn marker(begin: &'static str, end: &'static str, writing: Writing) -> Marker {
    Marker { begin, end, writing }
}

const FENCE: &str = "```";

impl Family {
    /// Tells the family by the text of its chat template.
    pub(crate) fn of(template: &str) -> Self {
        let has = |text: &str| template.contains(text);
        if has("[TOOL_CALLS]") {
            Self::Mistral
        } else if has("<|python_tag|>") || has("<|start_header_id|>") {
            Self::Llama
        } else if has("<tool_call>") {
            Self::Hermes
        } else if has("<start_of_turn>") || has("<start_function_call>") || has("tool_code") {
            Self::Gemma
        } else {
            Self::Hermes
        }
    }

    /// What begins a call, wherever it stands in an answer.
    pub(super) fn markers(self) -> &'static [Marker] {
        const HERMES: &[Marker] = &[
            marker("<tool_call>", "</tool_call>", Writing::Json),
            marker("<function_call>", "</function_call>", Writing::Json),
            marker("```json", FENCE, Writing::Json),
        ];
        const LLAMA: &[Marker] =
            &[marker("<|python_tag|>", "", Writing::Json), marker("```json", FENCE, Writing::Json)];
        const MISTRAL: &[Marker] = &[marker("[TOOL_CALLS]", "", Writing::Named)];
        const GEMMA: &[Marker] = &[
            marker("<start_function_call>", "<end_function_call>", Writing::Gemma),
            marker("```tool_code", FENCE, Writing::Python),
            marker("```tool_call", FENCE, Writing::Json),
            marker("```json", FENCE, Writing::Json),
        ];
        match self {
            Self::Hermes => HERMES,
            Self::Llama => LLAMA,
            Self::Mistral => MISTRAL,
            Self::Gemma => GEMMA,
        }
    }

    /// Texts of tokens that are not part of an answer, but tell where a call is.
    pub(crate) fn tokens(self) -> impl Iterator<Item = &'static str> {
        let parts = ["[ARGS]", "[CALL_ID]", "<escape>"];
        self.markers().iter().flat_map(|marker| [marker.begin, marker.end]).chain(parts)
    }

    /// What stands before the first of the calls that a grammar forces, between two, and after the last.
    pub(crate) fn frame(self) -> [&'static str; 3] {
        match self {
            Self::Hermes => ["<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>"],
            Self::Llama => ["", "; ", ""],
            Self::Mistral => ["[TOOL_CALLS][", ", ", "]"],
            Self::Gemma => ["```json\n", "\n```\n```json\n", "\n```"],
        }
    }

    /// What an object that calls a function calls its arguments.
    pub(crate) fn arguments_key(self) -> &'static str {
        if self == Self::Llama { "parameters" } else { "arguments" }
    }

    /// The id of a call, made of letters and digits: some templates of Mistral refuse any but of nine.
    pub(crate) fn call_id(self, mut letter: impl FnMut() -> char) -> String {
        let (prefix, length) = if self == Self::Mistral { ("", 9) } else { ("call_", 24) };
        prefix.chars().chain(std::iter::repeat_with(&mut letter).take(length)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_tells_the_family() {
        for (template, family) in [
            ("{{ '<tool_call>' }}", Family::Hermes),
            ("{{ '<|start_header_id|>' }}{{ '<|python_tag|>' }}", Family::Llama),
            ("{{ '[TOOL_CALLS]' }}", Family::Mistral),
            ("{{ '<start_of_turn>' }}", Family::Gemma),
            ("{{ '<|im_start|>' }}", Family::Hermes),
        ] {
            assert_eq!(Family::of(template), family, "{template}");
        }
    }

    #[test]
    fn mistral_has_ids_of_nine() {
        assert_eq!(Family::Mistral.call_id(|| 'x'), "xxxxxxxxx");
        assert_eq!(Family::Hermes.call_id(|| 'x'), format!("call_{}", "x".repeat(24)));
    }
}
