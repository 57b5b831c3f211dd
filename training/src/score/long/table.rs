//! Rows as Markdown and as CSV.

use super::row::Row;
use refvsr_tools::curve::{Curve, SEGMENTS};
use std::fmt::Write;

/// One clip's rows: PSNR over time, the same in the wide field, and what moves.
pub fn case(rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let title = format!("{}, {} frames", first.case.name(), first.frames);
    over_time(rows, &format!("{title}: PSNR, dB"), "dB/100", |row| {
        row.psnr.as_ref()
    }) + &over_time(rows, "in the wide camera's field", "dB/100", |row| {
        row.field.as_ref()
    }) + &moving(rows, &title)
}

fn head(title: &str, columns: &[String]) -> String {
    format!(
        "\n| {title} | {} |\n|---{}|\n",
        columns.join(" | "),
        "|---".repeat(columns.len())
    )
}

fn over_time<'a>(
    rows: &'a [Row],
    title: &str,
    slope: &str,
    pick: impl Fn(&'a Row) -> Option<&'a Curve>,
) -> String {
    let there: Vec<(String, &Curve)> = rows
        .iter()
        .filter_map(|row| Some((row.name(), pick(row)?)))
        .collect();
    let parts = there.iter().map(|(_, curve)| curve.segments.len()).max();
    let Some(parts) = parts else {
        return String::new();
    };
    let mut columns: Vec<String> = (1..=parts).map(|n| format!("{n}/{parts}")).collect();
    columns.push(slope.to_owned());
    let mut text = head(title, &columns);
    for (name, curve) in there {
        let values: Vec<String> = curve.segments.iter().map(|v| format!("{v:.2}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {} | {:+.2} |",
            values.join(" | "),
            curve.slope
        );
    }
    text
}

fn moving(rows: &[Row], title: &str) -> String {
    let columns = [
        "median step",
        "largest step",
        "at frame",
        "ratio",
        "warping error",
        "residual, first tenth",
        "last tenth",
        "begun anew",
    ];
    let mut text = head(&format!("{title}: codes"), &columns.map(str::to_owned));
    for row in rows {
        let steps = row.steps.as_ref().map_or_else(
            || "none | none | none | none | none".to_owned(),
            |s| {
                let (ratio, warping) = (s.ratio(), s.warping);
                format!(
                    "{:.2} | {:.2} | {} | {ratio:.2} | {warping:.2}",
                    s.median, s.largest, s.at
                )
            },
        );
        let residual = row.residual.as_ref().map_or_else(
            || "none | none".to_owned(),
            |curve| format!("{:.2} | {:.2}", curve.first(), curve.last()),
        );
        let (name, restarts) = (row.name(), row.restarts);
        let _ = writeln!(text, "| {name} | {steps} | {residual} | {restarts} |");
    }
    text
}

/// All clips' rows that have a truth: of each way to enlarge the mean, and the worst of everything.
pub fn summary(rows: &[Row]) -> String {
    let columns = [
        "clips",
        "PSNR, dB",
        "over bicubic",
        "over bicubic, last tenth",
        "in the wide field",
        "most that a tenth lies under the first",
        "steepest fall, dB/100",
        "clips with a tenth under bicubic",
        "largest ratio of steps",
        "begun anew by the safety net",
    ];
    let mut text = head("all clips", &columns.map(str::to_owned));
    let mut names: Vec<String> = vec![];
    for name in rows.iter().map(Row::name) {
        if name != "truth" && !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let own: Vec<(&Row, &Row)> = rows
            .iter()
            .filter(|row| row.name() == name)
            .filter_map(|row| {
                let same = |other: &&Row| other.case == row.case && other.model == "bicubic";
                Some((row, rows.iter().find(same)?))
            })
            .collect();
        text += &total(&name, &own).unwrap_or_default();
    }
    text
}

/// A line of the summary: rows with bicubic's of the same clip. None where there is no truth.
fn total(name: &str, pairs: &[(&Row, &Row)]) -> Option<String> {
    let curves: Vec<(&Curve, &Curve)> = pairs
        .iter()
        .filter_map(|(row, bicubic)| Some((row.psnr.as_ref()?, bicubic.psnr.as_ref()?)))
        .collect();
    if curves.is_empty() {
        return None;
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let over =
        |pick: fn(&Curve) -> f64| mean(curves.iter().map(|(a, b)| pick(a) - pick(b)).collect());
    let field = mean(
        pairs
            .iter()
            .filter_map(|(row, _)| Some(row.field.as_ref()?.mean()))
            .collect(),
    );
    let fall = curves.iter().map(|(a, _)| a.fall()).fold(0.0, f64::max);
    let slope = curves.iter().map(|(a, _)| a.slope).fold(0.0, f64::min);
    let under = |(a, b): &&(&Curve, &Curve)| a.segments.iter().zip(&b.segments).any(|(a, b)| a < b);
    let ratios = pairs
        .iter()
        .filter_map(|(row, _)| Some(row.steps.as_ref()?.ratio()));
    Some(format!(
        "| {name} | {} | {:.3} | {:+.3} | {:+.3} | {field:.3} | {fall:.2} | {slope:.2} | {} | {:.2} | {} |\n",
        curves.len(),
        mean(curves.iter().map(|(a, _)| a.mean()).collect()),
        over(Curve::mean),
        over(Curve::last),
        curves.iter().filter(under).count(),
        ratios.fold(1.0, f64::max),
        pairs.iter().map(|(row, _)| row.restarts).sum::<usize>(),
    ))
}

/// One line a row.
pub fn csv(rows: &[Row]) -> String {
    let mut text = "source,motion,noise,encoder,quantizer,width,height,frames,model,references,step_median,step_largest,\
         step_largest_at,step_ratio,warping,restarts"
        .to_owned();
    for what in ["psnr", "field_psnr", "residual"] {
        for n in 1..=SEGMENTS {
            let _ = write!(text, ",{what}_{n}");
        }
        let _ = write!(text, ",{what}_slope");
    }
    text.push('\n');
    for row in rows {
        let quoted = |value: &str| format!("\"{}\"", value.replace('"', "\"\""));
        let word = |value: Option<serde_json::Value>| {
            value
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let case = &row.case;
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            quoted(&case.source),
            word(
                case.motion
                    .and_then(|motion| serde_json::to_value(motion).ok())
            ),
            case.noise,
            word(
                case.recording
                    .and_then(|how| serde_json::to_value(how.encoder).ok())
            ),
            case.recording
                .map_or(String::new(), |how| how.quantizer.to_string()),
            case.size.0,
            case.size.1,
            row.frames,
            quoted(&row.model),
            quoted(&row.references),
        );
        match &row.steps {
            Some(s) => {
                let (ratio, warping) = (s.ratio(), s.warping);
                let _ = write!(
                    text,
                    ",{},{},{},{ratio},{warping}",
                    s.median, s.largest, s.at
                );
            }
            None => text.push_str(",,,,,"),
        }
        let _ = write!(text, ",{}", row.restarts);
        for curve in [&row.psnr, &row.field, &row.residual] {
            for n in 0..SEGMENTS {
                let value = curve.as_ref().and_then(|curve| curve.segments.get(n));
                let _ = write!(text, ",{}", value.map_or(String::new(), f64::to_string));
            }
            let slope = curve.as_ref().map(|curve| curve.slope);
            let _ = write!(text, ",{}", slope.map_or(String::new(), |v| v.to_string()));
        }
        text.push('\n');
    }
    text
}
