//! The wheels that are fetched, each with its version and its SHA-256: the lines of wheels.txt.

const WHEELS: &str = include_str!("wheels.txt");

/// The requirements, one a line, as pip takes them.
fn all() -> impl Iterator<Item = &'static str> {
    WHEELS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn name(requirement: &str) -> &str {
    requirement.split("==").next().unwrap_or_default()
}

/// The requirement of one wheel; None where it is not pinned.
pub fn of(wheel: &str) -> Option<&'static str> {
    all().find(|requirement| name(requirement) == wheel)
}

/// Those of NVIDIA's libraries.
pub fn nvidia() -> Vec<&'static str> {
    all()
        .filter(|requirement| name(requirement).starts_with("nvidia-"))
        .collect()
}

/// What to call a requirement in a message: `torch==2.11.0`.
pub fn without_hash(requirement: &str) -> &str {
    requirement.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::TORCH_VERSION;

    #[test]
    fn every_wheel_has_a_version_and_a_hash() {
        for requirement in all() {
            let mut words = requirement.split(' ');
            let pinned = words.next().unwrap();
            assert!(
                pinned
                    .split_once("==")
                    .is_some_and(|(_, v)| !v.contains('*')),
                "{pinned}"
            );
            let hashes: Vec<_> = words.collect();
            assert!(!hashes.is_empty(), "{pinned} has no hash");
            for hash in hashes {
                let digits = hash.strip_prefix("--hash=sha256:").expect(hash);
                assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()));
            }
        }
    }

    #[test]
    fn torch_is_the_one_that_tch_is_made_for() {
        let torch = of("torch").unwrap();
        assert_eq!(without_hash(torch), format!("torch=={TORCH_VERSION}"));
        assert!(of("torchvision").is_none());
        assert!(nvidia().len() > 10 && !nvidia().contains(&torch));
    }
}
