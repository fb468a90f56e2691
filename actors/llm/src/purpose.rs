//! What was a model made for: to go on with conversations, to make vectors of texts, or to rank them?

use llama_cpp_2::model::LlamaModel;
use megabrain_runtime::LoadError;

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To go on with conversations.
    Chat,
    /// To make vectors of texts.
    Embed(Pooling),
    /// To say how well a text answers a query.
    Rerank,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// As the model was trained: by its first token, its last one, or their mean.
    Own,
    /// By their mean: the model itself says nothing.
    Mean,
}

/// llama.cpp's numbers for the poolings that give a vector.
const POOLS: [&str; 3] = ["1", "2", "3"];
/// And the one that gives a verdict on a query and a text.
const RANKS: &str = "4";

impl Purpose {
    /// What the model's file says, unless `asked` says otherwise.
    ///
    /// # Errors
    /// The model cannot be used for what is asked.
    pub(crate) fn of(model: &LlamaModel, asked: Option<bool>) -> Result<Self, LoadError> {
        let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
        let about = |key: &str| model.meta_val_str(&format!("{architecture}.{key}")).ok();
        let (pooling, causal) = (about("pooling_type"), about("attention.causal"));
        told_by(pooling.as_deref(), causal.as_deref(), asked).map_err(|reason| LoadError::Config(reason.to_owned()))
    }

    /// True if it reads texts, and writes none.
    pub(crate) fn is_reading(self) -> bool {
        self != Self::Chat
    }
}

/// Models for vectors name how they pool; those that see a text's end from its beginning could not write one anyway.
fn told_by(pooling: Option<&str>, causal: Option<&str>, asked: Option<bool>) -> Result<Purpose, &'static str> {
    if pooling == Some(RANKS) {
        let is_left_out = asked.is_none();
        return is_left_out
            .then_some(Purpose::Rerank)
            .ok_or("the model ranks texts (a reranker): leave `embedding` out");
    }
    let pools = pooling.is_some_and(|pooling| POOLS.contains(&pooling));
    let sees_all = causal == Some("false");
    match asked.unwrap_or(pools || sees_all) {
        true => Ok(Purpose::Embed(if pools { Pooling::Own } else { Pooling::Mean })),
        false if sees_all => Err("`embedding` is false, but the model reads only and cannot write: leave it out"),
        false => Ok(Purpose::Chat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_tells_what_a_model_was_made_for() {
        assert_eq!(told_by(None, None, None), Ok(Purpose::Chat), "a language model");
        assert_eq!(told_by(Some("0"), Some("true"), None), Ok(Purpose::Chat));
        assert_eq!(told_by(Some("1"), Some("false"), None), Ok(Purpose::Embed(Pooling::Own)), "all-MiniLM");
        assert_eq!(told_by(Some("3"), None, None), Ok(Purpose::Embed(Pooling::Own)), "Qwen3-Embedding");
        assert_eq!(told_by(None, Some("false"), None), Ok(Purpose::Embed(Pooling::Mean)), "a bare BERT");
        assert_eq!(told_by(Some("4"), Some("false"), None), Ok(Purpose::Rerank), "a cross-encoder");
        assert_eq!(told_by(Some("4"), None, None), Ok(Purpose::Rerank));
    }

    #[test]
    fn a_setting_wins_where_the_model_can_do_so() {
        assert_eq!(told_by(None, None, Some(true)), Ok(Purpose::Embed(Pooling::Mean)));
        assert_eq!(told_by(Some("3"), None, Some(false)), Ok(Purpose::Chat));
        assert!(told_by(Some("1"), Some("false"), Some(false)).unwrap_err().contains("`embedding`"));
        for asked in [true, false] {
            for causal in [Some("false"), None] {
                assert!(told_by(Some("4"), causal, Some(asked)).unwrap_err().contains("`embedding`"));
            }
        }
    }
}
