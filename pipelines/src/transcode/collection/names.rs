//! What the name of a recording says, by a pattern such as `{clip}_{lens}.mp4`.

/// The cameras' names in patterns; the longest first, so that `UW` is not read as something that ends in `W`.
const LENSES: [(&str, usize); 7] = [
    ("ultrawide", 0),
    ("ultra-wide", 0),
    ("uw", 0),
    ("wide", 1),
    ("tele", 2),
    ("w", 1),
    ("t", 2),
];

/// The clip and lens in a name, if it follows the pattern.
pub fn read<'a>(pattern: &str, name: &'a str) -> Option<(&'a str, usize)> {
    let lower = name.to_ascii_lowercase();
    LENSES.iter().find_map(|(text, lens)| {
        let filled = pattern.to_ascii_lowercase().replace("{lens}", text);
        let (before, after) = filled.split_once("{clip}")?;
        let inside = lower.strip_prefix(before)?.strip_suffix(after)?;
        let clip = &name[before.len()..before.len() + inside.len()];
        (!clip.is_empty() && !clip.contains('/')).then_some((clip, *lens))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!(
            read("{clip}_{lens}.mp4", "beach_UW.mp4"),
            Some(("beach", 0))
        );
        assert_eq!(
            read("{clip}_{lens}.mp4", "be_ach_w.MP4"),
            Some(("be_ach", 1))
        );
        assert_eq!(read("{lens}-{clip}.mov", "Tele-7.mov"), Some(("7", 2)));
        assert_eq!(read("{clip}/{lens}.mov", "a/wide.mov"), Some(("a", 1)));
        assert_eq!(read("{clip}{lens}.mov", "aUW.mov"), Some(("a", 0)));
        assert_eq!(read("{clip}_{lens}.mp4", "beach_UW.mkv"), None);
        assert_eq!(read("{clip}_{lens}.mp4", "_UW.mp4"), None);
    }
}
