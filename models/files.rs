// The bundled models: name, and file in this folder. Read by build.rs too, which looks for files
// that were missing when this list changes.
[
    ("quality", "quality.safetensors"),
    ("light", "light.safetensors"),
    ("live", "live.safetensors"),
]
