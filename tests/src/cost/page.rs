//! Whether the live page stays smooth: how far apart its frames are while it is scrolled.

use std::{fmt, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::lab::{browser::Browser, netns::Namespace, withdrawal::Sample};

const PAGE: &str = "http://127.0.0.1:9477/";
const PATIENCE: Duration = Duration::from_secs(30);
const SCROLLED_FOR: Duration = Duration::from_secs(10);
/// A gap between two frames that is seen to stutter (RAIL: an answer within 100 ms).
const STUTTER_MS: f64 = 100.0;

/// Notes how far apart the frames are, and scrolls through the page and back.
const SCROLL: &str = "
    window.gaps = [];
    let last = performance.now(), step = 40;
    const frame = (now) => {
        gaps.push(now - last);
        last = now;
        const end = document.documentElement.scrollHeight - innerHeight;
        if (scrollY + step < 0 || scrollY + step > end) step = -step;
        scrollBy(0, step);
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);";

/// Frames while the page is scrolled.
#[derive(Clone, Debug)]
pub struct Frames(Sample);

impl Frames {
    /// Of a browser on the host, once all services are shown.
    pub fn measure(node: &Namespace, services: u16) -> Result<Self> {
        let mut browser = Browser::open(node, PAGE)?;
        browser.wait_for("#count", &format!("{services} services"), PATIENCE)?;
        browser.evaluate(SCROLL)?;
        thread::sleep(SCROLLED_FOR);
        let gaps = browser.evaluate("gaps")?;
        let gaps = gaps.as_array().context("a list of gaps")?;
        Ok(Self(Sample::new(
            gaps.iter().filter_map(serde_json::Value::as_f64).collect(),
        )))
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(gaps) = self;
        write!(
            f,
            "{:.1} ms median from frame to frame, {:.1} at most, {} of {} above {STUTTER_MS}",
            gaps.median(),
            gaps.max(),
            gaps.above(STUTTER_MS),
            gaps.len()
        )
    }
}
