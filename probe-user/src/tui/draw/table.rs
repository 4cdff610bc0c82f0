//! A table of a pane: columns and rows of cells flow in; those that are in sight are drawn.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    below,
    pen::{self, Piece},
    row,
};
use crate::tui::{look::Tone, panes::Rows, words};

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column<F> {
    /// What it shows.
    pub field: F,
    /// Its title.
    pub title: &'static str,
    /// Its width; of the one without, what is left.
    pub width: Option<u16>,
    /// Whether numbers stand in it, and end at its right.
    pub is_number: bool,
    /// Only where there are so many columns of text.
    pub from: u16,
}

/// What the cursor of a pane selects is marked while the pane is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// Whether the pane is chosen.
    pub is_chosen: bool,
}

/// Draws the titles and the rows in sight.
pub fn table<F: Copy>(
    page: &mut Buffer,
    area: Rect,
    columns: &[Column<F>],
    sight: Sight<'_>,
    cell: impl Fn(usize, F) -> Piece,
) {
    let columns: Vec<(Column<F>, Rect)> = places(columns, area);
    for (column, place) in &columns {
        put(
            page,
            row(*place, 0),
            column,
            &Piece::new(column.title, Tone::Soft),
        );
    }
    rows(page, below(area, 1), sight, |page, line, place| {
        for (column, area) in &columns {
            let area = Rect {
                y: line.y,
                height: 1,
                ..*area
            };
            put(page, area, column, &cell(place, column.field));
        }
    });
}

/// Draws the rows in sight, each by itself.
pub fn rows(
    page: &mut Buffer,
    area: Rect,
    sight: Sight<'_>,
    draw: impl Fn(&mut Buffer, Rect, usize),
) {
    let Sight { rows, is_chosen } = sight;
    let offset = rows.list.offset();
    for (index, place) in (0..area.height).zip(rows.places.iter().skip(offset)) {
        let line = row(area, index);
        draw(page, line, *place);
        if is_chosen && offset + usize::from(index) == rows.list.selected() {
            // One bar, not patches of the colours that its words have.
            let bar = Style::new().fg(Color::Reset).remove_modifier(Modifier::DIM);
            page.set_style(line, bar.add_modifier(Modifier::REVERSED));
        }
    }
}

/// Where the columns stand that there is room for.
fn places<F: Copy>(columns: &[Column<F>], area: Rect) -> Vec<(Column<F>, Rect)> {
    let gap = if area.width >= 100 { 2 } else { 1 };
    let shown = columns.iter().filter(|column| column.from <= area.width);
    let shown: Vec<&Column<F>> = shown.collect();
    let fixed: u16 = shown
        .iter()
        .map(|column| column.width.unwrap_or(0) + gap)
        .sum();
    let rest = (area.width + gap).saturating_sub(fixed);
    let mut x = area.x;
    let end = area.x + area.width;
    let mut places = Vec::new();
    for column in shown {
        let width = column.width.unwrap_or(rest).min(end.saturating_sub(x));
        places.push((*column, Rect { x, width, ..area }));
        x = (x + width + gap).min(end);
    }
    places
}

fn put<F>(page: &mut Buffer, mut area: Rect, column: &Column<F>, piece: &Piece) {
    if column.is_number {
        let free = area.width.saturating_sub(words::width(&piece.text));
        area.x += free;
        area.width -= free;
    }
    pen::put(page, area, piece);
}
