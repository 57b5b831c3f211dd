//! `refvsr preview`: the page and picture of clips whose offset and zoom are known.

mod common;

use common::{Place, cameras::Filmed, refvsr};

/// Frames of the clips, a tenth of a second each.
const FRAMES: i64 = 14;
/// By how many frames the wide camera started later.
const LATER: i64 = 4;

fn record(place: &Place, name: &str, zoom: f64, late: i64) -> String {
    let filmed = Filmed {
        seed: 11,
        size: (96, 72),
        frames: FRAMES,
        zoom,
        late,
    };
    filmed.record(place, name)
}

/// The number after `start` in a text.
#[track_caller]
fn number(text: &str, start: &str) -> f64 {
    let rest = text
        .split(start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    let end = rest.trim_start().split([' ', ',', '<']).next().unwrap();
    end.parse()
        .unwrap_or_else(|_| panic!("no number after {start}: {rest:.40}"))
}

#[test]
fn the_page_shows_every_model_and_says_how_the_cameras_lie() {
    let place = Place::new();
    let ultrawide = record(&place, "uw.mkv", 1.0, 0);
    let wide = record(&place, "w.mkv", 2.0, LATER);
    let (page, own) = (place.text("look.html"), place.light_model());
    let preview = |more: &[&str]| {
        let mut words = vec!["preview", "-u", &ultrawide, "-w", &wide, "-o", &page];
        words.extend(["--device", "cpu", "--model", &own]);
        words.extend(more);
        refvsr(&words)
    };
    // Neither a page nor a picture that is there is written over.
    for (name, other) in [("look.html", "look.png"), ("look.png", "look.html")] {
        std::fs::write(place.path(name), "mine").unwrap();
        let said = preview(&[]);
        let text = format!("{name} is there already; --overwrite");
        assert!(said.code == Some(1) && said.err.contains(&text), "{said:?}");
        assert_eq!(std::fs::read(place.path(name)).unwrap(), b"mine");
        assert!(!place.path(other).exists());
        std::fs::rename(place.path(name), place.path(other)).unwrap();
    }
    let said = preview(&["--overwrite"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let text = std::fs::read_to_string(&page).unwrap();
    let bundled = refvsr::Bundled::ALL;
    let bundled = bundled.iter().filter(|model| model.content().is_some());
    let mut methods: Vec<&str> = bundled.map(|model| model.name()).collect();
    assert!(!methods.is_empty());
    methods.extend(["bicubic"]);
    // The model of the test has the name of a bundled one, so its file is told.
    for method in methods.iter().copied().chain([own.as_str()]) {
        let whole = text.matches(&format!("alt=\"{method}, whole\"")).count();
        assert_eq!(whole, 3, "{method}");
        let all = text.matches(&format!("alt=\"{method}")).count();
        assert!(all >= 6, "{method}: {all} pictures, details among them");
    }
    let pictures = text.split("base64,").skip(1);
    let pictures: Vec<&str> = pictures
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(text.matches("<img").count(), pictures.len());
    assert!(
        pictures.iter().all(|data| data.starts_with("/9j/")),
        "JPEG in base64"
    );
    assert!(
        !text.contains("http") && !text.contains("src=\"file"),
        "it needs nothing beside it"
    );
    assert!(
        text.contains("<polygon class=\"wide\""),
        "the wide camera's field"
    );

    let start = number(&text, "wide camera's start</th><td>");
    assert!((start - 0.1 * LATER as f64).abs() < 0.002, "{start}");
    let zoom = number(&text, "wide camera's zoom</th><td>");
    assert!((zoom - 2.0).abs() < 0.05, "{zoom}");
    assert!(text.contains("H.264") && text.contains("bits a pixel") && text.contains("blockiness"));
    assert!(text.contains("the picture moves"), "{}", said.out);
    // The command that does it all.
    assert!(text.contains("--offset wide=0.4"), "{}", said.out);
    assert!(
        said.out.contains("with quality") || methods.len() < 3,
        "{}",
        said.out
    );
    let picture = image::open(place.path("look.png")).unwrap();
    assert!(
        picture.width() > 3 * 384 && picture.height() > 3 * 500,
        "{picture:?}"
    );
    assert_eq!(
        place
            .files("")
            .iter()
            .filter(|name| name.starts_with('.'))
            .count(),
        0
    );
}

#[test]
fn what_cannot_be_previewed_is_told_in_one_line() {
    let place = Place::new();
    let film = place.film("film.mkv", 6);
    let none = place.text("none.mkv");
    std::fs::write(place.path("text.mkv"), "no video").unwrap();
    let text = place.text("text.mkv");
    let cases: [(&[&str], &str); 6] = [
        (&["-u", &none, "-w", &film], "none.mkv"),
        (&["-u", &film, "-w", &text], "text.mkv"),
        (&["-u", &film, "-w", &film, "--model", &text], "text.mkv"),
        (&["-u", &film, "-w", &film, "--from", "99"], "film.mkv"),
        (
            &["-u", &film, "-w", &film, "--offset", "wide=50"],
            "no moment in common",
        ),
        (
            &["-u", &film, "-w", &film, "-o", &film],
            "its name ends in .html",
        ),
    ];
    for (words, expected) in cases {
        let page = place.text("page.html");
        let mut all = vec!["preview", "--device", "cpu"];
        if !words.contains(&"-o") {
            all.extend(["-o", &page]);
        }
        all.extend(words);
        let said = refvsr(&all);
        assert_eq!(said.code, Some(1), "{words:?} {said:?}");
        assert!(said.err.contains(expected), "{words:?} {said:?}");
        assert_eq!(said.err.trim().lines().count(), 1, "{words:?} {said:?}");
        assert!(!place.path("page.html").exists() && !place.path("page.png").exists());
    }
}
