use proptest::prelude::*;

use super::*;
use crate::bird::Replies;

/// By BIRD 2.0.12 and, with the other name of the attribute, by BIRD 3.
const ANSWER: &str = "\
1007-Table master4:
 192.0.2.0/24         blackhole [lapwing_kernel4 21:06:29.525] * (500)
1008-\tType: inherit univ
1012-\tKernel.source: 202
 \tKernel.metric: 32
1007-                     unicast [up4 2026-11-22 from 198.19.1.1] (100) [AS64500i]
 \tvia 198.19.1.1 on eth0
1008-\tType: BGP univ
1012-\tBGP.origin: IGP
1007-2001:db8:a::/48      blackhole [static1 21:06:29.525] * (200)
1008-\tType: static univ
0000 
";

fn read(answer: &str) -> Vec<Route> {
    let mut replies = Replies::default();
    replies.push(answer.as_bytes());
    read_routes(&replies.next_reply().unwrap().unwrap().lines)
}

fn route(prefix: &str, origin: &str, kernel_source: Option<u8>) -> Route {
    Route {
        prefix: prefix.parse().unwrap(),
        origin: Name::new(origin).unwrap(),
        kernel_source,
    }
}

#[test]
fn routes_are_read_with_their_origin() {
    let expected = [
        route("192.0.2.0/24", "lapwing_kernel4", Some(202)),
        route("192.0.2.0/24", "up4", None),
        route("2001:db8:a::/48", "static1", None),
    ];
    assert_eq!(read(ANSWER), expected);
    let by_bird3 = ANSWER.replace("Kernel.source", "krt_source");
    assert_eq!(read(&by_bird3), expected);
}

#[test]
fn an_attribute_of_a_row_that_is_not_understood_is_nobodys() {
    let strange = ANSWER.replace(
        "                     unicast [up4 2026-11-22 from 198.19.1.1] (100) [AS64500i]\n",
        "strange\n1012-\tKernel.source: 9\n",
    );
    assert_eq!(
        read(&strange)[0],
        route("192.0.2.0/24", "lapwing_kernel4", Some(202))
    );
}

#[test]
fn questions_name_what_they_want() {
    let prefix: IpNet = "2001:db8:a::/48".parse().unwrap();
    let table = Name::new("master6").unwrap();
    let protocol = Name::new("up6").unwrap();
    let selection = Selection {
        lookup: Lookup::Exact(prefix),
        table: &table,
        protocol: None,
        export: Some(&protocol),
    };
    assert_eq!(
        selection.to_string(),
        "show route 2001:db8:a::/48 table 'master6' export 'up6' all"
    );
    let selection = Selection {
        lookup: Lookup::Longest(prefix),
        protocol: Some(&protocol),
        export: None,
        ..selection
    };
    assert_eq!(
        selection.to_string(),
        "show route for 2001:db8:a::/48 table 'master6' protocol 'up6' all"
    );
}

proptest! {
    #[test]
    fn no_lines_make_it_panic(
        lines in prop::collection::vec(
            (prop::sample::select(vec![1007, 1008, 1012, 0]), "[ -~\t]{0,40}"), 0..20),
    ) {
        let lines: Vec<Line> = lines.into_iter().map(|(code, text)| Line { code, text }).collect();
        read_routes(&lines);
    }
}
