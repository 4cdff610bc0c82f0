use std::io::Write as _;

use super::{pcapng::Clock, *};

const SECOND: u64 = 1_000_000_000;

/// What was read: time, link type, data; and where it ended.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    packets: Vec<(Option<u64>, u16, Vec<u8>)>,
    damage: Option<Damage>,
    unreadable: u64,
}

fn read(bytes: &[u8]) -> Result<Contents, Error> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("room");
    let mut capture = Capture::open(file.path())?;
    let mut packets = Vec::new();
    while let Some(record) = capture.next_packet()? {
        packets.push((record.time_ns, record.link_type, record.data.to_vec()));
    }
    assert!(capture.next_packet()?.is_none(), "an end stays an end");
    Ok(Contents {
        packets,
        damage: capture.damage().cloned(),
        unreadable: capture.unreadable(),
    })
}

fn contents(bytes: &[u8]) -> Contents {
    read(bytes).expect("a capture")
}

impl Order {
    fn put(self, words: &[u32]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| match self {
                Self::Little => word.to_le_bytes(),
                Self::Big => word.to_be_bytes(),
            })
            .collect()
    }

    fn put_halves(self, halves: [u16; 2]) -> Vec<u8> {
        halves
            .iter()
            .flat_map(|half| match self {
                Self::Little => half.to_le_bytes(),
                Self::Big => half.to_be_bytes(),
            })
            .collect()
    }

    /// A block around a content, padded.
    fn block(self, kind: u32, content: &[u8]) -> Vec<u8> {
        let padding = vec![0; content.len().next_multiple_of(4) - content.len()];
        let length = u32::try_from(12 + content.len() + padding.len()).expect("short");
        [
            self.put(&[kind, length]),
            content.to_vec(),
            padding,
            self.put(&[length]),
        ]
        .concat()
    }

    fn section(self) -> Vec<u8> {
        let version = self.put_halves([1, 0]);
        let content = [self.put(&[0x1a2b_3c4d]), version, vec![0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &content)
    }

    /// An interface with options of one byte or eight.
    fn interface(self, link_type: u16, snap_length: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut content = self.put_halves([link_type, 0]);
        content.extend(self.put(&[snap_length]));
        for (code, value) in options {
            let length = u16::try_from(value.len()).expect("short");
            content.extend(self.put_halves([*code, length]));
            content.extend(*value);
            content.resize(content.len().next_multiple_of(4), 0);
        }
        content.extend(self.put_halves([0, 0]));
        self.block(1, &content)
    }

    fn enhanced(self, interface: u32, time: u64, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short");
        let high = u32::try_from(time >> 32).expect("32 bits");
        let low = u32::try_from(time & 0xffff_ffff).expect("32 bits");
        let head = self.put(&[interface, high, low, length, length]);
        self.block(6, &[head, data.to_vec()].concat())
    }
}

fn legacy(order: Order, magic: u32, link_type: u32) -> Vec<u8> {
    [
        order.put(&[magic]),
        order.put_halves([2, 4]),
        order.put(&[0, 0, 65_535, link_type]),
    ]
    .concat()
}

fn record(order: Order, seconds: u32, fraction: u32, data: &[u8], original: u32) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short");
    [
        order.put(&[seconds, fraction, length, original]),
        data.to_vec(),
    ]
    .concat()
}

#[test]
fn classic_files_are_read_in_both_byte_orders_and_units() {
    for (description, order, magic, unit) in [
        ("µs, little", Order::Little, 0xa1b2_c3d4, 1_000),
        ("µs, big", Order::Big, 0xa1b2_c3d4, 1_000),
        ("ns, little", Order::Little, 0xa1b2_3c4d, 1),
        ("ns, big", Order::Big, 0xa1b2_3c4d, 1),
    ] {
        let bytes = [
            legacy(order, magic, 1),
            record(order, 7, 5, &[1, 2, 3], 3),
            record(order, 8, 999, &[4; 96], 1500),
            record(order, 9, 0, &[], 60),
        ]
        .concat();
        let expected = vec![
            (Some(7 * SECOND + 5 * unit), 1, vec![1, 2, 3]),
            (Some(8 * SECOND + 999 * unit), 1, vec![4; 96]),
            (Some(9 * SECOND), 1, vec![]),
        ];
        let contents = contents(&bytes);
        assert_eq!(contents.packets, expected, "{description}");
        assert_eq!(contents.damage, None, "{description}");
    }
}

#[test]
fn link_type_has_no_part_in_its_upper_bits() {
    // A frame check sequence of four bytes, as some cards capture it.
    let bytes = legacy(Order::Little, 0xa1b2_c3d4, 0x4400_0071);
    let bytes = [bytes, record(Order::Little, 0, 0, &[9], 1)].concat();
    assert_eq!(contents(&bytes).packets, [(Some(0), 113, vec![9])]);
}

#[test]
fn records_of_the_variant_have_longer_headers() {
    let head = Order::Little.put(&[7, 5, 2, 2, 3, 0]);
    let bytes = [
        legacy(Order::Little, 0xa1b2_cd34, 1),
        head.clone(),
        vec![1, 2],
        head,
        vec![3, 4],
    ]
    .concat();
    let time = Some(7 * SECOND + 5_000);
    let expected = [(time, 1, vec![1, 2]), (time, 1, vec![3, 4])];
    assert_eq!(contents(&bytes).packets, expected);
}

#[test]
fn sections_have_their_own_byte_order_interfaces_and_clocks() {
    let (little, big) = (Order::Little, Order::Big);
    let bytes = [
        little.section(),
        little.interface(1, 0, &[]),
        little.interface(101, 0, &[(9, &[9]), (14, &5_i64.to_le_bytes())]),
        little.block(5, &[0; 12]), // statistics
        little.enhanced(1, 3 * SECOND + 1, &[1]),
        little.enhanced(0, 3_000_002, &[2, 2]),
        big.section(),
        big.interface(113, 0, &[(9, &[0x8a]), (14, &(-1_i64).to_be_bytes())]),
        big.enhanced(0, 2048 + 512, &[3; 5]),
    ]
    .concat();
    let expected = Contents {
        packets: vec![
            (Some(8 * SECOND + 1), 101, vec![1]),
            (Some(3 * SECOND + 2_000), 1, vec![2, 2]),
            (Some(SECOND + SECOND / 2), 113, vec![3; 5]),
        ],
        damage: None,
        unreadable: 0,
    };
    assert_eq!(contents(&bytes), expected);
}

#[test]
fn older_and_simpler_packet_blocks_are_read() {
    for order in [Order::Little, Order::Big] {
        let simple = |original: u32, data: &[u8]| {
            order.block(3, &[order.put(&[original]), data.to_vec()].concat())
        };
        let obsolete = {
            let mut content = order.put_halves([1, 0]);
            content.extend(order.put(&[0, 6_000_000, 3, 3]));
            content.extend([7; 3]);
            order.block(2, &content)
        };
        let bytes = [
            order.section(),
            order.interface(1, 4, &[]),
            order.interface(101, 0, &[]),
            simple(3, &[5; 3]),
            simple(1500, &[6; 4]),
            obsolete,
        ]
        .concat();
        let expected = [
            (None, 1, vec![5; 3]),
            (None, 1, vec![6; 4]),
            (Some(6 * SECOND), 101, vec![7; 3]),
        ];
        assert_eq!(contents(&bytes).packets, expected, "{order:?}");
    }
}

#[test]
fn blocks_that_contradict_themselves_are_counted_and_passed_over() {
    let order = Order::Little;
    let too_long = {
        let head = order.put(&[0, 0, 0, 500, 500]);
        order.block(6, &[head, vec![1; 8]].concat())
    };
    let bytes = [
        order.section(),
        order.interface(1, 0, &[]),
        too_long,
        order.enhanced(7, 0, &[1]), // no such interface
        order.block(6, &[0; 8]),    // too short for its fields
        order.enhanced(0, 1, &[2]),
    ]
    .concat();
    let contents = contents(&bytes);
    assert_eq!(contents.packets, [(Some(1_000), 1, vec![2])]);
    assert_eq!((contents.unreadable, contents.damage), (3, None));
}

#[test]
fn file_that_ends_within_a_record_says_where() {
    let order = Order::Little;
    let classic = [
        legacy(order, 0xa1b2_c3d4, 1),
        record(order, 0, 0, &[1; 10], 10),
        record(order, 0, 0, &[2; 10], 10),
    ]
    .concat();
    let sections = [
        order.section(),
        order.interface(1, 0, &[]),
        order.enhanced(0, 0, &[1; 10]),
        order.enhanced(0, 0, &[2; 10]),
    ]
    .concat();
    for (bytes, last) in [(classic, 26), (sections, 44)] {
        let offset = bytes.len() - last;
        for length in offset + 1..bytes.len() {
            let contents = contents(&bytes[..length]);
            assert_eq!(contents.packets.len(), 1, "{length} bytes");
            let damage = contents.damage.expect("damage");
            assert_eq!(damage.kind, DamageKind::Truncated);
            assert_eq!(damage.packet, 2);
            assert_eq!(damage.offset, offset as u64);
        }
        // Between two records it ends as any file does.
        assert_eq!(contents(&bytes[..offset]).damage, None);
    }
}

#[test]
fn record_that_cannot_be_right_ends_the_reading() {
    let order = Order::Big;
    let head = order.put(&[0, 0, 0x7fff_ffff, 60]);
    let classic = [
        legacy(order, 0xa1b2_c3d4, 1),
        record(order, 0, 0, &[1], 1),
        head,
        vec![0; 100],
    ]
    .concat();
    let short = order.put(&[6, 8, 0, 0]);
    let sections = [order.section(), short].concat();
    let mut other_end = order.enhanced(0, 0, &[1]);
    *other_end.last_mut().expect("a block") ^= 1;
    let trailer = [order.section(), order.interface(1, 0, &[]), other_end].concat();
    let nowhere = [order.section(), order.block(0x0a0d_0d0a, &[7; 16])].concat();
    for (bytes, packets) in [(classic, 1), (sections, 0), (trailer, 0), (nowhere, 0)] {
        let contents = contents(&bytes);
        assert_eq!(contents.packets.len(), packets);
        let damage = contents.damage.expect("damage");
        assert_eq!(damage.kind, DamageKind::Corrupt);
        assert_eq!(damage.packet, packets as u64 + 1);
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    for (bytes, says) in [
        (&b""[..], "an empty file"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gunzip"),
        (b"\x28\xb5\x2f\xfd....", "unzstd"),
        (b"# not a capture\n", "text"),
        (b"\x7fELF\x02\x01\x01\0\0", "ELF"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "within its header"),
        (b"\xde\xad\xbe\xef\0\0\0\0", "de ad be ef"),
        (&[0xa1, 0xb2, 0xcd, 0x34, 0, 2, 0, 4], "editcap"),
    ] {
        let error = read(bytes).expect_err(says).to_string();
        assert!(error.contains("is not a pcap or pcapng file"), "{error}");
        assert!(error.contains(says), "{says}: {error}");
    }
    let missing = Capture::open(Path::new("no/such/file.pcap")).err();
    assert!(matches!(missing, Some(Error::Unreadable { .. })));
}

#[test]
fn clocks_of_any_resolution_become_nanoseconds() {
    for (resolution, offset_seconds, timestamp, nanoseconds) in [
        (0, 0, 3, 3 * SECOND),
        (3, 0, 1_500, SECOND + SECOND / 2),
        (9, 0, 7, 7),
        (12, 0, 7_999, 7),
        (9, 10, 7, 10 * SECOND + 7),
        (9, -10, 7, 0),
        (0xa0, 0, 1 << 31, SECOND / 2),
        (0, i64::MAX, u64::MAX, u64::MAX),
        (0x7f, 0, 5, 0),
        (0xff, 0, 5, 0),
    ] {
        let clock = Clock {
            resolution,
            offset_seconds,
        };
        let found = clock.nanoseconds(timestamp);
        assert_eq!(found, nanoseconds, "{clock:?} at {timestamp}");
    }
}
