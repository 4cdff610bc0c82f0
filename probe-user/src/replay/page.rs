//! A replay to look at: its report flows in, one page that needs no other file flows out.
//! What is drawn stands in tables, too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use probe_core::{
    Level,
    status::{KindState, KindStatus},
};

use super::{
    bins::Join as _,
    happening::{Happening, What, seconds_of},
    history::{Levels, Slice},
    report::{Chosen, Report},
};
use crate::{
    chart::picture,
    metrics::Service,
    page::{Columns, Table, document, escaped, facts, folded, scrolled},
    status::latency::{LatencyView, view},
};

/// Services with charts: the worst ones.
const MOST_CHARTED: usize = 20;
/// Rows of a table over time.
const MOST_ROWS: usize = 48;
const WIDTH: f64 = 860.0;

impl Report {
    /// The page.
    pub fn page(&self) -> String {
        let order = self.worst_first();
        let charted = &order[..order.len().min(MOST_CHARTED)];
        let name = self.capture.rsplit('/').next().unwrap_or(&self.capture);
        let left_out = order.len() - charted.len();
        let more = if left_out > 0 {
            format!(
                "<p class=\"soft\">Charts of the {MOST_CHARTED} worst are below; {left_out} more have none.</p>"
            )
        } else {
            String::new()
        };
        let sections: String = charted
            .iter()
            .map(|service| self.section(*service))
            .collect();
        let body = format!(
            "<main><h1>Replay of {}</h1><p class=\"soft\">lapwing {} · what would have been decided on this capture, when, and why</p>\n\
             <p class=\"{}\" id=\"verdict\">{}.</p>\n{}{}\n\
             <h2>Decisions</h2>{}\n<h2>Services</h2>{}{more}\n{sections}{}</main>\n",
            escaped(name),
            env!("CARGO_PKG_VERSION"),
            if self.is_calm() { "good" } else { "bad" },
            escaped(&capitalised(&self.verdict())),
            self.warnings_html(),
            self.facts_html(),
            self.decisions_html(),
            self.services_table(&order, charted.len()).html(),
            self.skipped_html(),
        );
        document(&format!("Lapwing: replay of {name}"), &body)
    }

    fn is_calm(&self) -> bool {
        let mut levels = self.judgement.history.levels.iter();
        levels.all(|levels| levels.withdrawals == 0 && levels.degraded_seconds <= 0.0)
    }

    /// The prefixes of a service, with their levels.
    pub(super) fn prefixes_of(&self, service: usize) -> impl Iterator<Item = (&str, &Levels)> {
        self.prefixes
            .iter()
            .zip(&self.judgement.history.levels)
            .filter(move |((_, services), _)| services.contains(&service))
            .map(|((prefix, _), levels)| (&**prefix, levels))
    }

    /// What happened to a service and its prefixes.
    pub(super) fn happenings_of(&self, service: usize) -> impl Iterator<Item = &Happening> {
        let name = &self.model.services[service].name;
        let prefixes: Vec<&str> = self.prefixes_of(service).map(|(name, _)| name).collect();
        let happenings = &self.judgement.history.happenings.kept;
        happenings.iter().filter(move |happening| {
            happening.about == *name || prefixes.contains(&&*happening.about)
        })
    }

    fn slices(&self, service: usize) -> impl Iterator<Item = &Slice> {
        let bins = self.judgement.history.bins.iter();
        bins.filter_map(move |(_, slices)| slices.0.get(service))
    }

    fn peak(&self, service: usize) -> f64 {
        let scores = self.slices(service).map(|slice| slice.score);
        scores.fold(0.0, f64::max)
    }

    /// All services: first those that were dead for longest, then by their scores and
    /// failures.
    fn worst_first(&self) -> Vec<usize> {
        let badness = |service: usize| {
            let lowered: f64 = self
                .prefixes_of(service)
                .map(|(_, levels)| levels.withdrawn_seconds + levels.degraded_seconds)
                .sum();
            let totals = &self.model.services[service].status.totals;
            let peak = self.peak(service);
            let lowered = if peak >= 1.0 { lowered } else { 0.0 };
            (lowered, peak, totals.failed + totals.late)
        };
        let mut all: Vec<_> = (0..self.model.services.len())
            .map(|service| (badness(service), service))
            .collect();
        all.sort_by(|(a, _), (b, _)| {
            let by_time = b.0.total_cmp(&a.0);
            by_time.then(b.1.total_cmp(&a.1)).then(b.2.cmp(&a.2))
        });
        all.into_iter().map(|(_, service)| service).collect()
    }

    fn warnings_html(&self) -> String {
        if self.warnings.is_empty() {
            return String::new();
        }
        let items: Vec<String> = self
            .warnings
            .iter()
            .map(|warning| format!("<li>{}</li>", escaped(warning)))
            .collect();
        let items = items.concat();
        format!("<h2>Warnings</h2><ul class=\"bad\" id=\"warnings\">{items}</ul>\n")
    }

    fn facts_html(&self) -> String {
        let packets = self.packets;
        let count = self.model.services.len();
        let chosen = match self.chosen {
            Chosen::Named => "named",
            Chosen::Configured => "from the configuration",
            Chosen::Found => "found in the capture, since none was named",
        };
        let mut rows = vec![("Capture", self.capture.clone())];
        if let Some(begin) = self.begin_ns.and_then(date) {
            rows.push(("First packet", begin));
        }
        rows.extend([
            ("Time", seconds_of(self.span)),
            (
                "Packets",
                format!(
                    "{}: {} to services, {} from services, {} between services, {} others",
                    packets.read,
                    packets.to_services,
                    packets.from_services,
                    packets.between_services,
                    packets.other
                ),
            ),
            ("Services", format!("{count}, {chosen}")),
            ("Probes", capitalised(self.about_probes()) + "."),
        ]);
        let (answered, failed) = self.judgement.probes;
        if answered > 0 {
            rows.push((
                "Probes answered",
                format!("{answered}, of which {failed} failed"),
            ));
        }
        facts(&rows)
    }

    fn decisions_html(&self) -> String {
        let happenings = &self.judgement.history.happenings;
        let is_worth = |happening: &&Happening| happening.what != What::Armed;
        let told = happenings.kept.iter().filter(is_worth);
        let armed = happenings.kept.iter().filter(|told| !is_worth(told));
        let (told, armed): (Vec<_>, Vec<_>) = (told.collect(), armed.collect());
        let mut html = if told.is_empty() {
            "<p>Nothing was suspected, and nothing decided.</p>".to_owned()
        } else {
            let caption =
                "What would have been suspected and decided, in seconds since the first packet";
            happenings_table(&told, caption).html()
        };
        let left_out = happenings.decisions_left_out + happenings.others_left_out;
        if left_out > 0 {
            html = format!("{html}<p class=\"soft\">{left_out} later ones are not listed.</p>");
        }
        if !armed.is_empty() {
            let table = happenings_table(&armed, "When live trials could speak").html();
            html += &folded(&format!("Arming: {}", armed.len()), &table);
        }
        html
    }

    fn services_table(&self, order: &[usize], charted: usize) -> Table {
        let rows = order.iter().map(|index| {
            let service = &self.model.services[*index];
            let totals = service.status.totals;
            let lowered = |seconds: fn(&Levels) -> f64| {
                let all = self.prefixes_of(*index).map(|(_, levels)| seconds(levels));
                format!("{:.2}", all.fold(0.0, f64::max))
            };
            vec![
                service.name.clone(),
                service.traffic.packets_in.to_string(),
                service.traffic.packets_out.to_string(),
                totals.succeeded.to_string(),
                totals.failed.to_string(),
                totals.late.to_string(),
                format!("{:.2}", self.peak(*index)),
                lowered(|levels| levels.withdrawn_seconds),
                lowered(|levels| levels.degraded_seconds),
            ]
        });
        Table {
            caption: "Worst first; trials of the kind on which each is judged, and seconds at which its prefix would not have been full".to_owned(),
            columns: Columns::Numbers,
            header: vec![
                "service", "packets in", "out", "succeeded", "failed", "late", "highest score", "withdrawn s", "degraded s",
            ],
            rows: rows.collect(),
            links: order[..charted].iter().map(|index| anchor(*index)).collect(),
        }
    }

    fn section(&self, index: usize) -> String {
        let service = &self.model.services[index];
        let about = format!(
            "{}: trials, scores, level and latencies over time; the table of numbers below tells the same",
            service.name
        );
        let picture = picture(&self.charts(index), WIDTH, &about);
        let told: Vec<&Happening> = self.happenings_of(index).collect();
        let story = if told.is_empty() {
            String::new()
        } else {
            let caption = "What happened, in seconds since the first packet";
            folded(
                &format!("What happened: {}", told.len()),
                &happenings_table(&told, caption).html(),
            )
        };
        format!(
            "<section aria-labelledby=\"{0}\"><h2 id=\"{0}\">{1}</h2>{2}{story}{3}{4}</section>\n",
            anchor(index),
            escaped(&service.name),
            scrolled(&service.name, &picture),
            folded("The numbers over time", &self.numbers(index).html()),
            kinds(service).html(),
        )
    }

    /// The bins of a service, put together to a few rows.
    fn numbers(&self, index: usize) -> Table {
        let bins = &self.judgement.history.bins;
        let together = bins.iter().len().div_ceil(MOST_ROWS).max(1);
        let all: Vec<(f64, Slice)> = bins
            .iter()
            .map(|(begin, slices)| (begin, slices.0.get(index).cloned().unwrap_or_default()))
            .collect();
        let rows = all.chunks(together).map(|chunk| {
            let mut sum = Slice::default();
            for (_, slice) in chunk {
                sum.join(slice.clone());
            }
            let begin = chunk.first().map_or(0.0, |(begin, _)| *begin);
            let end = begin + bins.width_seconds() * chunk.len() as f64;
            let mut row = vec![
                format!("{begin:.3}"),
                sum.started.to_string(),
                sum.ended.succeeded.to_string(),
                sum.ended.failed.to_string(),
                sum.ended.late.to_string(),
                format!("{:.2}", sum.score),
                self.lowest_level(index, begin, end).to_string(),
            ];
            row.extend(latency_cells(sum.latency()));
            row
        });
        Table {
            caption: "Trials on which it is judged, by the seconds since the first packet"
                .to_owned(),
            header: vec![
                "from",
                "started",
                "succeeded",
                "failed",
                "late",
                "highest score",
                "lowest level",
                "median ms",
                "99 % ms",
            ],
            rows: rows.collect(),
            ..Table::default()
        }
    }

    fn lowest_level(&self, service: usize, begin: f64, end: f64) -> Level {
        let levels = self.prefixes_of(service).flat_map(|(_, levels)| {
            let before = levels.changes.iter().rev().find(|(at, _)| *at <= begin);
            let within = levels.changes.iter();
            before
                .into_iter()
                .chain(within.filter(move |(at, _)| begin < *at && *at < end))
                .map(|(_, level)| *level)
        });
        levels.min().unwrap_or(Level::Full)
    }

    fn skipped_html(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .skipped()
            .map(|skipped| vec![skipped.reason.to_owned(), skipped.packets.to_string()])
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        let table = Table {
            caption: "Packets that were not measured".to_owned(),
            header: vec!["reason", "packets"],
            rows,
            ..Table::default()
        };
        format!("<h2>Not measured</h2>{}", table.html())
    }
}

fn anchor(service: usize) -> String {
    format!("service-{service}")
}

/// All that is known of each kind of its trials, at the end.
fn kinds(service: &Service) -> Table {
    let status = &service.status;
    let rows = status
        .trials
        .iter()
        .filter(|(_, totals)| totals.succeeded + totals.failed + totals.late + totals.abandoned > 0)
        .map(|(kind, totals)| {
            let histogram = service.latencies.get(kind);
            let mut row = vec![
                kind.name().to_owned(),
                totals.succeeded.to_string(),
                totals.failed.to_string(),
                totals.late.to_string(),
                totals.abandoned.to_string(),
            ];
            row.extend(state_cells(status.kinds.get(kind)));
            row.extend(latency_cells(
                histogram.and_then(|histogram| view(&histogram.buckets)),
            ));
            row
        });
    Table {
        caption: "Trials of all kinds, at the end".to_owned(),
        header: vec![
            "kind",
            "succeeded",
            "failed",
            "late",
            "abandoned",
            "detectors",
            "fails normally",
            "median ms",
            "99 % ms",
        ],
        rows: rows.collect(),
        ..Table::default()
    }
}

fn state_cells(status: Option<&KindStatus>) -> [String; 2] {
    let Some(status) = status else {
        return ["-".to_owned(), "-".to_owned()];
    };
    let normal = match status.state {
        KindState::Learning => "-".to_owned(),
        KindState::Armed | KindState::Unfit => format!("{:.1} %", status.p0 * 100.0),
    };
    [status.state.name().to_owned(), normal]
}

fn latency_cells(latency: Option<LatencyView>) -> [String; 2] {
    latency.map_or_else(
        || ["-".to_owned(), "-".to_owned()],
        |latency| {
            [latency.p50_seconds, latency.p99_seconds].map(|part| format!("{:.3}", part * 1e3))
        },
    )
}

fn happenings_table(happenings: &[&Happening], caption: &str) -> Table {
    let rows = happenings.iter().map(|happening| {
        let mut why = happening.why.clone();
        if let Some(after) = happening.after_first_failure() {
            why = format!("{why}\n{after}");
        }
        vec![
            format!("{:.3}", happening.seconds),
            happening.about.clone(),
            happening.what.words(),
            why,
        ]
    });
    Table {
        caption: caption.to_owned(),
        columns: Columns::Words,
        header: vec!["time", "who", "what", "why"],
        rows: rows.collect(),
        links: Vec::new(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn date(nanoseconds: u64) -> Option<String> {
    let time: SystemTime = UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))?;
    Some(humantime::format_rfc3339_millis(time).to_string())
}
