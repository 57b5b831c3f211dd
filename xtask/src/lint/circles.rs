//! Circles between files: each imports another of them, and is reached from it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::house::Arrows;

/// Files that all reach one another.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// What each file takes from others of the circle.
    ties: BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>,
}

impl Circle {
    /// Whether all its files lie in a folder.
    pub fn is_within(&self, folder: &Path) -> bool {
        let mut ends = self.ties.keys();
        ends.all(|(from, to)| from.starts_with(folder) && to.starts_with(folder))
    }

    /// The circle as an error message, its files named from `root` on.
    pub fn told(&self, root: &Path) -> String {
        let short = |file: &Path| {
            file.strip_prefix(root)
                .unwrap_or(file)
                .display()
                .to_string()
        };
        let mut lines = vec![
            "files import each other in a circle; move what both need into a file of its own:"
                .to_owned(),
        ];
        for ((from, to), names) in &self.ties {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            lines.push(format!(
                "  {} -> {}: {}",
                short(from),
                short(to),
                names.join(", ")
            ));
        }
        lines.join("\n")
    }
}

/// All circles among `arrows`.
pub fn find(arrows: &Arrows) -> Vec<Circle> {
    let mut next: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        next.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&Path, BTreeSet<&Path>> = next
        .keys()
        .map(|file| (*file, reach(&next, file)))
        .collect();
    let mutual = |a: &Path, b: &Path| {
        let holds = |from: &Path, to: &Path| reached.get(from).is_some_and(|all| all.contains(to));
        holds(a, b) && holds(b, a)
    };

    let mut circles = vec![];
    let mut told = BTreeSet::new();
    for file in next.keys() {
        if !mutual(file, file) || told.contains(file) {
            continue;
        }
        let members: BTreeSet<&Path> = next
            .keys()
            .copied()
            .filter(|other| mutual(file, other))
            .collect();
        let within = |(from, to): &(PathBuf, PathBuf)| {
            members.contains(from.as_path()) && members.contains(to.as_path())
        };
        let ties = arrows.iter().filter(|(ends, _)| within(ends));
        circles.push(Circle {
            ties: ties
                .map(|(ends, names)| (ends.clone(), names.clone()))
                .collect(),
        });
        told.extend(members);
    }
    circles
}

/// All files that `start` reaches over one arrow or more.
fn reach<'a>(next: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, start: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for to in next.get(file).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::house::arrows;
    use std::fs;

    /// The circles of a crate of these files, in words.
    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = find(&arrows(&[root.join("lib.rs")]).unwrap());
        found.iter().map(|circle| circle.told(&root)).collect()
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use super::b::B; pub struct A(B);"),
            (
                "b.rs",
                "pub struct B; fn f() { println!(\"{:?}\", crate::a::A::new()); }",
            ),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a.rs -> b.rs: B"), "{}", found[0]);
        assert!(found[0].contains("b.rs -> a.rs: A"), "{}", found[0]);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_the_file_that_defines_it() {
        let found = circles(&[
            ("lib.rs", "mod room; mod other;"),
            ("room/mod.rs", "mod inner; pub use inner::*;"),
            (
                "room/inner.rs",
                "use crate::other::Other; pub struct Inner(Other);",
            ),
            (
                "other.rs",
                "use crate::room::{self, Inner}; pub struct Other; fn f(_: Inner) { room::g() }",
            ),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("other.rs -> room/inner.rs: Inner"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn declared_modules_and_what_tests_import_are_no_circle() {
        let found = circles(&[
            ("lib.rs", "mod a; pub struct Root; fn f(_: a::A) {}"),
            (
                "a.rs",
                "pub struct A; #[cfg(test)] mod tests { use crate::Root; use super::*; }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
