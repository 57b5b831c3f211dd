//! Which file of the workspace takes what from which other, read from its paths (`use` and others).
//!
//! An arrow leads to the file that defines a name, also where the name is passed on by others on the way. Methods are
//! not followed: a call of one names no file. Tests are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, visit::Visit};

use crate::{project::Project, run::ask};

/// From a file to another whose names it uses, with these names.
pub type Arrows = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// The first file of each library and program of the workspace.
pub fn roots(project: &Project) -> Result<Vec<PathBuf>> {
    let mut cargo = project.cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let answer = ask(&mut cargo)?.context("`cargo metadata` failed")?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut roots = vec![];
    for package in list(&answer["packages"]) {
        for target in list(&package["targets"]) {
            let kinds = list(&target["kind"]);
            let kinds = kinds.iter().filter_map(|kind| kind.as_str());
            let is_ours =
                |kind: &str| !["test", "bench", "example", "custom-build"].contains(&kind);
            if kinds.into_iter().any(is_ours)
                && let Some(path) = target["src_path"].as_str()
            {
                roots.push(PathBuf::from(path));
            }
        }
    }
    Ok(roots)
}

/// The arrows between the files of the crates that start at `roots`.
pub fn arrows(roots: &[PathBuf]) -> Result<Arrows> {
    let mut arrows = Arrows::new();
    for root in roots {
        let mut house = House::default();
        house.read(root, None)?;
        house.draw(&mut arrows);
    }
    Ok(arrows)
}

/// The modules of a crate, the root first.
#[derive(Default)]
struct House {
    modules: Vec<Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    /// Names that `use` brings, with their paths.
    used: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names `use` brings.
    globs: Vec<Vec<String>>,
    /// All paths in its code.
    paths: BTreeSet<Vec<String>>,
}

/// Modules that have been asked for a name already.
type Seen = BTreeSet<(usize, String)>;

/// What a path leads to.
enum Target {
    Module(usize),
    /// A name and the module that defines it.
    Name(usize, String),
}

impl House {
    /// Reads a file and the modules that it declares. Returns its module.
    fn read(&mut self, file: &Path, parent: Option<usize>) -> Result<usize> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let stem = file.file_stem().unwrap_or_default();
        let is_face = parent.is_none() || stem == "mod";
        let below = if is_face {
            folder.to_path_buf()
        } else {
            folder.join(stem)
        };
        self.add(file, parent, &below, &syntax.items)
    }

    /// Adds a module with these items, whose files lie `below`.
    fn add(
        &mut self,
        file: &Path,
        parent: Option<usize>,
        below: &Path,
        items: &[Item],
    ) -> Result<usize> {
        let at = self.modules.len();
        // One that other crates include by path has two ways to it.
        let file_name = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
        self.modules.push(Module {
            file: file_name,
            parent,
            ..Module::default()
        });
        for item in items {
            if let Item::Mod(module) = item {
                if is_test(&module.attrs) {
                    continue;
                }
                let name = module.ident.to_string();
                let child = match &module.content {
                    Some((_, items)) => self.add(file, Some(at), &below.join(&name), items)?,
                    None => {
                        let named = named_file(&module.attrs)
                            .map(|path| file.parent().unwrap_or(Path::new("")).join(path));
                        let beside = below.join(format!("{name}.rs"));
                        let inside = below.join(&name).join("mod.rs");
                        let child = named.unwrap_or(if beside.is_file() { beside } else { inside });
                        self.read(&child, Some(at))?
                    }
                };
                self.modules[at].children.insert(name, child);
            } else {
                self.modules[at].visit_item(item);
            }
        }
        Ok(at)
    }

    /// Adds the arrows of all modules.
    fn draw(&self, arrows: &mut Arrows) {
        for (at, module) in self.modules.iter().enumerate() {
            let mut tie = |to: usize, name: String| {
                let to = &self.modules[to].file;
                if *to != module.file {
                    let ends = (module.file.clone(), to.clone());
                    arrows.entry(ends).or_default().insert(name);
                }
            };
            for path in module.paths.iter().chain(module.used.values()) {
                if let Some(Target::Name(to, name)) = self.resolve(at, path, &mut Seen::new()) {
                    tie(to, name);
                }
            }
            for glob in &module.globs {
                if let Some(Target::Module(to)) = self.resolve(at, glob, &mut Seen::new()) {
                    tie(to, "*".into());
                }
            }
        }
    }

    /// What `path` leads to from the module `at`; `None` outside of the crate.
    fn resolve(&self, at: usize, path: &[String], seen: &mut Seen) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(at),
            "super" => Target::Module(self.modules[at].parent?),
            _ => self.member(at, first, seen)?,
        };
        rest.iter().try_fold(start, |target, name| match target {
            Target::Module(module) if name == "super" => {
                Some(Target::Module(self.modules[module].parent?))
            }
            Target::Module(module) => self.member(module, name, seen),
            // A variant, an associated function.
            Target::Name(..) => Some(target),
        })
    }

    /// The member `name` of a module, its own or passed on.
    fn member(&self, at: usize, name: &str, seen: &mut Seen) -> Option<Target> {
        // Names that are passed on in a circle lead nowhere.
        if !seen.insert((at, name.into())) {
            return None;
        }
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(Target::Module(*child));
        }
        if module.defined.contains(name) {
            return Some(Target::Name(at, name.into()));
        }
        if let Some(path) = module.used.get(name) {
            // `use name::…` in a module that has no such member names another crate.
            if path.first().is_some_and(|first| first == name) {
                return None;
            }
            return self.resolve(at, path, seen);
        }
        module
            .globs
            .iter()
            .find_map(|glob| match self.resolve(at, glob, seen)? {
                Target::Module(from) if from != at => self.member(from, name, seen),
                _ => None,
            })
    }
}

impl Module {
    fn use_tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = before.last() {
                    self.used.insert(last.clone(), before.to_vec());
                }
            }
            UseTree::Name(name) => {
                self.used.insert(name.ident.to_string(), with(&name.ident));
            }
            UseTree::Rename(name) => {
                let path = if name.ident == "self" {
                    before.to_vec()
                } else {
                    with(&name.ident)
                };
                // `as _` brings no name, but several may come so.
                let key = match name.rename.to_string().as_str() {
                    "_" => format!("_ {}", path.join("::")),
                    key => key.to_owned(),
                };
                self.used.insert(key, path);
            }
            UseTree::Glob(_) => self.globs.push(before.to_vec()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, before);
                }
            }
        }
    }

    /// Paths among the tokens of a macro's call.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = vec![];
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.path(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.path(path);
    }

    fn path(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attrs, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            Item::Impl(item) => (&item.attrs, None),
            Item::Mod(item) => (&item.attrs, None),
            _ => (const { &vec![] }, None),
        };
        if is_test(attrs) {
            return;
        }
        if let Some(name) = name {
            self.defined.insert(name.to_string());
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // `use ::name` is another crate.
        if item.leading_colon.is_none() {
            self.use_tree(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.path(path.segments.iter().map(|s| s.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }
}

/// Whether the attributes keep an item to tests: `#[cfg(test)]`, `#[test]`.
fn is_test(attrs: &[Attribute]) -> bool {
    let named = |tokens: TokenStream| {
        tokens
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "test"))
    };
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || (attr.path().is_ident("cfg")
                && attr
                    .meta
                    .require_list()
                    .is_ok_and(|list| named(list.tokens.clone())))
    })
}

/// The file that `#[path = "…"]` names.
fn named_file(attrs: &[Attribute]) -> Option<String> {
    attrs
        .iter()
        .find(|attr| attr.path().is_ident("path"))
        .and_then(|attr| match &attr.meta.require_name_value().ok()?.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(name),
                ..
            }) => Some(name.value()),
            _ => None,
        })
}
