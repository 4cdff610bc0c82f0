//! The thread that asks: everything else here is pure or a single question.

use core::time::Duration;
use std::{collections::BTreeSet, sync::Arc, time::Instant};

use probe_core::{Timestamp, config::PrefixId};
use tokio::sync::{mpsc, watch};

use super::{
    Finding, Options, Told,
    chase::{Chase, RECHECK},
    judge::judge,
    landscape::Landscape,
    picture::{BirdState, Picture, PrefixPicture, SessionPicture},
    sight,
};
use crate::{
    bird::{Client, Error, Family, Kind, Name},
    datapath::now,
};

/// How long a question may take. A BIRD that is at work on a full table takes its
/// time; one that is stopped takes all of it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two attempts to reach a BIRD that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The protocols are read again when they are older, while something is waited for.
const PROTOCOLS_LAST: Duration = Duration::from_secs(1);
/// Prefixes that are looked at before anything else is.
const ROUND: usize = 64;
/// When nothing is wrong, at most one part in so many of the time is spent on looking, by
/// us and by BIRD: ten thousand prefixes are looked at once in a minute or two.
const REST: u32 = 100;
/// Between two pictures.
const PICTURES: Duration = Duration::from_millis(100);

/// What wakes the task.
enum Occurrence {
    Told(usize),
    Gone,
    Time,
}

/// The follower's thread.
pub(super) struct Task {
    options: Options,
    client: Client,
    inbox: mpsc::Receiver<Told>,
    findings: mpsc::Sender<Finding>,
    publish: watch::Sender<Arc<Picture>>,
    chases: Vec<Chase>,
    bird: BirdState,
    answered: Option<Timestamp>,
    landscape: Option<(Landscape, Timestamp)>,
    /// How long the last look at a prefix took.
    look_took: Duration,
    /// Nobody is asked before.
    rest_until: Timestamp,
    /// The picture is not what is known.
    changed: bool,
    published: Timestamp,
}

impl Task {
    /// A task that has asked nothing yet.
    pub fn new(
        options: Options,
        inbox: mpsc::Receiver<Told>,
        findings: mpsc::Sender<Finding>,
        publish: watch::Sender<Arc<Picture>>,
    ) -> Self {
        let id = |index| PrefixId(u32::try_from(index).unwrap_or(u32::MAX));
        let prefixes = options.prefixes.iter().enumerate();
        Self {
            client: Client::new(&options.socket, TIMEOUT, LONGEST_PAUSE),
            chases: prefixes
                .map(|(index, prefix)| Chase::new(id(index), *prefix))
                .collect(),
            options,
            inbox,
            findings,
            publish,
            bird: BirdState::Unknown,
            answered: None,
            landscape: None,
            look_took: Duration::ZERO,
            rest_until: Timestamp::default(),
            changed: true,
            published: Timestamp::default(),
        }
    }

    /// Runs until the daemon has dropped its handle.
    pub async fn run(mut self) {
        let mut told = Vec::new();
        self.connect().await;
        loop {
            let wait = self.wake_at().since(now());
            let occurrence = tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut told, ROUND) => Occurrence::Told(count),
                () = self.client.closed() => Occurrence::Gone,
                () = tokio::time::sleep(wait) => Occurrence::Time,
            };
            match occurrence {
                Occurrence::Told(0) => return,
                Occurrence::Told(_) => {
                    for told in told.drain(..) {
                        self.hear(told).await;
                    }
                }
                Occurrence::Gone => {
                    let error = Error::Closed(self.options.socket.clone());
                    self.lost(&error).await;
                }
                Occurrence::Time => {}
            }
            if self.client.version().is_none()
                && self.client.retry_at().is_none_or(|at| at <= Instant::now())
            {
                self.connect().await;
            }
            if self.client.version().is_some() && self.rest_until <= now() {
                self.look().await;
            }
            self.show();
        }
    }

    fn wake_at(&self) -> Timestamp {
        let now = now();
        let work = if let Some(at) = self.client.retry_at() {
            now.after(at.saturating_duration_since(Instant::now()))
        } else {
            let chases = self.chases.iter().filter_map(Chase::due);
            let protocols = self.protocols_due();
            chases.fold(protocols, Timestamp::min).max(self.rest_until)
        };
        if self.changed {
            work.min(self.published.after(PICTURES))
        } else {
            work
        }
    }

    fn protocols_due(&self) -> Timestamp {
        match &self.landscape {
            Some((_, at)) => at.after(self.recheck()),
            None => Timestamp::default(),
        }
    }

    /// The pause between two looks at what is well.
    fn recheck(&self) -> Duration {
        let prefixes = u32::try_from(self.chases.len()).unwrap_or(u32::MAX);
        let all = self.look_took.saturating_mul(prefixes);
        RECHECK.max(all.saturating_mul(REST))
    }

    async fn hear(&mut self, told: Told) {
        let Some(chase) = self.chases.get_mut(told.prefix().0 as usize) else {
            return;
        };
        let found = match told {
            Told::Stands(_, level) => chase.stands(level, now()),
            Told::Ordered(change) => chase.ordered(change, now()),
        };
        self.changed = true;
        self.tell(found).await;
    }

    async fn connect(&mut self) {
        match self.client.connect().await {
            Ok(()) => {
                let version = self.client.version().unwrap_or_default().to_owned();
                self.bird = BirdState::Up {
                    version: version.clone(),
                };
                self.landscape = None;
                let now = now();
                for chase in &mut self.chases {
                    chase.restart(now);
                }
                self.changed = true;
                self.tell(vec![Finding::BirdUp { version }]).await;
            }
            Err(error) => self.lost(&error).await,
        }
    }

    /// BIRD is away. Told once; where nobody named a socket, and none was ever there,
    /// not at all.
    async fn lost(&mut self, error: &Error) {
        self.landscape = None;
        for chase in &mut self.chases {
            chase.rest();
        }
        let sentence = error.to_string();
        let (quiet, news) = match &self.bird {
            BirdState::Unknown => (
                !self.options.named && matches!(error, Error::Missing(_)),
                true,
            ),
            BirdState::Up { .. } => (false, true),
            BirdState::Down { .. } => (false, false),
        };
        if quiet {
            return;
        }
        let down = BirdState::Down {
            sentence: sentence.clone(),
        };
        self.changed |= self.bird != down;
        self.bird = down;
        if news {
            self.tell(vec![Finding::BirdDown { sentence }]).await;
        }
    }

    /// Looks at what is due.
    async fn look(&mut self) {
        let begin = now();
        let pending = self.chases.iter().any(Chase::is_pending);
        let old = match &self.landscape {
            None => true,
            Some((_, at)) if pending => begin.since(*at) >= PROTOCOLS_LAST,
            Some(_) => begin >= self.protocols_due(),
        };
        if old && !self.look_around().await {
            return;
        }
        let due: Vec<usize> = self
            .chases
            .iter()
            .enumerate()
            .filter(|(_, chase)| chase.due().is_some_and(|due| due <= begin))
            .map(|(index, _)| index)
            .take(ROUND)
            .collect();
        if due.is_empty() {
            return;
        }
        let mut helps = BTreeSet::new();
        for index in &due {
            match self.look_at(*index, &mut helps).await {
                Ok(()) => {}
                Err(error) => {
                    self.failed(&error).await;
                    return;
                }
            }
        }
        self.help(helps).await;
        let took = now().since(begin);
        // A storm of changes must not keep BIRD from passing them on.
        if due.len() == ROUND {
            self.rest_until = now().after(took);
        }
    }

    /// Reads the protocols. False if BIRD did not tell.
    async fn look_around(&mut self) -> bool {
        match self.client.protocols().await {
            Ok(protocols) => {
                let landscape = Landscape::new(protocols);
                let names: BTreeSet<Name> = landscape
                    .protocols()
                    .iter()
                    .map(|protocol| protocol.name.clone())
                    .collect();
                for chase in &mut self.chases {
                    chase.forget_sessions_but(&names);
                }
                let now = now();
                self.changed |= self
                    .landscape
                    .as_ref()
                    .is_none_or(|(known, _)| *known != landscape);
                self.landscape = Some((landscape, now));
                self.answered = Some(now);
                true
            }
            Err(error) => {
                self.failed(&error).await;
                false
            }
        }
    }

    async fn look_at(
        &mut self,
        index: usize,
        helps: &mut BTreeSet<(Family, PrefixId)>,
    ) -> Result<(), Error> {
        let recheck = self.recheck();
        let chase = &mut self.chases[index];
        let (Some((landscape, _)), Some(wanted)) =
            (&self.landscape, chase.case(self.options.numbers))
        else {
            return Ok(());
        };
        let begin = now();
        let sight = sight::look(&mut self.client, landscape, wanted.prefix, wanted.level).await?;
        let judgement = judge(wanted, landscape, &sight);
        let family = Family::of(wanted.prefix);
        let seen = now();
        self.look_took = seen.since(begin);
        self.answered = Some(seen);
        self.changed |= chase.judgement() != Some(&judgement);
        let step = chase.take(judgement, seen, recheck);
        self.changed |= !step.findings.is_empty();
        if step.help {
            let id = u32::try_from(index).unwrap_or(u32::MAX);
            helps.insert((family, PrefixId(id)));
        }
        self.tell(step.findings).await;
        Ok(())
    }

    /// A question was not answered. One that was refused names what BIRD no longer
    /// has: it was configured anew.
    async fn failed(&mut self, error: &Error) {
        if error.keeps_connection() {
            self.landscape = None;
            self.rest_until = now().after(PICTURES);
            tracing::debug!("{error}; looking at BIRD's protocols again");
        } else {
            self.lost(error).await;
        }
    }

    /// Has BIRD read its kernel tables again, once for all that miss something there.
    async fn help(&mut self, helps: BTreeSet<(Family, PrefixId)>) {
        let Some((landscape, _)) = &self.landscape else {
            return;
        };
        let mut findings = Vec::new();
        let families: BTreeSet<Family> = helps.iter().map(|(family, _)| *family).collect();
        for family in families {
            for learner in landscape.learners(family) {
                let error = self.client.reload(learner.name).await.err();
                let prefixes = helps.iter().filter(|(of, _)| *of == family);
                findings.extend(prefixes.map(|(_, prefix)| Finding::Helped {
                    prefix: *prefix,
                    protocol: learner.name.to_string(),
                    error: error.as_ref().map(ToString::to_string),
                }));
            }
        }
        self.tell(findings).await;
    }

    async fn tell(&self, findings: Vec<Finding>) {
        for finding in findings {
            // Without a receiver the daemon has ended.
            let _ = self.findings.send(finding).await;
        }
    }

    fn show(&mut self) {
        let now = now();
        if !self.changed || now.since(self.published) < PICTURES {
            return;
        }
        self.changed = false;
        self.published = now;
        let protocols = self
            .landscape
            .iter()
            .flat_map(|(landscape, _)| landscape.protocols());
        let sessions = protocols
            .filter(|protocol| protocol.kind == Kind::Bgp)
            .map(|protocol| SessionPicture {
                name: protocol.name.to_string(),
                neighbor: protocol.neighbor.clone(),
                established: protocol.up,
                last_error: protocol.last_error.clone(),
            });
        self.publish.send_replace(Arc::new(Picture {
            bird: self.bird.clone(),
            answered: self.answered,
            sessions: sessions.collect(),
            prefixes: self
                .chases
                .iter()
                .map(|chase| self.picture(chase))
                .collect(),
        }));
    }

    fn picture(&self, chase: &Chase) -> PrefixPicture {
        PrefixPicture {
            verified: match &self.bird {
                BirdState::Unknown => None,
                BirdState::Up { .. } | BirdState::Down { .. } => Some(
                    chase
                        .judgement()
                        .is_some_and(super::judge::Judgement::is_done),
                ),
            },
            sessions: chase.judgement().map_or_else(Vec::new, |judgement| {
                let sessions = judgement.exported.iter();
                sessions
                    .map(|(session, exported)| (session.to_string(), *exported))
                    .collect()
            }),
            alerts: chase.alerts().clone(),
            followed: chase.followed().cloned(),
        }
    }
}
