//! What BIRD says about itself, asked over its control socket.
//!
//! ```text
//! question ─▶ Client (kept, restricted connection; back-off) ─▶ BIRD
//! bytes    ─▶ Replies (lines, codes; pure) ─▶ Reply ─▶ protocols, routes (pure)
//! ```
//!
//! Nothing here waits longer than it is told to, believes a length that BIRD has not
//! yet kept, or can change anything in BIRD, but for [`Connection::reload`].

mod client;
mod connection;
mod error;
mod name;
mod protocols;
mod reply;
mod routes;

pub use self::{
    client::Client,
    connection::{Access, Connection},
    error::{Error, Refusal},
    name::Name,
    protocols::{Channel, Family, Kind, Protocol, read_protocols},
    reply::{Garbled, LIMIT, Line, Replies, Reply},
    routes::{Lookup, Route, Selection, read_routes},
};
