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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ✕ 3 faults, 1 warning
✕ 192.0.2.0/24 is WITHDRAWN; it waits for the hold: probes must pass for another
  42s
✕ web0 is held to be dead
✕ web1 is held to be dead
! BGP session up6 is down
─ Prefixes  1 ──────────────────────────────────────────────────────────────────
PREFIX       IN THE TABLE IT WAITS FOR                  EXPORT         WITHDRAWN
192.0.2.0/24 ✕ withdrawn  the hold: probes must pass f… ✓ verified     once
▸ Services  12, rows 1–7 ───────────────────────────────────────────────────────
SERVICE  STATE       PROBE    TRIALS/S   FAILING   NORMAL  SCORE     P99
web0     ✕ failed    ✕ fails      1023     100 %    0.5 %  100 %  3.0 ms
web1     ✕ failed    ✕ fails      1023     100 %    0.5 %  100 %  3.0 ms
web2     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web3     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web4     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web5     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web6     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
─ Decisions, newest first, UTC  2 ──────────────────────────────────────────────
✕ 09:59:58   192.0.2.0/24 withdrawn         web0: the probe failed 3 times in a…
! 2026-11-22 192.0.2.0/24 held by last site web: the probe failed 3 times in a …
─ Daemon  ✓ Sensor  ! BIRD  ✓ Configuration  ✓ Journal  ✓ Orders ───────────────
q quit  ? help  Tab next pane  ↑↓ move  Enter details  / filter  a attention
",
    );
}

#[test]
fn a_fault_on_a_large_screen() {
    let mut scene = Scene::of(site(4, 2), decisions());
    check(
        &look_at(&mut scene, 160, 30),
        "\
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ✕ 3 faults, 1 warning
✕ 192.0.2.0/24 is WITHDRAWN; it waits for the hold: probes must pass for another 42s
✕ web0 is held to be dead
✕ web1 is held to be dead
! BGP session up6 is down
─ Prefixes  1 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
PREFIX        IN THE TABLE  DECIDED                IT WAITS FOR                                              EXPORT          ELSEWHERE                 WITHDRAWN
192.0.2.0/24  ✕ withdrawn   withdrawn              the hold: probes must pass for another 42s                ✓ verified      not known                 once
▸ Services  4 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
SERVICE   ENDPOINT             STATE        PROBE     TRIALS/S    FAILING    NORMAL   SCORE  ALARM AT 100 %      P50      P99
web0      192.0.2.10:8000/tcp  ✕ failed     ✕ fails       1023      100 %     0.5 %   100 %  ██████████████   200 µs   3.0 ms
web1      192.0.2.10:8001/tcp  ✕ failed     ✕ fails       1023      100 %     0.5 %   100 %  ██████████████   200 µs   3.0 ms
web2      192.0.2.10:8002/tcp  ✓ armed      ✓ passes      1023      0.1 %     0.5 %   2.0 %  ░░░░░░░░░░░░░░   200 µs   3.0 ms
web3      192.0.2.10:8003/tcp  ✓ armed      ✓ passes      1023      0.1 %     0.5 %   2.0 %  ░░░░░░░░░░░░░░   200 µs   3.0 ms
─ Decisions, newest first, UTC  2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
✕ 09:59:58   192.0.2.0/24 withdrawn         web0: the probe failed 3 times in a row (refused), live trials agree
! 2026-11-22 192.0.2.0/24 held by last site web: the probe failed 3 times in a row (refused)
─ Daemon ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
✓ Sensor        eth0 ingress (native)
! BIRD          2.0.12, up4 up, up6 DOWN
✓ Configuration read 0 s ago
✓ Journal       written
✓ Orders        not frozen





q quit  ? help  Tab next pane  ↑↓ move  Enter details  / filter  a attention
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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ✓ All is well
─ Prefixes  1 ──────────────────────────────────────────────────────────────────
PREFIX       IN THE TABLE IT WAITS FOR                  EXPORT         WITHDRAWN
192.0.2.0/24 ✓ full       nothing                       ✓ verified     once
▸ Services  2 ──────────────────────────────────────────────────────────────────
SERVICE  STATE       PROBE    TRIALS/S   FAILING   NORMAL  SCORE     P99
web0     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web1     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
─ Decisions, newest first, UTC  0 ──────────────────────────────────────────────
None yet.
─ Daemon  ✓ Sensor  ✓ BIRD  ✓ Configuration  ✓ Journal  ✓ Orders ───────────────



q quit  ? help  Tab next pane  ↑↓ move  Enter details  / filter  a attention
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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ? No answer since 10:00:01 UTC
no lapwing is running here: nobody answers on /run/lapwing/control.sock
help: start it with `lapwing run`, or name its socket with `--control PATH`
What is shown below is old.
─ Prefixes  1 ──────────────────────────────────────────────────────────────────
PREFIX       IN THE TABLE IT WAITS FOR                  EXPORT         WITHDRAWN
192.0.2.0/24 ✕ withdrawn  the hold: probes must pass f… ✓ verified     once
▸ Services  12, rows 1–9 ───────────────────────────────────────────────────────
SERVICE  STATE       PROBE    TRIALS/S   FAILING   NORMAL  SCORE     P99
web0     ✕ failed    ✕ fails      1023     100 %    0.5 %  100 %  3.0 ms
web1     ✕ failed    ✕ fails      1023     100 %    0.5 %  100 %  3.0 ms
web2     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web3     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web4     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web5     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web6     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web7     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
web8     ✓ armed     ✓ passes     1023     0.1 %    0.5 %  2.0 %  3.0 ms
─ Decisions, newest first, UTC  2 ──────────────────────────────────────────────
✕ 09:59:58   192.0.2.0/24 withdrawn         web0: the probe failed 3 times in a…
! 2026-11-22 192.0.2.0/24 held by last site web: the probe failed 3 times in a …
─ Daemon  ✓ Sensor  ! BIRD  ✓ Configuration  ✓ Journal  ✓ Orders ───────────────
q quit  ? help  Tab next pane  ↑↓ move  Enter details  / filter  a attention
",
    );
    let (mut grey, mut coloured) = (0, 0);
    for y in 5..23 {
        for x in 0..80 {
            let cell = &silent[(x, y)];
            grey += usize::from(cell.modifier.contains(Modifier::DIM));
            coloured += usize::from(cell.fg != Color::Reset);
        }
    }
    assert_eq!((grey, coloured), (18 * 80, 0), "all of the panes");
}

#[test]
fn a_daemon_that_never_answered() {
    let mut scene = Scene::new();
    check(
        &look_at(&mut scene, 60, 4),
        "\
Lapwing
 Waiting for the first answer

q quit  ? help  Tab next pane  ↑↓ move  Enter details  / fi…
",
    );
    scene.refuse();
    check(
        &look_at(&mut scene, 60, 10),
        "\
Lapwing
 ? No answer yet
no lapwing is running here: nobody answers on
/run/lapwing/control.sock
help: start it with `lapwing run`, or name its socket with
`--control PATH`



q quit  ? help  Tab next pane  ↑↓ move  Enter details  / fi…
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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ✕ 2 faults, 1 warning
▸ Service web ──────────────────────────────────────────────────────────────────
Endpoint          192.0.2.10:443/tcp
State             ✕ failed
Wrong             ✕ web is held to be dead
Probe             ✕ fails
Trials            1023 a second
Failing           100 %
Normal            at most 0.5 %
Called broken     50 %
Score             100 %, alarm at 100 %
Expected          1000 successes a second
connect (judged)  1 succeeded, 2 failed, 3 late, 7 abandoned; half within
                  200 µs, 99 % within 3.0 ms
request           4 succeeded, 5 failed, 6 late, 7 abandoned
Prefixes          192.0.2.0/24






Esc close  ↑↓ scroll  q quit
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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h 12 min
 ✕ 3 faults, 1 warning
▸ Prefix 192.0.2.0/24 ──────────────────────────────────────────────────────────
In the table      ✕ withdrawn
Decided           withdrawn
It waits for      guard last_site: nobody else announces it in full
Hold left         42 s
Wrong             ✕ 192.0.2.0/24 is WITHDRAWN
Wrong             ✕ 192.0.2.0/24 stays withdrawn although a change is due, held
                  by guard last_site: nobody else announces it in full
Wrong             i 192.0.2.0/24 may be withdrawn where nobody else announces
                  it: configure a [[witness]], or say last_site = \"allow\"
Export            ✓ verified
Last change       withdrawn: in the kernel after 80 µs, in BIRD's table 300 µs
                  later, at all sessions 400 µs later
Elsewhere         not known
Last site         may be withdrawn where nobody else announces it: there is no
                  witness
Withdrawn         once
Services          web



Esc close  ↑↓ scroll  q quit
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
Lapwing  fra1 / edge3   version 0.1.0, mode enforce, up 3 h…
 ✕ 2 faults, 1 warning
▸ Decision 8 ───────────────────────────────────────────────
Prefix            192.0.2.0/24
Level             ✕ withdrawn
When              2026-11-23 09:59:58 UTC
Reason            web0: the probe failed 3 times in a row
                  (refused), live trials agree
Cause             probe
Class of fault    quiet
All of it         lapwing explain 8




Esc close  ↑↓ scroll  q quit
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
        "x 3 faults, 1 warning",
        "x withdrawn",
        "x failed",
        "+ armed",
        "> Services",
        "! 2026-11-22 192.0.2.0/24 held",
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
    let mut scenes: Vec<Scene> = ["", "?", "a", "/web1"]
        .into_iter()
        .map(|keys| {
            let mut scene = Scene::of(site(30, 7), decisions());
            scene.write(keys);
            scene
        })
        .collect();
    for tabs in 0..4 {
        let mut scene = Scene::of(site(30, 7), decisions());
        for _ in 0..tabs {
            scene.press(KeyCode::Tab);
        }
        scene.press(KeyCode::Enter);
        scenes.push(scene);
    }
    for scene in &mut scenes {
        for columns in (0..10).chain((10..90).step_by(9)).chain([160, 300]) {
            for lines in (0..12).chain((12..30).step_by(4)).chain([50, 100]) {
                let mut page = Buffer::empty(Rect::new(0, 0, columns, lines));
                draw(&mut page, &mut scene.state, LOOK);
            }
        }
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
