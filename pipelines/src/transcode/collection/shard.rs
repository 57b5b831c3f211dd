//! Which share of the clips is this process's, where several share the work.

/// Share `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

/// `I/N`, I from 1 to N.
pub fn parse(text: &str) -> Result<Shard, String> {
    let wrong = || format!("expected I/N with I from 1 to N, not {text}");
    let (index, count) = text.split_once('/').ok_or_else(wrong)?;
    let (index, count): (usize, usize) = (
        index.parse().map_err(|_| wrong())?,
        count.parse().map_err(|_| wrong())?,
    );
    match (1..=count).contains(&index) {
        true => Ok(Shard {
            index: index - 1,
            count,
        }),
        false => Err(wrong()),
    }
}

impl Shard {
    /// Whether the clip at this place in the list is of this share.
    pub fn has(self, place: usize) -> bool {
        place % self.count == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        assert_eq!(parse("1/3"), Ok(Shard { index: 0, count: 3 }));
        for bad in ["0/3", "4/3", "3", "a/b", "1/0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let shares: Vec<_> = (1..=3).map(|n| parse(&format!("{n}/3")).unwrap()).collect();
        for place in 0..10 {
            assert_eq!(shares.iter().filter(|share| share.has(place)).count(), 1);
        }
    }
}
