//! `cargo xtask bench`: what a frame takes, in one table and one JSON file.
//!
//! The measuring is done by the library's example `bench`, which is started anew for each case and
//! form. This program builds it, decodes the footage, keeps the order and writes the results.

mod footage;
mod machine;
mod program;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::project::Project;
use crate::setup::{Wants, setup};
use machine::Machine;
use program::{Case, Program};
use table::Row;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Only this case (may be given several times); without it, all that are not huge
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Only forms with this text in their names, such as `fp32`; `plain` is always measured
    #[arg(long, value_name = "TEXT")]
    form: Option<String>,
    /// Frames measured in each run, in place of the case's own number
    #[arg(long)]
    frames: Option<usize>,
    /// Every form is run so many times, by turns
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// One run of one frame of each form: shows that all works
    #[arg(long)]
    quick: bool,
    /// Another checkout, whose forms are run by turns with this one's for a ratio against them; its
    /// `cargo build --release --example bench` must have been run
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
    /// Show the cases and leave
    #[arg(long)]
    list: bool,
}

pub fn bench(project: &Project, options: &Options) -> Result<()> {
    let wants = Wants {
        demo: true,
        ..Wants::default()
    };
    setup(project, wants)?;
    let ours = Program::build(project)?;
    let cases = chosen(ours.list()?, options)?;
    if options.list {
        print!("{}", table::list(&cases));
        return Ok(());
    }
    let theirs = options
        .against
        .as_deref()
        .map(Program::of_checkout)
        .transpose()?;
    let footage = footage::decode(&project.target)?;
    let mut machine = Machine::find(&project.root)?;
    machine.rates = ours.machine()?;

    let rounds = if options.quick { 1 } else { options.rounds };
    let mut rows = vec![];
    for case in &cases {
        rows.extend(measure(
            case,
            options,
            rounds,
            [Some(&ours), theirs.as_ref()],
            &footage,
        )?);
    }
    let report = json!({
        "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        "against": options.against.as_deref().map(machine::commit).transpose()?,
        "machine": machine,
        "rows": rows,
    });
    // Figures of one frame are no results.
    let folder = if options.quick {
        project.target.join("bench")
    } else {
        project.root.join("benches/results")
    };
    let file = write(&folder, &machine, &report)?;
    print!("{}", table::text(&machine, &cases, &rows));
    eprintln!("\nThe same as JSON: {}", file.display());
    Ok(())
}

/// The cases that were asked for.
fn chosen(all: Vec<Case>, options: &Options) -> Result<Vec<Case>> {
    for name in &options.cases {
        let names: Vec<&str> = all.iter().map(|case| case.case.as_str()).collect();
        ensure!(
            names.contains(&name.as_str()),
            "there is no case '{name}'; there are {}",
            names.join(", ")
        );
    }
    let wanted = |case: &Case| match options.cases.as_slice() {
        [] => case.usual || options.list,
        names => names.contains(&case.case),
    };
    let mut cases: Vec<Case> = all.into_iter().filter(wanted).collect();
    if let Some(text) = &options.form {
        for case in &mut cases {
            case.forms
                .retain(|form| form == "plain" || form.contains(text.as_str()));
        }
    }
    Ok(cases)
}

/// All forms of a case, of this checkout and of the other, by turns.
fn measure(
    case: &Case,
    options: &Options,
    rounds: usize,
    programs: [Option<&Program>; 2],
    footage: &Path,
) -> Result<Vec<Row>> {
    let frames = match (options.quick, options.frames) {
        (true, _) => 1,
        (false, Some(frames)) => frames,
        (false, None) => case.frames,
    };
    let mut rows: Vec<Row> = vec![];
    for (program, other) in programs.into_iter().zip([false, true]) {
        let Some(program) = program else { continue };
        let forms = if other {
            program.list()?.into_iter().find(|c| c.case == case.case)
        } else {
            Some(case.clone())
        };
        let forms = forms.map_or(vec![], |case| case.forms);
        rows.extend(forms.into_iter().map(|form| Row::new(case, form, other)));
    }
    for round in 1..=rounds {
        for row in &mut rows {
            let Some(program) = programs[usize::from(row.other)] else {
                continue;
            };
            eprintln!("{}, {}: round {round} of {rounds}", case.case, row.title());
            row.add(program.run(&row.case, &row.form, footage, frames)?);
        }
    }
    Ok(rows)
}

fn write(folder: &Path, machine: &Machine, report: &serde_json::Value) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let name = format!("{}-{}.json", machine.date, machine.commit);
    let file = folder.join(name.replace(['+', ' '], "-"));
    let text = serde_json::to_string_pretty(report)?;
    fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
