//! How are documents ranked by how well they answer a query?

use megabrain_schemas::{Codec, Fault, FaultKind, Ranked, RerankReply, RerankRequest};

use crate::passages::{Passages, Read};
use crate::reading::Reading;

/// `{"index":1000000,"relevance_score":0.0000123456789},` and no more in MessagePack.
const BYTES_A_RESULT: usize = 64;

impl Reading for RerankRequest {
    fn check_room(&self, _: usize, _: Codec, room: usize) -> Result<(), Fault> {
        let (documents, most) = (self.documents.len(), room / BYTES_A_RESULT);
        if documents.min(self.top_n.map_or(usize::MAX, |top| top as usize)) <= most {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::TooLarge,
            format!("`documents` has {documents} texts, an answer has room for some {most} results: set `top_n`"),
        ))
    }

    fn passages(&mut self) -> Passages {
        Passages::new("documents", std::mem::take(&mut self.documents), self.truncate)
            .after(std::mem::take(&mut self.query))
    }

    fn reply(&self, read: Read) -> Result<RerankReply, Fault> {
        let usage = read.usage();
        let mut verdicts = (0..).zip(&read.rows).map(verdict).collect::<Result<Vec<_>, _>>()?;
        // By what the model says: far from 0, scores of different verdicts are rounded to the same number.
        verdicts.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        verdicts.truncate(self.top_n.map_or(usize::MAX, |top| top as usize));
        let results = verdicts.into_iter().map(|(index, verdict)| Ranked { index, relevance_score: score(verdict) });
        Ok(RerankReply { results: results.collect(), usage })
    }
}

/// What the model says of the document of this number: one number, from minus to plus infinity.
fn verdict((index, row): (u32, &Vec<f32>)) -> Result<(u32, f32), Fault> {
    match row.as_slice() {
        [verdict] if verdict.is_finite() => Ok((index, *verdict)),
        _ => Err(Fault::engine("the model computed no usable number")),
    }
}

/// The logistic function.
fn score(verdict: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(verdict)).exp())) as f32
}

#[cfg(test)]
mod tests;
