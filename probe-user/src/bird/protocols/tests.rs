use proptest::prelude::*;

use super::*;
use crate::bird::Replies;

/// By BIRD 2.0.12, shortened.
const ANSWER: &str = "\
2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     21:06:29.522  
1006-
1002-lapwing_kernel4 Kernel     lapwing4   up     21:06:29.522  
1006-  Channel ipv4
     State:          UP
     Table:          lapwing4
     Preference:     10
     Input filter:   (unnamed)
     Output filter:  REJECT
     Routes:         1 imported, 0 exported, 1 preferred
 
1002-lapwing_master4 Pipe       ---        up     21:06:29.522  master4 <=> lapwing4
1006-  Channel main
     Table:          master4
     Peer table:     lapwing4
     Import filter:  lapwing_to_master
     Export filter:  REJECT
 
1002-up4        BGP        ---        up     2026-11-22 10:00:01  Established   
1006-  BGP state:          Established
     Neighbor address: 198.19.1.1
     Neighbor AS:      64500
   Channel ipv4
     State:          UP
     Table:          master4
     Input filter:   REJECT
     Output filter:  lapwing_export
   Channel ipv6
     State:          UP
     Table:          master6
     Input filter:   ACCEPT
     Output filter:  REJECT
   Channel flow4
     Table:          flow4
 
1002-up6        BGP        ---        start  21:06:29.525  Active        Socket: Connection refused
1006-  BGP state:          Active
     Neighbor address: fe80::1%eth0
     Last error:       Socket: Connection refused
 
0000 
";

fn read(answer: &str) -> Vec<Protocol> {
    let mut replies = Replies::default();
    replies.push(answer.as_bytes());
    read_protocols(&replies.next_reply().unwrap().unwrap().lines)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn channel(family: Family, table: &str, imports: bool, exports: bool) -> Channel {
    Channel {
        family,
        table: name(table),
        imports,
        exports,
    }
}

#[test]
fn protocols_are_read_with_their_channels() {
    let [device, kernel, pipe, up4, up6] = read(ANSWER).try_into().unwrap();
    assert_eq!(device.kind, Kind::Other);
    assert_eq!(
        kernel,
        Protocol {
            name: name("lapwing_kernel4"),
            kind: Kind::Kernel,
            up: true,
            neighbor: None,
            last_error: None,
            channels: vec![channel(Family::V4, "lapwing4", true, false)],
        }
    );
    assert_eq!(pipe.channels, [], "two tables are no channel");
    assert_eq!(
        up4,
        Protocol {
            name: name("up4"),
            kind: Kind::Bgp,
            up: true,
            neighbor: Some("198.19.1.1".to_owned()),
            last_error: None,
            channels: vec![
                channel(Family::V4, "master4", false, true),
                channel(Family::V6, "master6", true, false),
            ],
        }
    );
    assert!(!up6.up);
    assert_eq!(up6.neighbor.as_deref(), Some("fe80::1%eth0"));
    assert_eq!(
        up6.last_error.as_deref(),
        Some("Socket: Connection refused")
    );
}

#[test]
fn a_session_that_is_not_established_is_down_though_its_protocol_is_up() {
    let answer = ANSWER.replace("BGP state:          Established", "BGP state:  Down");
    assert!(!read(&answer)[3].up);
}

proptest! {
    #[test]
    fn no_lines_make_it_panic(
        lines in prop::collection::vec(
            (prop::sample::select(vec![1002, 1006, 1007]), "[ -~\t]{0,40}"), 0..20),
    ) {
        let lines: Vec<Line> = lines.into_iter().map(|(code, text)| Line { code, text }).collect();
        read_protocols(&lines);
    }
}
