//! The hooks while the daemon runs: put back where somebody took them away, and changed
//! for native XDP where the operator asks for it.

use probe_core::{Input, Level, config::Mode, input::Sensor};

use super::Daemon;
use crate::{
    control::{Answer, NativeAsked},
    daemon::hooks::{ensure_calm, nobody_knows, told},
    datapath::{self, Attachment},
    journal::record::Record,
};

impl Daemon {
    /// Hooks that were taken away are put back.
    pub(super) fn look_after_hooks(&mut self) {
        let mut sensor = self.datapath.sensor();
        if let Sensor::Detached(_) = &sensor {
            let before = self.datapath.attachments();
            let result = self.datapath.attach();
            if self.sensor == Sensor::Attached {
                // The core learns of the gap even if it is closed at once: what was
                // read meanwhile is not to be believed.
                self.engine
                    .handle(Input::Sensor(sensor.clone()), datapath::now());
                self.sensor = sensor.clone();
                if let Err(error) = &result {
                    tracing::error!("cannot attach again: {error}; trying every second");
                }
            }
            self.tell_of_hooks(&before);
            sensor = self.datapath.sensor();
        }
        if sensor != self.sensor {
            self.engine
                .handle(Input::Sensor(sensor.clone()), datapath::now());
            self.sensor = sensor;
        }
    }

    /// Puts native XDP on every interface. The loop waits for the kernel meanwhile: nothing
    /// is announced that could be withdrawn, unless the operator wants it so.
    pub(super) fn attach_native(&mut self, asked: NativeAsked) {
        let NativeAsked { force, by, answer } = asked;
        let answered = match self.take_native(force, &by) {
            Ok(()) => Answer::Done(told(&self.datapath.attachments())),
            Err(error) => Answer::Error(format!("{error:#}")),
        };
        // Who asked may have gone.
        let _ = answer.send(answered);
    }

    fn take_native(&mut self, force: bool, by: &str) -> anyhow::Result<()> {
        if !force {
            let announced = self.announced();
            ensure_calm(announced.as_ref().map(Option::as_deref))?;
        }
        tracing::info!("native XDP, by order of {by}");
        let before = self.datapath.attachments();
        let attached = self.datapath.attach_native();
        self.tell_of_hooks(&before);
        if self.datapath.attachments() != before {
            // As after a start with other hooks: live trials must prove themselves first.
            self.engine.forget_hooks();
        }
        Ok(attached?)
    }

    /// A prefix that is announced, or may be.
    fn announced(&self) -> anyhow::Result<Option<String>> {
        match self.settings.core.mode {
            Mode::Observe => return Err(nobody_knows()),
            Mode::Enforce => {}
        }
        let prefixes = self.engine.prefixes();
        let announced = prefixes
            .iter()
            .find(|status| status.observed != Some(Level::Withdrawn));
        Ok(announced.map(|status| self.actor.names().prefix(status.prefix)))
    }

    /// Journals the hooks that were not there before.
    pub(super) fn tell_of_hooks(&mut self, before: &[Attachment]) {
        for attachment in self.datapath.attachments() {
            if !before.contains(&attachment) {
                let record = attached_record(&attachment);
                self.actor.record(datapath::now(), record);
            }
        }
    }
}

fn attached_record(attachment: &Attachment) -> Record {
    Record::Attached {
        interface: attachment.interface.clone(),
        hook: attachment.hook.name(),
        mode: attachment.mode.name(),
    }
}
