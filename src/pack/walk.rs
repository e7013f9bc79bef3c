//! Walks over a deflate stream (RFC 1951) to find where its last block begins and where it ends, without unpacking it.
//!
//! Only lengths matter, so one look into the table may pass several literals and the length that follows them.

/// Bytes that must follow the stream: words are loaded whole.
pub(super) const WORD: usize = 8;

/// Longest code of RFC 1951.
const LONGEST: usize = 15;
/// Index bits of the tables: a table must be quick to build, since blocks are short, and small enough for the first cache.
const LITERAL_WIDTH: u32 = 11;
const DISTANCE_WIDTH: u32 = 9;

/// What follows the symbols that a table entry passes.
const MORE: u16 = 0;
const DISTANCE: u16 = 1;
const END: u16 = 2;
/// The code is longer than the table is wide, or none.
const LONG: u16 = 3;

/// Bit positions in a deflate stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// The header of the last block: its first bit says that it is the last.
    pub(super) last: usize,
    /// The first bit behind the stream.
    pub(super) end: usize,
}

/// The tables of the block that is walked over.
pub(super) struct Walker {
    literals: Table,
    distances: Table,
    single: Vec<Entry>,
}

/// An entry: bits 0-5 how many bits of the stream it passes, 6-9 how many of them are codes, 10-11 what follows.
#[derive(Clone, Copy)]
struct Entry(u16);

impl Entry {
    fn new(passed: u32, codes: u32, next: u16) -> Entry {
        Entry(passed as u16 | (codes as u16) << 6 | next << 10)
    }

    fn passed(self) -> u32 {
        u32::from(self.0 & 63)
    }

    fn codes(self) -> u32 {
        u32::from(self.0 >> 6 & 15)
    }

    fn next(self) -> u16 {
        self.0 >> 10
    }
}

type Reason = &'static str;

impl Walker {
    pub(super) fn new() -> Walker {
        Walker {
            literals: Table::new(LITERAL_WIDTH),
            distances: Table::new(DISTANCE_WIDTH),
            single: Vec::new(),
        }
    }

    /// Walks over the stream at the beginning of `bytes`, which has [`WORD`] bytes more.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> Result<Walk, Reason> {
        let mut at = 0usize;
        loop {
            let last = at;
            let header = load(bytes, at)?;
            at += 3;
            match header >> 1 & 3 {
                0 => {
                    at = at.next_multiple_of(8);
                    let size = load(bytes, at)? & 0xffff;
                    at += 32 + 8 * size as usize;
                }
                1 => {
                    self.fixed()?;
                    at = self.codes(bytes, at)?;
                }
                2 => {
                    at = self.dynamic(bytes, at)?;
                    at = self.codes(bytes, at)?;
                }
                _ => return Err("a deflate block of no known type"),
            }
            if header & 1 == 1 {
                return Ok(Walk { last, end: at });
            }
        }
    }

    /// Passes the codes of a block, its end code included.
    fn codes(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, Reason> {
        loop {
            // 57 bits or more: enough for 15 + 5 of a length and 15 + 13 of a distance.
            let word = load(bytes, at)?;
            let entry = self.literals.look(word, literal)?;
            at += entry.passed() as usize;
            match entry.next() {
                MORE => {}
                DISTANCE => {
                    let word = word >> entry.passed();
                    at += self.distances.look(word, distance)?.passed() as usize;
                }
                _ => return Ok(at),
            }
        }
    }

    /// Takes the codes of RFC 1951, 3.2.6.
    fn fixed(&mut self) -> Result<(), Reason> {
        let mut lengths = [8u8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.tables(&lengths, &[5; 30])
    }

    /// Reads the codes of a block (RFC 1951, 3.2.7); returns where they end.
    fn dynamic(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, Reason> {
        const ORDER: [usize; 19] = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        let word = load(bytes, at)?;
        let literals = 257 + (word & 31) as usize;
        let distances = 1 + (word >> 5 & 31) as usize;
        let count = 4 + (word >> 10 & 15) as usize;
        at += 14;
        // 19 lengths of 3 bits are 57 bits: exactly what one load holds.
        let word = load(bytes, at)?;
        let mut lengths = [0u8; 19];
        for (place, symbol) in ORDER.iter().take(count).enumerate() {
            lengths[*symbol] = (word >> (3 * place) & 7) as u8;
        }
        at += 3 * count;
        let code = Code::new(&lengths)?;

        let mut lengths = [0u8; 288 + 32];
        let total = literals + distances;
        let mut done = 0;
        while done < total {
            let word = load(bytes, at)?;
            let (symbol, bits) = code.decode(word)?;
            let extra = word >> bits;
            let (value, times, more) = match symbol {
                16 if done == 0 => return Err("a deflate code repeats nothing"),
                16 => (lengths[done - 1], 3 + (extra & 3), 2),
                17 => (0, 3 + (extra & 7), 3),
                18 => (0, 11 + (extra & 127), 7),
                length => (length as u8, 1, 0),
            };
            at += (bits + more) as usize;
            let until = done + times as usize;
            let run = lengths.get_mut(done..until).filter(|_| until <= total);
            run.ok_or("a deflate code has too many lengths")?
                .fill(value);
            done = until;
        }
        let (literals, rest) = lengths[..total].split_at(literals);
        self.tables(literals, rest)?;
        Ok(at)
    }

    fn tables(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), Reason> {
        self.literals.build(literals, literal)?;
        self.distances.build(distances, distance)?;
        self.combine();
        Ok(())
    }

    /// Lets the entries of literals pass, too, what is known to follow.
    fn combine(&mut self) {
        let entries = &mut self.literals.entries;
        self.single.clone_from(entries);
        for index in 0..entries.len() {
            let first = self.single[index];
            if first.next() != MORE {
                continue;
            }
            // The bits behind the first code; above them the index knows nothing and has zeros.
            let rest = index >> first.codes();
            let known = LITERAL_WIDTH - first.codes();
            // Smaller indexes are combined already.
            let follower = [entries[rest], self.single[rest]]
                .into_iter()
                .find(|entry| entry.next() != LONG && entry.codes() <= known);
            if let Some(follower) = follower {
                entries[index] = Entry::new(
                    first.passed() + follower.passed(),
                    first.codes() + follower.codes(),
                    follower.next(),
                );
            }
        }
    }
}

/// Returns the extra bits of a literal or length, and what follows it (RFC 1951, 3.2.5).
fn literal(symbol: u16) -> Result<(u32, u16), Reason> {
    match symbol {
        0..256 => Ok((0, MORE)),
        256 => Ok((0, END)),
        257..265 | 285 => Ok((0, DISTANCE)),
        265..285 => Ok((u32::from(symbol - 261) / 4, DISTANCE)),
        _ => Err("a deflate length of no meaning"),
    }
}

/// Returns the extra bits of a distance, and what follows it.
fn distance(symbol: u16) -> Result<(u32, u16), Reason> {
    match symbol {
        0..4 => Ok((0, MORE)),
        4..30 => Ok((u32::from(symbol - 2) / 2, MORE)),
        _ => Err("a deflate distance of no meaning"),
    }
}

/// Loads at least 57 bits from a bit position on.
#[inline(always)]
fn load(bytes: &[u8], at: usize) -> Result<u64, Reason> {
    let word = bytes.get(at / 8..).and_then(|rest| rest.first_chunk());
    match word {
        Some(word) => Ok(u64::from_le_bytes(*word) >> (at % 8)),
        None => Err("a deflate stream without an end"),
    }
}

/// A Huffman code: how many codes there are of each length, and the symbols in the order of their codes.
struct Code {
    counts: [u16; LONGEST + 1],
    symbols: [u16; 288],
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Code, Reason> {
        let mut counts = [0u16; LONGEST + 1];
        for length in lengths {
            counts[usize::from(*length)] += 1;
        }
        counts[0] = 0;
        let mut starts = [0u16; LONGEST + 2];
        let mut free = 1i32;
        for length in 1..=LONGEST {
            free = 2 * free - i32::from(counts[length]);
            if free < 0 {
                return Err("a deflate code has too many codes of one length");
            }
            starts[length + 1] = starts[length] + counts[length];
        }
        let mut symbols = [0u16; 288];
        for (symbol, length) in lengths
            .iter()
            .enumerate()
            .filter(|(_, length)| **length > 0)
        {
            let place = &mut starts[usize::from(*length)];
            symbols[usize::from(*place)] = symbol as u16;
            *place += 1;
        }
        Ok(Code { counts, symbols })
    }

    /// Returns the symbol that the word begins with, and the length of its code.
    fn decode(&self, word: u64) -> Result<(u16, u32), Reason> {
        let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
        for length in 1..=LONGEST {
            code = code << 1 | (word >> (length - 1) & 1) as u32;
            let count = u32::from(self.counts[length]);
            if code < first + count {
                let symbol = self.symbols[(index + code - first) as usize];
                return Ok((symbol, length as u32));
            }
            index += count;
            first = (first + count) << 1;
        }
        Err("a deflate code of no symbol")
    }
}

/// A Huffman code with a table over its first bits.
struct Table {
    code: Code,
    width: u32,
    entries: Vec<Entry>,
}

type Meaning = fn(u16) -> Result<(u32, u16), Reason>;

impl Table {
    fn new(width: u32) -> Table {
        Table {
            code: Code {
                counts: [0; LONGEST + 1],
                symbols: [0; 288],
            },
            width,
            entries: vec![Entry::new(0, 0, LONG); 1 << width],
        }
    }

    fn build(&mut self, lengths: &[u8], meaning: Meaning) -> Result<(), Reason> {
        self.code = Code::new(lengths)?;
        self.entries.fill(Entry::new(0, 0, LONG));
        let (mut code, mut index) = (0u16, 0usize);
        for length in 1..=self.width {
            for _ in 0..self.code.counts[length as usize] {
                // A symbol of no meaning may have a code, but may not occur.
                if let Ok((extra, next)) = meaning(self.code.symbols[index]) {
                    let start = usize::from(code.reverse_bits() >> (16 - length));
                    let places = self.entries.iter_mut().skip(start).step_by(1 << length);
                    places.for_each(|place| *place = Entry::new(length + extra, length, next));
                }
                index += 1;
                code += 1;
            }
            code <<= 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn look(&self, word: u64, meaning: Meaning) -> Result<Entry, Reason> {
        let entry = self.entries[word as usize & (self.entries.len() - 1)];
        if entry.next() != LONG {
            return Ok(entry);
        }
        let (symbol, length) = self.code.decode(word)?;
        let (extra, next) = meaning(symbol)?;
        Ok(Entry::new(length + extra, length, next))
    }
}
