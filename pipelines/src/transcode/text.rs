//! Subtitles as players of files read them.

/// The text of a subtitle in Pango's markup. `marked` keeps what Matroska's subtitles may have: italic, bold and underlined.
pub fn of_markup(markup: &str, marked: bool) -> String {
    let mut text = String::new();
    let mut rest = markup;
    while let Some(open) = rest.find('<') {
        text += &unescaped(&rest[..open]);
        let Some(length) = rest[open..].find('>') else {
            rest = &rest[open + 1..];
            continue;
        };
        let tag = &rest[open..=open + length];
        let simple = ["<i>", "</i>", "<b>", "</b>", "<u>", "</u>"];
        if marked && simple.contains(&tag) {
            text += tag;
        }
        rest = &rest[open + length + 1..];
    }
    text + &unescaped(rest)
}

fn unescaped(text: &str) -> String {
    let all = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
    ];
    let text = all
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        let markup = "<i>Tom &amp; Jerry</i> <span color=\"red\">&lt;3</span>&#39;s";
        assert_eq!(of_markup(markup, true), "<i>Tom & Jerry</i> <3's");
        assert_eq!(of_markup(markup, false), "Tom & Jerry <3's");
        assert_eq!(of_markup("plain", false), "plain");
    }
}
