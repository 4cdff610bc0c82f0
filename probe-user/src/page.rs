//! Pages that need no other file. In flow headings, tables and pictures; out flows HTML
//! that follows the reader's dark or light mode, loads nothing from anywhere, and can be
//! read with a keyboard and by a screen reader: what a picture shows stands in a table
//! beside it.

use core::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--faint:#d9dee3;--paper:#fff;--bad:#b42318;--link:#0b5cad}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa3ad;--faint:#353b43;--paper:#15181c;--bad:#ff8a80;--link:#7cc0ff}}\
body{margin:0 auto;max-width:58rem;padding:2rem 1.25rem 4rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}\
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2.5rem 0 .5rem;overflow-wrap:anywhere}p{margin:.5rem 0}.soft{color:var(--soft)}a{color:var(--link)}\
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--soft);padding:.25rem 0}\
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid var(--faint);vertical-align:top}\
th{font-weight:600}td{white-space:nowrap}tbody th{font-weight:400}tr>:first-child{text-align:left;padding-left:0}small{display:block;color:var(--soft);text-align:left}\
.words th,.words td{text-align:left}.words td:last-child{white-space:normal;min-width:18rem}\
@media(max-width:40rem){.words td,.words th{white-space:normal;overflow-wrap:anywhere}.words td:last-child{min-width:11rem}}\
.bad{color:var(--bad);font-weight:600}.wide{overflow-x:auto}.wide svg{display:block;margin:1rem 0;min-width:40rem}\
:focus-visible{outline:2px solid var(--link);outline-offset:2px}\
details{margin:.5rem 0}summary{cursor:pointer;color:var(--link)}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}";

/// What the columns of a table hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// Numbers, after a name in the first one.
    #[default]
    Numbers,
    /// Words; the last column may be long.
    Words,
}

/// A table: what it is of, what stands above its columns, and its rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it is of.
    pub caption: String,
    /// What its columns hold.
    pub columns: Columns,
    /// What stands above them.
    pub header: Vec<&'static str>,
    /// The rows. What follows a line break in a cell explains it.
    pub rows: Vec<Vec<String>>,
    /// Where in the page the first cells of the first rows lead.
    pub links: Vec<String>,
}

/// Text that may stand in a document.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A whole page. Its policy forbids the browser to load anything.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n{body}</body></html>\n",
        escaped(title)
    )
}

/// What may be wider than the screen, and can then be scrolled with the keyboard, too.
pub fn scrolled(about: &str, content: &str) -> String {
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">{content}</div>",
        escaped(about)
    )
}

/// What is out of the way until somebody opens it.
pub fn folded(summary: &str, content: &str) -> String {
    format!(
        "<details><summary>{}</summary>{content}</details>",
        escaped(summary)
    )
}

/// Facts with their names.
pub fn facts(facts: &[(&str, String)]) -> String {
    let mut text = "<dl>".to_owned();
    for (name, fact) in facts {
        // Writing to a string cannot fail.
        let _ = write!(text, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(fact));
    }
    text + "</dl>"
}

impl Table {
    /// For a page.
    pub fn html(&self) -> String {
        let class = match self.columns {
            Columns::Numbers => "",
            Columns::Words => " class=\"words\"",
        };
        let mut text = format!(
            "<table{class}><caption>{}</caption><thead><tr>",
            escaped(&self.caption)
        );
        for name in &self.header {
            let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(name));
        }
        text += "</tr></thead><tbody>";
        let links = self.links.iter().map(Some).chain(core::iter::repeat(None));
        for (row, link) in self.rows.iter().zip(links) {
            text += "<tr>";
            for (column, cell) in row.iter().enumerate() {
                let cell = html_cell(cell);
                let _ = match (column, link) {
                    (0, Some(link)) => write!(
                        text,
                        "<th scope=\"row\"><a href=\"#{}\">{cell}</a></th>",
                        escaped(link)
                    ),
                    (0, None) if !cell.is_empty() => write!(text, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(text, "<td>{cell}</td>"),
                };
            }
            text += "</tr>";
        }
        scrolled(&self.caption, &(text + "</tbody></table>"))
    }

    /// For the documentation.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let header = self.header.iter().map(|name| (*name).to_owned()).collect();
        let mut text = line(header);
        text += &line(
            (0..self.header.len())
                .map(|column| if column == 0 { "---" } else { "---:" }.to_owned())
                .collect(),
        );
        for row in &self.rows {
            text += &line(row.iter().map(|cell| cell.replace('\n', ": ")).collect());
        }
        text
    }
}

fn html_cell(cell: &str) -> String {
    match cell.split_once('\n') {
        Some((name, about)) => format!("{}<small>{}</small>", escaped(name), escaped(about)),
        None => escaped(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_become_markup() {
        let evil = "<script src=\"https://evil.example/\">&".to_owned();
        let table = Table {
            caption: evil.clone(),
            rows: vec![vec![format!("{evil}\n{evil}"), evil.clone()]],
            links: vec![evil.clone()],
            ..Table::default()
        };
        let body = table.html() + &facts(&[("name", evil.clone())]) + &folded(&evil, "");
        let page = document(&evil, &body);
        assert!(
            !page.contains("<script") && !page.contains("\"https"),
            "{page}"
        );
        // Title, label, caption, link, its text twice, cell, fact, summary.
        assert_eq!(page.matches("&lt;script").count(), 9, "{page}");
    }
}
