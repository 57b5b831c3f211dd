//! What a wheel requires, read from its METADATA.

use anyhow::{Context, Result, bail};

/// One `Requires-Dist` line: `name[extras]==version; marker`.
#[derive(Debug, PartialEq)]
pub struct Requirement {
    pub name: String,
    pub extras: Vec<String>,
    /// With its operator, as pip takes it: `==13.0.96.*`. Empty when any version does.
    pub version: String,
    /// The extra of the wheel that asks for it, when only one does.
    pub for_extra: Option<String>,
}

impl Requirement {
    /// As pip takes it.
    pub fn pip(&self) -> String {
        format!("{}{}", self.name, self.version)
    }
}

/// The requirements in a wheel's METADATA that hold on Linux.
pub fn parse(metadata: &str) -> Result<Vec<Requirement>> {
    // The headers end at the first empty line; the description follows.
    let headers = metadata.lines().take_while(|line| !line.trim().is_empty());
    let lines = headers.filter_map(|line| line.strip_prefix("Requires-Dist: "));
    lines
        .filter(|line| on_linux(line))
        .map(|line| {
            parse_line(line).with_context(|| format!("cannot read the requirement {line:?}"))
        })
        .collect()
}

fn parse_line(line: &str) -> Result<Requirement> {
    let (requirement, marker) = line.split_once(';').unwrap_or((line, ""));
    let requirement: String = requirement
        .chars()
        .filter(|c| !c.is_whitespace() && !"()".contains(*c))
        .collect();
    let end = requirement
        .find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        .unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    if name.is_empty() {
        bail!("it names no package");
    }
    let (extras, version) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').context("its `[` has no `]`")?,
        None => ("", rest),
    };
    Ok(Requirement {
        name: name.to_owned(),
        extras: extras
            .split(',')
            .filter(|extra| !extra.is_empty())
            .map(str::to_owned)
            .collect(),
        version: version.to_owned(),
        for_extra: quoted_after(marker, "extra"),
    })
}

/// False when the marker speaks of other systems only. Both spellings occur: `platform_system == "Linux"` and
/// `sys_platform == 'linux' or …`.
fn on_linux(line: &str) -> bool {
    let marker = line.split_once(';').map_or("", |(_, marker)| marker);
    !(marker.contains("platform_system") || marker.contains("sys_platform"))
        || marker.to_ascii_lowercase().contains("linux")
}

/// `cudart` in `… extra == 'cudart'`.
fn quoted_after(marker: &str, variable: &str) -> Option<String> {
    let rest = marker.split_once(&format!("{variable} =="))?.1;
    let quote = rest.find(['\'', '"'])?;
    let value = &rest[quote + 1..];
    Some(value[..value.find(['\'', '"'])?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_torch_wheels_lines_are_read() {
        let metadata = "Metadata-Version: 2.4\nName: torch\nRequires-Dist: filelock\nRequires-Dist: setuptools<82\n\
            Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.2; platform_system == \"Linux\"\n\
            Requires-Dist: nvidia-nccl-cu13==2.28.9; platform_system == \"Linux\"\n\
            Requires-Dist: pywin32>=1; platform_system == \"Windows\"\n\
            Requires-Dist: pyyaml; extra == \"pyyaml\"\n\
            \nRequires-Dist: of-the-description\n";
        let requirements = parse(metadata).unwrap();
        let names: Vec<&str> = requirements
            .iter()
            .map(|requirement| requirement.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "filelock",
                "setuptools",
                "cuda-toolkit",
                "nvidia-nccl-cu13",
                "pyyaml"
            ]
        );
        assert_eq!(requirements[2].extras, ["cublas", "cudart"]);
        assert_eq!(requirements[2].pip(), "cuda-toolkit==13.0.2");
        assert_eq!(requirements[1].pip(), "setuptools<82");
        assert_eq!(requirements[4].for_extra.as_deref(), Some("pyyaml"));
    }

    #[test]
    fn the_cuda_toolkits_lines_are_read() {
        let line = "nvidia-cuda-runtime==13.0.96.*; (sys_platform == 'linux' or sys_platform == 'win32') and extra == 'cudart'";
        let requirement = parse_line(line).unwrap();
        assert_eq!(requirement.pip(), "nvidia-cuda-runtime==13.0.96.*");
        assert_eq!(requirement.for_extra.as_deref(), Some("cudart"));
        assert!(on_linux(line) && !on_linux("x; sys_platform == 'win32' and extra == 'y'"));
    }

    #[test]
    fn broken_lines_are_errors() {
        assert!(parse_line("cuda-toolkit[cublas==13").is_err());
        assert!(
            parse("Requires-Dist: ==3\n")
                .unwrap_err()
                .to_string()
                .contains("==3")
        );
    }
}
