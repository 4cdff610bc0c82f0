//! Which rows are shown: what the operator typed and chose flows in, yes or no for a
//! prefix, a service, a decision flows out.

use crate::{
    journal::recent::Decision,
    status::{PrefixView, ServiceView},
};

use super::words::plain;

/// What is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what has this in it; all, if it is empty.
    pub text: String,
    /// Whether it is being typed.
    pub typing: bool,
    /// Only what needs attention. Decisions are past, and need none.
    pub attention: bool,
}

impl Filter {
    /// Shows all that a text left out; whether there was one.
    pub fn clear(&mut self) -> bool {
        self.typing |= !self.text.is_empty();
        self.text.clear();
        std::mem::take(&mut self.typing)
    }

    /// Whether a prefix is shown.
    pub fn shows_prefix(&self, prefix: &PrefixView, needs_attention: bool) -> bool {
        let names = prefix.services.iter().map(String::as_str);
        (needs_attention || !self.attention)
            && self.is_in([&*prefix.prefix].into_iter().chain(names))
    }

    /// Whether a service is shown.
    pub fn shows_service(&self, service: &ServiceView, needs_attention: bool) -> bool {
        let texts = [&*service.name, &service.endpoint, service.state.name()];
        (needs_attention || !self.attention) && self.is_in(texts.into_iter())
    }

    /// Whether a decision is shown.
    pub fn shows_decision(&self, decision: &Decision) -> bool {
        let guard = plain(decision.guard.as_deref().unwrap_or_default());
        let level = decision.level.to_string();
        let texts = [&*decision.prefix, &level, &guard, &decision.sentence];
        self.is_in(texts.into_iter())
    }

    fn is_in<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        let wanted = self.text.trim().to_lowercase();
        wanted.is_empty() || texts.any(|text| text.to_lowercase().contains(&wanted))
    }
}
