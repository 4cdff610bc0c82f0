//! BIRD at the edges and at the upstream: configurations, start, and questions
//! over its control socket.
//!
//! The edges include the fragments that users get (`bird-config/`), so every test of
//! the lab tests them too.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::{
    netns::{Namespace, Process},
    topology::{Family, Site},
    wait_until,
};

const CONFIG: &str = "/run/lab/bird.conf";
/// The control socket of each node's BIRD, as seen there.
pub const SOCKET: &str = "/run/lab/bird.ctl";
/// Where an edge keeps what it hears of the other site.
pub const WITNESS_TABLE: u32 = 4243;
/// Session parameters that all routers of the lab share.
const SESSION: &str = "hold time 9; graceful restart aware; connect delay time 1; \
                       connect retry time 1; error wait time 1, 2;";

/// A running BIRD.
pub struct Bird {
    process: Process,
    socket: PathBuf,
}

impl Bird {
    /// Starts BIRD with a configuration and waits until it answers.
    pub fn start(node: &Namespace, config: &str) -> Result<Self> {
        node.write(CONFIG, config)?;
        let mut command = Command::new("bird");
        command.args(["-f", "-c", CONFIG, "-s", SOCKET, "-P", "/run/lab/bird.pid"]);
        let bird = Self {
            process: node.spawn("bird", command)?,
            socket: node.path(SOCKET),
        };
        wait_until(
            "BIRD answers on its control socket",
            Duration::from_secs(10),
            || {
                if let Some(status) = bird.process.exited()? {
                    bail!("BIRD ended ({status}): {}", bird.process.log_tail());
                }
                Ok(bird.ask("show status").is_ok())
            },
        )?;
        Ok(bird)
    }

    /// Sends one command and returns the answer's text without the codes.
    pub fn ask(&self, command: &str) -> Result<String> {
        let socket = UnixStream::connect(&self.socket).context("BIRD's control socket")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut answers = BufReader::new(socket);
        read_answer(&mut answers)?;
        writeln!(answers.get_mut(), "{command}")?;
        read_answer(&mut answers)
    }

    /// Waits until these protocols are established.
    pub fn wait_established(&self, protocols: &[&str]) -> Result<()> {
        for protocol in protocols {
            let what = format!("the BGP session {protocol} is established");
            wait_until(&what, Duration::from_secs(30), || {
                let shown = self.ask(&format!("show protocols {protocol}"))?;
                Ok(shown.contains("Established"))
            })?;
        }
        Ok(())
    }

    /// Whether this BIRD exports `prefix` in the session `protocol`: only so if its
    /// export filter accepts it and the session is up.
    pub fn exports(&self, table: &str, prefix: &str, protocol: &str) -> Result<bool> {
        match self.ask(&format!(
            "show route for {prefix} table {table} export {protocol}"
        )) {
            Ok(shown) => Ok(shown.contains(prefix)),
            // 8001: the network is not in the table.
            Err(error) if error.to_string().contains("8001") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many routes these tables hold together.
    pub fn routes_in(&self, tables: [&str; 2]) -> Result<usize> {
        let mut count = 0;
        for table in tables {
            let shown = self.ask(&format!("show route table {table} count"))?;
            count += counted(&shown).with_context(|| format!("a count in {shown:?}"))?;
        }
        Ok(count)
    }

    /// Stops it from doing anything, for a while.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Kills it without a farewell to its peers.
    pub fn kill(&self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)
    }

    /// Stops it where it is, as a hang would.
    pub fn hang(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Ends [`hang`](Self::hang).
    pub fn go_on(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Has it take another configuration.
    pub fn configure(&self, node: &Namespace, config: &str) -> Result<()> {
        node.write(CONFIG, config)?;
        self.ask("configure").map(drop)
    }
}

/// The first number of `3 of 4 routes for 4 networks in table x`.
fn counted(shown: &str) -> Option<usize> {
    let line = shown.lines().find(|line| line.contains(" of "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// One answer: lines `NNNN-text` or ` text` go on, `NNNN text` ends it.
fn read_answer(answers: &mut BufReader<UnixStream>) -> Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line)? == 0 {
            bail!("BIRD closed its control socket");
        }
        let line = line.trim_end();
        let Some((code, rest)) = line
            .split_at_checked(4)
            .filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            writeln!(text, "{line}")?;
            continue;
        };
        if code.starts_with(['8', '9']) {
            bail!("BIRD: {code} {}", rest.trim());
        }
        writeln!(text, "{}", rest.get(1..).unwrap_or_default())?;
        if rest.is_empty() || rest.starts_with(' ') {
            return Ok(text);
        }
    }
}

/// The name of the upstream's session with a site.
pub fn session(site: Site, family: Family) -> String {
    match family {
        Family::V4 => format!("{site}_4"),
        Family::V6 => format!("{site}_6"),
    }
}

/// The directory of the fragments that users get.
pub fn fragments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bird-config")
}

/// How an edge uses the fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sessions straight from Lapwing's tables. Degraded by prepending and the
    /// community.
    Standalone,
    /// By way of `master4` and `master6`, which the kernel's main table gets, too.
    /// Degraded by the MED.
    Master,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Standalone, Self::Master];

    /// The table from which the sessions of a family export.
    pub fn table(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Standalone, Family::V4) => "lapwing4",
            (Self::Standalone, Family::V6) => "lapwing6",
            (Self::Master, Family::V4) => "master4",
            (Self::Master, Family::V6) => "master6",
        }
    }

    /// What the fragments want defined about a degraded prefix.
    fn degraded(self) -> &'static str {
        match self {
            Self::Standalone => {
                "define LAPWING_DEGRADED_PREPEND = 2;\n\
                 define LAPWING_DEGRADED_MED = 0;\n\
                 define LAPWING_DEGRADED_SHUTDOWN = true;\n"
            }
            Self::Master => {
                "define LAPWING_DEGRADED_PREPEND = 0;\n\
                 define LAPWING_DEGRADED_MED = 500;\n\
                 define LAPWING_DEGRADED_SHUTDOWN = false;\n"
            }
        }
    }

    /// What is included, and what an edge of this form has besides.
    fn parts(self) -> String {
        let include = |name| format!("include \"{}\";\n", fragments().join(name).display());
        let common = include("lapwing.conf");
        match self {
            Self::Standalone => common,
            Self::Master => format!(
                "{common}{master}\
                 protocol kernel main4 {{ ipv4 {{ import none; export filter lapwing_keep_out; }}; }}\n\
                 protocol kernel main6 {{ ipv6 {{ import none; export filter lapwing_keep_out; }}; }}\n",
                master = include("lapwing-master.conf")
            ),
        }
    }
}

/// What every edge has: the users' fragments and their allow-list.
pub fn fragments_config(router_id: IpAddr, form: Form) -> String {
    format!(
        "log stderr all;\n\
         router id {router_id};\n\
         protocol device {{ }}\n\
         define LAPWING_PREFIXES_4 = [ {} ];\n\
         define LAPWING_PREFIXES_6 = [ {} ];\n\
         define LAPWING_AS = 64501;\n\
         {}{}",
        Family::V4.prefix(),
        Family::V6.prefix(),
        form.degraded(),
        form.parts(),
    )
}

/// An edge: the fragments, and one session per family.
pub fn edge_config(site: Site, form: Form) -> String {
    let mut config = vec![fragments_config(site.edge_address(Family::V4), form)];
    for (family, name, channel) in [(Family::V4, "up4", "ipv4"), (Family::V6, "up6", "ipv6")] {
        let (local, neighbor) = (site.edge_address(family), site.upstream_address(family));
        let table = form.table(family);
        config.push(format!(
            "protocol bgp {name} {{ local {local} as 64501; neighbor {neighbor} as 64500; {SESSION}\n  \
             {channel} {{ table {table}; import none; export filter lapwing_export; next hop self; }};\n}}\n"
        ));
    }
    config.concat()
}

/// What an edge needs to hear of the other site: a direct session with it, through the
/// upstream, into the kernel table [`WITNESS_TABLE`].
pub fn witness_config(site: Site) -> String {
    let other = site.other();
    let heard = Heard {
        number: other.number(),
        table: WITNESS_TABLE,
        sessions: Family::ALL.map(|family| {
            let (local, neighbor) = (site.edge_address(family), other.edge_address(family));
            (witness_session(family), local, neighbor)
        }),
    };
    witness_host_config(site.number()) + &heard.config()
}

/// What a host needs to be heard under this number (`bird-config/lapwing-witness.conf`).
pub fn witness_host_config(number: u8) -> String {
    format!(
        "define LAPWING_WITNESS_AS = 64501;\n\
         define LAPWING_WITNESS_HOST = {number};\n\
         include \"{}\";\n",
        fragments().join("lapwing-witness.conf").display(),
    )
}

/// Another host that is heard by sessions of its own.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its number.
    pub number: u8,
    /// The kernel table that holds what it says.
    pub table: u32,
    /// Of each family: name, own address, its address.
    pub sessions: [(&'static str, IpAddr, IpAddr); 2],
}

impl Heard {
    /// What belongs into the configuration of whoever hears it.
    pub fn config(&self) -> String {
        let Self {
            number,
            table,
            sessions,
        } = self;
        let of_family = |(digit, (name, local, neighbor)): (u8, (&str, IpAddr, IpAddr))| {
            format!(
                "ipv{digit} table lapwing_other{number}_{digit};\n\
                 protocol pipe {{ table lapwing{digit}; peer table lapwing_other{number}_{digit}; import none; export where lapwing_heard_from({number}); }}\n\
                 protocol kernel {{ kernel table {table}; ipv{digit} {{ table lapwing_other{number}_{digit}; import none; export all; }}; }}\n\
                 protocol bgp {name} from lapwing_witness {{ local {local} as 64501; neighbor {neighbor} as 64501;\n  \
                 ipv{digit} {{ table lapwing{digit}; import filter lapwing_witness_import; export filter lapwing_witness_export; next hop self; }};\n}}\n"
            )
        };
        [4, 6]
            .into_iter()
            .zip(*sessions)
            .map(of_family)
            .collect::<Vec<_>>()
            .concat()
    }
}

/// The name of an edge's session with the other site.
pub fn witness_session(family: Family) -> &'static str {
    match family {
        Family::V4 => "other_4",
        Family::V6 => "other_6",
    }
}

/// The upstream: takes the anycast prefixes from both sites, spreads over both. What lies
/// in the `others` it takes, too, and keeps to itself.
pub fn upstream_config(others: &[&str]) -> String {
    let is_other = others
        .iter()
        .map(|network| format!(" || net ~ {network}"))
        .collect::<Vec<_>>()
        .concat();
    let mut config = vec![format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ }}\n",
        Site::Fra1.upstream_address(Family::V4),
    )];
    for channel in ["ipv4", "ipv6"] {
        config.push(format!(
            "protocol kernel {{ merge paths on limit 8; {channel} {{ import none; export where !(false{is_other}); }}; }}\n"
        ));
    }
    for site in Site::ALL {
        for (family, channel) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
            let name = session(site, family);
            let (local, neighbor) = (site.upstream_address(family), site.edge_address(family));
            let prefix = family.prefix();
            config.push(format!(
                "protocol bgp {name} {{ local {local} as 64500; neighbor {neighbor} as 64501; {SESSION}\n  \
                 {channel} {{ import where net = {prefix}{is_other}; export none; }};\n}}\n"
            ));
        }
    }
    config.concat()
}
