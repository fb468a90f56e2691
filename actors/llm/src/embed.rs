//! How do texts become vectors?

use megabrain_schemas::{Codec, EmbedReply, EmbedRequest, Fault, FaultKind};

use crate::passages::{Passages, Read};
use crate::reading::Reading;

impl Reading for EmbedRequest {
    fn check_room(&self, numbers: usize, codec: Codec, room: usize) -> Result<(), Fault> {
        // MessagePack has a byte before the four of a number; in JSON a number has up to nine digits: `-0.012345678,`.
        let bytes_a_number = match codec {
            Codec::MessagePack => 5,
            Codec::Json => 13,
        };
        let (texts, most) = (self.input.len(), room / (bytes_a_number * numbers.max(1)));
        if texts <= most {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::TooLarge,
            format!("`input` has {texts} texts, an answer has room for the vectors of some {most}"),
        ))
    }

    fn passages(&mut self) -> Passages {
        Passages::new("input", std::mem::take(&mut self.input), self.truncate)
    }

    fn reply(&self, read: Read) -> Result<EmbedReply, Fault> {
        let usage = read.usage();
        let embeddings = read.rows.into_iter().map(to_unit).collect::<Result<_, _>>()?;
        Ok(EmbedReply { embeddings, usage })
    }
}

/// The vector of the same direction whose Euclidean norm is 1; a fault if it has no direction.
fn to_unit(mut vector: Vec<f32>) -> Result<Vec<f32>, Fault> {
    let norm = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if !norm.is_normal() {
        return Err(Fault::engine("the model computed no usable numbers"));
    }
    for number in &mut vector {
        *number = (f64::from(*number) / norm) as f32;
    }
    Ok(vector)
}

#[cfg(test)]
mod tests;
