//! An operator's order as it travels over the socket, and what the core makes of it.

use std::time::Duration;

use ipnet::IpNet;
use probe_core::{
    Config, Level, Timestamp,
    config::PrefixId,
    input::{Directive, Order},
};
use serde::{Deserialize, Serialize};

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// What is to be done.
    #[serde(rename = "cmd")]
    pub verb: Verb,
    /// With which prefix; none for all, or where it is the host that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<IpNet>,
    /// At which level a prefix is pinned; the present one if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// For how long; until it is taken back if none.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub time: Option<Duration>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether a prefix is drained though nobody else announces it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub force: bool,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Keep a prefix at a level.
    Pin,
    /// End that.
    Unpin,
    /// Degrade a prefix, and withdraw it after its drain time.
    Drain,
    /// End that.
    Undrain,
    /// Change no level.
    Freeze,
    /// End that.
    Thaw,
}

/// What is decided about a prefix now.
pub type Wanted<'a> = &'a dyn Fn(PrefixId) -> Option<Level>;

/// Why a prefix would be announced by nobody without this host; none if it would, or if
/// that may be.
pub type Alone<'a> = &'a dyn Fn(PrefixId) -> Option<String>;

impl OrderRequest {
    /// The orders for the core, or why there are none.
    pub fn resolve(
        &self,
        by: &str,
        config: &Config,
        wanted: Wanted<'_>,
        alone: Alone<'_>,
        now: Timestamp,
    ) -> Result<Vec<Order>, String> {
        let directive = || Directive {
            by: by.to_owned(),
            why: self.reason.clone(),
            until: self.time.map(|time| now.after(time)),
            force: self.force,
        };
        let one = |order: &dyn Fn(PrefixId) -> Result<Order, String>| {
            self.prefixes(config)?.into_iter().map(order).collect()
        };
        match self.verb {
            Verb::Pin => one(&|prefix| {
                Ok(Order::Pin {
                    prefix,
                    level: self.level.or_else(|| wanted(prefix)).ok_or(
                        "the routing table was not read yet: try again in a second, or name a level",
                    )?,
                    directive: directive(),
                })
            }),
            Verb::Unpin => one(&|prefix| Ok(Order::Unpin { prefix })),
            Verb::Drain => one(&|prefix| {
                if let Some(why) = alone(prefix).filter(|_| !self.force) {
                    return Err(why);
                }
                Ok(Order::Drain {
                    prefix,
                    directive: directive(),
                })
            }),
            Verb::Undrain => one(&|prefix| Ok(Order::Undrain { prefix })),
            Verb::Freeze => Ok(vec![Order::Freeze {
                directive: directive(),
            }]),
            Verb::Thaw => Ok(vec![Order::Thaw]),
        }
    }

    fn prefixes(&self, config: &Config) -> Result<Vec<PrefixId>, String> {
        let known = || (0..).map(PrefixId).zip(&config.prefixes);
        if config.prefixes.is_empty() {
            return Err("this daemon has no prefix: it only observes".to_owned());
        }
        let Some(wanted) = self.prefix else {
            return Ok(known().map(|(id, _)| id).collect());
        };
        if let Some((id, _)) = known().find(|(_, prefix)| prefix.prefix == wanted) {
            return Ok(vec![id]);
        }
        let names: Vec<String> = known()
            .map(|(_, prefix)| prefix.prefix.to_string())
            .collect();
        Err(format!(
            "no prefix {wanted} is configured; known are {}",
            names.join(", ")
        ))
    }

    /// What was done, in words.
    pub fn sentence(&self) -> String {
        let prefix = self
            .prefix
            .map_or_else(|| "all prefixes".to_owned(), |prefix| prefix.to_string());
        let what = match (self.verb, self.level) {
            (Verb::Pin, Some(level)) => format!("{prefix} pinned at {level}"),
            (Verb::Pin, None) => format!("{prefix} pinned at the present level"),
            (Verb::Unpin, _) => format!("{prefix} no longer pinned"),
            (Verb::Drain, _) => format!("{prefix} draining"),
            (Verb::Undrain, _) => format!("{prefix} no longer drained"),
            (Verb::Freeze, _) => "frozen: no level changes".to_owned(),
            (Verb::Thaw, _) => "thawed".to_owned(),
        };
        match (self.verb, self.time) {
            (Verb::Pin | Verb::Drain | Verb::Freeze, Some(time)) => {
                format!("{what}, for {}", humantime::format_duration(time))
            }
            (Verb::Pin | Verb::Drain | Verb::Freeze, None) => {
                format!("{what}, until it is taken back")
            }
            (Verb::Unpin | Verb::Undrain | Verb::Thaw, _) => what,
        }
    }
}

#[cfg(test)]
mod tests {
    use probe_core::config::{LastSite, Prefix, WithdrawWhen};

    use super::*;
    use crate::config::Settings;

    fn config() -> Config {
        let mut config = Settings::without_file().core;
        for prefix in ["192.0.2.0/24", "2001:db8::/32"] {
            config.prefixes.push(Prefix {
                prefix: prefix.parse().unwrap(),
                withdraw_when: WithdrawWhen::Any,
                services: Vec::new(),
                drain: Duration::ZERO,
                last_site: LastSite::Unwitnessed,
            });
        }
        config
    }

    fn resolve(line: &str) -> Result<Vec<Order>, String> {
        let request: OrderRequest = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let now = Timestamp::from_nanos(5);
        let alone = |prefix| (prefix == PrefixId(1)).then(|| "alone".to_owned());
        request.resolve("root", &config(), &|_| Some(Level::Full), &alone, now)
    }

    #[test]
    fn lines_become_orders() {
        let pin = |prefix, level| Order::Pin {
            prefix: PrefixId(prefix),
            level,
            directive: Directive {
                by: "root".into(),
                why: "kernel".into(),
                until: Some(Timestamp::from_nanos(7_000_000_005)),
                force: false,
            },
        };
        for (line, orders) in [
            (
                r#"{"cmd":"pin","prefix":"2001:db8::/32","level":"degraded","for":{"secs":7,"nanos":0},"reason":"kernel"}"#,
                vec![pin(1, Level::Degraded)],
            ),
            (
                r#"{"cmd":"pin","for":{"secs":7,"nanos":0},"reason":"kernel"}"#,
                vec![pin(0, Level::Full), pin(1, Level::Full)],
            ),
            (
                r#"{"cmd":"undrain","prefix":"192.0.2.0/24"}"#,
                vec![Order::Undrain {
                    prefix: PrefixId(0),
                }],
            ),
            (r#"{"cmd":"thaw"}"#, vec![Order::Thaw]),
        ] {
            assert_eq!(resolve(line).unwrap(), orders, "{line}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let unknown = resolve(r#"{"cmd":"drain","prefix":"198.51.100.0/24"}"#).unwrap_err();
        assert_eq!(
            unknown,
            "no prefix 198.51.100.0/24 is configured; known are 192.0.2.0/24, 2001:db8::/32"
        );
        assert!(resolve(r#"{"cmd":"pin","colour":"red"}"#).is_err());
        let request: OrderRequest = serde_json::from_str(r#"{"cmd":"pin"}"#).unwrap();
        let unread = request.resolve(
            "root",
            &config(),
            &|_| None,
            &|_| None,
            Timestamp::default(),
        );
        assert!(unread.unwrap_err().contains("not read yet"));
    }

    #[test]
    fn the_last_one_is_drained_only_by_force() {
        let drain = |more: &str| resolve(&format!(r#"{{"cmd":"drain"{more}}}"#));
        assert_eq!(drain("").unwrap_err(), "alone");
        assert_eq!(drain(r#","prefix":"192.0.2.0/24""#).unwrap().len(), 1);
        let forced = drain(r#","force":true"#).unwrap();
        assert!(
            forced
                .iter()
                .all(|order| matches!(order, Order::Drain { directive, .. } if directive.force))
        );
    }

    #[test]
    fn what_was_done_is_said_with_its_end() {
        let request = OrderRequest {
            verb: Verb::Freeze,
            prefix: None,
            level: None,
            time: Some(Duration::from_mins(90)),
            reason: String::new(),
            force: false,
        };
        assert_eq!(request.sentence(), "frozen: no level changes, for 1h 30m");
    }
}
