//! Which languages does this model know, and which one is meant?

use megabrain_schemas::Fault;
use whisper_rs::WhisperContext;

/// Tokens of a multilingual vocabulary that are not languages; what is beyond them is one token a language.
const TOKENS_WITHOUT_LANGUAGES: i32 = 51_766;

/// The languages of one model.
#[derive(Clone, Debug)]
pub(crate) struct Languages {
    /// ISO 639-1 codes, by whisper.cpp's number of the language.
    known: Vec<&'static str>,
}

impl Languages {
    /// Those of a loaded model. An `.en` model knows one.
    pub(crate) fn of(context: &WhisperContext) -> Self {
        if !context.is_multilingual() {
            return Self { known: vec!["en"] };
        }
        let count = (context.n_vocab() - TOKENS_WITHOUT_LANGUAGES).min(whisper_rs::get_lang_max_id() + 1);
        Self { known: (0..count).filter_map(whisper_rs::get_lang_str).collect() }
    }

    /// The only language of a model that knows one.
    pub(crate) fn only(&self) -> Option<&'static str> {
        match self.known.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Refuses to translate where the model cannot: it would write down what it takes for English.
    pub(crate) fn check_translate(&self, is_asked: bool) -> Result<(), Fault> {
        match (is_asked, self.only()) {
            (true, Some(only)) => Err(Fault::invalid(format!(
                "`translate`: this model knows only `{only}` and cannot translate; ask a multilingual one"
            ))),
            _ => Ok(()),
        }
    }

    /// The code of whisper.cpp's language number `id`.
    pub(crate) fn by_id(&self, id: i32) -> Option<&'static str> {
        self.known.get(usize::try_from(id).ok()?).copied()
    }

    /// What is asked for, as a code of this model; `None` if the model has to find out. A region (`en-GB`) is ignored.
    pub(crate) fn choose(&self, asked: Option<&str>) -> Result<Option<&'static str>, Fault> {
        let asked = asked.unwrap_or_default().trim();
        if asked.is_empty() || asked.eq_ignore_ascii_case("auto") {
            return Ok(self.only());
        }
        let code = asked.split(['-', '_']).next().unwrap_or(asked);
        match (self.known.iter().find(|known| known.eq_ignore_ascii_case(code)), self.only()) {
            (Some(known), _) => Ok(Some(known)),
            (None, Some(only)) => Err(Fault::invalid(format!("language `{asked}`: this model knows only `{only}`"))),
            (None, None) => Err(Fault::invalid(format!(
                "language `{asked}` is not one of the {} that this model knows; codes are ISO 639-1, as in `en`",
                self.known.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::FaultKind;

    use super::*;

    #[test]
    fn a_region_case_and_auto_are_understood() {
        let many = Languages { known: vec!["en", "zh", "de"] };
        assert_eq!(many.choose(Some("de")).unwrap(), Some("de"));
        assert_eq!(many.choose(Some("EN-gb")).unwrap(), Some("en"));
        assert_eq!(many.choose(Some("auto")).unwrap(), None);
        assert_eq!(many.choose(None).unwrap(), None);
        assert_eq!(many.by_id(2), Some("de"));
        assert_eq!(many.by_id(-1), None);
    }

    #[test]
    fn an_unknown_language_is_an_invalid_request() {
        let many = Languages { known: vec!["en", "de"] };
        for asked in ["klingon", "d\0e", "—"] {
            assert_eq!(many.choose(Some(asked)).unwrap_err().kind, FaultKind::InvalidRequest);
        }
    }

    #[test]
    fn an_english_model_refuses_german() {
        let english = Languages { known: vec!["en"] };
        assert_eq!(english.choose(None).unwrap(), Some("en"));
        let fault = english.choose(Some("de")).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains("only `en`"), "{fault}");
    }

    #[test]
    fn an_english_model_refuses_to_translate() {
        let (english, many) = (Languages { known: vec!["en"] }, Languages { known: vec!["en", "de"] });
        let fault = english.check_translate(true).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains("`translate`") && fault.message.contains("multilingual"), "{fault}");
        english.check_translate(false).unwrap();
        many.check_translate(true).unwrap();
    }
}
