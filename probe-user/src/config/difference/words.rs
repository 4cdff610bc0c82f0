//! Values as the file has them.

use std::time::Duration;

use probe_core::config::{Absorb, Action, Detect, LastSite, Mode, Race, WithdrawWhen};

use crate::{announce::witness::Witness, bird::Name, config::OnExit};

/// A learned deadline is no change of the file.
pub(super) fn deadline(detect: &Detect) -> String {
    if detect.learns_deadline {
        "auto".to_owned()
    } else {
        time(detect.deadline)
    }
}

pub(super) fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Sizes are configured in KiB, MiB or GiB.
pub(super) fn size(bytes: u64) -> String {
    match (bytes % (1 << 20), bytes >> 20, bytes >> 10) {
        (0, mebibytes, _) => format!("{mebibytes}MiB"),
        (_, _, kibibytes) => format!("{kibibytes}KiB"),
    }
}

pub(super) fn once_in(period: Duration) -> String {
    format!("1 in {}", time(period))
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

pub(super) fn on_exit(on_exit: OnExit) -> &'static str {
    match on_exit {
        OnExit::Keep => "keep",
        OnExit::Withdraw => "withdraw",
    }
}

pub(super) fn action(action: Action) -> &'static str {
    match action {
        Action::Hold => "hold",
        Action::Degrade => "degrade",
        Action::Withdraw => "withdraw",
    }
}

pub(super) fn absorb(absorb: Absorb) -> &'static str {
    match absorb {
        Absorb::Hold => "hold",
        Absorb::Ignore => "ignore",
    }
}

pub(super) fn withdraw_when(when: WithdrawWhen) -> String {
    match when {
        WithdrawWhen::Any => "any".to_owned(),
        WithdrawWhen::All => "all".to_owned(),
        WithdrawWhen::AtLeast(least) => format!("at least {least}"),
    }
}

pub(super) fn last_site(last_site: LastSite) -> String {
    match last_site {
        LastSite::Allow => "allow".to_owned(),
        LastSite::Unwitnessed => "allow, for want of a witness".to_owned(),
        LastSite::Hold(Race {
            goes_first: true, ..
        }) => "hold, goes first".to_owned(),
        LastSite::Hold(Race {
            goes_first: false,
            round,
        }) => format!("hold, round {}", time(round)),
    }
}

/// "ams1/edge1 in table 4243 by `ams1_4` and `ams1_6`".
pub(super) fn witnesses(witnesses: &[Witness]) -> String {
    if witnesses.is_empty() {
        return "none".to_owned();
    }
    let one = |witness: &Witness| {
        let sessions = [&witness.session_v4, &witness.session_v6];
        let sessions: Vec<&str> = sessions.into_iter().flatten().map(Name::as_str).collect();
        format!(
            "{}/{} in table {} by {}",
            witness.site,
            witness.host,
            witness.table,
            sessions.join(" and ")
        )
    };
    witnesses.iter().map(one).collect::<Vec<_>>().join(", ")
}
