//! The lab in which Lapwing is proven: a small internet of network namespaces with
//! real routers, real servers and real clients, and a capture on the upstream's
//! own link that says when the BGP UPDATE arrived.
//!
//! What flows in: the path of a `lapwing` binary and the faults that a test
//! injects. What flows out: events with monotonic time (BGP, kernel routes,
//! journal records, client results), which tests assert on and the demo prints.

pub mod bench;
pub mod captures;
pub mod cost;
pub mod dashboards;
pub mod demo;
pub mod lab;
pub mod manual;
pub mod many;
pub mod outcome;
pub mod package;
pub mod packets;
pub mod soak;
pub mod tshark;
