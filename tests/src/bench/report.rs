//! How is a figure shown beside its bound?

/// The table, printed row by row as it is measured.
pub(crate) struct Report {
    rows: usize,
    missed: usize,
}

/// What a figure may be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    /// What is no number meets no bound.
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl Report {
    /// Prints where this runs and the table's head.
    pub(crate) fn begin(quick: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: f64 = load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN);
        println!("{cores} cores, load {load} before{}", if quick { ", quick" } else { "" });
        if load > cores as f64 / 2.0 {
            println!("other work keeps this machine busy: the figures are worth little");
        }
        println!("\n{:<46} {:>11} {:>11}  {:<6} from", "what", "bound", "measured", "met?");
        Self { rows: 0, missed: 0 }
    }

    /// Prints one figure; `unit` is `×`, ` ms` … and `from` what it was computed from.
    pub(crate) fn row(&mut self, what: &str, bound: Bound, figure: f64, unit: &str, from: &str) {
        let is_met = bound.is_met(figure);
        self.rows += 1;
        self.missed += usize::from(!is_met);
        let decimals = if figure.abs() >= 100.0 { 0 } else { 2 };
        let bound = match bound {
            Bound::AtMost(most) => format!("≤ {most}{unit}"),
            Bound::AtLeast(least) => format!("≥ {least}{unit}"),
        };
        let met = if is_met { "yes" } else { "MISSED" };
        println!("{what:<46} {bound:>11} {:>11}  {met:<6} {from}", format!("{figure:.decimals$}{unit}"));
    }

    /// Prints the sum of it.
    pub(crate) fn end(self) {
        println!("\n{} of {} bounds met, {} MISSED", self.rows - self.missed, self.rows, self.missed);
    }
}

/// The middle one; not a number if there are none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios round by round: what slows a whole round down does not count.
pub(crate) fn median_ratio(ours: &[f64], bare: &[f64]) -> f64 {
    median(ours.iter().zip(bare).map(|(ours, bare)| ours / bare))
}
