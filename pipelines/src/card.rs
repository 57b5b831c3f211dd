//! What the card of the bundled models says of one of them.

/// The page about the bundled models.
const PAGE: &str = include_str!("../../models/README.md");

/// The rows of the card's table for the bundled model of this name: what each is about, and what it says. The first table of the page has
/// a column for each model.
pub fn rows(model: &str) -> Vec<(String, String)> {
    let mut table = PAGE
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(cells);
    let Some(column) = table
        .next()
        .and_then(|head| head.iter().position(|cell| cell == model))
    else {
        return vec![];
    };
    table
        .skip(1)
        .filter_map(|row| Some((row.first()?.clone(), row.get(column)?.clone())))
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let inside = line.trim().trim_matches('|');
    inside
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_model_has_a_card() {
        for model in refvsr::Bundled::ALL {
            let rows = rows(model.name());
            if model.content().is_some() {
                let licence = rows.iter().find(|(what, _)| what == "licence");
                assert!(
                    licence.is_some_and(|(_, text)| text.contains("MPL")),
                    "{rows:?}"
                );
            }
        }
        assert!(rows("none").is_empty());
    }
}
