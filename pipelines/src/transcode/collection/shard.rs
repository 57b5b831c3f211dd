//! Which share of the clips is this process's, where several share the work.

use anyhow::{Context, Result, ensure};

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

    /// What the environment says: Slurm's job arrays, Kubernetes's indexed jobs, GNU parallel. The latter two do not tell how many
    /// there are, which `count` does.
    pub fn from_environment(
        count: Option<usize>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let number = |name: &str| -> Result<Option<usize>> {
            variable(name)
                .map(|value| {
                    value
                        .parse()
                        .with_context(|| format!("{name} is {value}, no number"))
                })
                .transpose()
        };
        let found = if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let all = count.or(number("SLURM_ARRAY_TASK_COUNT")?);
            Some(((id.saturating_sub(first)) / step, all))
        } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            Some((index, count))
        } else {
            number("PARALLEL_SEQ")?.map(|sequence| (sequence.saturating_sub(1), count))
        };
        let Some((index, Some(count))) = found else {
            return Ok(None);
        };
        ensure!(
            index < count,
            "this is share {} of {count} (--shards)",
            index + 1
        );
        Ok(Some(Self { index, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: Option<usize>, variables: &[(&str, &str)]) -> Result<Option<Shard>> {
        Shard::from_environment(count, |name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

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

    #[test]
    fn schedulers_are_recognised() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "12"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(
            found(None, &slurm).unwrap(),
            Some(Shard { index: 2, count: 4 })
        );
        let kubernetes = [("JOB_COMPLETION_INDEX", "3")];
        assert_eq!(
            found(Some(4), &kubernetes).unwrap(),
            Some(Shard { index: 3, count: 4 })
        );
        assert_eq!(found(None, &kubernetes).unwrap(), None);
        assert!(found(Some(3), &kubernetes).is_err());
        assert_eq!(
            found(Some(4), &[("PARALLEL_SEQ", "1")]).unwrap(),
            Some(Shard { index: 0, count: 4 })
        );
        assert!(found(None, &[("SLURM_ARRAY_TASK_ID", "x")]).is_err());
        assert_eq!(found(Some(4), &[]).unwrap(), None);
    }
}
