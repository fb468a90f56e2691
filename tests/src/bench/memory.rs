//! How much memory do the parts without a model take?

use std::time::Duration;

use anyhow::Context as _;
use megabrain_tests::Brain;

use crate::report::{Bound, Report};

/// How long after ready it is measured.
const REST: Duration = Duration::from_secs(10);

/// Measures the proportional memory of node and echo, which have not been asked anything yet.
pub(crate) async fn measure(brain: &Brain, report: &mut Report) -> anyhow::Result<()> {
    tokio::time::sleep(REST).await;
    let echo = *brain.children("megabrain-echo").first().context("no echo process")?;
    for (what, pid, most) in
        [("PSS of the node, 10 s after ready", brain.node(), 40.0), ("PSS of echo, likewise", echo, 20.0)]
    {
        let resident = megabytes(pid, "status", "VmRSS:")?;
        let from = format!("{resident:.1} MB resident");
        report.row(what, Bound::AtMost(most), megabytes(pid, "smaps_rollup", "Pss:")?, " MB", &from);
    }
    Ok(())
}

/// One line of a file of `/proc/<pid>`, in units of 10⁶ bytes.
pub(crate) fn megabytes(pid: u32, file: &str, line: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let found = text.lines().find_map(|other| other.strip_prefix(line)?.split_whitespace().next()?.parse::<f64>().ok());
    Ok(found.with_context(|| format!("no {line} in {path}"))? * 1024.0 / 1e6)
}
