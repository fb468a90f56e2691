//! Is speech heard as well and as fast as by whisper.cpp called directly, and does nobody wait for somebody's long file?
//!
//! The sentences are our own, spoken by the brain's own voice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use megabrain_bus::{Bus, Call, Frame, FrameStream, Target};
use megabrain_node::pull::{Options, Puller, Reporter, Source, cache_dir};
use megabrain_schemas::{AudioFormat, LiveSound, Media, SpeakRequest, TranscribeRequest};
use megabrain_tests::{Brain, name, words, wrong};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::models::all_ready;
use crate::report::{Bound, Report, median, median_ratio};

/// Without noise the voice says the same every time.
const BRAIN: &str = r#"
[models.voice]
actor = "voice"
weights = { model = "voice-joe", config = "voice-joe-config" }
noise_scale = 0.0
noise_w = 0.0
[models.whisper]
actor = "speech"
weights = "whisper-tiny.en"
"#;
/// Two sounds of ten minutes.
const ROOM: &str = "64 MiB";
const RATE: u32 = 16_000;
/// The longest that one sound may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Ten minutes.
const LONG: usize = 600 * RATE as usize;

const SENTENCES: [&str; 30] = [
    "The ship leaves the harbor at seven in the morning.",
    "She asked whether the second train had already arrived.",
    "Please close the window before the rain comes in.",
    "My brother bought three apples and a loaf of bread.",
    "Nobody knew who had written the letter on the table.",
    "In winter the lake is frozen, and children walk across it to school.",
    "The museum opens at ten and is closed on Mondays.",
    "He forgot his umbrella at the office for the second time this week.",
    "A small dog was sleeping under the kitchen table.",
    "We need two tickets to the city, one way.",
    "The doctor said that she should drink more water.",
    "They painted the old wooden door dark green.",
    "After dinner we walked along the river for an hour.",
    "The teacher wrote a long sentence on the board.",
    "Can you tell me where the nearest post office is?",
    "The baker sells fresh rolls from six in the morning.",
    "It took him four days to repair the engine of the boat.",
    "The children built a house of snow in the garden.",
    "Her grandmother came from a village in the mountains.",
    "I would like a cup of coffee with milk and no sugar.",
    "The last bus leaves at half past eleven.",
    "There is a strong wind from the west this afternoon.",
    "The farmer counted his sheep before it became dark.",
    "You will find the key under the stone next to the gate.",
    "The price of the house was higher than we had expected.",
    "Every Sunday the bells of the church can be heard for miles.",
    "The captain ordered everyone to stay below deck.",
    "We found an old map in a box in the attic.",
    "The lights went out just when the film began.",
    "Thank you for your letter, I will answer it tomorrow.",
];

/// What `hear_bare.py` says.
#[derive(Deserialize)]
struct Bare {
    seconds: Vec<Vec<f64>>,
    texts: Vec<String>,
}

/// A brain that hears, and what it is compared with.
struct Ground {
    bus: Bus,
    weights: PathBuf,
    folder: TempDir,
    /// Each sentence, at 16 kHz.
    spoken: Vec<Vec<i16>>,
}

/// Minutes of sound, and the words in them.
#[derive(Default)]
struct LongSound {
    samples: Vec<i16>,
    said: Vec<String>,
}

impl LongSound {
    fn say(&mut self, sentence: &str, samples: &[i16]) {
        self.samples.extend(samples);
        self.said.extend(words(sentence));
    }

    /// Silence as a room has it: noise of -66 dB.
    fn be_silent(&mut self, samples: usize) {
        let mut random = StdRng::seed_from_u64(self.samples.len() as u64);
        self.samples.extend((0..samples).map(|_| random.random_range(-16..=16)));
    }
}

/// Measures in turns with Python, to which whisper.cpp belongs as it is installed.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let rounds = if quick { 1 } else { 3 };
    let puller = Puller::new(Options::from_env(), Reporter::auto())?;
    let weights = puller.fetch(&Source::Artefact("whisper-tiny.en".into())).await?;
    let mut brain = Brain::start_with_room(BRAIN, &[], ROOM).await;
    all_ready(&mut brain).await;
    let mut ground = Ground {
        bus: brain.client().await,
        weights,
        folder: TempDir::new()?,
        spoken: Vec::with_capacity(SENTENCES.len()),
    };
    for sentence in SENTENCES {
        let samples = ground.speak(sentence).await?;
        ground.spoken.push(samples);
    }
    ground.misheard(report).await?;
    let (ten_minutes, half_silent) = (ground.ten_minutes(), ground.half_silent());
    ground.speed("whisper: ten minutes, against whisper.cpp", 1.0, &ten_minutes, rounds, report).await?;
    ground.speed("whisper: the same, half of it silence", 1.5, &half_silent, rounds, report).await?;
    ground.beside(if quick { 3 } else { 10 }, report).await?;
    ground.live(if quick { 2 } else { 5 }, report).await?;
    brain.stop();
    Ok(())
}

impl Ground {
    /// A sentence as the voice says it, at the rate that Whisper hears.
    async fn speak(&self, sentence: &str) -> anyhow::Result<Vec<i16>> {
        let request =
            SpeakRequest { text: sentence.into(), voice: None, speed: None, format: AudioFormat::Wav, stream: false };
        let reply = self.bus.call(&Target::Model(name("voice")), &request, Call::within(PATIENCE)).await?;
        let path = self.folder.path().join("spoken.wav");
        std::fs::write(&path, reply.audio.data.context("the speech is inline")?.0)?;
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(path)
            .args(["-ar", "16000", "-ac", "1", "-f", "s16le", "-"]);
        let output = command.output().await.context("ffmpeg: `make setup` installs it")?;
        ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout.chunks_exact(2).filter_map(|pair| Some(i16::from_le_bytes(pair.try_into().ok()?))).collect())
    }

    /// All sentences with a breath between them, again and again.
    fn ten_minutes(&self) -> LongSound {
        let mut sound = LongSound::default();
        for (sentence, samples) in SENTENCES.iter().zip(&self.spoken).cycle() {
            if sound.samples.len() >= LONG {
                break;
            }
            sound.say(sentence, samples);
            sound.be_silent(RATE as usize / 3);
        }
        sound
    }

    /// Four sentences, then silence as long as they are.
    fn half_silent(&self) -> LongSound {
        let mut sound = LongSound::default();
        for (sentences, spoken) in SENTENCES.chunks(4).zip(self.spoken.chunks(4)).cycle() {
            if sound.samples.len() >= LONG {
                break;
            }
            let begin = sound.samples.len();
            sentences.iter().zip(spoken).for_each(|(sentence, samples)| sound.say(sentence, samples));
            sound.be_silent(sound.samples.len() - begin);
        }
        sound
    }

    async fn misheard(&self, report: &mut Report) -> anyhow::Result<()> {
        let [mut ours, mut theirs, mut count] = [0; 3];
        let bare = self.python(&self.spoken.iter().map(Vec::as_slice).collect::<Vec<_>>()).await?;
        for ((sentence, samples), text) in SENTENCES.iter().zip(&self.spoken).zip(&bare.texts) {
            let said = words(sentence);
            count += said.len();
            ours += wrong(&said, &words(&self.hear(inline(samples)?).await?.0));
            theirs += wrong(&said, &words(text));
        }
        let from = format!("{ours} against {theirs} of {count} words wrong");
        let more = f64::from(u32::try_from(ours)?) - f64::from(u32::try_from(theirs)?);
        report.row("whisper: words wrong, more than whisper.cpp", Bound::AtMost(0.0), more, "", &from);
        Ok(())
    }

    async fn speed(
        &self,
        what: &str,
        least: f64,
        sound: &LongSound,
        rounds: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let LongSound { samples, said } = sound;
        let media = Media::by_reference(None, self.bus.blob_store().await?.put(&wav(samples)?).await?);
        let (mut ours, mut bare, mut misheard) = (Vec::new(), Vec::new(), [0, 0]);
        for _ in 0..rounds {
            let Bare { seconds, texts } = self.python(&[samples]).await?;
            bare.push(seconds.concat().iter().sum());
            let (text, took) = self.hear(media.clone()).await?;
            ours.push(took);
            misheard = [wrong(said, &words(&text)), wrong(said, &words(&texts.concat()))];
        }
        let [wrong, theirs] = misheard;
        // Whoever leaves words out is quick.
        ensure!(
            wrong <= theirs + said.len() / 50,
            "{wrong} of {} words are wrong, of whisper.cpp {theirs}",
            said.len()
        );
        let from = format!(
            "{:.2} against {:.2} s; {wrong} against {theirs} of {} words wrong",
            median(ours.clone()),
            median(bare.clone()),
            said.len()
        );
        // Speeds: the inverse of times.
        report.row(what, Bound::AtLeast(least), median_ratio(&bare, &ours), "×", &from);
        Ok(())
    }

    /// A sentence while ten minutes are heard, against alone.
    async fn beside(&self, times: usize, report: &mut Report) -> anyhow::Result<()> {
        let clip = inline(self.spoken.first().context("a sentence")?)?;
        let long =
            Media::by_reference(None, self.bus.blob_store().await?.put(&wav(&self.ten_minutes().samples)?).await?);
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..times {
            alone.push(self.hear(clip.clone()).await?.1);
        }
        let request = TranscribeRequest { audio: long, stream: true, ..TranscribeRequest::default() };
        let mut stream = self.bus.stream(&Target::Model(name("whisper")), &request, Call::within(PATIENCE)).await?;
        segment(&mut stream).await?;
        let mut at = Vec::new();
        for _ in 0..times {
            beside.push(self.hear(clip.clone()).await?.1);
            at.push(segment(&mut stream).await?);
        }
        ensure!(at.last() < Some(&550_000.0), "the long sound was heard before the short ones: take fewer");
        let from = format!("{:.2} against {:.2} s", median(beside.clone()), median(alone.clone()));
        let figure = median(beside) / median(alone);
        report.row("whisper: 3 s while ten minutes run", Bound::AtMost(3.0), figure, "×", &from);
        Ok(())
    }

    /// From the end of speech until its final segment, less what the model takes for it alone.
    async fn live(&self, times: usize, report: &mut Report) -> anyhow::Result<()> {
        let (mut over, mut totals) = (Vec::new(), Vec::new());
        for samples in self.spoken.iter().take(times) {
            let spoken = samples.iter().rposition(|sample| sample.abs() > 300).context("silence")? + 1;
            let decode = self.hear(inline(samples)?).await?.1;
            let late = self.final_segment(samples.get(..spoken).unwrap_or_default()).await?;
            over.push((late - decode) * 1e3);
            totals.push(late);
        }
        let from = format!("the final segment {:.2} s after the last word", median(totals));
        let worst = over.into_iter().fold(f64::MIN, f64::max);
        report.row("whisper: live, over the decode time, worst", Bound::AtMost(1000.0), worst, " ms", &from);
        Ok(())
    }

    /// Speaks into a live request as fast as one speaks; seconds from the last sample to the final segment.
    async fn final_segment(&self, samples: &[i16]) -> anyhow::Result<f64> {
        const PART: usize = RATE as usize / 20;
        let request = TranscribeRequest { live: Some(LiveSound::default()), ..TranscribeRequest::default() };
        let mut stream = self.bus.stream(&Target::Model(name("whisper")), &request, Call::within(PATIENCE)).await?;
        let Some(Ok(Frame::Part(_, first))) = stream.next::<TranscribeRequest>().await else {
            anyhow::bail!("nobody listens");
        };
        let subject = first.publish_to.context("a subject")?;
        let silence = vec![0; 5 * RATE as usize];
        let (began, mut ended) = (Instant::now(), None);
        for (part, number) in samples.chunks(PART).chain(silence.chunks(PART)).zip(1..) {
            let due = began + Duration::from_millis(50) * number;
            loop {
                tokio::select! {
                    biased;
                    frame = stream.next::<TranscribeRequest>() => match frame.context("an end without an answer")?? {
                        Frame::Part(_, part) if !part.partial && part.segment.is_some() => {
                            let ended: Instant = ended.context("a final segment before the end of speech")?;
                            return Ok(ended.elapsed().as_secs_f64());
                        }
                        _ => {}
                    },
                    () = tokio::time::sleep_until(due.into()) => break,
                }
            }
            let bytes: Vec<u8> = part.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            self.bus.publish(&subject, None, Bytes::from(bytes)).await?;
            if number as usize == samples.len().div_ceil(PART) {
                ended = Some(Instant::now());
            }
        }
        anyhow::bail!("no final segment within five seconds")
    }

    /// The text and how long it took, in seconds by the caller's clock.
    async fn hear(&self, audio: Media) -> anyhow::Result<(String, f64)> {
        let request = TranscribeRequest { audio, language: Some("en".into()), ..TranscribeRequest::default() };
        let began = Instant::now();
        let reply = self.bus.call(&Target::Model(name("whisper")), &request, Call::within(PATIENCE)).await?;
        Ok((reply.text, began.elapsed().as_secs_f64()))
    }

    async fn python(&self, sounds: &[&[i16]]) -> anyhow::Result<Bare> {
        let python = cache_dir().join("bench-venv/bin/python");
        ensure!(python.exists(), "there is no {}: `make bench-senses` installs it", python.display());
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/hear_bare.py"));
        command.arg("--model").arg(&self.weights);
        for (index, samples) in sounds.iter().enumerate() {
            let path = self.folder.path().join(format!("{index}.wav"));
            std::fs::write(&path, wav(samples)?)?;
            command.arg(path);
        }
        let output = command.kill_on_drop(true).output().await.with_context(|| format!("{command:?}"))?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// When the next segment of a stream ends, in milliseconds of its sound.
async fn segment(stream: &mut FrameStream) -> anyhow::Result<f64> {
    match stream.next::<TranscribeRequest>().await.context("an end without an answer")?? {
        Frame::Part(_, part) => Ok(part.segment.context("no segment")?.t1_ms),
        Frame::End(..) => anyhow::bail!("the long sound was heard before the short ones: take fewer"),
    }
}

fn inline(samples: &[i16]) -> anyhow::Result<Media> {
    Ok(Media::inline("audio/wav", wav(samples)?))
}

fn wav(samples: &[i16]) -> anyhow::Result<Vec<u8>> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
    writer.finalize()?;
    Ok(file.into_inner())
}
