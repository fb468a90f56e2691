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
        let mut results =
            (0..).zip(&read.rows).map(|(index, row)| ranked(index, row)).collect::<Result<Vec<_>, _>>()?;
        results.sort_by(|one, other| other.relevance_score.total_cmp(&one.relevance_score));
        results.truncate(self.top_n.map_or(usize::MAX, |top| top as usize));
        Ok(RerankReply { results, usage })
    }
}

/// A verdict is one number, from minus to plus infinity.
fn ranked(index: u32, row: &[f32]) -> Result<Ranked, Fault> {
    match row {
        [verdict] if verdict.is_finite() => Ok(Ranked { index, relevance_score: 1.0 / (1.0 + (-verdict).exp()) }),
        _ => Err(Fault::engine("the model computed no usable number")),
    }
}

#[cfg(test)]
mod tests;
