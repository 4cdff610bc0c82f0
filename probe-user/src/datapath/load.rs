//! The data plane as a whole: the object, where it is attached, and what it says.

use std::time::Duration;

use aya_log::EbpfLogger;
use probe_common::{
    counters::{Counters, Traffic},
    skip::Skip,
    trial::Kind,
};
use probe_core::{
    Timestamp,
    config::ServiceId,
    input::{Reading, Sample, Sensor, UplinkReading},
};

use super::{
    Attachment, Bell, Deadlines, Depth, Error, Latencies, Options, ProgramRuns, Scope, ServiceSpec,
    adapt::Adaptation,
    attach::Hooks,
    changes::Changes,
    driver,
    object::{EMBEDDED, LoadFlags, Object},
    pins::Pins,
};

/// The data plane of this host.
pub struct Datapath {
    object: Object,
    hooks: Hooks,
    adaptation: Adaptation,
    changes: Changes,
}

impl Datapath {
    /// Loads the programs, adopts or creates their maps, and publishes the services.
    /// Nothing is attached yet.
    ///
    /// # Errors
    /// When the kernel refuses something; each error says what to do about it.
    pub fn load(options: &Options) -> Result<Self, Error> {
        for interface in &options.interfaces {
            nix::net::if_::if_nametoindex(interface.as_str()).map_err(|_| Error::NoInterface {
                interface: interface.clone(),
            })?;
        }
        if EMBEDDED.is_empty() {
            return Err(Error::NoObject);
        }
        let pins = Pins::create(&options.pin_dir)?;
        let flags = LoadFlags {
            trace: options.trace,
            replay: false,
            partial_checksums: options
                .interfaces
                .iter()
                .any(|interface| driver::is_virtual(interface)),
            sizes: options.measure.sizes,
            deadlines: options.measure.deadlines,
            tunnels: options.measure.tunnels.all(),
        };
        let object = Object::load(EMBEDDED, &options.services, flags, Some(&pins))?;
        let hooks = Hooks::new(
            pins,
            options.interfaces.clone(),
            options.attach,
            options.measure.tunnels.clone(),
        );
        let adaptation = Adaptation::new(&object);
        Ok(Self {
            object,
            hooks,
            adaptation,
            changes: Changes::new(options.services.len()),
        })
    }

    /// Attaches to every interface, or replaces the programs that are attached from
    /// an earlier start; in both cases the links are pinned. May be repeated: what
    /// is in place stays.
    ///
    /// # Errors
    /// When a hook is refused; what could be attached stays attached.
    pub fn attach(&mut self) -> Result<(), Error> {
        self.hooks.attach(&mut self.object)
    }

    /// Where the programs are attached.
    pub fn attachments(&self) -> Vec<Attachment> {
        self.hooks.attachments()
    }

    /// Puts native XDP on every interface, although that may disturb its link.
    ///
    /// # Errors
    /// When an interface refuses it. What was there stays.
    pub fn attach_native(&mut self) -> Result<(), Error> {
        self.hooks.attach_native(&mut self.object)
    }

    /// Whether all hooks are still in place.
    pub fn sensor(&mut self) -> Sensor {
        self.hooks.sensor()
    }

    /// One walk over the maps that decisions need.
    pub fn read(&self) -> Reading {
        self.object.read(Scope::ALL, &[])
    }

    /// A reading that is begun at `now` and taken for decisions. Whatever fails from
    /// now on rings the bell, even what the walk still sees: nothing falls between a
    /// reading and the sleep after it.
    pub fn tick(&mut self, scope: Scope<'_>, now: Timestamp) -> Reading {
        self.object.set_clock(now.as_nanos());
        self.object.arm_bell();
        if scope.everyone == Depth::Nothing {
            return self.object.read(scope, &[]);
        }
        let unchanged = self.changes.look(&self.object, scope.everyone);
        self.object.read(scope, &unchanged)
    }

    /// The bell, once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_bell(&mut self) -> Result<Bell, Error> {
        Bell::take(&mut self.object.ebpf)
    }

    /// Adapts what the kernel side does for each service to what its counters say.
    /// About once a second.
    pub fn adapt(&mut self, counters: &[Counters], now: Timestamp) {
        self.adaptation.update(&self.object, counters, now);
    }

    /// Makes the kernel side call trials of a service late after another time. The
    /// service gets its other cohort rings; all of them are read anew.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn set_deadline(&mut self, service: ServiceId, deadline: Duration) -> Result<(), Error> {
        self.changes.start_again(service);
        self.object.set_deadline(service, deadline)
    }

    /// Measures other services from now on, with these deadlines of kinds of trials.
    /// Those that stay keep their counters and go on where they are.
    ///
    /// # Errors
    /// When there is no room for so many, or a map cannot be written; then all stays as
    /// it was.
    pub fn replace_services(
        &mut self,
        services: &[ServiceSpec],
        deadlines: Deadlines,
        now: Timestamp,
    ) -> Result<(), Error> {
        let before: Vec<_> = self.object.places.iter().map(|place| place.key).collect();
        self.object.replace_services(services, deadlines, now)?;
        self.adaptation.follow(&before, &self.object);
        self.changes = Changes::new(services.len());
        Ok(())
    }

    /// Where flows come from whose trials of this kind failed lately.
    pub fn evidence(&self, service: ServiceId, kind: Kind, now: Timestamp) -> Option<Sample> {
        self.object.evidence(service, kind, now)
    }

    /// What became of connections by each interface. One that is gone is left out.
    pub fn uplinks(&self) -> Vec<UplinkReading> {
        let read = |interface: &String| {
            let index = nix::net::if_::if_nametoindex(interface.as_str()).ok()?;
            self.object.uplink(interface, index)
        };
        self.hooks.interfaces().iter().filter_map(read).collect()
    }

    /// What every packet of each service adds to.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.object.traffic()
    }

    /// Every service's counters.
    pub fn counters(&self) -> Vec<Counters> {
        self.object.counters()
    }

    /// Every service's latencies by kind of trial.
    pub fn latencies(&self) -> Vec<Latencies> {
        self.object.latencies()
    }

    /// Packets that were not measured, by reason.
    pub fn skips(&self) -> [u64; Skip::COUNT] {
        self.object.skips()
    }

    /// Sets which connections of a service are sampled: those whose hash has none of
    /// these bits.
    pub fn set_sample_mask(&self, service: usize, mask: u32) {
        self.object.set_sample_mask(service, mask);
    }

    /// Runs and run time of the programs.
    pub fn program_runs(&self) -> Vec<ProgramRuns> {
        self.object.program_runs()
    }

    /// The reader of the traces; none if it cannot be had (or was taken before).
    pub fn take_log(&mut self) -> Option<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.object.ebpf)
            .inspect_err(|error| tracing::warn!(%error, "no traces"))
            .ok()
    }
}
