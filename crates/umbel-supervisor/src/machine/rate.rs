//! Counts restarts against an [`Intensity`].

use super::Time;
use crate::spec::Intensity;
use std::collections::VecDeque;
use std::time::Duration;

/// The times of recent restarts, as many as matter.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    recent: VecDeque<Time>,
}

impl Rate {
    /// Whether one more restart at `at` stays within the intensity; if not, which number it exceeds, in words.
    pub(crate) fn check(&self, intensity: &Intensity, at: Time) -> Result<(), String> {
        for (limit, window) in
            [(intensity.burst, intensity.burst_window), (intensity.sustained, intensity.sustained_window)]
        {
            let within = self.recent.iter().rev().take_while(|time| time.saturating_add(window) > at).count();
            if within >= limit as usize {
                return Err(format!("more than {limit} restarts in {}", seconds(window)));
            }
        }
        Ok(())
    }

    /// Remembers a restart.
    pub(crate) fn record(&mut self, intensity: &Intensity, at: Time) {
        self.recent.push_back(at);
        while self.recent.len() > intensity.burst.max(intensity.sustained) as usize {
            self.recent.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.recent.clear();
    }
}

fn seconds(window: Duration) -> String {
    if window.subsec_millis() == 0 {
        format!("{} s", window.as_secs())
    } else {
        format!("{} ms", window.as_millis())
    }
}
