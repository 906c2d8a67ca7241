//! Processor time and memory as Linux reports them. On other systems the values are NaN.

use std::fs;

/// Returns the numbers in the first line of a file in /proc, after the last `after`.
fn fields(path: &str, after: char) -> Option<Vec<f64>> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().next()?.rsplit_once(after)?.1;
    Some(rest.split_whitespace().filter_map(|field| field.parse().ok()).collect())
}

/// Returns the seconds for which all processors have been busy.
fn busy() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let all: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    Some((all.iter().take(8).sum::<f64>() - all.get(3)? - all.get(4)?) / 100.0)
}

/// Returns the processor time of a process, in seconds.
fn used(process: u32) -> Option<f64> {
    // After the name (in brackets) and the state (not a number): user time is the 14th field, system time the 15th.
    let all = fields(&format!("/proc/{process}/stat"), ')')?;
    Some((all.get(10)? + all.get(11)?) / 100.0)
}

/// Measures how much of the machine other processes use.
pub struct Watch {
    process: u32,
    began: std::time::Instant,
    before: Option<(f64, f64)>,
}

impl Watch {
    pub fn new(process: u32) -> Watch {
        Watch { process, began: std::time::Instant::now(), before: busy().zip(used(process)) }
    }

    /// Returns the share of the machine that other processes used.
    pub fn others_busy(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        match (self.before, busy().zip(used(self.process))) {
            (Some((busy_before, used_before)), Some((busy, used))) => {
                let others = (busy - busy_before) - (used - used_before);
                (others / (self.began.elapsed().as_secs_f64() * cores)).max(0.0)
            }
            _ => f64::NAN,
        }
    }
}

/// Returns the memory of this process in MiB, for a key of /proc/self/status such as `VmHWM`.
pub fn memory(kind: &str) -> f64 {
    let read = || -> Option<f64> {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find(|line| line.starts_with(kind))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    read().map_or(f64::NAN, |kib| kib / 1024.0)
}

/// Resets the peak memory of this process to its current memory.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}
