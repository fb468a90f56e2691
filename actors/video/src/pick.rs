//! Which pictures of a film are taken? Each new scene, and one every so often where nothing changes, within a budget.

use std::time::Duration;

use megabrain_schemas::SplitRequest;

use crate::config::Config;

/// Half a millisecond: times are rounded, and a picture that is due is not to be missed for that.
const TOLERANCE: f64 = 0.0005;

/// A picture that is due waits a quarter longer than its turn: a new scene is often about to begin, and would need another.
const PATIENCE: f64 = 1.25;

/// The pictures to take of one film.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pick {
    /// At most so many.
    pub(crate) frames: u32,
    pace: Pace,
    /// What is kept for the rest of the film before a new scene gets a picture of its own: one in so many seconds.
    interval: f64,
    /// Length of the film in seconds, where it is known.
    duration: Option<f64>,
    /// What of the wish cannot be kept.
    pub(crate) note: Option<String>,
}

/// When is a picture due though nothing changes, in seconds after the one before?
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// As the caller wishes, or where the film's length is not known.
    Steady(f64),
    /// So that what is left is spread over the rest of the film, but not sooner than this.
    Spread(f64),
}

impl Pick {
    /// Spreads what the request allows over the film.
    ///
    /// With `fps`, the caller's pace comes first, and new scenes get what it leaves. Without, what new scenes do not take is
    /// spread over the rest of the film, and of its budget they take no more than leaves half to the rest. What is asked
    /// for beyond the actor's own bounds is cut to them.
    pub(crate) fn new(request: &SplitRequest, config: &Config, duration: Option<Duration>) -> Self {
        let frames = request.frames.unwrap_or(config.frames).min(config.max_frames);
        let fps = request.fps.unwrap_or(config.fps).min(config.max_fps);
        let duration = duration.map(|duration| duration.min(config.max_film).as_secs_f64());
        let share = if request.fps.is_some() { 1.0 } else { 2.0 };
        let spread = duration.map_or(0.0, |duration| share * duration / f64::from(frames));
        let soonest = 1.0 / f64::from(fps);
        let interval = spread.max(soonest);
        let pace = match duration {
            Some(_) if request.fps.is_none() => Pace::Spread(soonest),
            _ => Pace::Steady(interval),
        };
        let mut notes = Vec::new();
        if request.frames.is_some_and(|asked| asked > frames) {
            notes.push(format!("at most {frames} pictures are taken of a film"));
        }
        if let Some(asked) = request.fps.filter(|asked| f64::from(*asked) * interval > 1.001) {
            notes.push(format!("{asked} pictures a second were asked for, and there is one every {interval:.1} s"));
        }
        Self { frames, pace, interval, duration, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    /// The same for ffmpeg's filter `select`: is this picture taken?
    ///
    /// A new scene is taken only if the rest of the film is left its share. A taken picture sets the pace's clock anew,
    /// whatever it was taken for.
    pub(crate) fn expression(&self, scene: f32) -> String {
        let Self { frames, interval, .. } = self;
        let left = match self.duration {
            Some(duration) => format!("*lte(selected_n+1+floor(max(0,{duration:.3}-t)/{interval:.3}),{frames})"),
            None => String::new(),
        };
        let due = match (self.pace, self.duration) {
            (Pace::Spread(soonest), Some(duration)) => {
                let rest = format!("{PATIENCE}*({duration:.3}-prev_selected_t)/({frames}-selected_n+1)");
                format!("max({:.4},{rest})", soonest - TOLERANCE)
            }
            (Pace::Spread(pace) | Pace::Steady(pace), _) => format!("{:.4}", pace - TOLERANCE),
        };
        format!("lt(selected_n,{frames})*(isnan(prev_selected_t)+gte(t-prev_selected_t,{due})+gt(scene,{scene}){left})")
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Media;

    use super::*;

    fn pick(frames: Option<u32>, fps: Option<f32>, seconds: Option<u64>) -> Pick {
        let request = SplitRequest { video: Media::inline("video/mp4", vec![1]), frames, fps, stream: None };
        Pick::new(&request, &Config::default(), seconds.map(Duration::from_secs))
    }

    #[test]
    fn half_of_the_budget_is_for_scenes_unless_the_caller_sets_the_pace() {
        assert_eq!(pick(None, None, Some(30)).interval, 3.0);
        assert_eq!(pick(Some(20), Some(1.0), Some(20)).interval, 1.0);
        assert_eq!(pick(None, None, Some(600)).interval, 60.0);
        assert_eq!(pick(None, None, Some(4)).interval, 2.0, "no more often than the default pace");
        assert_eq!(pick(None, None, None).interval, 2.0);
        assert_eq!(pick(None, None, Some(30)).note, None);
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        let Pick { frames, interval, note, .. } = pick(Some(1000), Some(1.0), Some(600));
        assert_eq!((frames, interval), (200, 3.0));
        let note = note.unwrap();
        assert!(note.contains("at most 200") && note.contains("one every 3.0 s"), "{note}");
        assert!(pick(None, Some(100.0), Some(1)).note.unwrap().contains("100 pictures a second"));
        assert_eq!(pick(Some(200), Some(10.0), Some(20)).note, None);
    }

    #[test]
    fn the_film_is_taken_to_its_longest_and_no_further() {
        assert_eq!(pick(Some(10), Some(1.0), Some(100 * 3600)).interval, 1440.0);
    }
}
