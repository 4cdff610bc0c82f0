//! How changes pass through the kernel, BIRD and the sessions, and whether what stands
//! there is as it should be.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{PrefixNames, counters, gauges, histograms};
use crate::{
    follow::{BirdState, PrefixPicture},
    metrics::{Model, Phase},
};

impl Model {
    pub(super) fn encode_closed_loop(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let phase = |phase: Phase| [("phase", phase.name())];
        histograms(
            encoder,
            "lapwing_withdraw_phase",
            "How long the phases of a withdraw took: decided is from the first failed trial to \
             the decision, kernel from there to the kernel's acknowledgement; and from that, rib \
             is until BIRD's table no longer had it, export until no BGP session exported it, \
             traffic until new connections had fallen to a fifth.",
            Phase::ALL.map(|of| (phase(of), &self.tally.withdraws[of as usize])),
        )?;
        let announce = Phase::ALL.into_iter().filter(|of| *of != Phase::Decided);
        histograms(
            encoder,
            "lapwing_announce_phase",
            "The same of the change to full or degraded; traffic is until new connections were a \
             fifth of what they had been.",
            announce.map(|of| (phase(of), &self.tally.announces[of as usize])),
        )?;
        counters(
            encoder,
            "lapwing_bird_reloads",
            "How often BIRD had not learned a change and was told to read its kernel table again.",
            None,
            [([], self.tally.bird_reloads)],
        )?;
        self.encode_bird(encoder)
    }

    fn encode_bird(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let up = match &self.bird.bird {
            BirdState::Unknown => None,
            BirdState::Up { .. } => Some(1u32),
            BirdState::Down { .. } => Some(0),
        };
        gauges(
            encoder,
            "lapwing_bird_up",
            "Whether BIRD answers; absent where it has no control socket and none was named.",
            None,
            up.map(|up| ([], up)),
        )?;
        gauges(
            encoder,
            "lapwing_bird_session_established",
            "Whether BIRD's BGP session is established.",
            None,
            self.bird.sessions.iter().map(|session| {
                let labels = [("session", &*session.name)];
                (labels, u32::from(session.established))
            }),
        )?;
        let names = PrefixNames::of(self);
        let prefixes = || names.0.iter().zip(&self.bird.prefixes);
        gauges(
            encoder,
            "lapwing_export_verified",
            "Whether BIRD and its BGP sessions are as the routing table says: 1 if so, 0 if not \
             or if BIRD does not answer.",
            None,
            prefixes().filter_map(|(name, prefix): (&String, &PrefixPicture)| {
                Some(([("prefix", &**name)], u32::from(prefix.verified?)))
            }),
        )?;
        gauges(
            encoder,
            "lapwing_export_alerts",
            "What is wrong with a prefix beyond the kernel: 1 while it stands, absent otherwise.",
            None,
            prefixes().flat_map(|(name, prefix)| {
                prefix
                    .alerts
                    .keys()
                    .map(|alert| ([("prefix", &**name), ("alert", alert.name())], 1u32))
            }),
        )
    }
}
