//! Adversaries and accidents, live: real packets, real servers, a real upstream. Each
//! scenario ends with the route where it belongs.
//!
//! | file | what happens | the route |
//! |---|---|---|
//! | `floods` | spoofed SYNs, with and without an exhausted backlog | stays |
//! | `partial` | a tenth or a half of the connections fail | degraded, withdrawn |

mod abuse;
mod crowds;
mod dns;
mod floods;
mod https;
mod outages;
mod partial;
mod resets;
mod resolvers;
mod slow;
mod stage;
