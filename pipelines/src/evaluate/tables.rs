//! The figures as JSON, CSV and Markdown.

use refvsr_tools::curve::{Curve, step_ratio};
use refvsr_tools::figures::{Figures, Pair, View, mean};
use serde::Serialize;
use std::fmt::Write;

/// One frame, enlarged one way.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    pub clip: String,
    pub frame: usize,
    pub method: String,
    /// None where it was made elsewhere.
    pub seconds: Option<f64>,
    /// Root mean square of the difference to the output before, in codes; none of a clip's first.
    pub step: Option<f64>,
    /// The same of the truth.
    pub truth_step: Option<f64>,
    /// The same of the difference between both differences.
    pub step_error: Option<f64>,
    /// None where there is no truth to compare with.
    pub figures: Option<Figures>,
}

/// All that was found out.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// The folder and split.
    pub data: String,
    /// In words.
    pub device: String,
    /// What of pictures is compared.
    pub view: View,
    /// By name, in the order of the columns.
    pub methods: Vec<MethodSummary>,
    pub frames: Vec<Record>,
}

/// What a method came to over all frames.
#[derive(Debug, Clone, Serialize)]
pub struct MethodSummary {
    pub name: String,
    /// 1 where it is not known.
    pub scale: i64,
    /// None where the frames were made elsewhere.
    pub seconds_per_frame: Option<f64>,
    /// Bytes of weights and remembered frames, at most.
    pub state_bytes: Option<usize>,
    /// Bytes that the whole process held, at most, while it ran; none where the system does not say.
    pub peak_bytes: Option<u64>,
    pub mean: Option<Figures>,
    /// PSNR over the clips' time; none where there is no truth.
    pub over_time: Option<Curve>,
    /// The largest step between neighbouring outputs of a clip over their median, at most.
    pub step_ratio: Option<f64>,
    /// The truth's.
    pub truth_step_ratio: Option<f64>,
    /// By how much the change from frame to frame differs from the truth's, in codes: the mean of all.
    pub step_error: Option<f64>,
}

impl Results {
    /// Names of the clips, in their order.
    pub fn clips(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for record in &self.frames {
            if !names.contains(&record.clip.as_str()) {
                names.push(&record.clip);
            }
        }
        names
    }

    /// The mean over a clip; over everything for none.
    pub fn mean(&self, clip: Option<&str>, method: &str) -> Option<Figures> {
        let chosen = self
            .frames
            .iter()
            .filter(|record| record.method == method && clip.is_none_or(|clip| record.clip == clip))
            .filter_map(|record| record.figures.as_ref());
        mean(chosen)
    }

    /// A figure of each frame of each clip that has any.
    fn by_clip(&self, method: &str, pick: impl Fn(&Record) -> Option<f64>) -> Vec<Vec<f64>> {
        let own = |clip: &str| -> Vec<f64> {
            let frames = self.frames.iter();
            let frames = frames.filter(|record| record.clip == clip && record.method == method);
            frames.filter_map(&pick).collect()
        };
        let clips = self.clips().into_iter().map(own);
        clips.filter(|frames| !frames.is_empty()).collect()
    }

    /// PSNR over time, the mean of all clips.
    pub fn curve(&self, method: &str) -> Option<Curve> {
        let psnr = |record: &Record| Some(record.figures.as_ref()?.whole.psnr);
        let psnr = |record: &Record| psnr(record).filter(|psnr| psnr.is_finite());
        Curve::of(&self.by_clip(method, psnr))
    }

    /// The largest step of a clip over their median, at most.
    pub fn step_ratio(&self, method: &str, step: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
        step_ratio(&self.by_clip(method, step))
    }

    /// The mean of what steps do not have in common with the truth's.
    pub fn step_error(&self, method: &str) -> Option<f64> {
        let own = self.frames.iter().filter(|record| record.method == method);
        let errors: Vec<f64> = own.filter_map(|record| record.step_error).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    /// What figures are taken of, where that is not all of a picture.
    pub fn of_what(&self) -> String {
        let View { border, y_channel } = self.view;
        let y = y_channel.then(|| "of the brightness (Y)".to_owned());
        let border = (border > 0)
            .then(|| format!("without {border} pixels at each edge but in fields of view"));
        let words: Vec<String> = y.into_iter().chain(border).collect();
        match words.is_empty() {
            true => String::new(),
            false => format!(", {}", words.join(", ")),
        }
    }

    /// A table of PSNR over time, and of what jumps.
    fn over_time(&self) -> String {
        let parts = self
            .methods
            .iter()
            .filter_map(|m| Some(m.over_time.as_ref()?.segments.len()));
        let Some(parts) = parts.max() else {
            return String::new();
        };
        let row = |title: String, pick: &dyn Fn(&MethodSummary) -> Option<String>| {
            let cells: Vec<String> = self
                .methods
                .iter()
                .map(|method| pick(method).unwrap_or("none".to_owned()))
                .collect();
            format!("| {title} | {} |\n", cells.join(" | "))
        };
        let mut text = String::new();
        for n in 0..parts {
            text += &row(
                format!("PSNR in dB, part {} of {parts}", n + 1),
                &|method| {
                    Some(format!(
                        "{:.2}",
                        method.over_time.as_ref()?.segments.get(n)?
                    ))
                },
            );
        }
        text += &row("dB in 100 frames".to_owned(), &|method| {
            Some(format!("{:+.2}", method.over_time.as_ref()?.slope))
        });
        let ratio = |ratio: Option<f64>| Some(format!("{:.2}", ratio?));
        text += &row("largest step over the median".to_owned(), &|m| {
            ratio(m.step_ratio)
        });
        text += &row("the truth's".to_owned(), &|m| ratio(m.truth_step_ratio));
        text + &row("error of the change, codes".to_owned(), &|m| {
            ratio(m.step_error)
        })
    }

    /// How many enlarged frames equal the truth.
    fn exact(&self) -> usize {
        let figures = self.frames.iter().filter_map(|r| r.figures.as_ref());
        figures.filter(|f| f.whole.psnr.is_infinite()).count()
    }

    /// One line a frame and method.
    pub fn csv(&self) -> String {
        let mut text = "clip,frame,method,seconds,psnr,ssim,ssim_gaussian".to_owned();
        let shares: Vec<f64> = self
            .frames
            .iter()
            .find_map(|record| Some(&record.figures.as_ref()?.fields))
            .map(|fields| fields.iter().map(|field| field.share).collect())
            .unwrap_or_default();
        for share in &shares {
            _ = write!(
                text,
                ",psnr_in_{share},ssim_in_{share},psnr_out_{share},ssim_out_{share}"
            );
        }
        text.push_str(",step,truth_step,step_error\n");
        for record in &self.frames {
            _ = write!(
                text,
                "{},{},{},{}",
                quoted(&record.clip),
                record.frame,
                quoted(&record.method),
                number(record.seconds)
            );
            match &record.figures {
                Some(figures) => {
                    let (whole, gaussian) = (figures.whole, number(figures.ssim_gaussian));
                    _ = write!(text, ",{:.6},{:.6},{gaussian}", whole.psnr, whole.ssim);
                    for field in &figures.fields {
                        let (i, o) = (field.inside, field.outside);
                        _ = write!(
                            text,
                            ",{:.6},{:.6},{:.6},{:.6}",
                            i.psnr, i.ssim, o.psnr, o.ssim
                        );
                    }
                }
                None => text.push_str(&",".repeat(3 + 4 * shares.len())),
            }
            for step in [record.step, record.truth_step, record.step_error] {
                text.push(',');
                text += &number(step);
            }
            text.push('\n');
        }
        text
    }

    /// Tables: the clips, the paper's fields of view, time and memory.
    pub fn markdown(&self) -> String {
        let names: Vec<&str> = self
            .methods
            .iter()
            .map(|method| method.name.as_str())
            .collect();
        let head = |title: &str| {
            format!(
                "| {title} | {} |\n|---{}|\n",
                names
                    .iter()
                    .map(|name| cell(name))
                    .collect::<Vec<_>>()
                    .join(" | "),
                "|---".repeat(names.len())
            )
        };
        let row = |title: &str, pick: &dyn Fn(&str) -> Option<Pair>| {
            let cells: Vec<String> = names
                .iter()
                .map(|name| {
                    pick(name).map_or("no truth".to_owned(), |p| {
                        format!("{:.2} / {:.4}", p.psnr, p.ssim)
                    })
                })
                .collect();
            format!("| {} | {} |\n", cell(title), cells.join(" | "))
        };
        let mut text = format!(
            "{}, {}; PSNR in dB / SSIM, mean over frames{}\n\n",
            self.data,
            self.device,
            self.of_what()
        );
        text += &head("clip");
        for clip in self.clips() {
            text += &row(clip, &|name| Some(self.mean(Some(clip), name)?.whole));
        }
        text += &row("all frames", &|name| Some(self.mean(None, name)?.whole));
        let gaussian = |name: &&str| {
            let mean = self.mean(None, name).and_then(|mean| mean.ssim_gaussian);
            mean.map_or("no truth".to_owned(), |mean| format!("{mean:.4}"))
        };
        let gaussian: Vec<String> = names.iter().map(gaussian).collect();
        text += &format!("| SSIM of 11x11 pixels | {} |\n", gaussian.join(" | "));
        let exact = self.exact();
        if exact > 0 {
            text += &format!(
                "\n{exact} of the enlarged frames equal the truth; their PSNR is infinite and in no mean.\n"
            );
        }
        text += "\n";
        text += &head("field of view");
        let shares = self
            .methods
            .iter()
            .find_map(|method| Some(method.mean.as_ref()?.fields.len()))
            .unwrap_or(0);
        let part = |name: &str, n: usize| Some(self.mean(None, name)?.fields[n]);
        for n in 0..shares {
            let share = names
                .iter()
                .find_map(|name| part(name, n))
                .map_or(0.0, |field| field.share);
            let percent = (share * 100.0).round();
            text += &row(&format!("inner {percent} %"), &|name| {
                Some(part(name, n)?.inside)
            });
            text += &row(&format!("outside the inner {percent} %"), &|name| {
                Some(part(name, n)?.outside)
            });
            if share > 0.5 {
                text += &row(
                    &format!("inner {percent} % without the inner 50 %"),
                    &|name| part(name, n)?.ring,
                );
            }
        }
        let over_time = self.over_time();
        if !over_time.is_empty() {
            text += "\n";
            text += &head("over time");
            text += &over_time;
        }
        text += "\n";
        text += &head("cost");
        let cells = |pick: &dyn Fn(&MethodSummary) -> String| {
            self.methods
                .iter()
                .map(pick)
                .collect::<Vec<_>>()
                .join(" | ")
        };
        let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
        text += &format!(
            "| seconds a frame | {} |\n",
            cells(&|m| m
                .seconds_per_frame
                .map_or(ELSEWHERE.into(), |s| format!("{s:.3}")))
        );
        text += &format!(
            "| weights and remembered frames | {} |\n",
            cells(&|m| m
                .state_bytes
                .map_or(ELSEWHERE.into(), |bytes| mib(bytes as u64)))
        );
        text += &format!(
            "| peak of the process | {} |\n",
            cells(&|m| match m.state_bytes {
                None => ELSEWHERE.into(),
                Some(_) => m.peak_bytes.map_or("unknown".into(), mib),
            })
        );
        text
    }
}

/// In place of what another method's outputs cost.
const ELSEWHERE: &str = "not run here";

/// A number of a CSV file, which may be missing.
fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.6}"))
}

/// A field of a CSV file.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_break_tables() {
        let record = |method: &str| Record {
            clip: "a, \"b\" | c".into(),
            frame: 0,
            method: method.into(),
            seconds: Some(1.0),
            step: None,
            truth_step: None,
            step_error: None,
            figures: None,
        };
        let results = Results {
            frames: vec![record("m"), record("m, wide")],
            ..Results::default()
        };
        let csv = results.csv();
        assert!(
            csv.contains("\n\"a, \"\"b\"\" | c\",0,m,1.000000,"),
            "{csv}"
        );
        assert!(csv.contains(",0,\"m, wide\","), "{csv}");
        assert!(results.markdown().contains("| a, \"b\" \\| c |"));
    }
}
