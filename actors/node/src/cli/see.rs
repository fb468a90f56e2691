//! `megabrain see`: what do pictures show, and which text is in them?

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use megabrain_bus::{Bus, Target};
use megabrain_schemas::{Capability, Codec, Description, Name, SeeReply, SeeRequest, SeeTask, Seen};

use crate::cli::media::{self, Source};
use crate::cli::render::{self, BytesAs};
use crate::cli::table::Table;
use crate::cli::{Globals, format, output, session};

/// Name what pictures show, and read the text in them.
///
/// Takes png, jpeg, webp, gif, bmp and tiff; what each is, is told by its bytes. Large files travel by reference.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    megabrain see holiday.jpg\n  \
    megabrain see page-1.png page-2.png --task read\n  \
    megabrain see receipt.jpg --task read --json | jq -r '.results[].read[].text'")]
pub struct SeeArgs {
    /// The pictures. TYPE=FILE where the extension does not tell
    #[arg(value_name = "[TYPE=]FILE", required = true)]
    files: Vec<Source>,
    /// What to do with each; more than once for several [default: all that the model has weights for]
    #[arg(short, long = "task", value_enum, value_name = "TASK")]
    tasks: Vec<Task>,
    /// Who looks [default: whom the router picks]
    #[arg(short, long, value_name = "NAME")]
    model: Option<Name>,
    /// How many labels `classify` gives [default: 5]
    #[arg(long, value_name = "N")]
    top: Option<u32>,
    /// What to look for, for `describe`, if a model that takes words does it
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Time for everything: 30s, 2m [default: the brain's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// A work id of your own, to cancel by
    #[arg(long, value_name = "ID")]
    work: Option<Name>,
}

/// The tasks of the contract, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Task {
    /// Name what it shows
    Classify,
    /// Read the text in it
    Read,
    /// Say in words what it shows
    Describe,
}

impl From<Task> for SeeTask {
    fn from(task: Task) -> Self {
        match task {
            Task::Classify => Self::Classify,
            Task::Read => Self::Read,
            Task::Describe => Self::Describe,
        }
    }
}

pub(crate) async fn run(args: SeeArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let bus = session::connect(globals).await?;
    session::until_interrupted(&bus, see(&bus, &args, globals.json)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn see(bus: &Bus, args: &SeeArgs, is_json: bool) -> anyhow::Result<()> {
    let tasks = args.tasks.iter().copied().map(SeeTask::from).collect::<Vec<_>>();
    let request = SeeRequest {
        images: media::load(bus, &args.files).await?,
        tasks: Some(tasks).filter(|tasks| !tasks.is_empty()),
        prompt: args.prompt.clone(),
        top_k: args.top,
    };
    let target = args.model.clone().map_or(Target::Router, Target::Model);
    let call = session::call(args.work.clone(), args.deadline);
    if is_json {
        let subject = target.subject(&Capability::of::<SeeRequest>());
        let body = bus.call_raw(&subject, Codec::MessagePack.encode(&request)?.into(), &call.meta).await?;
        return Ok(output::line(render::body(&body, BytesAs::Base64))?);
    }
    let began = Instant::now();
    let reply = bus.call(&target, &request, call).await;
    let SeeReply { results, .. } = reply.map_err(|fault| media::name_files(fault, &args.files, &["images[#]"]))?;
    for (source, seen) in args.files.iter().zip(&results) {
        output::line(format!("{}  {} × {}", format::harmless(&source.title()), seen.width, seen.height))?;
        output::line(findings(seen, output::width()))?;
    }
    let took = format::took(began.elapsed().as_secs_f64() * 1000.0);
    eprintln!("{} {} seen in {took}", results.len(), if results.len() == 1 { "picture" } else { "pictures" });
    Ok(())
}

/// What was found in one picture, a row each.
fn findings(seen: &Seen, width: Option<usize>) -> String {
    let sure = |score: f32| format!("{:.0} %", score * 100.0);
    let none = String::new;
    let mut table = Table::new(&["task", "by", "#sure", "at", "what"]);
    if let Some(Description { text, by }) = &seen.describe {
        table.row(["describe".to_owned(), by.clone(), none(), none(), text.clone()]);
    }
    for class in seen.classify.iter().flatten() {
        table.row(["classify".to_owned(), none(), sure(class.score), none(), class.label.clone()]);
    }
    for line in seen.read.iter().flatten() {
        let [[x, y], ..] = line.corners;
        table.row(["read".to_owned(), none(), sure(line.score), format!("{x:.0},{y:.0}"), line.text.clone()]);
    }
    if table.is_empty() { "nothing was found".to_owned() } else { table.render(width) }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Classified, Read};

    use super::*;

    #[test]
    fn findings_are_a_table_with_what_was_asked_for() {
        let seen = Seen {
            width: 640,
            height: 480,
            classify: Some(vec![Classified { label: "tabby cat".into(), score: 0.714 }]),
            read: Some(vec![Read { text: "BERTH 42".into(), corners: [[12.0, 8.4]; 4], score: 0.98 }]),
            describe: None,
        };
        let expected = "task      sure  at    what\n\
                        classify  71 %        tabby cat\n\
                        read      98 %  12,8  BERTH 42";
        assert_eq!(findings(&seen, None), expected);
        assert_eq!(findings(&Seen { classify: None, read: Some(vec![]), ..seen.clone() }, None), "nothing was found");
        let describe = Some(Description { text: "It reads “BERTH 42”.".into(), by: "classify+read".into() });
        let expected = "task      by             what\n\
                        describe  classify+read  It reads “BERTH 42”.";
        assert_eq!(findings(&Seen { classify: None, read: None, describe, ..seen }, None), expected);
    }
}
