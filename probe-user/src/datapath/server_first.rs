//! Whether a service speaks first (SMTP, SSH): then its clients wait for its greeting,
//! and the trial `greet` makes sense.

/// So many first payloads make a judgement.
const PAYLOADS: u64 = 200;
/// From this part of first payloads on, the service speaks first.
const SPEAKS_FIRST: f64 = 0.95;
/// Below this part it does not.
const LISTENS_FIRST: f64 = 0.9;

/// Who speaks first at one service.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerFirst {
    speaks_first: bool,
    judged_client: u64,
    judged_server: u64,
}

impl ServerFirst {
    /// Takes the counters of connections in which the client, and in which the service
    /// spoke first; whether the service is one that speaks first.
    pub fn update(&mut self, client: u64, server: u64) -> bool {
        let (Some(new_client), Some(new_server)) = (
            client.checked_sub(self.judged_client),
            server.checked_sub(self.judged_server),
        ) else {
            // Other maps: begin anew.
            (self.judged_client, self.judged_server) = (client, server);
            return self.speaks_first;
        };
        let payloads = new_client + new_server;
        if payloads >= PAYLOADS {
            let part = new_server as f64 / payloads as f64;
            self.speaks_first =
                part >= SPEAKS_FIRST || (self.speaks_first && part >= LISTENS_FIRST);
            (self.judged_client, self.judged_server) = (client, server);
        }
        self.speaks_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_enough_payloads_and_a_clear_majority() {
        let mut service = ServerFirst::default();
        for (client, server, expected, why) in [
            (0, 199, false, "too few"),
            (0, 200, true, "all of them are the server's"),
            (16, 384, true, "92 % of 200: not clear enough to turn"),
            (36, 544, true, "too few since"),
            (46, 574, false, "86 % of 220"),
            (60, 760, false, "93 % of 200: not clear enough to turn back"),
            (60, 960, true, "all of 200"),
            (3, 5, true, "other maps"),
            (203, 5, false, "none of 200"),
        ] {
            assert_eq!(service.update(client, server), expected, "{why}");
        }
    }
}
