//! The page that `refvsr evaluate --report` writes, in a browser.

mod common;

use common::scored::tree;
use common::{Place, refvsr_well};
use serde_json::Value;
use std::process::Command;

/// Runs before the page's own script.
const LISTEN: &str = "<script>
window.problems = [];
addEventListener('error', e => problems.push(String(e.message || e.target.src)), true);
addEventListener('unhandledrejection', e => problems.push(String(e.reason)));
for (const kind of ['error', 'warn']) console[kind] = (...words) => problems.push(words.join(' '));
</script>";

/// Uses the page as a person does once all is loaded, and leaves what it saw in the document.
const USE: &str = "<script>
addEventListener('load', () => {
  const seen = {};
  const all = what => [...document.querySelectorAll(what)];
  const views = all('.view'), handles = all('.handle');
  const key = (target, key) => target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  const drag = (target, from, to) => {
    target.setPointerCapture = () => {};
    const event = (kind, [x, y]) => target.dispatchEvent(new PointerEvent(kind, { pointerId: 1, clientX: x, clientY: y, bubbles: true }));
    event('pointerdown', from); event('pointermove', to); event('pointerup', to);
  };
  const lines = () => handles.map(h => Number(h.getAttribute('aria-valuenow')));
  const moved = () => all('.moved').map(m => m.style.transform);
  seen.views = views.length;
  seen.images = all('img.picture').map(i => i.naturalWidth);
  seen.first = lines();
  key(handles[0], 'ArrowRight');
  seen.key = lines();
  const box = views[0].getBoundingClientRect(), at = share => [box.left + box.width * share, box.top + box.height / 2];
  drag(handles[1], at(0.67), at(0.9));
  seen.drag = lines();
  drag(handles[0], at(0.35), at(2));
  seen.clamped = lines();
  seen.clips = views.map(v => v.querySelectorAll('.layer')[1].style.clipPath);
  key(document.body, '+');
  key(document.body, '+');
  seen.zoomed = moved();
  drag(views[0], at(0.5), at(0.4));
  seen.panned = moved();
  key(document.body, '0');
  seen.reset = moved();
  seen.fields = all('.field').filter(f => f.style.display !== 'none').length;
  document.getElementById('showFields').click();
  seen.noFields = all('.field').filter(f => f.style.display !== 'none').length;
  document.getElementById('showConfidence').click();
  seen.confidence = all('.confidence').filter(c => c.style.display !== 'none' && c.naturalWidth).length;
  key(document.body, ']');
  seen.frame = document.getElementById('number').textContent;
  all('#choose button')[2].click();
  seen.caption = document.querySelector('figcaption').textContent;
  seen.plot = all('#plot polyline').length;
  seen.time = all('#time tr').map(r => r.cells[0].textContent);
  seen.slopes = [...all('#time tr').at(-4).cells].slice(1).map(c => c.textContent);
  seen.overflow = document.body.scrollWidth - document.body.clientWidth;
  seen.width = document.body.clientWidth;
  seen.loaded = Math.round(performance.getEntriesByType('navigation')[0].loadEventStart);
  seen.requests = performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).map(r => r.name);
  seen.problems = problems;
  const result = document.createElement('pre');
  result.id = 'seen';
  result.textContent = JSON.stringify(seen);
  document.body.append(result);
});
</script>";

/// What the page shows a person at this width. A browser's window has a least width, so the page is told its own.
fn open(page: &str, width: u32, place: &Place) -> Value {
    let narrowed = place.text("narrowed.html");
    let style = format!("<style>html {{ width: {width}px; }}</style></head>");
    std::fs::write(&narrowed, page.replacen("</head>", &style, 1)).unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            place.text(&format!("profile-{width}"))
        ))
        .arg(format!("--window-size={},900", width.max(600)))
        .arg(format!("file://{narrowed}"))
        .output()
        .expect("chromium (Debian: chromium) is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    let seen = text.split(r#"<pre id="seen">"#).nth(1).unwrap_or_else(|| {
        panic!(
            "the page's script did not end\n{text:.2000}\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let seen = seen
        .split("</pre>")
        .next()
        .unwrap()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    serde_json::from_str(&seen).unwrap()
}

#[test]
fn the_report_works_from_a_file_with_mouse_and_keyboard() {
    let place = Place::new();
    let data = tree(&place);
    let report = place.text("report.html");
    refvsr_well(&[
        "evaluate",
        &data,
        "--model",
        &place.model(),
        "--device",
        "cpu",
        "--report",
        &report,
    ]);
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(
        !page
            .replace("http://www.w3.org/2000/svg", "")
            .contains("http"),
        "the page needs no network"
    );
    if let Ok(copy) = std::env::var("REFVSR_TEST_REPORT") {
        // To look at.
        std::fs::copy(&report, copy).unwrap();
    }
    let used = page
        .replacen("<head>", &format!("<head>{LISTEN}"), 1)
        .replacen("</body>", &format!("{USE}</body>"), 1);

    for width in [390, 1440] {
        let seen = open(&used, width, &place);
        let is =
            |what: &str, expected: Value| assert_eq!(seen[what], expected, "{what} in {seen:#}");
        is("width", width.into());
        is("problems", Value::from(Vec::<String>::new()));
        is("requests", Value::from(Vec::<String>::new()));
        is("views", 2.into());
        is("images", vec![48; 6].into());
        // Two viewers with two lines each, which stay in step.
        is("first", vec![33, 67, 33, 67].into());
        is("key", vec![35, 67, 35, 67].into());
        is("drag", vec![35, 90, 35, 90].into());
        is("clamped", vec![90, 90, 90, 90].into());
        assert_eq!(seen["clips"][0], seen["clips"][1]);
        for (what, scale) in [
            ("zoomed", "scale(1.5625)"),
            ("panned", "scale(1.5625)"),
            ("reset", "scale(1)"),
        ] {
            let moved: Vec<_> = seen[what]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m.as_str().unwrap())
                .collect();
            assert!(
                moved.len() == 6 && moved.iter().all(|m| *m == moved[0] && m.ends_with(scale)),
                "{what}: {moved:?}"
            );
        }
        assert_ne!(seen["zoomed"], seen["panned"]);
        is("fields", 6.into());
        is("noFields", 0.into());
        is("confidence", 1.into());
        is("frame", "1".into());
        is("plot", 3.into());
        // The shortest clip has two frames.
        let parts = [
            "part",
            "1 of 2",
            "2 of 2",
            "dB in 100 frames",
            "largest step over the median",
            "the truth's",
            "error of the change, codes",
        ];
        is("time", parts.to_vec().into());
        assert_eq!(seen["slopes"].as_array().unwrap().len(), 3, "{seen:#}");
        assert!(
            seen["caption"]
                .as_str()
                .unwrap()
                .starts_with("tiny, no reference: "),
            "{seen:#}"
        );
        assert!(seen["overflow"].as_i64().unwrap() <= 0, "{seen:#}");
    }
}
