//! Which token comes next?

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use crate::constraint::Allowed;

/// Tokens of an answer that count for the penalties of presence and frequency: all of them, for all but the longest.
const WHOLE_ANSWER: i32 = 1 << 16;
/// Tokens of an answer that count for the penalty of repetition, as llama.cpp has it.
const REPEATS: i32 = 64;

/// How a request wants its tokens chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sampling {
    /// Randomness, 0 to 2; 0 is greedy.
    pub(crate) temperature: f32,
    /// Keep only the likeliest tokens whose chances add up to this, 0 to 1.
    pub(crate) top_p: f32,
    /// Keep only so many of the likeliest tokens; 0 keeps all.
    pub(crate) top_k: u32,
    /// Keep only tokens at least this likely, measured by the likeliest, 0 to 1.
    pub(crate) min_p: f32,
    /// Seed of the randomness.
    pub(crate) seed: u32,
    /// What is added to the logits of tokens, and taken from them.
    pub(crate) shifts: Shifts,
}

/// What changes the logits before a token is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shifts {
    /// Tokens and what is added to their logits.
    pub(crate) biases: Vec<(LlamaToken, f32)>,
    /// Taken from the logit of a token that the answer has.
    pub(crate) presence: f32,
    /// Taken once for each time that the answer has it.
    pub(crate) frequency: f32,
    /// Divides the logit of a token that the answer had lately. None: by 1.
    pub(crate) repeat: Option<f32>,
}

/// Chooses the tokens of one sequence. The same seed and the same logits give the same tokens.
#[derive(Debug)]
pub(crate) struct Sampler {
    chain: Option<LlamaSampler>,
    candidates: LlamaTokenDataArray,
}

impl Sampler {
    /// A sampler for one sequence of a model with so many tokens. Biases and penalties come first; temperature comes
    /// before what keeps only some tokens, as in OpenAI's API and in vLLM.
    pub(crate) fn new(sampling: &Sampling, vocabulary: usize) -> Self {
        let mut samplers = sampling.shifts.samplers(i32::try_from(vocabulary).unwrap_or(i32::MAX));
        let is_greedy = sampling.temperature == 0.0;
        let is_plain = is_greedy && samplers.is_empty();
        if is_greedy {
            samplers.push(LlamaSampler::greedy());
        } else {
            samplers.push(LlamaSampler::temp(sampling.temperature));
            if sampling.top_k > 0 {
                samplers.push(LlamaSampler::top_k(i32::try_from(sampling.top_k).unwrap_or(i32::MAX)));
            }
            if sampling.min_p > 0.0 {
                samplers.push(LlamaSampler::min_p(sampling.min_p, 1));
            }
            samplers.push(LlamaSampler::top_p(sampling.top_p, 1));
            samplers.push(LlamaSampler::dist(fixed(sampling.seed)));
        }
        let chain = (!is_plain).then(|| LlamaSampler::chain_simple(samplers));
        Self { chain, candidates: LlamaTokenDataArray::new(Vec::new(), false) }
    }

    /// Chooses by the logits, one for each token of the vocabulary, among the tokens that are allowed, or all. None if
    /// there is nothing to choose from.
    pub(crate) fn choose(&mut self, logits: &[f32], allowed: Option<&Allowed>) -> Option<LlamaToken> {
        let Some(chain) = &mut self.chain else {
            return match allowed {
                None => likeliest(logits.iter().copied().enumerate()),
                Some(allowed) => likeliest(allowed.tokens(logits.len()).zip(logits_of(logits, allowed))),
            };
        };
        let array = &mut self.candidates;
        array.data.clear();
        match allowed {
            None => array.data.extend(logits.iter().enumerate().map(|(token, &logit)| candidate(token, logit))),
            Some(allowed) => array.data.extend(
                allowed
                    .tokens(logits.len())
                    .zip(logits_of(logits, allowed))
                    .map(|(token, logit)| candidate(token, logit)),
            ),
        }
        if array.data.is_empty() {
            return None;
        }
        array.sorted = false;
        array.selected = None;
        array.apply_sampler(chain);
        let token = array.selected_token()?;
        // Penalties count it; a sampler that cannot is no reason to end an answer.
        if let Err(error) = chain.try_accept(token) {
            tracing::warn!(%error, "a token could not be counted");
        }
        Some(token)
    }
}

impl Shifts {
    fn samplers(&self, vocabulary: i32) -> Vec<LlamaSampler> {
        let mut samplers = Vec::new();
        if !self.biases.is_empty() {
            let biases: Vec<_> = self.biases.iter().map(|(token, bias)| LlamaLogitBias::new(*token, *bias)).collect();
            samplers.push(LlamaSampler::logit_bias(vocabulary, &biases));
        }
        if self.presence != 0.0 || self.frequency != 0.0 {
            samplers.push(LlamaSampler::penalties(vocabulary, WHOLE_ANSWER, 1.0, self.frequency, self.presence));
        }
        if let Some(repeat) = self.repeat.filter(|repeat| *repeat != 1.0) {
            samplers.push(LlamaSampler::penalties(vocabulary, REPEATS, repeat, 0.0, 0.0));
        }
        samplers
    }
}

fn candidate(token: usize, logit: f32) -> LlamaTokenData {
    LlamaTokenData::new(LlamaToken::new(i32::try_from(token).unwrap_or(i32::MAX)), logit, 0.0)
}

fn logits_of<'l>(logits: &'l [f32], allowed: &'l Allowed) -> impl Iterator<Item = f32> + 'l {
    allowed.tokens(logits.len()).map(|token| logits.get(token).copied().unwrap_or(f32::NEG_INFINITY))
}

/// The first of the likeliest tokens; a logit that is not a number never wins.
pub(crate) fn likeliest(logits: impl Iterator<Item = (usize, f32)>) -> Option<LlamaToken> {
    let mut best = f32::NEG_INFINITY;
    let mut token = None;
    for (candidate, logit) in logits {
        if logit > best {
            best = logit;
            token = i32::try_from(candidate).ok().map(LlamaToken::new);
        }
    }
    token
}

/// llama.cpp takes the largest seed for "a random one".
fn fixed(seed: u32) -> u32 {
    seed.min(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: usize = 50;

    /// Logits of which 27 is the largest.
    fn logits() -> Vec<f32> {
        (0..VOCABULARY).map(|token| ((token * 37) % VOCABULARY) as f32 / 10.0).collect()
    }

    fn tokens(sampling: &Sampling) -> Vec<i32> {
        let logits = logits();
        let mut sampler = Sampler::new(sampling, VOCABULARY);
        (0..40).map(|_| sampler.choose(&logits, None).unwrap().0).collect()
    }

    fn greedy(shifts: Shifts) -> Vec<i32> {
        tokens(&Sampling { top_p: 1.0, shifts, ..Sampling::default() })
    }

    /// Every token has a chance.
    fn hot() -> Sampling {
        Sampling { temperature: 2.0, top_p: 1.0, seed: 1, ..Sampling::default() }
    }

    fn distinct(mut tokens: Vec<i32>) -> usize {
        tokens.sort_unstable();
        tokens.dedup();
        tokens.len()
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        for seed in [0, 7, u32::MAX] {
            let sampling = Sampling { temperature: 1.0, top_p: 0.95, seed, ..Sampling::default() };
            assert_eq!(tokens(&sampling), tokens(&sampling));
        }
    }

    #[test]
    fn another_seed_gives_other_tokens() {
        assert_ne!(tokens(&hot()), tokens(&Sampling { seed: 2, ..hot() }));
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        let greedy = greedy(Shifts::default());
        assert!(greedy.iter().all(|token| *token == 27), "{greedy:?}");
    }

    #[test]
    fn what_keeps_only_the_likeliest_leaves_only_that() {
        assert!(distinct(tokens(&hot())) > 10);
        for narrow in
            [Sampling { top_p: 0.0, ..hot() }, Sampling { top_k: 1, ..hot() }, Sampling { min_p: 1.0, ..hot() }]
        {
            let chosen = tokens(&narrow);
            assert!(chosen.iter().all(|token| *token == 27), "{narrow:?}: {chosen:?}");
        }
        assert!(distinct(tokens(&Sampling { top_k: 3, ..hot() })) <= 3);
        let near = distinct(tokens(&Sampling { min_p: 0.9, ..hot() }));
        assert!((2..10).contains(&near), "{near}");
    }

    #[test]
    fn a_bias_makes_a_token_certain_or_impossible() {
        let likely = greedy(Shifts { biases: vec![(LlamaToken(3), 100.0)], ..Shifts::default() });
        assert!(likely.iter().all(|token| *token == 3), "{likely:?}");
        let unlikely = greedy(Shifts { biases: vec![(LlamaToken(27), -100.0)], ..Shifts::default() });
        assert!(unlikely.iter().all(|token| *token == 4), "the next best: {unlikely:?}");
    }

    #[test]
    fn penalties_make_what_was_said_less_likely() {
        // The second best is 0.1 behind: whoever was said once is behind it.
        let presence = greedy(Shifts { presence: 0.15, ..Shifts::default() });
        assert_eq!(presence.get(..2), Some([27, 4].as_slice()), "{presence:?}");
        assert_eq!(distinct(presence.clone()), 2, "a token is penalized once: {presence:?}");
        let frequency = greedy(Shifts { frequency: 0.15, ..Shifts::default() });
        assert!(distinct(frequency.clone()) > 5, "and again each time: {frequency:?}");
        let repeat = greedy(Shifts { repeat: Some(1.5), ..Shifts::default() });
        assert!(distinct(repeat.clone()) > 5, "{repeat:?}");
        let reward = greedy(Shifts { presence: -2.0, ..Shifts::default() });
        assert_eq!(distinct(reward), 1);
    }

    #[test]
    fn a_logit_that_is_not_a_number_never_wins() {
        let logits = |logits: &[f32]| likeliest(logits.iter().copied().enumerate());
        assert_eq!(logits(&[f32::NAN, 1.0, f32::NAN, 2.0]), Some(LlamaToken::new(3)));
        assert_eq!(logits(&[]), None);
    }
}
