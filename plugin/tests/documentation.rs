//! The plugin's documentation cache, `docs/plugins/gst_plugins_cache.json`: what GStreamer's documentation is made of, in the layout of
//! GStreamer's own. It has to say what the element is; `cargo xtask docs` writes it anew.

mod common;

use gst::{glib, prelude::*};
use serde::Serialize as _;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Set by `cargo xtask docs`.
const REFRESH: &str = "REFVSR_REFRESH_DOCS";

#[test]
fn the_documentation_cache_says_what_the_element_is() {
    common::init();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins/gst_plugins_cache.json");
    let text = pretty(&json!({ "refvsr": plugin() }));
    if std::env::var_os(REFRESH).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let different = stored.lines().zip(text.lines()).position(|(a, b)| a != b);
    let place = different.unwrap_or(stored.lines().count().min(text.lines().count()));
    assert!(
        stored == text,
        "line {} of {} is\n{:?}\nbut the element says\n{:?}\n`cargo xtask docs` writes the file anew",
        place + 1,
        path.display(),
        stored.lines().nth(place),
        text.lines().nth(place)
    );
}

/// JSON with four spaces a level and sorted keys, as GStreamer's tool writes it.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, format);
    value.serialize(&mut writer).unwrap();
    String::from_utf8(bytes).unwrap() + "\n"
}

fn plugin() -> Value {
    let factory = gst::ElementFactory::find("refvsr").unwrap();
    let plugin = factory.plugin().unwrap();
    let mut types = Map::new();
    let element = element(&factory, &mut types);
    json!({
        "description": plugin.description().as_str(),
        "elements": { "refvsr": element },
        "filename": "gstrefvsr",
        "license": plugin.license().as_str(),
        "other-types": types,
        "package": plugin.package().as_str(),
        "source": plugin.source().as_str(),
        "tracers": {},
        "url": plugin.origin().as_str(),
    })
}

/// The element. Types of the plugin that its pads and properties have go to `types`.
fn element(factory: &gst::ElementFactory, types: &mut Map<String, Value>) -> Value {
    let element = factory.create().build().unwrap();
    let kind = element.type_();
    let templates: Map<_, _> = element
        .pad_template_list()
        .iter()
        .map(|template| {
            let mut described = json!({
                "caps": caps(template.caps()),
                "direction": lower(template.direction()),
                "presence": lower(template.presence()),
            });
            let pads = template.gtype();
            if pads.name().starts_with("GstRefVsr") {
                described["type"] = pads.name().into();
                let pad = json!({ "hierarchy": hierarchy(pads), "kind": "object", "properties": properties(pads, types) });
                types.insert(pads.name().to_owned(), pad);
            }
            (template.name().to_string(), described)
        })
        .collect();
    let interfaces: Vec<_> = kind.interfaces().iter().map(|one| one.name()).collect();
    json!({
        "author": factory.metadata("author"),
        "description": factory.metadata("description"),
        "hierarchy": hierarchy(kind),
        "interfaces": interfaces,
        "klass": factory.metadata("klass"),
        "long-name": factory.metadata("long-name"),
        "pad-templates": templates,
        "properties": properties(kind, types),
        "rank": rank(factory.rank()),
    })
}

fn lower(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn rank(rank: gst::Rank) -> String {
    match rank {
        gst::Rank::NONE => "none".to_owned(),
        other => i32::from(other).to_string(),
    }
}

/// A type and those it is made of, up to GObject.
fn hierarchy(kind: glib::Type) -> Vec<&'static str> {
    std::iter::successors(Some(kind), |kind| kind.parent())
        .map(|kind| kind.name())
        .collect()
}

/// A media type a line, then a field a line.
fn caps(caps: &gst::Caps) -> String {
    let mut text = String::new();
    for (structure, features) in caps.iter_with_features() {
        let features = match features.to_string().as_str() {
            "" | "memory:SystemMemory" => String::new(),
            other => format!("({other})"),
        };
        text += &format!("{}{features}:\n", structure.name());
        for (field, value) in structure.iter() {
            let field = field.to_string();
            text += &format!("{field:>15}: {}\n", value.serialize().unwrap());
        }
    }
    text
}

/// The properties that a type adds to those it inherits.
fn properties(kind: glib::Type, types: &mut Map<String, Value>) -> Map<String, Value> {
    let class = glib::object::ObjectClass::from_type(kind).unwrap();
    let own = class.list_properties();
    own.iter()
        .filter(|spec| spec.owner_type() == kind)
        .map(|spec| (spec.name().to_owned(), property(spec, types)))
        .collect()
}

fn property(spec: &glib::ParamSpec, types: &mut Map<String, Value>) -> Value {
    let flags = spec.flags();
    let mutable = [
        (gst::PARAM_FLAG_MUTABLE_PLAYING, "playing"),
        (gst::PARAM_FLAG_MUTABLE_PAUSED, "paused"),
        (gst::PARAM_FLAG_MUTABLE_READY, "ready"),
    ];
    let mutable = mutable.iter().find(|(flag, _)| flags.contains(*flag));
    let mut described = json!({
        "blurb": spec.blurb(),
        "conditionally-available": flags.contains(gst::PARAM_FLAG_CONDITIONALLY_AVAILABLE),
        "construct": flags.contains(glib::ParamFlags::CONSTRUCT),
        "construct-only": flags.contains(glib::ParamFlags::CONSTRUCT_ONLY),
        "controllable": flags.contains(gst::PARAM_FLAG_CONTROLLABLE),
        "mutable": mutable.map_or("null", |(_, name)| name),
        "readable": flags.contains(glib::ParamFlags::READABLE),
        "type": spec.value_type().name(),
        "writable": flags.contains(glib::ParamFlags::WRITABLE),
    });
    let default = spec.default_value();
    if let Some(class) = glib::EnumClass::with_type(spec.value_type()) {
        let value = default.clone().transform::<i32>().unwrap().get().unwrap();
        let named = class.value(value).unwrap();
        described["default"] = format!("{} ({value})", named.nick()).into();
        let values: Vec<_> = class
            .values()
            .iter()
            .map(|v| json!({ "desc": v.name(), "name": v.nick(), "value": v.value().to_string() }))
            .collect();
        let kind = spec.value_type().name().to_owned();
        types.insert(kind, json!({ "kind": "enum", "values": values }));
    } else if spec.value_type() == glib::Type::STRING {
        let text = default.get::<Option<String>>().unwrap();
        described["default"] = text.unwrap_or_else(|| "NULL".into()).into();
    } else if spec.value_type() != gst::Structure::static_type() {
        described["default"] = default.serialize().unwrap().to_string().into();
    }
    macro_rules! range {
        ($($kind:ty),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$kind>() {
                described["max"] = spec.maximum().to_string().into();
                described["min"] = spec.minimum().to_string().into();
            })*
        };
    }
    range!(
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecInt64,
        glib::ParamSpecUInt64,
        glib::ParamSpecDouble
    );
    described
}
