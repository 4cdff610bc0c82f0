//! A real Prometheus beside a daemon: in its namespace, on loopback.
//!
//! It scrapes every half second, and the rules are hurried: what is to stand for minutes
//! fires after seconds, and groups are evaluated every half second.

use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::dashboards::STEP;

use super::{
    netns::{Namespace, Process},
    wait_until,
};

/// Where it answers, inside its node.
pub const ADDRESS: &str = "127.0.0.1:9090";
/// The daemon of its own node as a target: instance, address.
pub const OWN: (&str, &str) = ("fra1", "127.0.0.1:9477");
const CONFIG: &str = "/run/lab/prometheus.yml";
/// Thirty seconds of a rule are one here.
const HURRY: u32 = 30;

/// What it is told, but for the targets.
const SETTINGS: &str = r#"
global:
  scrape_interval: 500ms
  evaluation_interval: 500ms
rule_files: ["/run/lab/rules/*.yml"]
scrape_configs:
  - job_name: lapwing
    static_configs:
"#;

/// The rule files as they are committed: name, text.
pub fn rules() -> Result<Vec<(String, String)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/rules");
    ["lapwing.rules.yml", "lapwing.alerts.yml"]
        .into_iter()
        .map(|name| Ok((name.to_owned(), fs::read_to_string(directory.join(name))?)))
        .collect()
}

/// A running Prometheus.
pub struct Prometheus {
    process: Process,
}

impl Prometheus {
    /// Starts it with the committed rules, hurried, and these targets (instance, address),
    /// and waits until it is ready.
    pub fn start(node: &Namespace, targets: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(node, targets, &[])
    }

    /// As [`start`](Self::start), serving the files of a directory at `/user`.
    pub fn start_serving(
        node: &Namespace,
        targets: &[(&str, &str)],
        directory: &Path,
    ) -> Result<Self> {
        let files = format!("--web.user-assets={}", directory.display());
        Self::start_with(node, targets, &[files])
    }

    fn start_with(
        node: &Namespace,
        targets: &[(&str, &str)],
        arguments: &[String],
    ) -> Result<Self> {
        for (name, text) in rules()? {
            node.write(&format!("/run/lab/rules/{name}"), &hurried(&text)?)?;
        }
        let mut config = SETTINGS.to_owned();
        for (instance, address) in targets {
            writeln!(
                config,
                "      - targets: [\"{address}\"]\n        labels: {{ instance: {instance} }}"
            )?;
        }
        Self::run(node, &config, arguments)
    }

    /// Starts it with this configuration and no rules, and waits until it is ready.
    pub fn with_config(node: &Namespace, config: &str) -> Result<Self> {
        Self::run(node, config, &[])
    }

    fn run(node: &Namespace, config: &str, arguments: &[String]) -> Result<Self> {
        node.write(CONFIG, config)?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={CONFIG}"))
            .arg(format!("--web.listen-address={ADDRESS}"))
            .args([
                "--storage.tsdb.path=/run/lab/prometheus",
                "--storage.tsdb.retention.time=1h",
                "--log.level=warn",
            ])
            .args(arguments);
        let prometheus = Self {
            process: node.spawn("prometheus", command)?,
        };
        wait_until("Prometheus is ready", Duration::from_secs(20), || {
            if let Some(status) = prometheus.process.exited()? {
                bail!(
                    "prometheus ended ({status}): {}",
                    prometheus.process.log_tail()
                );
            }
            let url = format!("http://{ADDRESS}/-/ready");
            Ok(node.run("curl", ["-sSf", "-m", "2", &url]).is_ok())
        })?;
        Ok(prometheus)
    }

    /// What a query gives now: the samples, each with `metric` and `value`.
    pub fn query(&self, node: &Namespace, query: &str) -> Result<Vec<Value>> {
        self.samples(node, "query", &[&format!("query={query}")])
            .with_context(|| format!("the query {query}"))
    }

    /// What a query gave in the last `shown`, step by step as a dashboard asks.
    pub fn query_last(&self, node: &Namespace, query: &str, shown: Duration) -> Result<Vec<Value>> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let now = now.as_secs();
        let parameters: [&str; 4] = [
            &format!("query={query}"),
            &format!("start={}", now - shown.as_secs()),
            &format!("end={now}"),
            &format!("step={}", STEP.as_secs()),
        ];
        self.samples(node, "query_range", &parameters)
            .with_context(|| format!("the query {query}"))
    }

    /// The alerts that stand now, pending ones included.
    pub fn alerts(&self, node: &Namespace) -> Result<Vec<Value>> {
        let data = self.ask(node, "alerts", &[])?;
        Ok(data["alerts"].as_array().context("alerts")?.clone())
    }

    fn samples(&self, node: &Namespace, endpoint: &str, parameters: &[&str]) -> Result<Vec<Value>> {
        let data = self.ask(node, endpoint, parameters)?;
        match data["resultType"].as_str() {
            Some("vector" | "matrix") => Ok(data["result"].as_array().context("result")?.clone()),
            // A number is a sample without labels.
            _ => Ok(vec![data["result"].clone()]),
        }
    }

    fn ask(&self, node: &Namespace, endpoint: &str, parameters: &[&str]) -> Result<Value> {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "10", "-G"]);
        for parameter in parameters {
            command.args(["--data-urlencode", parameter]);
        }
        command.arg(format!("http://{ADDRESS}/api/v1/{endpoint}"));
        let text = node
            .run_with_input(command, "")
            .with_context(|| self.process.log_tail())?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer["data"].take())
    }
}

/// A rule file in which everything is [`HURRY`] times as quick.
fn hurried(text: &str) -> Result<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some((indent, time)) = line.split_once("for: ") {
            let patience = duration(time).with_context(|| format!("the duration {line}"))?;
            lines.push(format!("{indent}for: {}ms", (patience / HURRY).as_millis()));
            continue;
        }
        lines.push(line.to_owned());
    }
    Ok(lines.join("\n") + "\n")
}

/// One number with one unit.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(count * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_of_alerts_is_shortened_and_nothing_else_is_changed() {
        let hurried = hurried("- alert: X\n  expr: up[5m]\n  for: 30s\n  for: 4h\n").unwrap();
        assert_eq!(
            hurried,
            "- alert: X\n  expr: up[5m]\n  for: 1000ms\n  for: 480000ms\n"
        );
        assert!(super::hurried("for: 1h30m\n").is_err());
    }
}
