//! The page on a terminal that remembers what was drawn.

use probe_core::{
    Level,
    command::Guard,
    config::{LastSite, Mode},
    input::Directive,
    status::{ServiceState, Standing},
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::KeyCode,
    style::{Color, Modifier},
};

use super::*;
use crate::{
    journal::recent::{Decision, What, tests::decision},
    status::{RefusedView, tests::document},
    tui::{
        state::tests::{Scene, site},
        terminal::Shown,
    },
};

const LOOK: Look = Look {
    colours: true,
    unicode: true,
};

fn terminal(columns: u16, lines: u16) -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(columns, lines)).unwrap()
}

fn page(scene: &mut Scene, columns: u16, lines: u16, look: Look) -> Buffer {
    let mut terminal = terminal(columns, lines);
    Shown::default()
        .show(&mut terminal, |page| draw(page, &mut scene.state, look))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The letters of a page, without blanks at the ends of lines.
fn text(page: &Buffer) -> String {
    let width = usize::from(page.area.width).max(1);
    let lines = page.content.chunks(width).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn look_at(scene: &mut Scene, columns: u16, lines: u16) -> String {
    text(&page(scene, columns, lines, LOOK))
}

/// The newest of two: it was withdrawn; before, that was held.
fn decisions() -> Vec<Decision> {
    let withdrawn = Decision {
        time: "2026-11-23T09:59:58Z".into(),
        event: What::Decision,
        guard: None,
        sentence: "web0: the probe failed 3 times in a row (refused), live trials agree".into(),
        ..decision(8)
    };
    let held = Decision {
        time: "2026-11-22T23:10:00Z".into(),
        ..decision(7)
    };
    vec![held, withdrawn]
}

fn check(found: &str, expected: &str) {
    assert!(found == expected, "expected\n{expected}\nfound\n{found}");
}

#[test]
fn a_fault_on_a_small_screen() {
    let mut scene = Scene::of(site(12, 2), decisions());
    check(
        &look_at(&mut scene, 80, 24),
        "\
",
    );
}

#[test]
fn a_fault_on_a_large_screen() {
    let mut scene = Scene::of(site(4, 2), decisions());
    check(
        &look_at(&mut scene, 160, 30),
        "\
",
    );
}

#[test]
fn a_site_that_is_well() {
    let mut document = site(2, 0);
    document.bird.sessions[1].established = true;
    let prefix = &mut document.prefixes[0];
    (prefix.wanted, prefix.observed) = (Some(Level::Full), Some(Level::Full));
    prefix.standing = Standing::Announced;
    prefix.hold_left_seconds = None;
    let mut scene = Scene::of(document, Vec::new());
    check(
        &look_at(&mut scene, 80, 16),
        "\
",
    );
}

#[test]
fn a_thousand_services_scroll() {
    let mut scene = Scene::of(site(1000, 0), decisions());
    let top = look_at(&mut scene, 80, 24);
    assert!(top.contains("Services  1,000, rows 1–"), "{top}");
    assert!(top.contains("web0 ") && !top.contains("web999"), "{top}");
    scene.press(KeyCode::End);
    let end = look_at(&mut scene, 80, 24);
    assert!(end.contains("–1000 ") && end.contains("web999"), "{end}");
    scene.write("/web77");
    let few = look_at(&mut scene, 80, 24);
    assert!(few.contains("11 of 1,000"), "{few}");
    assert!(few.contains("\n/web77 "), "{few}");
    scene.press(KeyCode::Enter);
    assert!(look_at(&mut scene, 80, 24).contains("only \"web77\""));
    scene.press(KeyCode::Esc);
    scene.write("a");
    let none = look_at(&mut scene, 80, 24);
    assert!(none.contains("No service needs attention."), "{none}");
}

#[test]
fn silence_is_grey_and_keeps_what_was_known() {
    let mut scene = Scene::of(site(12, 2), decisions());
    scene.refuse();
    let silent = page(&mut scene, 80, 24, LOOK);
    check(
        &text(&silent),
        "\
",
    );
    let (mut grey, mut coloured) = (0, 0);
    for y in 6..23 {
        for x in 0..80 {
            let cell = &silent[(x, y)];
            grey += usize::from(cell.modifier.contains(Modifier::DIM));
            coloured += usize::from(cell.fg != Color::Reset);
        }
    }
    assert_eq!((grey, coloured), (17 * 80, 0), "all of the panes");
}

#[test]
fn a_daemon_that_never_answered() {
    let mut scene = Scene::new();
    check(
        &look_at(&mut scene, 60, 4),
        "\
",
    );
    scene.refuse();
    check(
        &look_at(&mut scene, 60, 10),
        "\
",
    );
}

#[test]
fn all_about_a_service() {
    let mut scene = Scene::of(document(), decisions());
    scene.press(KeyCode::Enter);
    check(
        &look_at(&mut scene, 80, 24),
        "\
",
    );
}

#[test]
fn all_about_a_prefix() {
    let mut document = document();
    let prefix = &mut document.prefixes[0];
    prefix.held_by = Some(Guard::LastSite);
    prefix.last_site = LastSite::Unwitnessed;
    let mut scene = Scene::of(document, decisions());
    scene.press(KeyCode::BackTab);
    scene.press(KeyCode::Enter);
    check(
        &look_at(&mut scene, 80, 24),
        "\
",
    );
}

#[test]
fn all_about_a_decision() {
    let mut scene = Scene::of(document(), decisions());
    scene.press(KeyCode::Tab);
    scene.press(KeyCode::Enter);
    check(
        &look_at(&mut scene, 60, 16),
        "\
",
    );
    scene.press(KeyCode::Esc);
    scene.press(KeyCode::End);
    scene.press(KeyCode::Enter);
    let held = look_at(&mut scene, 80, 16);
    assert!(
        held.contains("! not withdrawn: held by guard last site"),
        "{held}"
    );
    scene.tell(document(), Vec::new());
    let gone = look_at(&mut scene, 80, 16);
    assert!(gone.contains("It is not there any more."), "{gone}");
}

#[test]
fn what_is_wrong_with_the_daemon_is_marked() {
    let mut document = document();
    document.mode = Mode::Observe;
    document.sensor.trouble = Some("eth0 has no egress hook".into());
    document.journal_trouble = Some("no space left".into());
    document.configuration.refused = Some(RefusedView {
        seconds_ago: 12.0,
        by: "SIGHUP".into(),
        why: "error: unknown key `colour`\n --> lapwing.toml:3".into(),
    });
    document.frozen = Some(Directive {
        by: "root".into(),
        why: "maintenance".into(),
        until: None,
        force: false,
    });
    document.services[0].state = ServiceState::Learning;
    document.services[0].probe_passes = None;
    let mut scene = Scene::of(document, Vec::new());
    scene.press(KeyCode::BackTab);
    scene.press(KeyCode::BackTab);
    let small = look_at(&mut scene, 100, 30);
    for line in [
        "mode observe (changes no route)",
        "✕ Sensor        blind: eth0 has no egress hook",
        "! BIRD          2.0.12, up4 up, up6 DOWN",
        "! Configuration read 0 s ago; a newer one was refused 12 s ago (SIGHUP)",
        "! Journal       records go to the log only: no space left",
        "! Orders        frozen by root: maintenance",
        "… learning",
    ] {
        assert!(small.contains(line), "{line} in\n{small}");
    }
    scene.press(KeyCode::Enter);
    let sheet = look_at(&mut scene, 100, 30);
    assert!(sheet.contains(" --> lapwing.toml:3"), "{sheet}");
}

#[test]
fn without_colours_and_unicode_nothing_is_lost() {
    let mut scene = Scene::of(site(12, 2), decisions());
    let plain = page(
        &mut scene,
        80,
        24,
        Look {
            colours: false,
            unicode: false,
        },
    );
    let shown = text(&plain);
    assert!(shown.is_ascii(), "{shown}");
    for words in [
        "x 1 fault",
        "x withdrawn",
        "x failed",
        "+ armed",
        "> Services",
        "! 192.0.2.0/24 held",
    ] {
        assert!(shown.contains(words), "{words} in\n{shown}");
    }
    assert!(
        !shown.contains('?') || shown.matches('?').count() == 1,
        "{shown}"
    );
    let coloured =
        |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset);
    assert!(!plain.content.iter().any(coloured));
}

#[test]
fn what_a_terminal_would_obey_is_not_drawn() {
    let mut document = document();
    document.services[0].name = "\u{1b}[2Jweb\u{7}".into();
    document.journal_trouble = Some("a\tb\u{9b}31mc".into());
    let mut scene = Scene::of(document, Vec::new());
    for opened in [false, true] {
        if opened {
            scene.press(KeyCode::Enter);
        }
        let page = page(&mut scene, 80, 24, LOOK);
        let obeyed = |cell: &ratatui::buffer::Cell| cell.symbol().chars().any(char::is_control);
        assert!(!page.content.iter().any(obeyed), "{}", text(&page));
    }
}

#[test]
fn no_size_is_too_small() {
    for keys in ["", "?", "a", "/web1"] {
        let mut scene = Scene::of(site(30, 7), decisions());
        scene.write(keys);
        for columns in (0..90).chain([160, 300]) {
            for lines in (0..30).chain([50, 100]) {
                let mut page = Buffer::empty(Rect::new(0, 0, columns, lines));
                draw(&mut page, &mut scene.state, LOOK);
            }
        }
    }
    let mut scene = Scene::of(site(30, 7), decisions());
    for sheet in 0..4 {
        scene.press(KeyCode::Tab);
        scene.press(KeyCode::Enter);
        for columns in (0..90).step_by(3) {
            for lines in 0..30 {
                let mut page = Buffer::empty(Rect::new(0, 0, columns, lines));
                draw(&mut page, &mut scene.state, LOOK);
            }
        }
        scene.press(KeyCode::Esc);
        assert!(scene.state.opened.is_none(), "{sheet}");
    }
}

#[test]
fn the_selected_row_is_seen_without_colours() {
    let mut scene = Scene::of(site(12, 0), decisions());
    scene.press(KeyCode::Down);
    let page = page(&mut scene, 80, 24, LOOK);
    let shown = text(&page);
    let reversed: Vec<&str> = shown
        .lines()
        .zip(page.content.chunks(80))
        .filter(|(_, cells)| cells[70].modifier.contains(Modifier::REVERSED))
        .map(|(line, _)| line)
        .collect();
    assert_eq!(reversed.len(), 1, "{reversed:?}");
    assert!(reversed[0].starts_with("web1 "), "{reversed:?}");
}
