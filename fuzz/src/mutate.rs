//! Inputs near those of a corpus: the same seed, the same input.

/// A sequence of numbers that its seed decides (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `n`, 0 where `n` is.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// What turns text of the formats that we read into other text of theirs.
const WORDS: [&[u8]; 24] = [
    b"null",
    b"-0",
    b"1e999",
    b"NaN",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[",
    b"{\"a\":",
    b"true",
    b"\\u0000",
    b"\xff",
    b"\xc3\x28",
    b"\xe2\x80\xae",
    b"\0\0\0\0",
    b"\n",
    b"---\n",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b": ",
    b"!!binary ",
    b"18446744073709551616",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

/// The largest input that is made.
pub(crate) const BYTES_MAX: usize = 64 << 10;

/// Changes an input of the corpus at a few places, or mixes it with another.
pub fn mutate(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        change(&mut input, corpus, &mut random);
        input.truncate(BYTES_MAX);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let length = 1 + random.below(16).min(random.below(input.len() + 1));
    let part = at..(at + length).min(input.len());
    match random.below(10) {
        0 if !part.is_empty() => input[part.start] ^= 1 << random.below(8),
        1 if !part.is_empty() => input[part.start] = random.byte(),
        2 => drop(input.splice(part, std::iter::empty())),
        3 => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        4 => drop(input.splice(part, WORDS[random.below(WORDS.len())].iter().copied())),
        // The same again, often enough to meet a limit.
        5 => {
            let times = 1 << random.below(10);
            let again = input[part].repeat(times);
            input.splice(at..at, again);
        }
        6 => input.truncate(at),
        7 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        8 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let piece = other[from..].iter().take(1 + random.below(64)).copied();
            input.splice(at..at, piece);
        }
        _ => {
            for byte in &mut input[part] {
                *byte = random.byte();
            }
        }
    }
}
