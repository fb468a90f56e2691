//! Is a job that was accepted ever lost, or done twice without need?

use megabrain_tests::{AT_ONCE, ordeal};

use crate::report::{Bound, Report};

/// Measures what becomes of a thousand jobs while everything is killed ten times.
pub(crate) async fn measure(quick: bool, report: &mut Report) {
    let (jobs, kills) = if quick { (100, 3) } else { (1000, 10) };
    let outcome = ordeal(jobs, kills).await;
    let share = |count: usize| count as f64 / jobs as f64;
    let idle = outcome.idle_kills;
    let from = format!(
        "{jobs} jobs, {kills} kills of node, bus, models, {idle} of them idle; {:.0} s",
        outcome.took.as_secs_f64()
    );
    report.row("jobs that have their answer, of all", Bound::AtLeast(1.0), share(outcome.right), "×", &from);
    let from = "results told of one job that differ".to_owned();
    report.row("jobs with more than one result", Bound::AtMost(0.0), share(outcome.ambiguous), "×", &from);
    let most = outcome.could_run;
    let from = format!("{} again; {AT_ONCE} at once, {most} open at the kills", outcome.ran_again);
    report.row(
        "run again, of what could run when killed",
        Bound::AtMost(1.0),
        outcome.ran_again as f64 / most as f64,
        "×",
        &from,
    );
    let (called, calls) = outcome.called;
    let from = format!("{calls} callbacks in all");
    report.row("jobs whose callback came, of all", Bound::AtLeast(1.0), share(called), "×", &from);
}
