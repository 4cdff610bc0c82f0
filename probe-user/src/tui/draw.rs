//! The page: the state flows in, cells of a buffer flow out.
//!
//! ```text
//! Lapwing  site / host                    who
//!  ✕ 2 faults                             the verdict, and what is wrong, worst first
//! ✕ …
//! ─ Prefixes ─────                        four panes, or a sheet about one thing; the
//! ▸ Services ─────                        chosen pane gets the room that there is
//! ─ Decisions ────
//! ─ Daemon ───────
//! q quit …                                what can be done
//! ```

mod daemon;
mod decisions;
mod foot;
mod head;
mod pen;
mod prefixes;
mod services;
mod share;
mod sheet;
mod table;

use ratatui::{buffer::Buffer, layout::Rect};

use self::{pen::Piece, share::share};
use super::{
    known::Known,
    look::{Look, Tone, fade},
    opened::Opened,
    panes::{Pane, Rows},
    state::State,
    words,
};

/// Draws all of it.
pub fn draw(page: &mut Buffer, state: &mut State, look: Look) {
    let [head, foot] = [head::LINES, foot::LINES].map(|lines| lines.min(page.area.height));
    let mut body = page.area;
    body.height = body.height.saturating_sub(foot);
    head::draw(page, row(body, 0), state);
    body = below(body, head);
    let verdict = head::verdict(state, body.width, verdict_lines(body.height, state));
    for (index, line) in (0..).zip(&verdict) {
        pen::line(page, row(body, index), line);
    }
    body = below(body, u16::try_from(verdict.len()).unwrap_or(u16::MAX));
    draw_body(page, body, state);
    if state.silence.is_some() {
        fade(page, body);
    }
    if foot > 0 && page.area.height > head {
        let last = page.area.height - foot;
        foot::draw(page, row(page.area, last), state);
    }
    look.apply(page);
}

/// How many lines there are for sentences about what is wrong: a part of the screen, and what
/// the panes do not need. Whoever reads a sheet needs the headline only.
fn verdict_lines(height: u16, state: &State) -> u16 {
    if state.opened.is_some() && height < share::ROOMY {
        return 0;
    }
    let needed = state.known.as_ref().map_or(0, |known| {
        let panes = Pane::ALL.into_iter().filter(|pane| *pane != Pane::Daemon);
        let needed = panes.map(|pane| wants(state, known, pane));
        needed.fold(2, u16::saturating_add)
    });
    height.saturating_sub(needed).max(height / 4).clamp(1, 10)
}

fn draw_body(page: &mut Buffer, area: Rect, state: &mut State) {
    if let Some(mut opened) = state.opened.take() {
        draw_sheet(page, area, state, &mut opened);
        state.opened = Some(opened);
        return;
    }
    let Some(known) = &state.known else {
        return;
    };
    let shares = share(area.height, state.pane, |pane| wants(state, known, pane));
    for (pane, height) in Pane::ALL.into_iter().zip(shares) {
        let header = match pane {
            Pane::Prefixes | Pane::Services => 2,
            Pane::Decisions | Pane::Daemon => 1,
        };
        if let Some(rows) = state.panes.rows_mut(pane) {
            let height = usize::from(height.saturating_sub(header));
            rows.list.fit(height, rows.places.len());
        }
    }
    let Some(known) = &state.known else {
        return;
    };
    let mut rest = area;
    for (pane, height) in Pane::ALL.into_iter().zip(shares) {
        let mut place = rest;
        place.height = height;
        rest = below(rest, height);
        if height == 0 {
            continue;
        }
        pen::title(page, row(place, 0), title(state, known, pane, height));
        let inner = below(place, 1);
        match (pane, state.panes.rows(pane)) {
            (Pane::Prefixes, Some(rows)) => prefixes::draw(page, inner, state, known, rows),
            (Pane::Services, Some(rows)) => services::draw(page, inner, state, known, rows),
            (Pane::Decisions, Some(rows)) => decisions::draw(page, inner, state, known, rows),
            (Pane::Daemon, _) => daemon::draw(page, inner, known),
            (Pane::Prefixes | Pane::Services | Pane::Decisions, None) => {}
        }
    }
}

/// How many lines a pane has with its title.
fn wants(state: &State, known: &Known, pane: Pane) -> u16 {
    let rows = state.panes.rows(pane).map_or(0, |rows| rows.places.len());
    let lines = match pane {
        Pane::Prefixes | Pane::Services => rows + 1,
        Pane::Decisions => rows,
        Pane::Daemon => daemon::lines(&known.told.document).len(),
    };
    // If there is none, a sentence says so.
    u16::try_from(lines.max(1)).map_or(u16::MAX, |lines| lines.saturating_add(1))
}

/// The title of a pane of this height: its name, how much of it is shown.
fn title(state: &State, known: &Known, pane: Pane, height: u16) -> Vec<Piece> {
    let (name, all) = match pane {
        Pane::Prefixes => ("Prefixes", known.told.document.prefixes.len()),
        Pane::Services => ("Services", known.told.document.services.len()),
        Pane::Decisions => ("Decisions, newest first, UTC", known.told.decisions.len()),
        Pane::Daemon => ("Daemon", 0),
    };
    let (tone, start) = if state.pane == pane {
        (Tone::Strong, "▸")
    } else {
        (Tone::Soft, "─")
    };
    let mut pieces = vec![Piece::new(format!("{start} {name}"), tone)];
    if let Some(rows) = state.panes.rows(pane) {
        let shown = shown(rows, all, state, pane);
        pieces.push(Piece::new(format!("  {shown}"), Tone::Plain));
    } else if height == 1 {
        pieces.extend(daemon::summary(&known.told.document));
    }
    pieces.push(Piece::new(" ", tone));
    pieces
}

/// "2", "12 of 1,000, rows 3–10".
fn shown(rows: &Rows, all: usize, state: &State, pane: Pane) -> String {
    let count = rows.places.len();
    let [shown, all] = [count, all].map(words::number);
    let mut text = if shown == all {
        shown
    } else {
        format!("{shown} of {all}")
    };
    if state.filter.attention && pane != Pane::Decisions {
        text += " need attention";
    }
    let (first, last) = rows.list.in_sight(count);
    if last > 0 && last - first < count {
        text = format!("{text}, rows {}–{last}", first + 1);
    }
    text
}

fn draw_sheet(page: &mut Buffer, area: Rect, state: &State, opened: &mut Opened) {
    let (name, lines) = sheet::lines(state, &opened.sheet, area.width);
    let inner = below(area, 1);
    opened.fit(usize::from(inner.height), lines.len());
    let mut pieces = vec![Piece::new(format!("▸ {name}"), Tone::Strong)];
    if lines.len() > usize::from(inner.height) {
        let last = (opened.offset + usize::from(inner.height)).min(lines.len());
        let sight = format!("  lines {}–{last} of {}", opened.offset + 1, lines.len());
        pieces.push(Piece::new(sight, Tone::Plain));
    }
    pieces.push(Piece::new(" ", Tone::Strong));
    pen::title(page, row(area, 0), pieces);
    for (index, line) in (0..inner.height).zip(lines.iter().skip(opened.offset)) {
        pen::line(page, row(inner, index), line);
    }
}

/// A line of an area; of no width, if it is not in it.
fn row(area: Rect, index: u16) -> Rect {
    if index >= area.height {
        return Rect::ZERO;
    }
    Rect {
        y: area.y + index,
        height: 1,
        ..area
    }
}

/// An area without its first lines.
fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect {
        y: area.y + lines,
        height: area.height - lines,
        ..area
    }
}

#[cfg(test)]
mod tests;
