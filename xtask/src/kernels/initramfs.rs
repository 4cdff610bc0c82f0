//! The guest's file system: its init, and the modules. In the kernel's own archive
//! format, cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst): a
//! header of hexadecimal numbers, the name, the content, each padded to four bytes.

use crate::kernels::image::Module;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// The archive.
pub fn archive(init: &[u8], modules: &[Module]) -> Vec<u8> {
    let mut archive = Writer::default();
    archive.entry("init", PROGRAM, init);
    archive.entry("modules", DIRECTORY, &[]);
    for module in modules {
        archive.entry(&format!("modules/{}", module.name), FILE, &module.content);
    }
    archive.end()
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    entries: u32,
}

impl Writer {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let fields = [
            u64::from(self.entries), // inode
            u64::from(mode),         // mode
            0,                       // owner
            0,                       // group
            1,                       // links
            0,                       // time
            content.len() as u64,    // size
            0,                       // device, major
            0,                       // and minor
            0,                       // the device it is, major
            0,                       // and minor
            name.len() as u64 + 1,   // name's size, with the end of the string
            0,                       // checksum, unused
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_has_the_layout_that_the_kernel_unpacks() {
        let modules = [Module {
            name: "00-veth.ko".to_owned(),
            content: b"\x7fELF.".to_vec(),
        }];
        let archive = archive(b"program", &modules);
        assert!(archive.len().is_multiple_of(4));
        let first = &archive[..128];
        assert_eq!(&first[..6], b"070701");
        assert_eq!(&first[14..22], b"000081ED", "mode");
        assert_eq!(&first[54..62], b"00000007", "size");
        assert_eq!(&first[94..102], b"00000005", "name's size");
        assert_eq!(&first[110..115], b"init\0");
        assert_eq!(&first[116..124], b"program\0", "content, padded");
        assert_eq!(&first[124..], b"0707", "the next header");
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains("modules/00-veth.ko\0"));
        assert!(text.contains("TRAILER!!!\0"));
    }
}
