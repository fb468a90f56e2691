//! How much RAM does this machine have, and how much of it can be had now?

/// RAM, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ram {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping, caches included.
    pub available: u64,
}

impl Ram {
    /// As the system tells it now.
    pub fn now() -> Self {
        let memory = rustix::system::sysinfo();
        let unit = u64::from(memory.mem_unit.max(1));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            total: memory.totalram as u64 * unit,
            available: available_in(&meminfo).unwrap_or(memory.freeram as u64 * unit),
        }
    }
}

/// `MemAvailable` of `/proc/meminfo`, which is in KiB.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_had_is_read_in_bytes_and_is_not_more_than_there_is() {
        assert_eq!(available_in("MemTotal: 9 kB\nMemAvailable:     2048 kB\n"), Some(2 << 20));
        assert_eq!(available_in("MemTotal: 9 kB\n"), None);
        let ram = Ram::now();
        assert!(0 < ram.available && ram.available <= ram.total, "{ram:?}");
    }
}
