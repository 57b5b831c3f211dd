//! Random changes of inputs.

/// Inputs grow no longer.
pub const LONGEST: usize = 64 << 10;

/// Numbers at which sizes, counts and signs go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    7,
    8,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers from the same seed everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % (end.max(1) as u64)) as usize
    }

    /// One of several; none of none.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A range of at most `longest` within `length`.
    fn range(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let end = start + self.below(longest.min(length - start) + 1);
        start..end
    }
}

/// An input made of one of the pool's by a few changes. `words` are what inputs of this kind are made of.
pub fn mutated(random: &mut Random, pool: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = random.one(pool).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, pool, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    let length = bytes.len();
    match random.below(9) {
        // A bit, a byte.
        0 if length > 0 => bytes[random.below(length)] ^= 1 << random.below(8),
        1 if length > 0 => bytes[random.below(length)] = random.number() as u8,
        // A number of one to eight bytes, either end first.
        2 | 3 if length > 0 => number(random, bytes),
        // Cut off, or a piece taken out.
        4 => bytes.truncate(random.below(length + 1)),
        5 => _ = bytes.drain(random.range(length, 64)),
        // A piece once more, some times.
        6 => {
            let piece = bytes[random.range(length, 256)].to_vec();
            let at = random.below(length + 1);
            let most = 1 << random.below(8);
            let again = piece.repeat(1 + random.below(most));
            _ = bytes.splice(at..at, again.into_iter().take(LONGEST));
        }
        // A piece of another input.
        7 => {
            let other = random.one(pool).cloned().unwrap_or_default();
            let piece = other[random.range(other.len(), 512)].to_vec();
            let over = random.range(length, 64);
            _ = bytes.splice(over, piece);
        }
        // A word.
        _ => {
            let word = random.one(words).copied().unwrap_or("0");
            let most = 2 * random.below(8);
            let over = random.range(length, most);
            _ = bytes.splice(over, word.bytes());
        }
    }
}

fn number(random: &mut Random, bytes: &mut [u8]) {
    let edge = random.one(&EDGES).copied().unwrap_or_default();
    // Near to it, too.
    let value = edge.wrapping_add(random.below(3) as u64).wrapping_sub(1);
    let width = 1 << random.below(4);
    let at = random.below(bytes.len());
    let all = match random.below(2) {
        0 => value.to_le_bytes(),
        _ => (value << (64 - 8 * width)).to_be_bytes(),
    };
    for (to, from) in bytes[at..].iter_mut().zip(&all[..width]) {
        *to = *from;
    }
}
