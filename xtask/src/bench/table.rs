//! The results as a table of Markdown.

use std::fmt::Write;

use serde::Serialize;

use super::machine::Machine;
use super::program::{Case, Run, Stage};

/// A form of a case, and what all its runs gave.
#[derive(Serialize)]
pub struct Row {
    pub case: String,
    pub form: String,
    /// Of the other checkout.
    pub other: bool,
    /// Seconds a frame, of all runs.
    pub seconds: Vec<f64>,
    pub frames: usize,
    pub user: f64,
    pub system: f64,
    pub peak_mib: f64,
    /// Of the last run.
    pub stages: Vec<Stage>,
    /// Operations of libtorch's, a frame.
    pub operations: Option<f64>,
    /// The longest time between two looks at the stopper, of all runs.
    pub longest_piece: Option<f64>,
}

impl Row {
    pub fn new(case: &Case, form: String, other: bool) -> Self {
        Self {
            case: case.case.clone(),
            form,
            other,
            seconds: vec![],
            frames: 0,
            user: 0.0,
            system: 0.0,
            peak_mib: 0.0,
            stages: vec![],
            operations: None,
            longest_piece: None,
        }
    }

    pub fn add(&mut self, run: Run) {
        self.seconds.extend(run.seconds);
        self.frames += run.frames;
        self.user += run.user;
        self.system += run.system;
        self.peak_mib = self.peak_mib.max(run.peak_mib);
        self.stages = run.stages;
        self.operations = run.operations;
        let piece = run
            .longest_piece
            .map(|piece| piece.max(self.longest_piece.unwrap_or(0.0)));
        self.longest_piece = piece.or(self.longest_piece);
    }

    pub fn title(&self) -> String {
        let end = if self.other {
            ", the other checkout"
        } else {
            ""
        };
        format!("{}{end}", self.form)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (n, middle) if n % 2 == 1 => sorted[middle],
            (_, middle) => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }
}

/// The cases and their forms.
pub fn list(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let note = if case.usual {
            ""
        } else {
            " (only where named)"
        };
        let forms = case.forms.join("; ");
        _ = writeln!(text, "{}: {}{note}\n    {forms}", case.case, case.what);
    }
    text
}

/// All results.
pub fn text(machine: &Machine, cases: &[Case], rows: &[Row]) -> String {
    let mut text = format!(
        "{}: {} cores, {}, {} MiB; commit {}, {}; load {} at the start.\n\
         Products of 2048 x 2048 matrices: fp32 {:.0} GFLOP/s{}.\n",
        machine.cpu,
        machine.cores,
        machine.features.join(" "),
        machine.memory_mib,
        machine.commit,
        machine.date,
        machine.load,
        machine.rates.fp32,
        machine
            .rates
            .bf16
            .map_or(String::new(), |rate| format!(", bf16 {rate:.0}")),
    );
    let against = rows.iter().any(|row| row.other);
    for case in cases {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.case == case.case).collect();
        _ = writeln!(text, "\n**{}**: {}\n", case.case, case.what);
        text += "| form | s a frame | least to most | CPU s a frame | of it system | peak MiB | operations | longest piece | times the plain form |";
        text += if against {
            " times the other's session |\n"
        } else {
            "\n"
        };
        text += "|---|---|---|---|---|---|---|---|---|";
        text += if against { "---|\n" } else { "\n" };
        for row in &rows {
            text += &line(row, &rows, against);
        }
        for row in rows.iter().filter(|row| !row.stages.is_empty()) {
            text += &breakdown(row, machine);
        }
    }
    text
}

fn line(row: &Row, rows: &[&Row], against: bool) -> String {
    let least = row.seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = row.seconds.iter().copied().fold(0.0, f64::max);
    let cpu = row.user + row.system;
    let times = |other: bool, plain: bool| {
        let reference = rows
            .iter()
            .find(|r| r.other == other && (r.form == "plain") == plain);
        reference.map_or("".into(), |r| format!("{:.2}", r.median() / row.median()))
    };
    let told = |figure: Option<String>| figure.unwrap_or_default();
    let mut text = format!(
        "| {} | {:.3} | {least:.3} to {most:.3} | {:.2} | {:.0} % | {:.0} | {} | {} | {} |",
        row.title(),
        row.median(),
        cpu / row.frames as f64,
        100.0 * row.system / cpu.max(0.01),
        row.peak_mib,
        told(row.operations.map(|n| format!("{n:.0}"))),
        told(row.longest_piece.map(|seconds| format!("{seconds:.3} s"))),
        times(row.other, true),
    );
    if against {
        _ = write!(text, " {} |", times(true, false));
    }
    text + "\n"
}

/// A form's stages, with their share of the time and their rate.
fn breakdown(row: &Row, machine: &Machine) -> String {
    let total: f64 = row.stages.iter().map(|stage| stage.seconds).sum();
    let mut text = format!(
        "\n| {}, stages | share of time | GFLOP a frame | GFLOP/s | of fp32 products |\n|---|---|---|---|---|\n",
        row.title()
    );
    for stage in row.stages.iter().filter(|stage| stage.seconds > 0.0) {
        let rate = stage.gflop / stage.seconds;
        _ = writeln!(
            text,
            "| {} | {:.1} % | {:.2} | {rate:.0} | {:.0} % |",
            stage.name,
            100.0 * stage.seconds / total,
            stage.gflop,
            100.0 * rate / machine.rates.fp32.max(1.0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::program::Rates;

    fn case() -> Case {
        let text = r#"{"case": "small", "what": "a small model", "frames": 2, "usual": true, "forms": []}"#;
        serde_json::from_str(text).unwrap()
    }

    fn row(form: &str, other: bool, runs: &[&[f64]]) -> Row {
        let mut row = Row::new(&case(), form.into(), other);
        for seconds in runs {
            row.add(Run {
                seconds: seconds.to_vec(),
                frames: seconds.len(),
                user: 1.5,
                system: 0.5,
                peak_mib: 100.0 * seconds[0],
                stages: vec![],
                operations: (!other).then_some(900.0),
                longest_piece: (!other).then_some(0.01 * seconds[0]),
            });
        }
        row
    }

    #[test]
    fn runs_are_put_together() {
        let row = row("plain", false, &[&[3.0, 1.0], &[2.0, 8.0]]);
        assert_eq!((row.median(), row.frames, row.peak_mib), (2.5, 4, 300.0));
        assert_eq!(row.longest_piece, Some(0.03));
    }

    #[test]
    fn ratios_are_against_the_same_checkouts_plain_form_and_the_others_session() {
        let rows = [
            row("plain", false, &[&[8.0]]),
            row("session bf16", false, &[&[2.0]]),
            row("plain", true, &[&[9.0]]),
            row("session fp32", true, &[&[6.0]]),
        ];
        let machine = Machine {
            cpu: "a CPU".into(),
            features: vec!["avx2".into()],
            cores: 2,
            memory_mib: 1000,
            load: 0.5,
            commit: "abc".into(),
            date: "2026-01-01".into(),
            rates: Rates::default(),
        };
        let text = text(&machine, &[case()], &rows);
        let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap();
        assert!(
            line("| session bf16 |").ends_with("| 200 | 900 | 0.020 s | 4.00 | 3.00 |"),
            "{text}"
        );
        assert!(
            line("| session bf16 |").contains("| 2.00 | 25 % |"),
            "{text}"
        );
        assert!(
            line("| session fp32, the other checkout |").ends_with("|  |  | 1.50 | 1.00 |"),
            "{text}"
        );
    }

    #[test]
    fn stages_show_share_and_rate() {
        let mut row = row("session fp32", false, &[&[1.0]]);
        let stage = |name: &str, seconds, gflop| Stage {
            name: name.into(),
            seconds,
            gflop,
        };
        row.stages = vec![stage("trunks", 0.75, 60.0), stage("flow", 0.25, 5.0)];
        let machine = Machine {
            cpu: String::new(),
            features: vec![],
            cores: 1,
            memory_mib: 1,
            load: 0.0,
            commit: String::new(),
            date: String::new(),
            rates: Rates {
                fp32: 160.0,
                bf16: None,
            },
        };
        let text = breakdown(&row, &machine);
        assert!(
            text.contains("| trunks | 75.0 % | 60.00 | 80 | 50 % |"),
            "{text}"
        );
    }
}
