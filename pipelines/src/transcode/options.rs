//! Values of options.

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// A time in a recording: seconds (`12.5`), `M:SS` or `H:MM:SS`, each with a fraction.
pub fn time(text: &str) -> Result<gst::ClockTime, String> {
    let wrong = || format!("expected seconds, M:SS or H:MM:SS, not {text}");
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    let (last, firsts) = parts.split_last().ok_or_else(wrong)?;
    let mut seconds = 0.0;
    for part in firsts {
        seconds = (seconds + part.parse::<u32>().map_err(|_| wrong())? as f64) * 60.0;
    }
    let rest: f64 = last.parse().map_err(|_| wrong())?;
    if !(rest.is_finite() && rest >= 0.0) || (!firsts.is_empty() && rest >= 60.0) {
        return Err(wrong());
    }
    gst::ClockTime::try_from_seconds_f64(seconds + rest).map_err(|_| wrong())
}

/// Frames a second: `30`, `29.97` or `30000/1001`.
pub fn framerate(text: &str) -> Result<gst::Fraction, String> {
    let wrong = || format!("expected frames a second, 30 or 30000/1001, not {text}");
    let rate = match text.split_once('/') {
        Some((n, d)) => {
            let (n, d) = (
                n.parse().map_err(|_| wrong())?,
                d.parse().map_err(|_| wrong())?,
            );
            (n > 0 && d > 0).then(|| gst::Fraction::new(n, d))
        }
        None => {
            let rate = text.parse::<f64>().map_err(|_| wrong())?;
            (rate.is_finite() && rate > 0.0)
                .then(|| gst::Fraction::approximate_f64(rate))
                .flatten()
        }
    };
    rate.ok_or_else(wrong)
}

/// A camera beside the ultra-wide one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lens {
    Wide,
    Tele,
}

impl Lens {
    /// Its name, the element's pad.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Tele => "tele",
        }
    }
}

/// `LENS=SECONDS`: how much later than the ultra-wide camera another one started, in nanoseconds.
pub fn offset(text: &str) -> Result<(Lens, i64), String> {
    let (name, value) = pair(text).map_err(|_| "expected wide=SECONDS or tele=SECONDS")?;
    let lens = match name.as_str() {
        "wide" | "w" => Lens::Wide,
        "tele" | "t" => Lens::Tele,
        _ => return Err(format!("expected wide or tele, not {name}")),
    };
    match value.parse::<f64>() {
        Ok(seconds) if seconds.abs() <= 1e6 => Ok((lens, (seconds * 1e9).round() as i64)),
        _ => Err(format!("expected seconds, not {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let ms = |text: &str| time(text).map(|time| time.mseconds());
        assert_eq!(ms("12.5"), Ok(12_500));
        assert_eq!(ms("1:02"), Ok(62_000));
        assert_eq!(ms("1:00:00.25"), Ok(3_600_250));
        for bad in ["", "-1", "1:75", "a", "1:2:3:4", "nan", "1:-5"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frame_rates_are_read() {
        assert_eq!(framerate("30"), Ok(gst::Fraction::new(30, 1)));
        assert_eq!(framerate("30000/1001"), Ok(gst::Fraction::new(30000, 1001)));
        for bad in ["0", "-1", "1/0", "x", "inf"] {
            assert!(framerate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn offsets_are_read() {
        assert_eq!(offset("wide=0.437"), Ok((Lens::Wide, 437_000_000)));
        assert_eq!(offset("t=-2"), Ok((Lens::Tele, -2_000_000_000)));
        for bad in ["wide", "ultrawide=1", "wide=x", "wide=inf"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }
}
