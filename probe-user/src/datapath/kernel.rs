//! Whether the running kernel is too old. Asked only after it refused a program: some
//! vendors' old kernels have what Lapwing needs, and what they refuse tells nobody why.

use nix::sys::utsname::uname;

/// The first kernel with compare-exchange in eBPF.
pub const NEEDED: (u32, u32) = (5, 12);

/// The release of the running kernel, if it is older than what Lapwing needs.
pub fn too_old() -> Option<String> {
    let name = uname().ok()?;
    let release = name.release().to_str()?;
    (version(release)? < NEEDED).then(|| release.to_owned())
}

/// The first two numbers of a release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let cases = [
            ("5.10.0-46-cloud-amd64", Some((5, 10)), true),
            ("5.9.16", Some((5, 9)), true),
            ("5.12-rc1", Some((5, 12)), false),
            ("6.1.0-50-amd64", Some((6, 1)), false),
            ("7.3.4+deb13-cloud-amd64", Some((7, 3)), false),
            ("unknown", None, false),
        ];
        for (release, expected, old) in cases {
            let version = version(release);
            assert_eq!(version, expected, "{release}");
            assert_eq!(
                version.is_some_and(|version| version < NEEDED),
                old,
                "{release}"
            );
        }
    }
}
