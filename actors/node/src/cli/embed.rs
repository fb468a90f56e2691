//! `megabrain embed`: how alike are texts in meaning?

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use megabrain_bus::{Bus, Target};
use megabrain_schemas::{Capability, Codec, EmbedReply, EmbedRequest, Name};

use crate::cli::render::{self, BytesAs};
use crate::cli::table::Table;
use crate::cli::{Globals, Usage, format, output, session};

/// So much of a text is shown, in characters, to know it by.
const SHOWN: usize = 60;
/// As many texts are compared each with each; of more, only which is the most alike.
const SQUARE: usize = 9;

/// Turn texts into vectors, and tell how alike they are.
///
/// Texts of like meaning have vectors of like direction: the cosine between them is 1 for the same, about 0 for what has
/// nothing to do with each other. The vectors themselves are shown with --json.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain embed \"a berth for Friday\" \"a place for my boat\" \"two eggs and sugar\"\n  \
    megabrain embed - --json < texts.txt | jq -c '.embeddings[]'\n  \
    megabrain embed \"$(cat long.txt)\" --truncate --json")]
pub struct EmbedArgs {
    /// The texts; `-` alone reads standard input, a text a line
    #[arg(value_name = "TEXT", required = true)]
    texts: Vec<String>,
    /// Which model reads [default: whom the router picks]
    #[arg(short, long, value_name = "NAME")]
    model: Option<Name>,
    /// Take the beginning of a text that is longer than the model's context, and do not refuse it
    #[arg(long)]
    truncate: bool,
    /// Time for everything: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// A work id of your own, to cancel by
    #[arg(long, value_name = "ID")]
    work: Option<Name>,
}

pub(crate) async fn run(args: EmbedArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let request = EmbedRequest { input: texts(&args).await?, truncate: args.truncate, ..EmbedRequest::default() };
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, embed(&bus, &args, &request, globals.json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn texts(args: &EmbedArgs) -> anyhow::Result<Vec<String>> {
    if args.texts != ["-"] {
        return Ok(args.texts.clone());
    }
    let text = session::text_or_stdin("-".to_owned()).await?;
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(Usage("standard input has no line with text".into()).into());
    }
    Ok(lines)
}

async fn embed(bus: &Bus, args: &EmbedArgs, request: &EmbedRequest, is_json: bool) -> anyhow::Result<()> {
    let target = args.model.clone().map_or(Target::Router, Target::Model);
    let call = session::call(args.work.clone(), args.deadline);
    if is_json {
        let subject = target.subject(&Capability::of::<EmbedRequest>());
        let body = bus.call_raw(&subject, Codec::MessagePack.encode(request)?.into(), &call.meta).await?;
        return Ok(output::line(render::body(&body, BytesAs::Base64))?);
    }
    let began = Instant::now();
    let EmbedReply { embeddings, usage } = bus.call(&target, request, call).await?;
    let took = format::took(began.elapsed().as_secs_f64() * 1000.0);
    output::line(comparison(&request.input, &embeddings, output::width()))?;
    let (count, dimensions) = (embeddings.len(), embeddings.first().map_or(0, Vec::len));
    let vectors = if count == 1 { "vector" } else { "vectors" };
    eprintln!("{count} {vectors} of {dimensions} numbers from {} tokens in {took}", usage.prompt_tokens);
    Ok(())
}

/// A row a text: its number, the length of its vector, and how alike it is to others.
fn comparison(texts: &[String], vectors: &[Vec<f32>], width: Option<usize>) -> String {
    let rows = texts.iter().zip(vectors).enumerate();
    if vectors.len() <= SQUARE {
        // A column without a word in it is left out, so that there are as many as texts.
        let mut table = Table::new(&["##", "#norm", "#1", "#2", "#3", "#4", "#5", "#6", "#7", "#8", "#9", "text"]);
        for (index, (text, vector)) in rows {
            let alike = |other: usize| vectors.get(other).map(|other| number(cosine(vector, other)));
            let [a, b, c, d, e, f, g, h, i] = std::array::from_fn(|other| alike(other).unwrap_or_default());
            let (number, norm) = ((index + 1).to_string(), number(norm(vector)));
            table.row([number, norm, a, b, c, d, e, f, g, h, i, shown(text)]);
        }
        return table.render(width);
    }
    let mut table = Table::new(&["##", "#norm", "#most alike", "#cosine", "text"]);
    for (index, (text, vector)) in rows {
        let others = vectors.iter().enumerate().filter(|(other, _)| *other != index);
        let best = others
            .map(|(other, vector_of_other)| (other, cosine(vector, vector_of_other)))
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        let (which, alike) =
            best.map_or_else(Default::default, |(other, alike)| ((other + 1).to_string(), number(alike)));
        table.row([(index + 1).to_string(), number(norm(vector)), which, alike, shown(text)]);
    }
    table.render(width)
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// The cosine of the angle between two vectors; 0 if one has no direction.
fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let product: f32 = one.iter().zip(other).map(|(one, other)| one * other).sum();
    let norms = norm(one) * norm(other);
    if norms > 0.0 { product / norms } else { 0.0 }
}

fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|number| number * number).sum::<f32>().sqrt()
}

fn number(number: f32) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_few_texts_are_compared_each_with_each() {
        let vectors = [vec![1.0, 0.0], vec![0.6, 0.8], vec![-1.0, 0.0]];
        let expected = "#  norm      1     2      3  text\n\
                        1  1.00   1.00  0.60  -1.00  a berth\n\
                        2  1.00   0.60  1.00  -0.60  a mooring\n\
                        3  1.00  -1.00  -0.60  1.00  eggs";
        let shown = comparison(&texts(&["a berth", "a mooring", "eggs"]), &vectors, None);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&shown), words(expected));
        assert_eq!(comparison(&texts(&["x"]), &[vec![0.0, 2.0]], None).lines().nth(1), Some("1  2.00  1.00  x"));
    }

    #[test]
    fn of_many_texts_the_most_alike_is_named() {
        let vectors: Vec<Vec<f32>> = (0..12).map(|turn| vec![(turn as f32).cos(), (turn as f32).sin()]).collect();
        let shown = comparison(&texts(&["t"; 12]), &vectors, None);
        let row: Vec<&str> = shown.lines().nth(12).unwrap().split_whitespace().collect();
        // 6 steps of one radian are nearly a whole turn.
        assert_eq!(row, ["12", "1.00", "6", "0.96", "t"]);
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        assert_eq!(shown("a berth"), "a berth");
        assert_eq!(shown(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn a_vector_without_direction_is_like_nothing() {
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }
}
