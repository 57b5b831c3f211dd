//! The columns of the tables.

use super::data::{Clip, Lens, density};
use super::method::{Method, References};
use super::outputs::Located;
use super::{Args, Which};
use crate::model::Model;
use anyhow::{Result, ensure};
use refvsr::Precision;
use std::collections::BTreeSet;
use tch::Device;

/// A method before it is loaded: models do not lie in memory side by side.
pub enum Column<'a> {
    Bicubic { scale: i64, name: String },
    Model(&'a Model, References, String),
    Outputs(&'a Located),
}

impl Column<'_> {
    pub fn open(&self, device: Device, args: &Args) -> Result<Method> {
        Ok(match self {
            Self::Bicubic { scale, name } => Method::Bicubic {
                scale: *scale,
                name: name.clone(),
                waiting: None,
            },
            Self::Model(model, references, name) => {
                let seen = (name.clone(), *references);
                Method::model(model, seen, args.look_ahead, args.precision, device)?
            }
            Self::Outputs(outputs) => Method::Outputs((*outputs).clone()),
        })
    }

    fn title(&self) -> String {
        match self {
            Self::Bicubic { name, .. } => name.clone(),
            Self::Model(_, references, name) => references.title(name),
            Self::Outputs(outputs) => outputs.name.clone(),
        }
    }
}

/// The models, each once, with names that tell them apart: files of one name by their folders.
fn named(models: &[Model], device: Device) -> Result<Vec<(&Model, String)>> {
    let mut named: Vec<(&Model, String)> = Vec::new();
    let names = models.iter().map(|model| model.name(device));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    for (model, short) in models.iter().zip(&names) {
        let alike = names.iter().filter(|name| *name == short).count() > 1;
        let name = match model.file() {
            Some(path) if alike => path.display().to_string(),
            _ => short.clone(),
        };
        if !named.iter().any(|(_, other)| *other == name) {
            named.push((model, name));
        }
    }
    Ok(named)
}

/// Bicubic enlargement at each scale of the models, then the models, then what others made.
pub fn columns<'a>(
    args: &'a Args,
    models: &'a [Model],
    outputs: &'a [Located],
    clips: &[Clip],
    device: Device,
) -> Result<Vec<Column<'a>>> {
    let (mut scales, mut columns) = (vec![], vec![]);
    for (model, name) in named(models, device)? {
        let method = Method::model(
            model,
            (name.clone(), References::None),
            args.look_ahead,
            Precision::Fp32,
            Device::Cpu,
        )?;
        if method.has_truth() && !scales.contains(&method.scale()) {
            scales.push(method.scale());
        }
        let density = method.density();
        let with = match args.with_tele && clips.iter().all(|clip| clip.has(&density, Lens::Tele)) {
            true => References::WideAndTele,
            false => References::Wide,
        };
        if args.references != Which::With {
            columns.push(Column::Model(model, References::None, name.clone()));
        }
        if args.references != Which::Without {
            columns.push(Column::Model(model, with, name));
        }
    }
    if scales.is_empty() && !outputs.is_empty() {
        let there = |scale: &i64| {
            clips
                .iter()
                .all(|clip| clip.has(&density(*scale), Lens::Ultrawide))
        };
        scales.extend([4, 2].iter().find(|scale| there(scale)));
    }
    let several = scales.len() > 1;
    let bicubic = scales.into_iter().map(|scale| Column::Bicubic {
        scale,
        name: match several {
            true => format!("bicubic x{scale}"),
            false => "bicubic".to_owned(),
        },
    });
    let all = bicubic.chain(columns);
    let all: Vec<_> = all.chain(outputs.iter().map(Column::Outputs)).collect();
    let mut titles = BTreeSet::new();
    for column in &all {
        let title = column.title();
        ensure!(
            titles.insert(title.clone()),
            "two columns are called {title}; --outputs NAME=FOLDER can give another name"
        );
    }
    Ok(all)
}
