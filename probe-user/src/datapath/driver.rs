//! What kind of link an interface is: by the name of its driver.

use std::{ffi::CString, os::fd::AsRawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `ETHTOOL_GDRVINFO` of include/uapi/linux/ethtool.h.
const GET_DRIVER_INFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware_version: [u8; 32],
    bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// `ETHTOOL_GFLAGS`.
const GET_FLAGS: u32 = 0x25;
/// `ETH_FLAG_LRO`.
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

nix::ioctl_readwrite_bad!(ethtool, libc::SIOCETHTOOL, libc::ifreq);

/// The name of the interface's driver; none if it has none that says so.
pub fn name(interface: &str) -> Option<String> {
    let mut info = DriverInfo {
        command: GET_DRIVER_INFO,
        driver: [0; 32],
        version: [0; 32],
        firmware_version: [0; 32],
        bus_info: [0; 32],
        erom_version: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    ask(interface, &mut info)?;
    let length = info.driver.iter().position(|byte| *byte == 0)?;
    String::from_utf8(info.driver[..length].to_vec()).ok()
}

/// Whether the interface merges received segments (LRO); none if it does not say.
pub fn merges_segments(interface: &str) -> Option<bool> {
    let mut value = Value {
        command: GET_FLAGS,
        data: 0,
    };
    ask(interface, &mut value)?;
    Some(value.data & FLAG_LRO != 0)
}

/// A structure that begins with the command that it is for.
trait Question {}
impl Question for DriverInfo {}
impl Question for Value {}

fn ask(interface: &str, question: &mut impl Question) -> Option<()> {
    let name = CString::new(interface).ok()?;
    let name = name.as_bytes_with_nul();
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .ok()?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: std::ptr::from_mut(question).cast(),
        },
    };
    if name.len() > request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: the request names an interface and points to the live structure of its
    // command, which is what the kernel writes to.
    unsafe { ethtool(socket.as_raw_fd(), &raw mut request) }.ok()?;
    Some(())
}

/// Whether native XDP is known not to disturb the link: others drop it for a moment
/// (ixgbe) or lose packets (mlx5), which may cost a BGP session.
pub fn is_quiet(driver: Option<&str>) -> bool {
    matches!(driver, Some("veth" | "virtio_net"))
}

/// Whether packets may come from this link without ever having had a full checksum.
pub fn is_virtual(interface: &str) -> bool {
    matches!(
        name(interface).as_deref(),
        Some("veth" | "virtio_net" | "tun" | "bridge")
    )
}
