//! The exec probe: a program of the operator's; exit code 0 passes.
//!
//! It runs in a process group of its own, of which nothing outlives the timeout. Its
//! input is empty, its environment names the service and nothing of ours (a socket of
//! systemd's, a credential), and of its output the last line is kept for people.

use std::{
    io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use probe_common::service::ANY_PORT;
use probe_core::{config::Service, input::ProbeFailure};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    runtime::Handle,
};

use super::words;

/// The program finds others here.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// So much output is read; then the program has to wait, and will be too late.
const OUTPUT_LIMIT: usize = 1024 * 1024;
/// So much of its end is kept.
const KEPT: usize = 1024;
/// What fits into a pipe.
const PIPE: usize = 64 * 1024;
/// So many processes that were killed and do not end are too many: they wait for a
/// file system or a device that hangs, and more of them would not end either.
const DYING_LIMIT: u32 = 32;

/// Processes that were killed and have not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Dying(Arc<AtomicU32>);

pub(super) async fn ask(
    command: &[String],
    service: &Service,
    dying: &Dying,
) -> Result<(), ProbeFailure> {
    let [program, ..] = command else {
        return Err(ProbeFailure::Other("no program to run".to_owned()));
    };
    if dying.0.load(Ordering::Relaxed) >= DYING_LIMIT {
        return Err(ProbeFailure::Other(format!(
            "{DYING_LIMIT} programs of exec probes were killed and hang in the kernel"
        )));
    }
    let failed = |error: io::Error| {
        ProbeFailure::Other(words::line(&format!("cannot run {program}: {error}")))
    };
    // Both output streams in one, so that their order stays.
    let (reader, writer) = io::pipe().map_err(failed)?;
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
    let mut prepared = prepare(command, service, writer).map_err(failed)?;
    let (runtime, dying) = (Handle::current(), dying.clone());
    // The program may lie on a file system that hangs, and so would we. If we are gone
    // when it starts, the result is dropped, and that kills it.
    let started = tokio::task::spawn_blocking(move || {
        prepared.spawn().map(|leader| Group {
            leader: Some(leader),
            runtime,
            dying,
        })
    });
    let mut group = started
        .await
        .map_err(|error| failed(io::Error::other(error)))?
        .map_err(failed)?;
    let mut said = Said::default();
    let status = said.until_end(&mut group, &output).await.map_err(failed)?;
    judge(status, &said)
}

/// The pipe's end that the program writes to goes with the command.
fn prepare(command: &[String], service: &Service, writer: io::PipeWriter) -> io::Result<Command> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let port = match service.endpoint.port {
        ANY_PORT => "any".to_owned(),
        port => port.to_string(),
    };
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LAPWING_SERVICE", &service.name)
        .env("LAPWING_ADDRESS", service.endpoint.address.to_string())
        .env("LAPWING_PORT", port)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    Ok(prepared)
}

fn judge(status: ExitStatus, said: &Said) -> Result<(), ProbeFailure> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(ProbeFailure::Exit {
            code,
            said: said.last_line(),
        }),
        (None, signal) => Err(ProbeFailure::Killed {
            signal: signal.unwrap_or_default(),
            said: said.last_line(),
        }),
    }
}

/// A process and all that it started. Killed if it is dropped before its end.
struct Group {
    /// There until it is dropped.
    leader: Option<Child>,
    runtime: Handle,
    dying: Dying,
}

impl Group {
    async fn end(&mut self) -> io::Result<ExitStatus> {
        match &mut self.leader {
            Some(leader) => leader.wait().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut leader) = self.leader.take() else {
            return;
        };
        // Without a number it has ended and was waited for. With one, the number is
        // still its own, even if it has ended this moment.
        let Some(number) = leader.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        if let Err(errno) = killpg(Pid::from_raw(number), Signal::SIGKILL) {
            tracing::warn!("cannot kill the process group {number} of an exec probe: {errno}");
        }
        let dying = self.dying.clone();
        dying.0.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            if let Err(error) = leader.wait().await {
                tracing::warn!("cannot wait for process {number} of an exec probe: {error}");
            }
            dying.0.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// The end of what a program said.
#[derive(Debug, Default)]
struct Said {
    read: usize,
    end: Vec<u8>,
}

impl Said {
    /// Listens until the program ends, though others may still hold its output.
    async fn until_end(
        &mut self,
        group: &mut Group,
        output: &pipe::Receiver,
    ) -> io::Result<ExitStatus> {
        let mut is_open = true;
        let status = loop {
            tokio::select! {
                status = group.end() => break status?,
                ready = output.readable(), if is_open && self.read < OUTPUT_LIMIT => {
                    ready?;
                    is_open = !matches!(self.take(output), Ok(0));
                }
            }
        };
        let before = self.read;
        while self.read < before + PIPE && matches!(self.take(output), Ok(1..)) {}
        Ok(status)
    }

    /// Takes what is there now; nothing at the end.
    fn take(&mut self, output: &pipe::Receiver) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let length = output.try_read(&mut bytes)?;
        self.read += length;
        self.end.extend_from_slice(&bytes[..length]);
        let excess = self.end.len().saturating_sub(KEPT);
        self.end.drain(..excess);
        Ok(length)
    }

    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.end);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        words::line(last.unwrap_or_default().trim())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use probe_core::config::ProbeKind;

    use super::*;
    use crate::probe::{Prober, loopback};

    /// Of programs that end.
    const TIMEOUT: Duration = Duration::from_secs(2);
    /// Of programs that do not.
    const SHORT: Duration = Duration::from_millis(500);

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn run(command: Vec<String>, timeout: Duration) -> (Duration, Result<(), ProbeFailure>) {
        let mut service = loopback::service(ProbeKind::Exec { command });
        service.probe.timeout = timeout;
        Prober::new(&[]).unwrap().run(&service).await
    }

    fn exit(code: i32, said: &str) -> Result<(), ProbeFailure> {
        Err(ProbeFailure::Exit {
            code,
            said: said.to_owned(),
        })
    }

    #[tokio::test]
    async fn the_exit_code_decides_and_the_last_line_is_kept() {
        for (script, expected) in [
            ("exit 0", Ok(())),
            ("echo fine; exit 0", Ok(())),
            ("exit 3", exit(3, "")),
            ("echo first; echo last; echo; exit 1", exit(1, "last")),
            ("echo out; echo error >&2; exit 2", exit(2, "error")),
            ("printf 'no \\033[1mend'; exit 1", exit(1, "no  [1mend")),
            ("printf '\\377\\n'; exit 1", exit(1, "\u{fffd}")),
            (
                "kill -TERM $$",
                Err(ProbeFailure::Killed {
                    signal: 15,
                    said: String::new(),
                }),
            ),
            // More than a pipe holds.
            (
                "head -c 200000 /dev/zero; echo; echo end; exit 1",
                exit(1, "end"),
            ),
            // The input is empty, so this ends.
            ("cat; exit 4", exit(4, "")),
        ] {
            assert_eq!(run(shell(script), TIMEOUT).await.1, expected, "{script}");
        }
    }

    #[tokio::test]
    async fn the_environment_names_the_service_and_nothing_else() {
        let expected = "LAPWING_ADDRESS=2001:db8::10 LAPWING_PORT=443 LAPWING_SERVICE=web PATH=";
        let script =
            "echo $(/usr/bin/env | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL= | sort); exit 1";
        match run(shell(script), TIMEOUT).await.1 {
            Err(ProbeFailure::Exit { said, .. }) => {
                assert!(said.starts_with(expected), "{said}");
                assert_eq!(said, format!("{expected}{PATH}"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_run_is_told_in_words() {
        let (_, outcome) = run(vec!["/nonexistent/check".to_owned()], TIMEOUT).await;
        let words = outcome.unwrap_err().to_string();
        assert!(
            words.starts_with("cannot run /nonexistent/check: No such file"),
            "{words}"
        );
    }

    fn exists(process: &str) -> bool {
        Path::new("/proc").join(process).exists()
    }

    #[tokio::test]
    async fn nothing_of_it_outlives_the_timeout() {
        let directory = tempfile::tempdir().unwrap();
        let numbers = directory.path().join("numbers");
        let script = format!(
            "sleep 1000 & echo $! >>{0}; (trap '' TERM; sleep 1000) & echo $! >>{0}; echo $$ >>{0}; wait",
            numbers.display()
        );
        let (_, outcome) = run(shell(&script), SHORT).await;
        assert_eq!(outcome, Err(ProbeFailure::Timeout));
        let numbers = fs::read_to_string(numbers).unwrap();
        let processes: Vec<&str> = numbers.lines().collect();
        assert_eq!(processes.len(), 3);
        // The leader must be gone altogether and not be a zombie of ours; the others
        // are waited for by init.
        let leader = processes[2];
        for _ in 0..100 {
            if !exists(leader) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!exists(leader));
        for process in &processes[..2] {
            let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            assert!(state.is_empty() || state.contains(") Z "), "{state}");
        }
    }

    #[tokio::test]
    async fn a_child_that_keeps_the_output_open_does_not_hold_the_end_up() {
        let script = shell("sleep 3 & echo over; exit 7");
        let (took, outcome) = run(script, TIMEOUT).await;
        assert_eq!(outcome, exit(7, "over"));
        assert!(took < TIMEOUT, "{took:?}");
    }

    #[tokio::test]
    async fn endless_output_ends_at_the_timeout() {
        let (_, outcome) = run(shell("exec yes"), SHORT).await;
        assert_eq!(outcome, Err(ProbeFailure::Timeout));
    }

    #[tokio::test]
    async fn no_more_is_started_while_too_many_do_not_end() {
        let dying = Dying::default();
        dying.0.store(DYING_LIMIT, Ordering::Relaxed);
        let command = vec!["/bin/true".to_owned()];
        let service = loopback::service(ProbeKind::Exec {
            command: command.clone(),
        });
        let failure = ask(&command, &service, &dying).await.unwrap_err();
        assert!(
            failure.to_string().contains("hang in the kernel"),
            "{failure}"
        );
    }
}
