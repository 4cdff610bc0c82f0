//! What is shown after answers, silences and keys.

use std::path::PathBuf;

use probe_core::status::ServiceState;
use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::{
    journal::recent::{Decision, tests::decision},
    status::{Document, ServiceView, tests::document},
};

/// A state with its clocks.
pub(crate) struct Scene {
    pub(crate) state: State,
    start: (Instant, SystemTime),
    seconds: u64,
}

impl Scene {
    /// At ten o'clock of the day of [`decision`].
    pub(crate) fn new() -> Self {
        let noon = humantime::parse_rfc3339("2026-11-23T10:00:00Z").unwrap();
        Self {
            state: State::new(noon),
            start: (Instant::now(), noon),
            seconds: 0,
        }
    }

    /// After the first answer.
    pub(crate) fn of(document: Document, decisions: Vec<Decision>) -> Self {
        let mut scene = Self::new();
        scene.tell(document, decisions);
        scene
    }

    /// A second passes.
    pub(crate) fn handle(&mut self, event: Event) -> Next {
        self.seconds += 1;
        let passed = Duration::from_secs(self.seconds);
        let at = (self.start.0 + passed, self.start.1 + passed);
        self.state.handle(event, at)
    }

    pub(crate) fn tell(&mut self, document: Document, decisions: Vec<Decision>) {
        let told = Told {
            document,
            decisions,
        };
        self.handle(Event::Answer(Ok(Box::new(told))));
    }

    pub(crate) fn refuse(&mut self) -> Next {
        let path = PathBuf::from("/run/lapwing/control.sock");
        self.handle(Event::Answer(Err(control::Error::NotRunning(path))))
    }

    pub(crate) fn press(&mut self, key: KeyCode) -> Next {
        self.handle(Event::Key(KeyEvent::new(key, KeyModifiers::NONE)))
    }

    pub(crate) fn write(&mut self, text: &str) {
        for letter in text.chars() {
            self.press(KeyCode::Char(letter));
        }
    }

    fn shown(&self, pane: Pane) -> Vec<String> {
        self.state.panes.rows(pane).unwrap().keys.clone()
    }
}

/// A site with `count` services, of which all but `dead` are well, in one prefix.
pub(crate) fn site(count: usize, dead: usize) -> Document {
    let mut document = document();
    let failed = document.services[0].clone();
    let mut armed = failed.clone();
    armed.state = ServiceState::Armed;
    armed.probe_passes = Some(true);
    armed.score_ratio = 0.02;
    armed.recent.failure_ratio = Some(0.001);
    let named = |service: &ServiceView, number: usize| ServiceView {
        name: format!("web{number}"),
        endpoint: format!("192.0.2.10:{}/tcp", 8000 + number),
        ..service.clone()
    };
    document.services = (0..count)
        .map(|number| named(if number < dead { &failed } else { &armed }, number))
        .collect();
    document.prefixes[0].services = document
        .services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    document
}

fn decisions(numbers: std::ops::Range<u64>) -> Vec<Decision> {
    numbers.map(decision).collect()
}

fn is_end(next: &Next) -> bool {
    matches!(next, Next::End)
}

#[test]
fn the_first_refusal_ends_it_only_if_waiting_is_no_use() {
    let path = PathBuf::from("/x");
    let denied = || Event::Answer(Err(control::Error::Denied(path.clone())));
    let mut scene = Scene::new();
    assert!(matches!(scene.handle(denied()), Next::Fail(_)));
    assert!(matches!(scene.refuse(), Next::Show), "it may be started");
    assert_eq!(scene.state.silence.as_ref().unwrap().since, None);
    scene.tell(document(), Vec::new());
    assert!(
        matches!(scene.handle(denied()), Next::Show),
        "the socket of the next start may be ours again"
    );
}

#[test]
fn silence_is_told_with_the_time_of_the_last_answer() {
    let mut scene = Scene::of(document(), Vec::new());
    assert_eq!(scene.state.silence, None);
    scene.refuse();
    scene.refuse();
    let silence = scene.state.silence.clone().unwrap();
    let last = scene.start.1 + Duration::from_secs(1);
    assert_eq!(silence.since, Some(last));
    assert!(silence.why.contains("nobody answers on /run/lapwing"));
    assert!(scene.state.known.is_some(), "what was known is kept");
    scene.tell(document(), Vec::new());
    assert_eq!(scene.state.silence, None, "heard again");
}

#[test]
fn a_loop_that_tells_nothing_is_silent_too() {
    let mut scene = Scene::of(document(), Vec::new());
    let mut silent = Vec::new();
    for second in 0..8 {
        scene.tell(document(), Vec::new());
        if scene.state.silence.is_some() {
            silent.push(second);
        }
    }
    assert_eq!(silent, [5, 6, 7], "longer than five seconds");
    let mut later = document();
    later.uptime_seconds += 1.0;
    scene.tell(later, Vec::new());
    assert_eq!(scene.state.silence, None);
}

#[test]
fn filters_choose_the_rows() {
    let all = decisions(0..3);
    let mut scene = Scene::of(site(12, 2), all);
    assert_eq!(scene.shown(Pane::Services).len(), 12);
    assert_eq!(
        scene.shown(Pane::Decisions),
        ["2", "1", "0"],
        "newest first"
    );

    scene.write("a");
    assert_eq!(scene.shown(Pane::Services), ["web0", "web1"]);
    assert_eq!(scene.shown(Pane::Prefixes), ["192.0.2.0/24"], "withdrawn");
    assert_eq!(scene.shown(Pane::Decisions).len(), 3, "they are past");
    scene.write("a");

    scene.write("/WEB11");
    assert!(scene.state.filter.typing);
    assert_eq!(scene.shown(Pane::Services), ["web11"]);
    assert_eq!(scene.shown(Pane::Prefixes), ["192.0.2.0/24"], "it has it");
    assert_eq!(scene.shown(Pane::Decisions).len(), 0);
    scene.press(KeyCode::Backspace);
    assert_eq!(scene.shown(Pane::Services), ["web1", "web10", "web11"]);
    scene.press(KeyCode::Enter);
    assert!(!scene.state.filter.typing && scene.state.opened.is_none());
    assert!(!is_end(&scene.press(KeyCode::Esc)), "it clears the filter");
    assert_eq!(scene.shown(Pane::Services).len(), 12);

    scene.write("/8003");
    assert_eq!(scene.shown(Pane::Services), ["web3"], "by its endpoint");
    scene.press(KeyCode::Esc);
    scene.write("/failed");
    assert_eq!(
        scene.shown(Pane::Services),
        ["web0", "web1"],
        "by its state"
    );
    assert_eq!(scene.shown(Pane::Decisions).len(), 3, "by the reason");
    scene.press(KeyCode::Esc);
    scene.write("/zzz");
    for pane in [Pane::Prefixes, Pane::Services, Pane::Decisions] {
        assert!(scene.shown(pane).is_empty(), "{pane:?}");
    }
    scene.press(KeyCode::Enter);
    scene.press(KeyCode::Enter);
    assert_eq!(scene.state.opened, None, "there is nothing to be opened");
    assert!(!is_end(&scene.press(KeyCode::Esc)));
    assert!(is_end(&scene.press(KeyCode::Esc)));
}

#[test]
fn keys_lead_to_the_sheet_of_what_is_selected() {
    let mut scene = Scene::of(site(3, 0), decisions(7..9));
    let opened = |scene: &mut Scene| {
        scene.press(KeyCode::Enter);
        let opened = scene.state.opened.clone().unwrap();
        assert!(!is_end(&scene.press(KeyCode::Esc)), "it only closes");
        opened.sheet
    };
    scene.press(KeyCode::Down);
    assert_eq!(opened(&mut scene), Sheet::Service("web1".into()));
    scene.press(KeyCode::Tab);
    assert_eq!(opened(&mut scene), Sheet::Decision(8));
    scene.press(KeyCode::End);
    assert_eq!(opened(&mut scene), Sheet::Decision(7));
    scene.press(KeyCode::Tab);
    assert_eq!(opened(&mut scene), Sheet::Daemon);
    scene.press(KeyCode::Tab);
    assert_eq!(opened(&mut scene), Sheet::Prefix("192.0.2.0/24".into()));
    scene.press(KeyCode::Enter);
    scene.press(KeyCode::BackTab);
    assert_eq!(
        (scene.state.pane, &scene.state.opened),
        (Pane::Daemon, &None)
    );
    scene.write("?");
    assert_eq!(scene.state.opened.as_ref().unwrap().sheet, Sheet::Help);
    assert!(is_end(&scene.press(KeyCode::Char('q'))));
}

#[test]
fn an_escape_that_came_together_with_a_key_is_not_lost() {
    let mut scene = Scene::of(site(3, 0), decisions(7..9));
    let with_escape =
        |scene: &mut Scene, key| scene.handle(Event::Key(KeyEvent::new(key, KeyModifiers::ALT)));
    scene.press(KeyCode::Enter);
    with_escape(&mut scene, KeyCode::Tab);
    assert_eq!(scene.state.opened, None);
    assert_eq!(scene.state.pane, Pane::Decisions);
    scene.write("/zzz");
    with_escape(&mut scene, KeyCode::Char('a'));
    assert!(scene.state.filter.text.is_empty() && scene.state.filter.attention);
    let next = with_escape(&mut scene, KeyCode::Char('q'));
    assert!(!is_end(&next), "there was nothing to go back from");
}

#[test]
fn every_way_out_is_one() {
    let mut scene = Scene::new();
    assert!(is_end(&scene.press(KeyCode::Char('q'))));
    assert!(is_end(&scene.press(KeyCode::Esc)));
    assert!(is_end(&scene.handle(Event::Ended)));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    scene.write("/");
    assert!(is_end(&scene.handle(Event::Key(interrupt))), "while typing");
    let gone = std::io::Error::other("gone");
    assert!(matches!(scene.handle(Event::Lost(gone)), Next::Fail(_)));
}
