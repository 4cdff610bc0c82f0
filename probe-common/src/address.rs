//! Addresses as the tables hold them, and hashes over them that nobody outside can
//! aim at.

/// An IPv6 address, or an IPv4 address as IPv4-mapped IPv6 (RFC 4291 section
/// 2.5.5.2): two words, the most significant first, each as a number.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub [u64; 2]);

/// What stands above an IPv4 address in the lower word.
const MAPPED: u64 = 0xffff_0000_0000;
/// 2^64 divided by the golden ratio, odd: spreads neighbouring values (Knuth, The
/// Art of Computer Programming, volume 3, section 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Verified handshakes are counted by so many hash buckets of client networks.
pub const NETWORK_BUCKETS: usize = 64;

impl Address {
    /// From an IPv4 address in wire order.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self([0, MAPPED | u32::from_be(word) as u64])
    }

    /// From the words of an IPv6 address in wire order.
    #[inline(always)]
    pub const fn v6(words: [u64; 2]) -> Self {
        Self([u64::from_be(words[0]), u64::from_be(words[1])])
    }

    /// From the bytes of an IPv6 (or IPv4-mapped) address.
    pub fn from_octets(octets: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(octets);
        Self([(number >> 64) as u64, number as u64])
    }

    /// The bytes of the IPv6 (or IPv4-mapped) address.
    pub fn octets(&self) -> [u8; 16] {
        (u128::from(self.0[0]) << 64 | u128::from(self.0[1])).to_be_bytes()
    }

    /// Whether it is an IPv4-mapped address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.0[0] == 0 && self.0[1] >> 32 == MAPPED >> 32
    }

    /// All bits if it is an IPv4-mapped address, else none.
    ///
    /// Reckoned rather than branched on: the verifier would follow both ways on their own.
    #[inline(always)]
    pub const fn v4_mask(&self) -> u64 {
        let other = self.0[0] | (self.0[1] >> 32 ^ MAPPED >> 32);
        let is_other = (other | other.wrapping_neg()) >> 63;
        is_other.wrapping_sub(1)
    }

    /// The sum of the words that belong to the pseudo-header of a checksum, as
    /// numbers.
    #[inline(always)]
    pub fn sum(&self) -> u64 {
        if self.is_v4() {
            self.0[1] & 0xffff_ffff
        } else {
            (self.0[0] >> 32)
                + (self.0[0] & 0xffff_ffff)
                + (self.0[1] >> 32)
                + (self.0[1] & 0xffff_ffff)
        }
    }

    /// Whether it is a loopback address.
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        if self.is_v4() {
            self.0[1] >> 24 & 0xff == 127
        } else {
            self.0[0] == 0 && self.0[1] == 1
        }
    }

    /// Whether a packet may come from there: not "this network" (RFC 1122 section
    /// 3.2.1.3), unspecified, multicast or broadcast.
    #[inline(always)]
    pub const fn is_source(&self) -> bool {
        if self.is_v4() {
            let first = self.0[1] >> 24 & 0xff;
            first != 0 && first & 0xf0 != 0xe0 && self.0[1] as u32 != u32::MAX
        } else {
            self.0[0] >> 56 != 0xff && self.0[0] | self.0[1] != 0
        }
    }

    /// The bucket of the address's network: /24 of IPv4, /48 of IPv6.
    #[inline(always)]
    pub fn network_bucket(&self) -> usize {
        let network = if self.is_v4() {
            self.0[1] >> 8
        } else {
            self.0[0] >> 16
        };
        (network.wrapping_mul(MULTIPLIER) >> 58) as usize & (NETWORK_BUCKETS - 1)
    }
}

/// Three secret odd numbers: the key of a multilinear hash, whose upper bits collide
/// for two given inputs no more often than by chance (Dietzfelbinger et al., A
/// Reliable Randomized Algorithm for the Closest-Pair Problem, section 2). Three
/// multiplications that do not wait for each other.
///
/// That alone keeps the distances between inputs: ports one after another would
/// crowd together in a few places with many a key (see [`mixed`]).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKey(pub [u64; 3]);

impl HashKey {
    /// Derives a key from a random word (the finaliser of `SplitMix64`, Steele et
    /// al., Fast Splittable Pseudorandom Number Generators).
    pub fn from_random(word: u64) -> Self {
        let derive = |index: u64| {
            let mut z = word.wrapping_add(MULTIPLIER.wrapping_mul(index));
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) | 1
        };
        Self([derive(1), derive(2), derive(3)])
    }

    /// The multilinear hash alone, for whoever can take another key if inputs crowd, or
    /// mixes it. Only the upper bits are good.
    #[inline(always)]
    pub fn sum(&self, address: &Address, word: u64) -> u64 {
        address.0[0]
            .wrapping_mul(self.0[0])
            .wrapping_add(address.0[1].wrapping_mul(self.0[1]))
            .wrapping_add(word.wrapping_mul(self.0[2]))
    }
}

/// A sum of multilinear hashes whose inputs' distances are not to show. Only the upper
/// bits are good.
#[inline(always)]
pub fn mixed(sum: u64) -> u64 {
    (sum ^ sum >> 32).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the key is: 1000 balls in 1024 bins fill 640 of them, give or take.
    #[test]
    fn connections_of_one_address_spread_over_the_tables() {
        let client = Address::v4(0x0a33_64c6);
        for word in 1..=200 {
            let key = HashKey::from_random(word);
            let mut places = [false; 1024];
            for port in 0..1000_u64 {
                let hash = mixed(key.sum(&client, 10_000 + 2 * port));
                places[(hash >> 44) as usize & 1023] = true;
            }
            let used = places.iter().filter(|used| **used).count();
            assert!(used > 580, "key {word}: {used} places");
        }
    }
}
