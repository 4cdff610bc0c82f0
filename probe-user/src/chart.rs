//! Charts. In flow series of points, out flows SVG that needs nothing from elsewhere
//! and follows the reader's dark or light mode, in a page and on its own.

mod axis;

use core::fmt::Write as _;

pub use axis::{Axis, Scale};

use crate::page::escaped;

const LEFT: f64 = 78.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
const LEGEND_LINE: f64 = 18.0;
const MARK_LINE: f64 = 15.0;

/// Colours that can be told apart by most eyes (Okabe and Ito), on white and on black.
const STYLE: &str = "\
svg{--ink:#1b1f24;--faint:#d9dee3;--paper:#fff;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#8a5a9e;--c4:#6b7280;\
background:var(--paper);font:13px system-ui,sans-serif}\
@media(prefers-color-scheme:dark){svg{--ink:#e6e8eb;--faint:#353b43;--paper:#15181c;--c0:#56b4e9;--c1:#ff9a4d;--c2:#3ccfa0;--c3:#cc9be0;--c4:#9aa3ad}}\
text{fill:var(--ink)}.title{font-weight:600;font-size:14px}.grid{stroke:var(--faint)}.axis{stroke:var(--ink)}\
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}\
.line{fill:none;stroke:var(--c);stroke-width:2}.dashed{stroke-dasharray:6 5}.dot{fill:var(--c)}\
.mark{stroke:var(--ink);stroke-dasharray:2 4}.word{paint-order:stroke;stroke:var(--paper);stroke-width:4px}";

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A line.
    Line,
    /// A line with a dot at each point.
    Dotted,
    /// A dashed line.
    Dashed,
    /// Small dots, without a line.
    Dust,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Their name; without one they are not in the legend.
    pub name: String,
    /// Their colour, from 0 to 4.
    pub colour: u8,
    /// How they are drawn.
    pub look: Look,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
    /// Upright lines with a word beside them.
    pub marks: Vec<(f64, String)>,
    /// Height of the plot itself.
    pub height: f64,
}

/// Charts one below another, as one picture of this width; `about` is for those who
/// cannot see it.
pub fn picture(charts: &[Chart], width: f64, about: &str) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for chart in charts {
        chart.draw(top, width, &mut body);
        top += chart.total_height(width);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {top}\" width=\"{width}\" role=\"img\" aria-label=\"{}\" style=\"max-width:100%;height:auto\"><style>{STYLE}</style>{body}</svg>\n",
        escaped(about)
    )
}

impl Chart {
    fn named(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| !series.name.is_empty())
    }

    /// Rows of the legend: names need about seven pixels a letter.
    fn legend(&self, width: f64) -> Vec<Vec<&Series>> {
        let mut rows: Vec<Vec<&Series>> = Vec::new();
        let mut left = 0.0;
        for series in self.named() {
            let needs = legend_width(&series.name);
            if let Some(row) = rows.last_mut().filter(|_| left >= needs) {
                row.push(series);
            } else {
                rows.push(vec![series]);
                left = width - LEFT - RIGHT;
            }
            left -= needs;
        }
        rows
    }

    fn total_height(&self, width: f64) -> f64 {
        TOP + self.legend(width).len() as f64 * LEGEND_LINE + self.height + BOTTOM
    }

    fn draw(&self, top: f64, width: f64, out: &mut String) {
        let legend = self.legend(width);
        let plot_top = top + TOP + legend.len() as f64 * LEGEND_LINE;
        let plot = Plot {
            chart: self,
            top: plot_top,
            width: width - LEFT - RIGHT,
        };
        text(out, LEFT, top + 20.0, "start", "title", &self.title);
        for (line, row) in (0_u32..).zip(&legend) {
            let y = top + TOP + f64::from(line) * LEGEND_LINE + 6.0;
            let mut x = LEFT;
            for series in row {
                sample(out, series, x, y);
                text(out, x + 32.0, y + 4.0, "start", "", &series.name);
                x += legend_width(&series.name);
            }
        }
        plot.axes(out);
        for series in &self.series {
            plot.series(series, out);
        }
        plot.marks(out);
    }
}

fn legend_width(name: &str) -> f64 {
    56.0 + text_width(name)
}

/// About so much room is needed.
fn text_width(words: &str) -> f64 {
    6.8 * words.chars().count() as f64
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
        escaped(words)
    );
}

fn sample(out: &mut String, series: &Series, x: f64, y: f64) {
    let colour = series.colour;
    let line =
        |dashed: &str| format!("<path class=\"line s{colour}{dashed}\" d=\"M{x:.1} {y:.1}h26\"/>");
    let dot = format!(
        "<circle class=\"dot s{colour}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>",
        x + 13.0
    );
    *out += &match series.look {
        Look::Line => line(""),
        Look::Dashed => line(" dashed"),
        Look::Dotted => line("") + &dot,
        Look::Dust => dot,
    };
}

/// A chart at its place.
struct Plot<'a> {
    chart: &'a Chart,
    top: f64,
    width: f64,
}

impl Plot<'_> {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.chart.x.place(value) * self.width
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.chart.y.place(value)) * self.chart.height
    }

    fn axes(&self, out: &mut String) {
        let bottom = self.top + self.chart.height;
        for (value, name) in self.chart.x.ticks() {
            let x = self.x(value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>",
                self.top
            );
            text(out, x, bottom + 17.0, "middle", "", &name);
        }
        for (value, name) in self.chart.y.ticks() {
            let y = self.y(value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}h{:.1}\"/>",
                self.width
            );
            text(out, LEFT - 8.0, y + 4.0, "end", "", &name);
        }
        let _ = write!(
            out,
            "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {:.1}V{bottom:.1}h{:.1}\"/>",
            self.top, self.width
        );
        let middle = LEFT + self.width / 2.0;
        text(
            out,
            middle,
            bottom + 36.0,
            "middle",
            "",
            &self.chart.x.label,
        );
        let (x, y) = (16.0, self.top + self.chart.height / 2.0);
        let _ = write!(
            out,
            "<text transform=\"translate({x} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.chart.y.label)
        );
    }

    fn series(&self, series: &Series, out: &mut String) {
        let inside: Vec<(f64, f64)> = series
            .points
            .iter()
            .filter(|(x, y)| self.chart.x.holds(*x) && self.chart.y.holds(*y))
            .map(|(x, y)| (self.x(*x), self.y(*y)))
            .collect();
        let colour = series.colour;
        let mut path = |class: &str| {
            let mut line = String::new();
            for (index, (x, y)) in inside.iter().enumerate() {
                let _ = write!(line, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
            }
            let _ = write!(out, "<path class=\"line s{colour}{class}\" d=\"{line}\"/>");
        };
        let radius = match series.look {
            Look::Line => return path(""),
            Look::Dashed => return path(" dashed"),
            Look::Dotted => {
                path("");
                3.5
            }
            Look::Dust => 1.8,
        };
        for (x, y) in &inside {
            let _ = write!(
                out,
                "<circle class=\"dot s{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
            );
        }
    }

    /// A word that would run into one before it goes a line lower; one that would run out
    /// of the picture stands on the other side.
    fn marks(&self, out: &mut String) {
        let right = LEFT + self.width;
        let mut ends: Vec<f64> = Vec::new();
        for (value, name) in &self.chart.marks {
            if !self.chart.x.holds(*value) {
                continue;
            }
            let x = self.x(*value);
            let width = text_width(name) + 10.0;
            let (begin, anchor, at) = if x + width > right {
                (x - width, "end", x - 5.0)
            } else {
                (x, "start", x + 5.0)
            };
            let free = ends.iter().position(|end| *end <= begin);
            let line = free.unwrap_or(ends.len());
            if free.is_none() {
                ends.push(0.0);
            }
            ends[line] = begin + width;
            let _ = write!(
                out,
                "<path class=\"mark\" d=\"M{x:.1} {:.1}v{:.1}\"/>",
                self.top, self.chart.height
            );
            let y = self.top + 12.0 + line as f64 * MARK_LINE;
            text(out, at, y, anchor, "word", name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_well_formed_and_leaves_out_what_is_not_on_it() {
        let axis = |scale, range| Axis {
            label: "a < b".to_owned(),
            scale,
            range,
        };
        let chart = Chart {
            title: "\"t\" & t".to_owned(),
            x: axis(Scale::Log, (1.0, 100.0)),
            y: axis(Scale::Even(0.5), (0.0, 1.0)),
            series: vec![Series {
                name: "dots".to_owned(),
                colour: 0,
                look: Look::Dust,
                points: vec![(10.0, 0.5), (1000.0, 0.5), (10.0, 2.0)],
            }],
            marks: vec![(10.0, "here".to_owned())],
            height: 100.0,
        };
        let picture = picture(&[chart], 400.0, "a picture");
        // One in the legend, one in the plot.
        assert_eq!(picture.matches("<circle").count(), 2);
        assert!(picture.contains("&quot;t&quot; &amp; t") && picture.contains("a &lt; b"));
        assert!(!picture.contains("NaN") && picture.ends_with("</svg>\n"));
    }

    #[test]
    fn words_beside_marks_do_not_run_into_each_other_or_out_of_the_picture() {
        let axis = || Axis::even("", (0.0, 10.0), 5.0);
        let mark = |at: f64| (at, format!("word at {at}"));
        let chart = Chart {
            title: String::new(),
            x: axis(),
            y: axis(),
            series: Vec::new(),
            marks: vec![mark(1.0), mark(1.1), mark(9.9), mark(11.0)],
            height: 100.0,
        };
        let picture = picture(&[chart], 600.0, "");
        for (at, place) in [
            ("1", "y=\"46.0\" text-anchor=\"start\""),
            ("1.1", "y=\"61.0\" text-anchor=\"start\""),
            ("9.9", "y=\"46.0\" text-anchor=\"end\""),
        ] {
            let text = format!("{place} class=\"word\">word at {at}<");
            assert!(picture.contains(&text), "{text} in {picture}");
        }
        assert_eq!(picture.matches("class=\"mark\"").count(), 3);
    }
}
