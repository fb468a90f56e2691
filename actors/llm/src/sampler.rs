//! Which token comes next?

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

/// How a request wants its tokens chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampling {
    /// Randomness, 0 to 2; 0 is greedy.
    pub(crate) temperature: f32,
    /// Keep only the likeliest tokens whose chances add up to this, 0 to 1.
    pub(crate) top_p: f32,
    /// Seed of the randomness.
    pub(crate) seed: u32,
}

/// Chooses the tokens of one sequence. The same seed and the same logits give the same tokens.
#[derive(Debug)]
pub(crate) struct Sampler {
    random: Option<Random>,
}

#[derive(Debug)]
struct Random {
    chain: LlamaSampler,
    candidates: LlamaTokenDataArray,
}

impl Sampler {
    /// A sampler for one sequence. Temperature comes before top-p, as in OpenAI's API and in vLLM.
    pub(crate) fn new(sampling: Sampling) -> Self {
        if sampling.temperature == 0.0 {
            return Self { random: None };
        }
        let chain = LlamaSampler::chain_simple([
            LlamaSampler::temp(sampling.temperature),
            LlamaSampler::top_p(sampling.top_p, 1),
            LlamaSampler::dist(fixed(sampling.seed)),
        ]);
        Self { random: Some(Random { chain, candidates: LlamaTokenDataArray::new(Vec::new(), false) }) }
    }

    /// Chooses by the logits, one for each token of the vocabulary. None if there is nothing to choose from.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> Option<LlamaToken> {
        match &mut self.random {
            None => likeliest(logits),
            Some(random) => random.choose(logits),
        }
    }
}

impl Random {
    fn choose(&mut self, logits: &[f32]) -> Option<LlamaToken> {
        let array = &mut self.candidates;
        array.data.clear();
        array
            .data
            .extend((0..).zip(logits).map(|(token, &logit)| LlamaTokenData::new(LlamaToken::new(token), logit, 0.0)));
        array.sorted = false;
        array.selected = None;
        array.apply_sampler(&mut self.chain);
        array.selected_token()
    }
}

/// The first of the likeliest tokens; a logit that is not a number never wins.
pub(crate) fn likeliest(logits: &[f32]) -> Option<LlamaToken> {
    let mut best = f32::NEG_INFINITY;
    let mut token = None;
    for (candidate, &logit) in (0..).zip(logits) {
        if logit > best {
            best = logit;
            token = Some(LlamaToken::new(candidate));
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

    fn tokens(sampling: Sampling) -> Vec<i32> {
        let logits: Vec<f32> = (0..50).map(|token| ((token * 37) % 50) as f32 / 10.0).collect();
        let mut sampler = Sampler::new(sampling);
        (0..40).map(|_| sampler.choose(&logits).unwrap().0).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        for seed in [0, 7, u32::MAX] {
            let sampling = Sampling { temperature: 1.0, top_p: 0.95, seed };
            assert_eq!(tokens(sampling), tokens(sampling));
        }
    }

    #[test]
    fn another_seed_gives_other_tokens() {
        let one = tokens(Sampling { temperature: 1.0, top_p: 1.0, seed: 1 });
        let two = tokens(Sampling { temperature: 1.0, top_p: 1.0, seed: 2 });
        assert_ne!(one, two);
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        let greedy = tokens(Sampling { temperature: 0.0, top_p: 1.0, seed: 1 });
        assert!(greedy.iter().all(|token| *token == 27), "{greedy:?}");
    }

    #[test]
    fn top_p_zero_leaves_only_the_likeliest() {
        let narrow = tokens(Sampling { temperature: 2.0, top_p: 0.0, seed: 1 });
        assert!(narrow.iter().all(|token| *token == 27), "{narrow:?}");
    }

    #[test]
    fn a_logit_that_is_not_a_number_never_wins() {
        assert_eq!(likeliest(&[f32::NAN, 1.0, f32::NAN, 2.0]), Some(LlamaToken::new(3)));
        assert_eq!(likeliest(&[]), None);
    }
}
