//! A real browser at a node: Chromium without a window, steered over two pipes by its
//! `DevTools` protocol (JSON objects, each ended by a NUL).
//!
//! ```text
//! test ── /run/lab/browser.in  (FIFO) ──▶ fd 3  chromium
//!      ◀─ /run/lab/browser.out (FIFO) ─── fd 4
//! ```
//! No port is opened, and nothing outside of the namespace can be reached.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::{
    netns::{Namespace, Process},
    wait_until,
};

const DIRECTORY: &str = "/run/lab";
/// A start beside a build on two cores was seen to take four seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One browser with one page. Killed when dropped.
pub struct Browser {
    process: Process,
    requests: File,
    messages: Receiver<Value>,
    session: String,
    sent: u64,
    complaints: Vec<String>,
    asked_for: Vec<String>,
}

impl Browser {
    /// Starts it at a node and opens `url`.
    pub fn open(node: &Namespace, url: &str) -> Result<Self> {
        node.write(&format!("{DIRECTORY}/browser/profile"), "")?;
        let [input, output] = ["in", "out"].map(|name| format!("{DIRECTORY}/browser.{name}"));
        for pipe in [&input, &output] {
            nix::unistd::mkfifo(&node.path(pipe), Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "exec chromium --headless --no-sandbox --no-zygote --disable-gpu \
             --disable-dev-shm-usage --disable-background-networking \
             --disable-component-update --no-first-run --user-data-dir={DIRECTORY}/browser \
             --window-size=1280,900 --remote-debugging-pipe about:blank 3<{input} 4>{output}"
        ));
        let process = node.spawn("chromium", command)?;
        // For reading too, so that neither side waits for the other to open it.
        let requests = OpenOptions::new()
            .read(true)
            .write(true)
            .open(node.path(&input))?;
        let answers = node.path(&output);
        let (sender, messages) = mpsc::channel();
        thread::Builder::new()
            .name("browser".to_owned())
            .spawn(move || {
                let Ok(answers) = File::open(answers) else {
                    return;
                };
                for message in BufReader::new(answers).split(0) {
                    let Some(message) = message
                        .ok()
                        .and_then(|message| serde_json::from_slice(&message).ok())
                    else {
                        return;
                    };
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            })?;
        let mut browser = Self {
            process,
            requests,
            messages,
            session: String::new(),
            sent: 0,
            complaints: Vec::new(),
            asked_for: Vec::new(),
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach)?;
        let session = attached["sessionId"].as_str();
        browser.session = String::from(session.context("a session has an id")?);
        browser.call("Runtime.enable", &json!({}))?;
        browser.call("Log.enable", &json!({}))?;
        browser.call("Network.enable", &json!({}))?;
        browser.go(url)?;
        Ok(browser)
    }

    /// Opens another page in place of the one that is open, and forgets its complaints.
    pub fn go(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", &json!({ "url": url }))?;
        self.complaints.clear();
        Ok(())
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let arguments = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", &arguments)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].take())
    }

    /// The text that is shown in the first element that a selector finds.
    pub fn text(&mut self, selector: &str) -> Result<String> {
        let selector = Value::from(selector);
        let shown = self.evaluate(&format!(
            "document.querySelector({selector})?.innerText ?? ''"
        ))?;
        Ok(shown.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until that text holds `wanted`.
    pub fn wait_for(&mut self, selector: &str, wanted: &str, timeout: Duration) -> Result<()> {
        let mut seen = String::new();
        let what = format!("{selector} shows {wanted:?}");
        wait_until(&what, timeout, || {
            seen = self.text(selector)?;
            Ok(seen.contains(wanted))
        })
        .with_context(|| format!("it shows {seen:?}\n{}", self.process.log_tail()))
    }

    /// Shows the page on a screen of this width, to a reader who likes it light or dark.
    pub fn show_on(&mut self, width: u32, scheme: &str) -> Result<()> {
        self.resize(width, 900)?;
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        )?;
        Ok(())
    }

    fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        Ok(())
    }

    /// What the page made the browser ask for until now, itself included.
    pub fn asked_for(&mut self) -> Result<&[String]> {
        self.evaluate("1")?;
        Ok(&self.asked_for)
    }

    /// The page as a picture (PNG) of this size, in pixels.
    pub fn picture(&mut self, width: u32, height: u32) -> Result<Vec<u8>> {
        self.resize(width, height)?;
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let data = picture["data"].as_str().context("a picture has data")?;
        Ok(BASE64.decode(data.as_bytes())?)
    }

    /// Exceptions in the page, errors it told the console, and what its policy refused,
    /// until now.
    pub fn complaints(&mut self) -> Result<&[String]> {
        // Whatever was told before this was answered has been read.
        self.evaluate("1")?;
        Ok(&self.complaints)
    }

    fn call(&mut self, method: &str, arguments: &Value) -> Result<Value> {
        self.sent += 1;
        let mut request = json!({ "id": self.sent, "method": method, "params": arguments });
        if !self.session.is_empty() {
            request["sessionId"] = Value::from(&*self.session);
        }
        let mut bytes = serde_json::to_vec(&request)?;
        bytes.push(0);
        self.requests.write_all(&bytes)?;
        let start = Instant::now();
        loop {
            let left = TIMEOUT.saturating_sub(start.elapsed());
            let mut message = self.messages.recv_timeout(left).with_context(|| {
                format!(
                    "chromium does not answer {method}:\n{}",
                    self.process.log_tail()
                )
            })?;
            if message["id"] == self.sent {
                if !message["error"].is_null() {
                    bail!("{method}: {}", message["error"]);
                }
                return Ok(message["result"].take());
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let about = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(about["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if about["type"] == "error" => {
                self.complaints.push(about["args"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = about["request"]["url"].as_str();
                self.asked_for.extend(url.map(ToOwned::to_owned));
            }
            // A daemon that is gone is an entry of another source.
            Some("Log.entryAdded") if about["entry"]["source"] == "security" => {
                self.complaints.push(about["entry"]["text"].to_string());
            }
            Some(_) | None => {}
        }
    }
}
